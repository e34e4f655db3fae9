"""TIFF directories as a tree of tags, read from one file and written into another."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from retoucher.imaging.exif import EXIF_IFD, LONG, SHORT, ByteOrder, read_ifd

GPS_IFD = 0x8825
INTEROP_IFD = 0xA005
_POINTERS = (EXIF_IFD, GPS_IFD, INTEROP_IFD)


@dataclass(frozen=True, slots=True)
class Field:
    """A tag's type, count and value bytes; `children` for tags that point to a directory."""

    kind: int
    count: int
    value: bytes
    children: dict[int, Field] | None = None


Tree = dict[int, Field]


def read_tree(data: bytes, order: ByteOrder, at: int, depth: int = 0) -> Tree:
    """The directory at this offset with the Exif, GPS and interoperability ones below it."""
    entries, _ = read_ifd(data, order, at)
    tree: Tree = {}
    for tag, entry in entries.items():
        children = None
        if tag in _POINTERS and depth < len(_POINTERS) and len(entry.value) >= 4:
            (below,) = struct.unpack_from(order + "I", entry.value)
            children = read_tree(data, order, below, depth + 1)
        tree[tag] = Field(entry.kind, entry.count, entry.value, children)
    return tree


def whole_numbers(field: Field, order: ByteOrder) -> tuple[int, ...]:
    """The values of a BYTE, SHORT or LONG tag; (0,) for other types."""
    code = {1: "B", SHORT: "H", LONG: "I"}.get(field.kind)
    if code is None:
        return (0,)
    return tuple(struct.unpack_from(f"{order}{field.count}{code}", field.value))


def emit(out: bytearray, tree: Tree, order: ByteOrder) -> int:
    """Append the directory, its values and those below it; returns the directory's offset."""
    if len(out) % 2:
        out.append(0)
    at = len(out)
    out += bytes(2 + 12 * len(tree) + 4)
    struct.pack_into(order + "H", out, at, len(tree))
    for index, tag in enumerate(sorted(tree)):
        field = tree[tag]
        if field.children is not None:
            kind, count = LONG, 1
            inline = struct.pack(order + "I", emit(out, field.children, order))
        else:
            kind, count = field.kind, field.count
            inline = field.value.ljust(4, b"\0")
            if len(field.value) > 4:
                if len(out) % 2:
                    out.append(0)
                inline = struct.pack(order + "I", len(out))
                out += field.value
        struct.pack_into(order + "HHI4s", out, at + 2 + 12 * index, tag, kind, count, inline)
    return at
