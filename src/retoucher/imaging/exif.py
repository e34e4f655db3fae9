"""Reading and editing EXIF without rewriting it.

An edit appends what is new and redirects one entry, so that everything else (maker notes with
their absolute offsets, the thumbnail) keeps its place. A blob is a TIFF structure without the
"Exif\\0\\0" prefix. Anything odd in a blob reads as "not there"; only `set_tag` raises on bad data.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

IMAGE_DESCRIPTION = 0x010E
MAKE = 0x010F
MODEL = 0x0110
ORIENTATION = 0x0112
SOFTWARE = 0x0131
EXIF_IFD = 0x8769
MAKER_NOTE = 0x927C
USER_COMMENT = 0x9286

ASCII, SHORT, LONG, UNDEFINED = 2, 3, 4, 7
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}
PREFIX = b"Exif\0\0"

ByteOrder = Literal["<", ">"]
Where = Literal["image", "exif"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One IFD entry: where its 12 bytes lie, its type, count, and where its value lies."""

    at: int
    kind: int
    count: int
    value_at: int
    value: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Exif:
    """The entries of the image IFD and of the Exif IFD."""

    order: ByteOrder
    image: Mapping[int, Entry] = field(default_factory=dict[int, Entry])
    exif: Mapping[int, Entry] = field(default_factory=dict[int, Entry])

    def find(self, tag: int) -> Entry | None:
        """In the Exif IFD, else in the image IFD (some generators write it there)."""
        return self.exif.get(tag) or self.image.get(tag)

    def number(self, tag: int) -> int | None:
        entry = self.find(tag)
        if entry is None or entry.kind not in (SHORT, LONG) or entry.count < 1:
            return None
        code = "H" if entry.kind == SHORT else "I"
        return int(struct.unpack_from(self.order + code, entry.value)[0])

    def text(self, tag: int) -> str | None:
        """A text value: ASCII (or UTF-8), or a UserComment with its 8-byte character code."""
        entry = self.find(tag)
        if entry is None or entry.kind not in (1, ASCII, UNDEFINED):
            return None
        return decode_comment(entry.value, self.order)


def strip_prefix(blob: bytes) -> bytes:
    """The blob without the "Exif\\0\\0" that containers put before it."""
    return blob[len(PREFIX) :] if blob.startswith(PREFIX) else blob


def byte_order(blob: bytes) -> ByteOrder | None:
    """Of a TIFF structure; None for anything else."""
    if blob.startswith(b"II*\0"):
        return "<"
    return ">" if blob.startswith(b"MM\0*") else None


def read_ifd(blob: bytes, order: ByteOrder, at: int) -> tuple[dict[int, Entry], int]:
    """Entries of the IFD at an offset (a tag's first wins) and where the next-IFD offset lies."""
    entries: dict[int, Entry] = {}
    if not 8 <= at <= len(blob) - 2:
        return entries, at
    (count,) = struct.unpack_from(order + "H", blob, at)
    for index in range(count):
        entry_at = at + 2 + 12 * index
        if entry_at + 12 > len(blob):
            break
        tag, kind, n = struct.unpack_from(order + "HHI", blob, entry_at)
        size = TYPE_BYTES.get(kind, 0) * n
        value_at = entry_at + 8
        if size > 4:
            (value_at,) = struct.unpack_from(order + "I", blob, value_at)
        if size == 0 or value_at + size > len(blob) or tag in entries:
            continue
        entries[tag] = Entry(entry_at, kind, n, value_at, blob[value_at : value_at + size])
    return entries, at + 2 + 12 * count


def parse(blob: bytes | None) -> Exif | None:
    """Read a blob, or None where it is no EXIF."""
    if blob is None or len(blob) < 8:
        return None
    order = byte_order(blob)
    if order is None:
        return None
    image, _ = read_ifd(blob, order, struct.unpack_from(order + "I", blob, 4)[0])
    inner: dict[int, Entry] = {}
    pointer = image.get(EXIF_IFD)
    if pointer is not None and pointer.kind in (LONG, 13):
        inner, _ = read_ifd(blob, order, struct.unpack_from(order + "I", pointer.value)[0])
    return Exif(order=order, image=image, exif=inner)


def orientation_of(blob: bytes | None) -> int:
    """1 to 8; 1 where nothing valid is stated."""
    exif = parse(blob)
    entry = exif.image.get(ORIENTATION) if exif else None
    if exif is None or entry is None or entry.kind != SHORT:
        return 1
    value = int(struct.unpack_from(exif.order + "H", entry.value)[0])
    return value if 1 <= value <= 8 else 1


