"""Formats that Pillow reads and writes as a whole: AVIF, BMP, GIF."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from retoucher.errors import InputError, OutputError
from retoucher.imaging import exif as exif_blob
from retoucher.imaging.decoded import Decoded, pillow_on_data, save_with_pillow, to_pillow
from retoucher.imaging.limits import Limits
from retoucher.imaging.metadata import Metadata, decode_text
from retoucher.imaging.native import Mode, Native

AVIF_QUALITY = 95
_MODES: dict[str, Mode] = {"1": "L", "L": "L", "P": "P", "RGB": "RGB", "RGBA": "RGBA"}


def decode(data: bytes, limits: Limits, file_format: str) -> Decoded:
    """Read an AVIF, BMP or GIF of one frame.

    Raises:
        InputError: several frames, truncated, corrupt or too large.
    """
    with pillow_on_data(), Image.open(io.BytesIO(data), formats=(file_format,)) as image:
        limits.check(*image.size)
        if getattr(image, "n_frames", 1) > 1:
            raise InputError(f"an animated {file_format}; give its frames as single pictures")
        image.load()
        if image.mode not in _MODES:
            raise InputError(f"a {file_format} with {image.mode} pixels; convert it to PNG first")
        mode = _MODES[image.mode]
        samples = np.array(image)
        palette = _palette(image) if mode == "P" else None
        info = dict(image.info)
    if samples.dtype == np.bool_:
        samples = samples.astype(np.uint8) * 255
    key = info.get("transparency") if mode == "L" else None
    blob, comment = info.get("exif"), info.get("comment")
    metadata = Metadata(
        exif=exif_blob.strip_prefix(blob) if isinstance(blob, bytes) and blob else None,
        icc=info.get("icc_profile"),
        xmp=info.get("xmp"),
        comment=decode_text(comment) if isinstance(comment, bytes) else None,
        dpi=info.get("dpi"),
    )
    native = Native(
        mode=mode,
        bits=1 if image.mode == "1" else 8,
        samples=np.ascontiguousarray(samples),
        palette_rgba=palette,
        colour_key=(key,) if isinstance(key, int) else None,
    )
    return Decoded(
        native=native, orientation=exif_blob.orientation_of(metadata.exif), metadata=metadata
    )


def _palette(image: Image.Image) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    colours = np.array(image.getpalette("RGB") or [], np.uint8).reshape(-1, 3)[:256]
    palette = np.full((256, 4), 255, np.uint8)
    palette[:, :3] = 0
    palette[: len(colours), :3] = colours
    clear = image.info.get("transparency")
    if isinstance(clear, int) and 0 <= clear < 256:
        palette[clear, 3] = 0
    return palette


def avif(native: Native, metadata: Metadata) -> bytes:
    """A new AVIF from RGB or RGBA at 8 bits; never exact.

    Raises:
        OutputError: another mode, or this Pillow has no AVIF.
    """
    if native.mode not in ("RGB", "RGBA") or native.bits != 8:
        raise OutputError(f"AVIF cannot hold {native.name} pixels")
    return save_with_pillow(
        to_pillow(native),
        "AVIF",
        quality=AVIF_QUALITY,
        subsampling="4:4:4",
        speed=6,
        exif=metadata.exif or b"",
        icc_profile=metadata.icc or b"",
        xmp=metadata.xmp or b"",
    )


def is_deep_avif(raw: bytes) -> bool:
    """Whether the file holds more than 8 bits a channel, which Pillow reduces to 8."""
    at = raw.find(b"av1C")
    return at >= 0 and len(raw) > at + 6 and bool(raw[at + 6] & 0x40)


def bmp(native: Native, metadata: Metadata) -> bytes:
    """A BMP; holds no metadata but the resolution."""
    image = to_pillow(native)
    if native.bits == 1:
        image = image.convert("1", dither=Image.Dither.NONE)
    return save_with_pillow(image, "BMP", dpi=metadata.dpi or (96, 96))


def gif(native: Native, metadata: Metadata) -> bytes:
    """A GIF of one frame with the palette as it is."""
    options: dict[str, object] = {}
    if native.palette_rgba is not None:
        clear = np.flatnonzero(native.palette_rgba[:, 3] == 0)
        if len(clear):
            options["transparency"] = int(clear[0])
    elif native.colour_key is not None:
        options["transparency"] = native.colour_key[0]
    if metadata.comment:
        options["comment"] = metadata.comment.encode("utf-8", "replace")
    return save_with_pillow(to_pillow(native), "GIF", optimize=False, **options)
