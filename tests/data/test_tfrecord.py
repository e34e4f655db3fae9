from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from retoucher.data.tfrecord import crc32c, parse_example, read_tfrecords
from retoucher.errors import InputError
from tests.data.wire import bitwise_crc32c, example, tfrecord


def test_the_published_check_value() -> None:
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA


@given(st.binary(max_size=70))
def test_the_fast_crc_is_the_bitwise_one(data: bytes) -> None:
    assert crc32c(data) == bitwise_crc32c(data)


def test_records_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    path.write_bytes(tfrecord(b"one", b"", b"three" * 100))
    read = list(read_tfrecords(path))
    assert [data for _, data in read] == [b"one", b"", b"three" * 100]
    assert read[2][0].endswith("record 2")


@pytest.mark.parametrize("packed", [True, False])
def test_every_kind_of_feature(packed: bool) -> None:
    data = example(
        packed,
        name="größe".encode(),
        scores=[0.5, -2.25],
        counts=[3, -1, 1 << 40],
        parts=[b"a", b""],
    )
    features = parse_example(data, "here")
    assert features == {
        "name": ["größe".encode()],
        "scores": [0.5, -2.25],
        "counts": [3, -1, 1 << 40],
        "parts": [b"a", b""],
    }


def test_any_flipped_bit_of_the_data_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    whole = tfrecord(b"first", b"second record")
    for position in range(len(whole)):
        broken = bytearray(whole)
        broken[position] ^= 0x10
        path.write_bytes(broken)
        with pytest.raises(InputError, match=r"a.tfrecord, record [01]: "):
            list(read_tfrecords(path))


def test_any_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    whole = tfrecord(b"only one")
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(InputError, match="the file ends inside"):
            list(read_tfrecords(path))


@given(st.binary(max_size=60))
def test_rubbish_is_an_input_error_or_nothing(data: bytes) -> None:
    with contextlib.suppress(InputError):
        assert isinstance(parse_example(data, "here"), dict)