def decode_comment(value: bytes, order: ByteOrder) -> str:
    """Text of a UserComment, or of a plain text value."""
    code, body = value[:8], value[8:]
    if code == b"UNICODE\0":
        return body.decode(_utf16_codec(body, order), "replace").lstrip("\ufeff").rstrip("\0")
    return _decode_bytes(body if code in _BYTE_CODES else value)


def encode_comment(text: str, like: bytes = b"UNICODE\0", order: ByteOrder = ">") -> bytes:
    """A UserComment in the character code of an existing one.

    By default as piexif (and so A1111) writes it: "UNICODE", then UTF-16 big-endian.
    """
    code, body = like[:8], like[8:]
    if code == b"UNICODE\0" or not text.isascii():
        codec = _utf16_codec(body, order) if code == b"UNICODE\0" and body else "utf-16-be"
        return b"UNICODE\0" + text.encode(codec, "surrogatepass")
    return (code if code in _BYTE_CODES else b"") + text.encode("ascii")


_BYTE_CODES = (b"ASCII\0\0\0", b"\0" * 8)


def _decode_bytes(body: bytes) -> str:
    body = body.rstrip(b"\0")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        return body.decode("latin-1")


def _utf16_codec(body: bytes, order: ByteOrder) -> str:
    """The byte order that gives more Latin text; when in doubt the file's own.

    The standard says the file's own order; piexif always writes big-endian.
    """
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16-le" if body[:1] == b"\xff" else "utf-16-be"
    low, high = body[1::2].count(0), body[0::2].count(0)
    if low == high:
        return "utf-16-be" if order == ">" else "utf-16-le"
    return "utf-16-le" if low > high else "utf-16-be"


def empty(order: ByteOrder = ">") -> bytes:
    """A blob with an image IFD without entries."""
    magic = b"MM\0*" if order == ">" else b"II*\0"
    return magic + struct.pack(order + "IHI", 8, 0, 0)


def set_tag(blob: bytes, where: Where, tag: int, kind: int, value: bytes) -> bytes:
    """The blob with one entry set; values of other entries do not move.

    Raises:
        ValueError: the blob is no EXIF.
    """
    order = byte_order(blob)
    exif = parse(blob)
    if order is None or exif is None:
        raise ValueError("no EXIF structure")
    if where == "exif" and EXIF_IFD not in exif.image:
        blob = _even(blob)
        at = len(blob)
        blob = set_tag(
            blob + struct.pack(order + "HI", 0, 0),
            "image",
            EXIF_IFD,
            LONG,
            struct.pack(order + "I", at),
        )
        exif = parse(blob)
        assert exif is not None
    entries = exif.exif if where == "exif" else exif.image
    old = entries.get(tag)
    if old is None:
        return _add(blob, order, exif, where, tag, kind, value)
    edited = bytearray(blob)
    if len(value) <= 4:
        place = old.at + 8
        edited[place : place + 4] = value.ljust(4, b"\0")
    elif len(value) <= len(old.value) and len(old.value) > 4:
        place = old.value_at
        edited[place : place + len(old.value)] = value.ljust(len(old.value), b"\0")
    else:
        if len(old.value) > 4 and old.value_at + len(old.value) >= len(blob) - 1:
            del edited[old.value_at :]  # a value that an earlier edit appended
        if len(edited) % 2:
            edited.append(0)
        struct.pack_into(order + "I", edited, old.at + 8, len(edited))
        edited += value
    struct.pack_into(order + "HI", edited, old.at + 2, kind, len(value) // TYPE_BYTES[kind])
    return bytes(edited)


def _even(blob: bytes) -> bytes:
    return blob + b"\0" * (len(blob) % 2)


def _add(
    blob: bytes, order: ByteOrder, exif: Exif, where: Where, tag: int, kind: int, value: bytes
) -> bytes:
    """Append a copy of the IFD with one more entry, and the value; point to the copy."""
    pointer_at = 4 if where == "image" else exif.image[EXIF_IFD].at + 8
    (ifd_at,) = struct.unpack_from(order + "I", blob, pointer_at)
    entries, next_at = read_ifd(blob, order, ifd_at)
    following = blob[next_at : next_at + 4].ljust(4, b"\0")
    records = {t: blob[e.at : e.at + 12] for t, e in entries.items()}
    edited = bytearray(_even(blob))
    new_ifd_at = len(edited)
    value_at = new_ifd_at + 2 + 12 * (len(records) + 1) + 4
    inline = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack(order + "I", value_at)
    count = len(value) // TYPE_BYTES[kind]
    records[tag] = struct.pack(order + "HHI", tag, kind, count) + inline
    edited += struct.pack(order + "H", len(records))
    edited += b"".join(records[t] for t in sorted(records)) + following
    if len(value) > 4:
        edited += value
    struct.pack_into(order + "I", edited, pointer_at, new_ifd_at)
    return bytes(edited)
