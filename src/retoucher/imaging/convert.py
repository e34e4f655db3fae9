"""Pictures and metadata carried from one file format to another, and our record put into them."""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

import numpy as np

from retoucher.errors import OutputError
from retoucher.imaging import exif as exif_blob
from retoucher.imaging import infotext
from retoucher.imaging import record as record_codec
from retoucher.imaging.jpeg import MAX_PAYLOAD, XMP_ID
from retoucher.imaging.metadata import XMP_PNG_KEYWORD, Metadata
from retoucher.imaging.native import Native, alpha_of, expanded, to_8_bits
from retoucher.imaging.orientation import to_upright
from retoucher.imaging.png_text import PARAMETERS
from retoucher.imaging.record import INFOTEXT_KEY, KEY, Stamp

_EXIF_HOMES = (("prompt", exif_blob.MODEL), ("workflow", exif_blob.MAKE))
"""Where ComfyUI puts its texts in a file without text chunks, as `name:text`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Converted:
    """A picture ready for another format; `exact` where no sample value was changed."""

    native: Native
    metadata: Metadata
    exact: bool
    notes: tuple[str, ...]


def stamped(metadata: Metadata, stamp: Stamp, file_format: str) -> tuple[Metadata, tuple[str, ...]]:
    """Metadata of a format without text chunks, with our record in it, and notes."""
    room = MAX_PAYLOAD - max(len(XMP_ID), len(exif_blob.PREFIX))
    limit = room if file_format == "JPEG" else None
    xmp = record_codec.into_xmp(metadata.xmp, stamp.records_json)
    blob = _with_words(metadata.exif, stamp.words)
    if xmp is None:
        return metadata, ("the record was left out: the file's XMP packet cannot be extended",)
    if limit is not None and (len(xmp) > limit or len(blob or b"") > limit):
        return metadata, (f"the record was left out: it is too large for a {file_format}",)
    return replace(metadata, xmp=xmp, exif=blob), ()


def _with_words(blob: bytes | None, words: str) -> bytes | None:
    """The EXIF with our pair in the A1111 parameters of its UserComment, where it has such."""
    exif = exif_blob.parse(blob)
    entry = exif.find(exif_blob.USER_COMMENT) if exif else None
    if blob is None or exif is None or entry is None:
        return blob
    joined = infotext.with_pair(
        exif_blob.decode_comment(entry.value, exif.order), INFOTEXT_KEY, words
    )
    if joined is None:
        return blob
    where = "exif" if exif_blob.USER_COMMENT in exif.exif else "image"
    value = exif_blob.encode_comment(joined, entry.value, exif.order)
    if entry.kind == exif_blob.ASCII:
        value = joined.encode("utf-8", "replace") + b"\0"
    return exif_blob.set_tag(blob, where, exif_blob.USER_COMMENT, entry.kind, value)


def to_format(native: Native, metadata: Metadata, orientation: int, file_format: str) -> Converted:
    """The picture upright, in a mode that the format has, with metadata where the format has it.

    Raises:
        OutputError: the format cannot hold the picture; the message says what to do.
    """
    upright = replace(native, samples=np.ascontiguousarray(to_upright(native.samples, orientation)))
    fitted, exact, notes = _fit(upright, file_format)
    carried, lost = _carry(metadata, orientation, file_format)
    if carried.icc and _wrong_profile(carried.icc, fitted):
        carried = replace(carried, icc=None)
        notes = (*notes, "the colour profile does not apply to the new mode and was left out")
    return Converted(native=fitted, metadata=carried, exact=exact, notes=(*notes, *lost))


def _wrong_profile(icc: bytes, native: Native) -> bool:
    space = icc[16:20]
    wanted = {"L": b"GRAY", "LA": b"GRAY", "CMYK": b"CMYK"}.get(native.mode, b"RGB ")
    return space in (b"GRAY", b"RGB ", b"CMYK") and space != wanted


def _fit(native: Native, file_format: str) -> tuple[Native, bool, tuple[str, ...]]:
    """A mode of the format: the new pixels, whether they are exact, and notes."""
    if file_format == "PNG":
        if native.mode != "CMYK":
            return native, True, ()
        return expanded(native), False, ("CMYK was converted to RGB, PNG has no CMYK",)
    if file_format == "TIFF":
        return (native if _fits_tiff(native) else expanded(native)), True, ()
    if file_format == "JPEG":
        alpha = alpha_of(native)
        if alpha is not None and not bool((to_8_bits(alpha) == 255).all()):
            raise OutputError(
                "JPEG has no transparency and the picture has; write to a .png or .webp instead"
            )
        if native.mode in ("L", "CMYK") and native.bits <= 8:
            return replace(native, bits=8, colour_key=None), True, ()
        solid = expanded(native)
        return replace(solid, mode="RGB", samples=solid.samples[..., :3]), *_depth(native)
    if file_format in ("WEBP", "AVIF"):
        return expanded(native), *_depth(native)
    raise OutputError(
        f"{file_format} is only written for pictures read from it; write to a .png instead"
    )


def _fits_tiff(native: Native) -> bool:
    translucent = native.palette_rgba is not None and alpha_of(native) is not None
    return native.colour_key is None and not translucent


def _depth(native: Native) -> tuple[bool, tuple[str, ...]]:
    if native.bits == 16:
        return False, ("16 bits a channel were reduced to 8; write to a .png to keep them",)
    if native.mode == "CMYK":
        return False, ("CMYK was converted to RGB",)
    return True, ()


def _carry(
    metadata: Metadata, orientation: int, file_format: str
) -> tuple[Metadata, tuple[str, ...]]:
    blob = metadata.exif
    if blob is not None and orientation != 1:
        order = exif_blob.byte_order(blob) or ">"
        blob = exif_blob.set_tag(
            blob, "image", exif_blob.ORIENTATION, exif_blob.SHORT, struct.pack(order + "H", 1)
        )
    carried = replace(metadata, exif=blob)
    if file_format == "PNG":
        return replace(carried, text=_as_text(metadata)), ()
    return _without_text(carried, file_format)


def _as_text(metadata: Metadata) -> tuple[tuple[str, str], ...]:
    """PNG text chunks for what other formats keep in EXIF, XMP and comments."""
    text = dict(metadata.text)
    comment = metadata.exif_text(exif_blob.USER_COMMENT)
    if comment and comment.strip():
        text.setdefault(PARAMETERS, comment)
    for name, tag in _EXIF_HOMES:
        value = metadata.exif_text(tag)
        if value and value.startswith(f"{name}:"):
            text.setdefault(name, value[len(name) + 1 :])
    if metadata.comment:
        text.setdefault("Comment", metadata.comment)
    records = record_codec.from_xmp(metadata.xmp)
    if records:
        text.setdefault(KEY, records)
    return tuple(text.items())


def _without_text(metadata: Metadata, file_format: str) -> tuple[Metadata, tuple[str, ...]]:
    """Text chunks moved to where a format without them has room, and a note on the others."""
    limit = MAX_PAYLOAD - len(exif_blob.PREFIX) if file_format == "JPEG" else 2**31
    blob, xmp, lost = metadata.exif, metadata.xmp, list[str]()
    seen: set[str] = set()
    for keyword, value in metadata.text:
        if keyword == XMP_PNG_KEYWORD or keyword in seen:
            continue
        seen.add(keyword)
        if keyword == KEY:
            xmp = record_codec.into_xmp(xmp, value) if value.isascii() else xmp
            continue
        grown = _into_exif(blob, keyword, value)
        if grown is None or len(grown) > limit:
            lost.append(keyword)
        else:
            blob = grown
    notes = (f"text that {file_format} has no room for was left out: {', '.join(lost)}",)
    return replace(metadata, text=(), exif=blob, xmp=xmp), notes if lost else ()


def _into_exif(blob: bytes | None, keyword: str, value: str) -> bytes | None:
    """The EXIF with this text, or None where it has no place for it."""
    parsed = exif_blob.parse(blob)
    base = blob if blob is not None and parsed is not None else exif_blob.empty()
    if keyword == PARAMETERS:
        if parsed and parsed.find(exif_blob.USER_COMMENT):
            return None
        comment = exif_blob.encode_comment(value)
        return exif_blob.set_tag(base, "exif", exif_blob.USER_COMMENT, exif_blob.UNDEFINED, comment)
    home = dict(_EXIF_HOMES).get(keyword)
    if home is None or (parsed and home in parsed.image):
        return None
    encoded = f"{keyword}:{value}".encode("utf-8", "replace") + b"\0"
    return exif_blob.set_tag(base, "image", home, exif_blob.ASCII, encoded)
