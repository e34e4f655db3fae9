"""Reading picture files of any format into one shape."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retoucher.errors import InputError
from retoucher.imaging import jpeg, png, simple_formats, tiff, webp
from retoucher.imaging.decoded import Decoded
from retoucher.imaging.limits import Limits
from retoucher.imaging.metadata import Metadata
from retoucher.imaging.native import Native, to_rgb
from retoucher.imaging.orientation import to_upright
from retoucher.imaging.record import Record

RgbArray = NDArray[np.uint8]

_READABLE = "PNG, JPEG, WebP, TIFF, AVIF, BMP or GIF"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureFile:
    """A picture as read, with all that is needed to write it back.

    Attributes:
        name: for messages; the path, or "picture" for bytes.
        path: where it was read from, None for bytes.
        format: PNG, JPEG, WEBP, TIFF, AVIF, BMP or GIF, by content.
        native: samples in stored orientation.
        orientation: EXIF orientation, 1 to 8.
        metadata: text chunks, EXIF, ICC, XMP, comment, resolution.
        raw: the file's bytes.
        sha256: of `raw`, hexadecimal.
        image_rgb: upright working copy, uint8 (H, W, 3), read-only: 16 bits reduced to 8, grey
            repeated, palette expanded, CMYK converted, straight colours, white where fully
            transparent.
    """

    name: str
    path: Path | None
    format: str
    native: Native
    orientation: int
    metadata: Metadata
    raw: bytes
    sha256: str
    image_rgb: RgbArray

    @property
    def mode(self) -> str:
        """ "1", "L", "LA", "P", "RGB", "RGBA", "CMYK", with ";16" for 16 bits."""
        return self.native.name


def read_picture(
    source: str | os.PathLike[str] | bytes, *, limits: Limits | None = None
) -> PictureFile:
    """Read a picture of one frame.

    Raises:
        InputError: it is missing, unreadable, no picture, animated, truncated, corrupt, or larger
            than the limits (judged before decoding). The message names the file.
    """
    limits = limits or Limits()
    path = None if isinstance(source, bytes) else Path(source)
    name = str(path) if path is not None else "picture"
    try:
        raw = source if isinstance(source, bytes) else _read_file(Path(source), limits)
        if not raw:
            raise InputError("the file is empty")
        file_format = _sniff(raw)
        decoded = decode(raw, file_format, limits)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    upright = np.ascontiguousarray(to_upright(to_rgb(decoded.native), decoded.orientation))
    view = upright.view()
    view.flags.writeable = False
    return PictureFile(
        name=name,
        path=path,
        format=file_format,
        native=decoded.native,
        orientation=decoded.orientation,
        metadata=decoded.metadata,
        raw=raw,
        sha256=hashlib.sha256(raw).hexdigest(),
        image_rgb=view,
    )


def _read_file(path: Path, limits: Limits) -> bytes:
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise InputError("is a folder, not a picture")
        if not stat.S_ISREG(status.st_mode):
            raise InputError("is not a regular file")
        if status.st_size > limits.max_file_bytes:
            raise InputError(f"the file has {status.st_size:,} bytes, which is too large")
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError("there is no such file") from None
    except PermissionError:
        raise InputError("no permission to read it") from None
    except (OSError, ValueError) as error:
        raise InputError(f"cannot be read ({error})") from error


def _sniff(raw: bytes) -> str:
    """The format by the first bytes; a file's suffix may lie."""
    if raw.startswith(png.SIGNATURE):
        return "PNG"
    if raw.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if raw[:4] == b"RIFF" and raw[8:12] == b"WEBP":
        return "WEBP"
    if raw[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if raw[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF"
    if raw[:2] == b"BM" and len(raw) > 26:
        return "BMP"
    if raw[4:8] == b"ftyp":
        brands = raw[8 : max(16, min(int.from_bytes(raw[:4], "big"), 256))]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        raise InputError("HEIC pictures are not read; convert it to PNG or JPEG first")
    raise InputError(f"not a picture that can be read; give {_READABLE}")


def decode(raw: bytes, file_format: str, limits: Limits) -> Decoded:
    """Decode bytes of a known format.

    Raises:
        InputError: as `read_picture`, without the file's name.
    """
    match file_format:
        case "PNG":
            return png.decode(raw, limits)
        case "JPEG":
            return jpeg.decode(raw, limits)
        case "WEBP":
            return webp.decode(raw, limits)
        case "TIFF":
            return tiff.decode(raw, limits)
        case _:
            return simple_formats.decode(raw, limits, file_format)


def read_record(picture: PictureFile) -> Record | None:
    """Our record of the last retouching of this file, None where there is none."""
    records = picture.metadata.records
    return records[-1] if records else None
