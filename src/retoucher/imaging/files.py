"""Writing repaired pictures so that nothing but the repairs changes; the way in to reading too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from retoucher.errors import InputError, OutputError
from retoucher.imaging import atomic, convert, jpeg, png, simple_formats, tiff, webp
from retoucher.imaging import record as record_codec
from retoucher.imaging.limits import Limits
from retoucher.imaging.metadata import Metadata
from retoucher.imaging.native import Merged, Native, expanded, merge, to_rgb
from retoucher.imaging.orientation import to_stored, to_upright
from retoucher.imaging.picture import PictureFile, RgbArray, decode, read_picture, read_record
from retoucher.imaging.record import Record, Stamp

__all__ = [
    "FORMAT_OF_SUFFIX",
    "PictureFile",
    "WriteReport",
    "read_picture",
    "read_record",
    "target_format",
    "write_picture",
]

FORMAT_OF_SUFFIX: Mapping[str, str] = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".mpo": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".gif": "GIF",
}
_ANY_SIZE = Limits(max_pixels=2**62, max_side_px=2**31)
_LOSSY = ("JPEG", "AVIF")
_NO_RECORD = ("BMP", "GIF")


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteReport:
    """What was written.

    Attributes:
        path: the file.
        exact_outside: every sample outside the repairs is as it was in the input.
        notes: what the user should know, one line each.
    """

    path: Path
    exact_outside: bool
    notes: tuple[str, ...] = ()


def write_picture(
    path: str | os.PathLike[str],
    picture: PictureFile,
    result_rgb: RgbArray,
    record: Record | None = None,
) -> WriteReport:
    """Write a repaired picture in the input's format and mode, or as the suffix says.

    Samples of pixels that are equal in `result_rgb` and `picture.image_rgb` keep their exact value
    wherever the format can; the file is decoded again to make sure. When nothing differs and the
    format is the same, the output is a copy of the input's bytes, without a record.

    Args:
        path: the output; a suffix other than the input's chooses another format.
        picture: as read.
        result_rgb: upright uint8 (H, W, 3) of the same size.
        record: JSON object that says what was done; its "summary" joins A1111 parameters.

    Raises:
        OutputError: the place or the format cannot take the picture; nothing is left behind.
    """
    if result_rgb.shape != picture.image_rgb.shape or result_rgb.dtype != np.uint8:
        raise ValueError(
            f"expected uint8 {picture.image_rgb.shape}, got {result_rgb.dtype} {result_rgb.shape}"
        )
    target = Path(path)
    file_format = target_format(target, picture)
    merged = merge(
        picture.native,
        to_stored(picture.image_rgb, picture.orientation),
        to_stored(result_rgb, picture.orientation),
    )
    hidden = _hidden_note(merged)
    if file_format == picture.format and not bool(merged.changed_hw.any()):
        if not _is_same_file(target, picture):
            atomic.write_bytes(target, picture.raw)
        return WriteReport(path=target, exact_outside=True, notes=hidden)
    try:
        encoded = _encode(picture, merged, file_format, record)
        exact, measured = _verify(encoded, picture, merged, target)
    except OutputError as error:
        raise OutputError(f"{target}: {error}") from error
    atomic.write_bytes(target, encoded.data)
    notes = (*encoded.notes, *measured, *hidden)
    return WriteReport(path=target, exact_outside=exact, notes=notes)


def target_format(target: Path, picture: PictureFile) -> str:
    """The format to write: the input's where the suffix is the input's own, else by the suffix.

    Raises:
        OutputError: the suffix names no format that can be written.
    """
    suffix = target.suffix.lower()
    if picture.path is not None and suffix == picture.path.suffix.lower():
        return picture.format  # a PNG that is called .jpg stays a PNG
    if suffix not in FORMAT_OF_SUFFIX:
        known = ", ".join(sorted(FORMAT_OF_SUFFIX))
        raise OutputError(f"{target}: the suffix {suffix!r} names no format; use one of {known}")
    return FORMAT_OF_SUFFIX[suffix]


def _is_same_file(target: Path, picture: PictureFile) -> bool:
    try:
        return picture.path is not None and target.samefile(picture.path)
    except OSError:
        return False


def _hidden_note(merged: Merged) -> tuple[str, ...]:
    count = merged.hidden_changes_px
    if not count:
        return ()
    return (f"{count} changed pixels are fully transparent in the picture and were left alone",)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Encoded:
    """Bytes of a file, the pixels they should decode to, and whether those are the input's."""

    data: bytes
    file_format: str
    native: Native
    lossless: bool
    notes: tuple[str, ...]


