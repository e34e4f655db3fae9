"""What a picture file says besides its pixels, in one shape for every format."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from retoucher.imaging import exif as exif_blob
from retoucher.imaging import record as record_codec

XMP_PNG_KEYWORD = "XML:com.adobe.xmp"
MAX_TEXT_BYTES = 16_000_000
"""A compressed text that unpacks to more is not unpacked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """Metadata as found.

    Attributes:
        text: (keyword, value) of every PNG text chunk, in file order.
        exif: TIFF structure without the "Exif\\0\\0" prefix.
        icc: colour profile.
        xmp: XMP packet.
        comment: JPEG or GIF comment.
        dpi: horizontal and vertical resolution.
    """

    text: tuple[tuple[str, str], ...] = ()
    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    comment: str | None = None
    dpi: tuple[float, float] | None = None

    def get(self, keyword: str) -> str | None:
        """The first text chunk of this keyword."""
        return next((value for key, value in self.text if key == keyword), None)

    def exif_text(self, tag: int) -> str | None:
        parsed = exif_blob.parse(self.exif)
        return parsed.text(tag) if parsed else None

    @property
    def records(self) -> tuple[record_codec.Record, ...]:
        """Our own records of earlier retouching, oldest first."""
        return record_codec.decode(self.get(record_codec.KEY) or record_codec.from_xmp(self.xmp))


def inflate(packed: bytes, limit: int = MAX_TEXT_BYTES) -> bytes | None:
    """Unpack a zlib stream; None where it is broken or unpacks to more than `limit` bytes."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, limit)
    except zlib.error:
        return None
    return data if unpacker.eof else None


def decode_text(raw: bytes) -> str:
    """UTF-8 where it is valid (some generators write it into tEXt), else Latin-1."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("latin-1")
