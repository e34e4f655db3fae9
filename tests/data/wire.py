"""A writer of TFRecord files with tf.Example messages, by the published wire format."""

from __future__ import annotations

import struct


def varint(value: int) -> bytes:
    value &= 0xFFFFFFFFFFFFFFFF
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def delimited(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def feature(
    value: bytes | float | list[int] | list[float] | list[bytes], packed: bool = True
) -> bytes:
    values = value if isinstance(value, list) else [value]
    first = values[0]
    if isinstance(first, bytes):
        return delimited(1, b"".join(delimited(1, v) for v in values))
    if isinstance(first, float):
        if packed:
            return delimited(2, delimited(1, struct.pack(f"<{len(values)}f", *values)))
        return delimited(2, b"".join(varint(1 << 3 | 5) + struct.pack("<f", v) for v in values))
    if packed:
        return delimited(3, delimited(1, b"".join(varint(v) for v in values)))
    return delimited(3, b"".join(varint(1 << 3) + varint(v) for v in values))


def example(packed: bool = True, **features: object) -> bytes:
    entries = b"".join(
        delimited(1, delimited(1, name.encode()) + delimited(2, feature(value, packed)))
        for name, value in features.items()
    )
    return delimited(1, entries)


def bitwise_crc32c(data: bytes) -> int:
    """By the polynomial, bit by bit, to check the table-driven one against."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(data: bytes) -> int:
    crc = bitwise_crc32c(data)
    return ((crc >> 15) | (crc << 17)) + 0xA282EAD8 & 0xFFFFFFFF


def tfrecord(*records: bytes) -> bytes:
    out = b""
    for record in records:
        length = struct.pack("<Q", len(record))
        out += (
            length + struct.pack("<I", masked(length)) + record + struct.pack("<I", masked(record))
        )
    return out
