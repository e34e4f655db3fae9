"""JPEG: pixels encoded anew with the file's own tables, every segment around them kept."""

from __future__ import annotations

import contextlib
import io
import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile, get_sampling

from retoucher.errors import InputError, OutputError
from retoucher.imaging import exif as exif_blob
from retoucher.imaging.decoded import Decoded, pillow_on_data, save_with_pillow, to_pillow
from retoucher.imaging.limits import Limits
from retoucher.imaging.metadata import Metadata, decode_text
from retoucher.imaging.native import Mode, Native

APP0, APP1, APP2, APP14, COM, SOS, EOI = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE, 0xDA, 0xD9
XMP_ID = b"http://ns.adobe.com/xap/1.0/\0"
ICC_ID = b"ICC_PROFILE\0"
MPF_ID = b"MPF\0"
ADOBE_ID = b"Adobe"
MAX_PAYLOAD = 65_533
NEW_QUALITY = 95
"""Quality of a JPEG made from another format; chroma is not subsampled then."""

_FULL, _QUARTER = 0, 2  # Pillow's names for 4:4:4 and 4:2:0
_MODES: dict[str, Mode] = {"L": "L", "RGB": "RGB", "CMYK": "CMYK"}


@dataclass(frozen=True, slots=True)
class Segment:
    """A marker and what follows its length field."""

    marker: int
    payload: bytes

    def pack(self) -> bytes:
        return struct.pack(">BBH", 0xFF, self.marker, len(self.payload) + 2) + self.payload


def read_segments(data: bytes) -> tuple[list[Segment], int]:
    """Segments before the first scan, and where the scan's SOS marker lies.

    Raises:
        InputError: the file ends or breaks off before it.
    """
    segments: list[Segment] = []
    at = 2
    while True:
        while data[at : at + 2] == b"\xff\xff":
            at += 1
        if at + 4 > len(data):
            raise InputError("the JPEG is truncated")
        if data[at] != 0xFF:
            raise InputError("the JPEG is corrupt: a marker is missing")
        marker = data[at + 1]
        if marker == SOS:
            return segments, at
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2 or at + 2 + length > len(data):
            raise InputError("the JPEG is truncated or corrupt")
        segments.append(Segment(marker, data[at + 4 : at + 2 + length]))
        at += 2 + length


def _open(data: bytes) -> JpegImageFile:
    return JpegImageFile(io.BytesIO(data))  # not Image.open: that looks for a second picture (MPO)


def decode(data: bytes, limits: Limits) -> Decoded:
    """Read a JPEG; of an MPO its first picture.

    Raises:
        InputError: truncated, corrupt, too large or of a kind that Pillow cannot read.
    """
    segments, _ = read_segments(data)
    with pillow_on_data(), contextlib.closing(_open(data)) as image:
        limits.check(*image.size)
        _check_length(data, image)
        if image.mode not in _MODES:
            raise InputError(f"a JPEG with {image.mode} pixels")
        samples = np.array(image)
        icc = image.info.get("icc_profile")
        dpi = image.info.get("dpi")
    metadata = Metadata(
        exif=_exif(segments),
        icc=icc if isinstance(icc, bytes) else None,
        xmp=_xmp(segments),
        comment=next((decode_text(s.payload) for s in segments if s.marker == COM), None),
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
    )
    mode = _MODES[image.mode]
    return Decoded(
        native=Native(
            mode=mode, bits=8, samples=samples, icc=metadata.icc if mode == "CMYK" else None
        ),
        orientation=exif_blob.orientation_of(metadata.exif),
        metadata=metadata,
    )


def _check_length(data: bytes, image: JpegImageFile) -> None:
    """Reject a baseline file with fewer than two bits a block, which libjpeg would fill with grey.

    Every block takes at least one bit for its DC difference and one for its end.
    """
    if image.info.get("progressive"):
        return
    wide = max(layer[1] for layer in image.layer)
    high = max(layer[2] for layer in image.layer)
    units = math.ceil(image.width / (8 * wide)) * math.ceil(image.height / (8 * high))
    blocks = units * sum(layer[1] * layer[2] for layer in image.layer)
    if len(data) * 8 < blocks * 2:
        raise InputError("the JPEG is truncated or corrupt: too little data for its size")