def _encode(
    picture: PictureFile, merged: Merged, file_format: str, record: Record | None
) -> _Encoded:
    stamp = record_codec.stamp(picture.metadata.records, record) if record is not None else None
    if stamp is not None and not bool(merged.changed_hw.any()):
        stamp = None
    if file_format == picture.format:
        native, metadata, lossless = merged.native, picture.metadata, True
        notes: tuple[str, ...] = ()
    else:
        made = convert.to_format(merged.native, picture.metadata, picture.orientation, file_format)
        native, metadata, lossless, notes = made.native, made.metadata, made.exact, made.notes
    if stamp is not None and file_format in _NO_RECORD:
        notes = (*notes, f"the record was left out: {file_format} has no place for it")
    elif stamp is not None and file_format != "PNG":
        metadata, more = convert.stamped(metadata, stamp, file_format)
        notes = (*notes, *more)
    if file_format == picture.format:
        data, more = _rewritten(picture, merged, metadata, stamp)
        notes = (*notes, *more)
    else:
        data = _composed(native, metadata, file_format, stamp)
    return _Encoded(
        data=data, file_format=file_format, native=native, lossless=lossless, notes=notes
    )


def _rewritten(
    picture: PictureFile, merged: Merged, metadata: Metadata, stamp: Stamp | None
) -> tuple[bytes, tuple[str, ...]]:
    """The input's bytes with other pixels and metadata, and notes."""
    raw, native = picture.raw, merged.native
    match picture.format:
        case "PNG":
            return png.rewrite(raw, native, stamp)
        case "JPEG":
            return jpeg.rewrite(raw, native, metadata, merged.changed_hw)
        case "WEBP":
            return webp.rewrite(raw, native, metadata)
        case "TIFF":
            return tiff.rewrite(raw, native, metadata)
        case "AVIF":
            deep = simple_formats.is_deep_avif(raw)
            notes = ("the AVIF had more than 8 bits a channel and has 8 now",) if deep else ()
            return simple_formats.avif(native, metadata), notes
        case "BMP":
            return simple_formats.bmp(native, metadata), ()
        case _:
            return simple_formats.gif(native, metadata), ()


def _composed(native: Native, metadata: Metadata, file_format: str, stamp: Stamp | None) -> bytes:
    """A new file of another format than the input's."""
    match file_format:
        case "PNG":
            return png.compose(native, metadata, stamp)
        case "JPEG":
            return jpeg.compose(native, metadata)
        case "WEBP":
            return webp.compose(native, metadata)
        case "TIFF":
            return tiff.compose(native, metadata)
        case _:
            return simple_formats.avif(native, metadata)


def _verify(
    encoded: _Encoded, picture: PictureFile, merged: Merged, target: Path
) -> tuple[bool, tuple[str, ...]]:
    """Decode what will be written: whether all is exact outside the repairs, and notes if not."""
    try:
        decoded = decode(encoded.data, encoded.file_format, _ANY_SIZE)
    except InputError as error:
        raise OutputError(f"the encoded {encoded.file_format} is broken ({error})") from error
    if _same_pixels(decoded.native, encoded.native):
        return encoded.lossless, ()
    if encoded.file_format not in _LOSSY:
        raise OutputError(
            f"this {encoded.file_format} cannot be written exactly; write to a .png instead"
        )
    shown = to_upright(to_rgb(decoded.native), decoded.orientation)
    outside = ~to_upright(merged.changed_hw, picture.orientation)
    off_hw = cv2.absdiff(np.ascontiguousarray(shown), picture.image_rgb).max(axis=2) * outside
    off, share = int(off_hw.max()), float((off_hw > 0).mean())
    if off == 0:
        return encoded.lossless, ()
    exact_name = target.with_suffix(".png").name
    return False, (
        f"{encoded.file_format} cannot keep pixels exactly: outside the repairs {share:.2%} of the "
        f"pixels differ, by up to {off} of 255; `-o {exact_name}` is exact",
    )


def _same_pixels(a: Native, b: Native) -> bool:
    if a.mode == b.mode and a.bits == b.bits and a.mode != "P":
        return np.array_equal(a.samples, b.samples)
    return np.array_equal(expanded(a).samples, expanded(b).samples)
