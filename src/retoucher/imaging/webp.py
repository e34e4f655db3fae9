"""WebP: always written lossless, so that pixels outside the repairs stay exact."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from retoucher.errors import InputError, OutputError
from retoucher.imaging import exif as exif_blob
from retoucher.imaging.decoded import Decoded, pillow_on_data, save_with_pillow, to_pillow
from retoucher.imaging.limits import Limits
from retoucher.imaging.metadata import Metadata
from retoucher.imaging.native import Mode, Native

MAX_SIDE_PX = 16_383
_PIXEL_CHUNKS = (b"VP8 ", b"VP8L", b"ALPH")
_OWN_CHUNKS = (*_PIXEL_CHUNKS, b"VP8X", b"ICCP", b"EXIF", b"XMP ", b"ANIM", b"ANMF")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A RIFF chunk's name and payload (without padding)."""

    kind: bytes
    data: bytes


def read_chunks(data: bytes) -> list[Chunk]:
    """The chunks of a WebP file.

    Raises:
        InputError: the file ends before a chunk does.
    """
    chunks: list[Chunk] = []
    at, end = 12, 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise InputError("the WebP is truncated")
    while at + 8 <= end:
        kind, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > end:
            raise InputError("the WebP is truncated or corrupt")
        chunks.append(Chunk(kind, data[at + 8 : at + 8 + length]))
        at += 8 + length + length % 2
    return chunks


def is_lossless(chunks: Sequence[Chunk]) -> bool:
    """Whether the pixels are VP8L."""
    return any(chunk.kind == b"VP8L" for chunk in chunks)


def decode(data: bytes, limits: Limits) -> Decoded:
    """Read a WebP.

    Raises:
        InputError: animated, truncated, corrupt or too large.
    """
    chunks = read_chunks(data)
    if any(chunk.kind in (b"ANIM", b"ANMF") for chunk in chunks):
        raise InputError("an animated WebP; give its frames as single pictures")
    first = {chunk.kind: chunk.data for chunk in reversed(chunks)}
    canvas = first.get(b"VP8X", b"")
    if len(canvas) >= 10:
        limits.check(
            1 + int.from_bytes(canvas[4:7], "little"), 1 + int.from_bytes(canvas[7:10], "little")
        )
    with pillow_on_data(), Image.open(io.BytesIO(data), formats=("WEBP",)) as image:
        limits.check(*image.size)
        mode: Mode = "RGBA" if image.mode == "RGBA" else "RGB"
        samples = np.array(image)[..., : 4 if mode == "RGBA" else 3]
    blob = first.get(b"EXIF")
    metadata = Metadata(
        exif=exif_blob.strip_prefix(blob) if blob else None,
        icc=first.get(b"ICCP"),
        xmp=first.get(b"XMP "),
    )
    return Decoded(
        native=Native(mode=mode, bits=8, samples=np.ascontiguousarray(samples)),
        orientation=exif_blob.orientation_of(metadata.exif),
        metadata=metadata,
    )


def rewrite(raw: bytes, native: Native, metadata: Metadata) -> tuple[bytes, tuple[str, ...]]:
    """The WebP `raw` with other pixels and this metadata; chunks unknown to us stay."""
    chunks = read_chunks(raw)
    prefixed = any(c.kind == b"EXIF" and c.data.startswith(exif_blob.PREFIX) for c in chunks)
    others = [chunk for chunk in chunks if chunk.kind not in _OWN_CHUNKS]
    data = _assemble(native, metadata, others, prefixed=prefixed)
    if is_lossless(chunks):
        return data, ()
    return data, (
        "the WebP was lossy and is now lossless, to keep every pixel outside the repairs "
        f"({len(raw):,} bytes before, {len(data):,} now)",
    )


def compose(native: Native, metadata: Metadata) -> bytes:
    """A new lossless WebP from RGB or RGBA at 8 bits.

    Raises:
        OutputError: another mode, or a side over 16,383 pixels.
    """
    return _assemble(native, metadata, (), prefixed=False)


def _assemble(
    native: Native, metadata: Metadata, others: Sequence[Chunk], *, prefixed: bool
) -> bytes:
    if native.mode not in ("RGB", "RGBA") or native.bits != 8:
        raise OutputError(f"WebP cannot hold {native.name} pixels")
    width, height = native.size_wh
    if max(width, height) > MAX_SIDE_PX:
        raise OutputError(f"a WebP side has at most {MAX_SIDE_PX} pixels; write to a .png instead")
    bare = save_with_pillow(
        to_pillow(native),
        "WEBP",
        lossless=True,
        exact=True,
        quality=50,
        method=1,
    )
    pixels = [chunk for chunk in read_chunks(bare) if chunk.kind in _PIXEL_CHUNKS]
    exif = (exif_blob.PREFIX if prefixed else b"") + metadata.exif if metadata.exif else None
    flags = (
        (0x20 if metadata.icc else 0)
        | (0x10 if native.mode == "RGBA" else 0)
        | (0x08 if exif else 0)
        | (0x04 if metadata.xmp else 0)
    )
    canvas = struct.pack("<I", flags)
    canvas += (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    optional = [
        *([Chunk(b"ICCP", metadata.icc)] if metadata.icc else []),
        *pixels,
        *([Chunk(b"EXIF", exif)] if exif else []),
        *([Chunk(b"XMP ", metadata.xmp)] if metadata.xmp else []),
        *others,
    ]
    body = b"WEBP" + b"".join(_pack(chunk) for chunk in [Chunk(b"VP8X", canvas), *optional])
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _pack(chunk: Chunk) -> bytes:
    return (
        struct.pack("<4sI", chunk.kind, len(chunk.data))
        + chunk.data
        + b"\0" * (len(chunk.data) % 2)
    )