def _exif(segments: Sequence[Segment]) -> bytes | None:
    found = next((s.payload for s in segments if _is_exif(s)), None)
    return exif_blob.strip_prefix(found) if found else None


def _xmp(segments: Sequence[Segment]) -> bytes | None:
    found = next((s.payload for s in segments if _is_xmp(s)), None)
    return found[len(XMP_ID) :] if found else None


def _is_exif(segment: Segment) -> bool:
    return segment.marker == APP1 and segment.payload.startswith(exif_blob.PREFIX)


def _is_xmp(segment: Segment) -> bool:
    return segment.marker == APP1 and segment.payload.startswith(XMP_ID)


def rewrite(
    raw: bytes, native: Native, metadata: Metadata, changed_hw: NDArray[np.bool_]
) -> tuple[bytes, tuple[str, ...]]:
    """The JPEG `raw` with other pixels, and `metadata`'s EXIF and XMP in place of its own.

    Blocks without a changed pixel come out as they were, but for rounding where colours are
    saturated and at edges that are not whole blocks.
    """
    segments, _ = read_segments(raw)
    with pillow_on_data(), contextlib.closing(_open(raw)) as image:
        tables = [list(image.quantization[layer[3]]) for layer in image.layer]
        sampling = get_sampling(image)
        progressive = bool(image.info.get("progressive"))
        plain_rgb = native.mode == "RGB" and _is_plain_rgb(segments, image)
    if native.mode == "RGB" and not plain_rgb and sampling in (_FULL, _QUARTER):
        picture = _in_own_planes(raw, native, changed_hw, quarter=sampling == _QUARTER)
    else:
        picture = to_pillow(native)
    if len(tables) == 3 and tables[1] == tables[2]:
        del tables[2]
    encoded = save_with_pillow(
        picture,
        "JPEG",
        qtables=tables,
        subsampling=max(0, sampling),
        progressive=progressive,
        optimize=True,
        keep_rgb=plain_rgb,
    )
    kept = [s for s in segments if s.marker == COM or APP0 <= s.marker <= 0xEF]
    notes: tuple[str, ...] = ()
    if any(_is_mpf(s) for s in kept):
        notes = ("the further pictures inside this MPO file were left out",)
        kept = [s for s in kept if not _is_mpf(s)]
    return _assemble(encoded, kept, metadata), notes


