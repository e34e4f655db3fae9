"""The text chunks of PNG: tEXt, zTXt, iTXt."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from retoucher.imaging import infotext
from retoucher.imaging.metadata import decode_text, inflate
from retoucher.imaging.record import INFOTEXT_KEY, KEY, Stamp

KEYWORD_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
PARAMETERS = "parameters"

Pair = tuple[bytes, bytes]
"""A chunk's kind and payload."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Text:
    """A text chunk taken apart so that it can be put together again byte for byte."""

    kind: bytes
    keyword: bytes
    packed: bool
    middle: bytes  # language and translated keyword of iTXt, with their terminators
    body: bytes  # unpacked


def _take_apart(kind: bytes, data: bytes) -> _Text | None:
    keyword, found, rest = data.partition(b"\0")
    if not found:
        return None
    packed, middle = False, b""
    if kind == b"zTXt":
        packed, rest = True, rest[1:]
    elif kind == b"iTXt":
        packed = rest[:1] == b"\1"
        parts = rest[2:].split(b"\0", 2)
        if len(parts) != 3:
            return None
        middle, rest = parts[0] + b"\0" + parts[1] + b"\0", parts[2]
    body = inflate(rest) if packed else rest
    if body is None:
        return None
    return _Text(kind=kind, keyword=keyword, packed=packed, middle=middle, body=body)


def _put_together(text: _Text) -> Pair:
    body = zlib.compress(text.body) if text.packed else text.body
    if text.kind == b"tEXt":
        return text.kind, text.keyword + b"\0" + body
    if text.kind == b"zTXt":
        return text.kind, text.keyword + b"\0\0" + body
    flags = b"\1\0" if text.packed else b"\0\0"
    return text.kind, text.keyword + b"\0" + flags + text.middle + body


def read_text(kind: bytes, data: bytes) -> tuple[str, str] | None:
    """(keyword, value), or None where the chunk is broken or unpacks to too much."""
    text = _take_apart(kind, data)
    if text is None:
        return None
    return text.keyword.decode("latin-1"), decode_text(text.body)


def text_chunk(keyword: str, value: str, *, international: bool = False) -> Pair:
    """A new chunk: tEXt where Latin-1 holds the value, as Pillow does, else iTXt."""
    name = keyword.encode("latin-1", "replace")[:79] or b"Comment"
    if not international:
        try:
            return b"tEXt", name + b"\0" + value.encode("latin-1")
        except UnicodeEncodeError:
            pass
    return b"iTXt", name + b"\0\0\0\0\0" + value.encode("utf-8", "replace")


def stamp_chunks(chunks: Sequence[Pair], stamp: Stamp) -> list[Pair]:
    """The chunks with our record before IEND, and our pair in the first A1111 parameters."""
    result: list[Pair] = []
    joined = False
    for kind, data in chunks:
        if kind in KEYWORD_CHUNKS:
            keyword = data.partition(b"\0")[0]
            if keyword == KEY.encode():
                continue
            if keyword == PARAMETERS.encode() and not joined:
                joined = True
                result.append(_with_pair(kind, data, stamp.words))
                continue
        if kind == b"IEND":
            result.append(text_chunk(KEY, stamp.records_json, international=True))
        result.append((kind, data))
    return result


def _with_pair(kind: bytes, data: bytes, words: str) -> Pair:
    """The chunk with our pair added; as Latin-1, which leaves every byte of any encoding alone."""
    text = _take_apart(kind, data)
    if text is None:
        return kind, data
    joined = infotext.with_pair(text.body.decode("latin-1"), INFOTEXT_KEY, words)
    if joined is None:
        return kind, data
    return _put_together(replace(text, body=joined.encode("latin-1")))
