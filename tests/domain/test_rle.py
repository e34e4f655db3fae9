"""Expected strings were produced by pycocotools 2.0 (`mask.encode`)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from retoucher.domain import rle


def corner() -> np.ndarray:
    mask = np.zeros((5, 5), bool)
    mask[0, 0] = True
    return mask


def tall_box() -> np.ndarray:
    """Runs of more than 2**15 pixels: numbers of several characters."""
    mask = np.zeros((480, 640), bool)
    mask[100:300, 200:203] = True
    return mask


KNOWN = [
    pytest.param(np.zeros((3, 4), bool), "<", id="empty"),
    pytest.param(np.ones((3, 4), bool), "0<", id="full"),
    pytest.param(np.eye(4, dtype=bool), "01400000", id="diagonal"),
    pytest.param(corner(), "01h0", id="first pixel"),
    pytest.param(
        np.arange(60).reshape(6, 10) % 3 == 0,
        "012020N0O010O01020N0O010O01020N0O010O0100",
        id="stripes",
    ),
    pytest.param(tall_box(), "Tkm2X6h8000lg\\6", id="long runs"),
]


@pytest.mark.parametrize(("mask", "counts"), KNOWN)
def test_known_strings(mask: np.ndarray, counts: str) -> None:
    record = rle.encode(mask)
    assert record == {"size": list(mask.shape), "counts": counts}
    assert np.array_equal(rle.decode({"size": list(mask.shape), "counts": counts}), mask)


@settings(deadline=None)
@given(mask=hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=40)))
def test_round_trip(mask: np.ndarray) -> None:
    back = rle.decode(rle.encode(mask))
    assert back.dtype == np.bool_
    assert np.array_equal(back, mask)


@settings(deadline=None)
@given(
    runs=st.lists(st.integers(1, 10**6), min_size=1, max_size=12),
    start=st.booleans(),
)
def test_round_trip_of_long_runs(runs: list[int], start: bool) -> None:
    values = np.repeat([(i % 2 == 0) == start for i in range(len(runs))], runs)[:, None]
    assert np.array_equal(rle.decode(rle.encode(values)), values)
    plain = runs if not start else [0, *runs]
    assert np.array_equal(rle.decode({"size": [len(values), 1], "counts": plain}), values)


def test_column_major_and_bytes() -> None:
    mask = np.array([[0, 1, 1], [0, 0, 1]], bool)
    assert np.array_equal(rle.decode({"size": [2, 3], "counts": [2, 1, 1, 2]}), mask)
    record = rle.encode(mask)
    as_bytes = {"size": (2, 3), "counts": record["counts"].encode()}
    assert np.array_equal(rle.decode(as_bytes), mask)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"counts": "<"}, "size"),
        ({"size": [3], "counts": "<"}, "size"),
        ({"size": 12, "counts": "<"}, "size"),
        ({"size": [3, 4]}, "counts"),
        ({"size": [3, 4], "counts": 12}, "counts"),
        ({"size": [3, 5], "counts": "<"}, "do not fill 3 x 5"),
        ({"size": [3, 4], "counts": [13]}, "do not fill"),
        ({"size": [3, 4], "counts": [20, -8]}, "do not fill"),
        ({"size": [3, 4], "counts": []}, "do not fill"),
        ({"size": [3, 4], "counts": "\\"}, "middle of a number"),
        ({"size": [3, 4], "counts": "<\x7f"}, "invalid character"),
        ({"size": [3, 4], "counts": "< "}, "invalid character"),
        ({"size": [3, 4], "counts": b"\xff"}, "invalid character"),
        ({"size": [None, 4], "counts": "<"}, "size"),
        ({"size": [3, 4], "counts": [12, None]}, "counts"),
        ({"size": [-3, -4], "counts": [12]}, "size"),
    ],
)
def test_a_malformed_record_is_refused(record: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rle.decode(record)


def test_only_masks_are_encoded() -> None:
    with pytest.raises(ValueError, match=r"\(H, W\)"):
        rle.encode(np.zeros((2, 2, 2), bool))
