"""TFRecord files and tf.Example messages, read without TensorFlow.

A TFRecord file is a row of records: length (uint64), masked CRC-32C of the length (uint32), data,
masked CRC-32C of the data, all little-endian. The data here is a protobuf message tf.Example:
Example.features (1) > Features.feature (1, map) > key (1), Feature (2): one of bytes_list (1),
float_list (2), int64_list (3), each with repeated value (1).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import BinaryIO, TypeAlias

from retoucher.errors import InputError

Feature: TypeAlias = "list[bytes] | list[float] | list[int]"

_MASK_DELTA = 0xA282EAD8
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@cache
def _crc_table() -> tuple[tuple[int, ...], ...]:
    """Slicing-by-8 tables of CRC-32C (Castagnoli, reflected polynomial 0x82F63B78)."""
    first: list[int] = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        first.append(crc)
    tables = [tuple(first)]
    for _ in range(7):
        previous = tables[-1]
        tables.append(tuple(first[c & 0xFF] ^ (c >> 8) for c in previous))
    return tuple(tables)


def crc32c(data: bytes) -> int:
    """CRC-32C of the bytes; crc32c(b"123456789") == 0xE3069283."""
    t0, t1, t2, t3, t4, t5, t6, t7 = _crc_table()
    crc = 0xFFFFFFFF
    whole = len(data) - len(data) % 8
    for first, high in struct.iter_unpack("<II", data[:whole]):
        low = first ^ crc
        crc = (
            t7[low & 0xFF]
            ^ t6[low >> 8 & 0xFF]
            ^ t5[low >> 16 & 0xFF]
            ^ t4[low >> 24]
            ^ t3[high & 0xFF]
            ^ t2[high >> 8 & 0xFF]
            ^ t1[high >> 16 & 0xFF]
            ^ t0[high >> 24]
        )
    for byte in data[whole:]:
        crc = t0[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def masked_crc(data: bytes) -> int:
    """The form in which TFRecord stores a CRC: rotated right by 15 bits, plus a constant."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & 0xFFFFFFFF


def read_tfrecords(path: Path, check_data: bool = True) -> Iterator[tuple[str, bytes]]:
    """Records of an uncompressed TFRecord file, with their place in it.

    Args:
        path: the file.
        check_data: compare the CRC of the data, too (pure Python: some 10 MB a second); that of
            the length is always compared.

    Yields:
        ("train.tfrecord, record 12", data); records count from 0.

    Raises:
        InputError: the file is missing, cut off, or a CRC does not match.
    """
    try:
        with path.open("rb") as file:
            index = 0
            while (data := _read_record(file, f"{path}, record {index}", check_data)) is not None:
                yield f"{path}, record {index}", data
                index += 1
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None


def _read_record(file: BinaryIO, where: str, check_data: bool) -> bytes | None:
    header = file.read(12)
    if not header:
        return None
    if len(header) < 12:
        raise InputError(f"{where}: the file ends inside the record's header; copy it again")
    length, length_crc = struct.unpack("<QI", header)
    if masked_crc(header[:8]) != length_crc:
        raise InputError(
            f"{where}: its length fails the CRC; is this an uncompressed TFRecord file?"
        )
    data, footer = file.read(length), file.read(4)
    if len(data) < length or len(footer) < 4:
        raise InputError(f"{where}: the file ends inside the record; copy it again")
    if check_data and masked_crc(data) != struct.unpack("<I", footer)[0]:
        raise InputError(f"{where}: its data fails the CRC; copy the file again")
    return data


def parse_example(data: bytes, where: str) -> dict[str, Feature]:
    """Features of a serialised tf.Example by name.

    Raises:
        InputError: the bytes are no tf.Example.
    """
    try:
        features: dict[str, Feature] = {}
        for number, value in _fields(data):
            if number == 1 and isinstance(value, bytes):
                for inner, entry in _fields(value):
                    if inner == 1 and isinstance(entry, bytes):
                        name, feature = _map_entry(entry)
                        features[name] = feature
        return features
    except (ValueError, struct.error, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not a tf.Example ({error})") from None


def _map_entry(entry: bytes) -> tuple[str, Feature]:
    name, feature = "", list[bytes]()
    result: Feature = feature
    for number, value in _fields(entry):
        if number == 1 and isinstance(value, bytes):
            name = value.decode("utf-8")
        elif number == 2 and isinstance(value, bytes):
            result = _feature(value)
    return name, result


def _feature(data: bytes) -> Feature:
    for number, value in _fields(data):
        if not isinstance(value, bytes):
            raise ValueError(f"feature list {number} is no message")
        if number == 1:
            return [v for n, v in _fields(value) if n == 1 and isinstance(v, bytes)]
        if number == 2:
            return _floats(value)
        if number == 3:
            return _integers(value)
    return list[bytes]()


def _floats(data: bytes) -> list[float]:
    """FloatList.value, packed (as written today) or one by one."""
    out: list[float] = []
    for number, value in _fields(data):
        if number != 1:
            continue
        if isinstance(value, bytes):
            out.extend(struct.unpack(f"<{len(value) // 4}f", value))
        else:
            out.append(struct.unpack("<f", struct.pack("<I", value))[0])
    return out


def _integers(data: bytes) -> list[int]:
    """Int64List.value, packed or one by one; two's complement in 64 bits."""
    raw: list[int] = []
    for number, value in _fields(data):
        if number != 1:
            continue
        if isinstance(value, bytes):
            position = 0
            while position < len(value):
                one, position = _varint(value, position)
                raw.append(one)
        else:
            raw.append(value)
    return [v - (1 << 64) if v >= 1 << 63 else v for v in raw]


def _fields(data: bytes) -> Iterator[tuple[int, bytes | int]]:
    """(field number, value) of a message: bytes for length-delimited fields, else an integer."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            value, position = _varint(data, position)
            yield number, value
            continue
        if kind == _BYTES:
            size, position = _varint(data, position)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(f"wire type {kind} at byte {position}")
        if position + size > len(data):
            raise ValueError("a field reaches past the end")
        piece = data[position : position + size]
        position += size
        yield number, piece if kind == _BYTES else int.from_bytes(piece, "little")


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value, shift = 0, 0
    while True:
        if position >= len(data) or shift > 63:
            raise ValueError(f"a number does not end at byte {position}")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