def _in_own_planes(
    raw: bytes, native: Native, changed_hw: NDArray[np.bool_], *, quarter: bool
) -> Image.Image:
    """The new picture in YCbCr such that untouched blocks give their old coefficients again.

    Luma is taken as the decoder made it, without the way through RGB. Subsampled chroma is decoded
    at half scale, where libjpeg gives it as stored, without interpolation, and repeated: the
    encoder's averaging undoes that exactly.
    """
    width, height = native.size_wh
    with pillow_on_data(), contextlib.closing(_open(raw)) as image:
        image.draft("YCbCr", image.size)
        planes = np.array(image)
    if quarter:
        with pillow_on_data(), contextlib.closing(_open(raw)) as image:
            image.draft("YCbCr", (max(1, width // 2), max(1, height // 2)))
            half = np.array(image)
        if half.shape == ((height + 1) // 2, (width + 1) // 2, 3):
            chroma = half[..., 1:].repeat(2, axis=0).repeat(2, axis=1)
            planes[..., 1:] = chroma[:height, :width]
    new = np.asarray(to_pillow(native).convert("YCbCr"))
    planes[changed_hw] = new[changed_hw]
    return Image.frombytes("YCbCr", native.size_wh, planes.tobytes())


def _is_mpf(segment: Segment) -> bool:
    return segment.marker == APP2 and segment.payload.startswith(MPF_ID)


def _is_plain_rgb(segments: Sequence[Segment], image: JpegImageFile) -> bool:
    """Whether three components are stored as RGB, not YCbCr (libjpeg's own rule)."""
    if any(s.marker == APP0 and s.payload.startswith(b"JFIF") for s in segments):
        return False
    adobe = next((s.payload for s in segments if _is_adobe(s)), None)
    if adobe is not None:
        return adobe[11:12] == b"\0"
    return [layer[0] for layer in image.layer] == [ord("R"), ord("G"), ord("B")]


def _is_adobe(segment: Segment) -> bool:
    return segment.marker == APP14 and segment.payload.startswith(ADOBE_ID)


def _assemble(encoded: bytes, kept: Sequence[Segment], metadata: Metadata) -> bytes:
    """Put the kept segments before the tables and scans of a JPEG that Pillow made."""
    own, scan_at = read_segments(encoded)
    tables = [s for s in own if s.marker != APP0]
    if any(_is_adobe(s) for s in tables):
        kept = [s for s in kept if not _is_adobe(s)]
    else:  # YCbCr or grey now: an Adobe segment may only say so
        kept = [s for s in kept if not _is_adobe(s) or s.payload[11:12] == b"\1"]
    head = _with_payload(list(kept), metadata)
    return b"\xff\xd8" + b"".join(s.pack() for s in [*head, *tables]) + encoded[scan_at:]


def _with_payload(kept: list[Segment], metadata: Metadata) -> list[Segment]:
    """The segments with this EXIF and XMP, in the old places, or first after JFIF."""
    new: list[Segment] = []
    if metadata.exif:
        new.append(Segment(APP1, exif_blob.PREFIX + metadata.exif))
    if metadata.xmp:
        new.append(Segment(APP1, XMP_ID + metadata.xmp))
    for segment in new:
        if len(segment.payload) > MAX_PAYLOAD:
            raise OutputError("the metadata is too large for a JPEG; write to a .png instead")
    result: list[Segment] = []
    for segment in kept:
        if _is_exif(segment) or _is_xmp(segment):
            same = next((s for s in new if _is_exif(s) == _is_exif(segment)), None)
            if same is not None:
                new.remove(same)
                result.append(same)
        else:
            result.append(segment)
    at = 0
    while at < len(result) and (result[at].marker == APP0 or _is_exif(result[at])):
        at += 1
    return [*result[:at], *new, *result[at:]]


def compose(native: Native, metadata: Metadata) -> bytes:
    """A new JPEG: quality 95, full chroma.

    Raises:
        OutputError: the mode is none of L, RGB, CMYK at 8 bits, or the metadata is too large.
    """
    if native.mode not in _MODES or native.bits != 8 or native.colour_key is not None:
        raise OutputError(f"JPEG cannot hold {native.name} pixels")
    encoded = save_with_pillow(
        to_pillow(native),
        "JPEG",
        quality=NEW_QUALITY,
        subsampling=0,
        optimize=True,
        dpi=_whole_dpi(metadata),
    )
    own, _ = read_segments(encoded)
    kept = [s for s in own if s.marker == APP0]
    if metadata.icc:
        size = MAX_PAYLOAD - len(ICC_ID) - 2
        parts = [metadata.icc[i : i + size] for i in range(0, len(metadata.icc), size)]
        if len(parts) > 255:
            raise OutputError("the colour profile is too large for a JPEG; write to a .png instead")
        kept += [
            Segment(APP2, ICC_ID + bytes([number, len(parts)]) + part)
            for number, part in enumerate(parts, 1)
        ]
    if metadata.comment:
        kept.append(Segment(COM, metadata.comment.encode("utf-8", "replace")[:MAX_PAYLOAD]))
    return _assemble(encoded, kept, metadata)


def _whole_dpi(metadata: Metadata) -> tuple[int, int]:
    x, y = metadata.dpi or (0.0, 0.0)
    return (round(x), round(y)) if min(x, y) >= 1 and max(x, y) < 65535 else (0, 0)
