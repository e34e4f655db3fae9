"""Our own record of retouching inside a picture file, under a namespaced key.

PNG: an iTXt chunk `agentic_retoucher`. JPEG, WebP, TIFF and AVIF: a property of that name in the
XMP packet. Both hold a JSON list, the last run last. Where a file has A1111 parameters, the last
run also joins their line of pairs as `Agentic Retoucher: ...`.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

KEY = "agentic_retoucher"
INFOTEXT_KEY = "Agentic Retoucher"
XMP_NAMESPACE = "urn:agentic-retoucher:xmp:1.0"
MAX_RECORDS = 8
MAX_CHARS = 5_000_000
"""Longer stored records are not looked into."""

Record = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stamp:
    """What is written into a file: the JSON list of records, and the value for A1111 parameters."""

    records_json: str
    words: str


_PROPERTY = re.compile(
    rb"<%s:records[^>]{0,200}>([^<]*)</%s:records>" % (KEY.encode(), KEY.encode())
)
_DESCRIPTION = re.compile(
    rb"<rdf:Description rdf:about=\"\" xmlns:%s=\"[^\"]{0,100}\"><%s:records>[^<]*</%s:records>"
    rb"</rdf:Description>\n?" % (KEY.encode(), KEY.encode(), KEY.encode())
)
_EMPTY_XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/">\n'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">\n'
    b"</rdf:RDF>\n</x:xmpmeta>\n"
    b'<?xpacket end="w"?>'
)
_RDF_END = b"</rdf:RDF>"


def stamp(earlier: Sequence[Record], record: Record) -> Stamp:
    """The stamp for a file that holds `earlier` records already.

    Raises:
        ValueError, TypeError: the record is not JSON.
    """
    return Stamp(records_json=encode([*earlier, record]), words=summary(record))


def encode(records: Sequence[Record]) -> str:
    """Compact JSON of the newest records; pure ASCII, so that every container can hold it."""
    newest = list(records)[-MAX_RECORDS:]
    return json.dumps([dict(record) for record in newest], separators=(",", ":"), allow_nan=False)


def decode(text: str | None) -> tuple[Record, ...]:
    """Stored records, oldest first; empty where there are none or they are not ours."""
    if not text or len(text) > MAX_CHARS:
        return ()
    try:
        loaded: object = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    items = cast("list[object]", loaded) if isinstance(loaded, list) else [loaded]
    return tuple(cast("Record", item) for item in items if isinstance(item, dict))


def summary(record: Record) -> str:
    """What joins A1111 parameters: the record's own "summary", else all of it as compact JSON."""
    words = record.get("summary")
    if isinstance(words, str) and words.strip():
        return " ".join(words.split())
    return json.dumps(dict(record), separators=(",", ":"), allow_nan=False)


def from_xmp(xmp: bytes | None) -> str | None:
    """The stored JSON text of an XMP packet."""
    found = _PROPERTY.search(xmp) if xmp else None
    return html.unescape(found.group(1).decode("utf-8", "replace")) if found else None


def into_xmp(xmp: bytes | None, text: str) -> bytes | None:
    """The packet with the JSON text, replacing an earlier one; None where there is no place."""
    packet = _DESCRIPTION.sub(b"", xmp) if xmp else _EMPTY_XMP
    end = packet.rfind(_RDF_END)
    if end < 0:
        return None
    prefix = KEY.encode()
    body = html.escape(text, quote=False).encode("ascii")
    description = (
        b'<rdf:Description rdf:about="" xmlns:%s="%s"><%s:records>%s</%s:records>'
        b"</rdf:Description>\n" % (prefix, XMP_NAMESPACE.encode(), prefix, body, prefix)
    )
    return packet[:end] + description + packet[end:]
