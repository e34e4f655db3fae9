from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from retoucher.domain.geometry import Box
from retoucher.domain.region import Region

full_masks = hnp.arrays(bool, (9, 11)).filter(np.any)


@given(mask=full_masks)
def test_from_mask_and_full_mask_undo_each_other(mask: np.ndarray) -> None:
    region = Region.from_mask(mask, id="r1", score=0.5)
    assert np.array_equal(region.full_mask(9, 11), mask)
    assert region.area_px == mask.sum()
    ys, xs = np.nonzero(mask)
    assert region.box.as_xyxy() == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
    assert not np.shares_memory(region.mask_hw, mask)


@given(a=full_masks, b=full_masks)
def test_overlap_is_common_over_smaller(a: np.ndarray, b: np.ndarray) -> None:
    first = Region.from_mask(a, id="a", score=1.0)
    second = Region.from_mask(b, id="b", score=1.0)
    expected = (a & b).sum() / min(a.sum(), b.sum())
    assert first.overlap(second) == pytest.approx(expected)
    assert first.overlap(second) == second.overlap(first)
    assert first.overlap(first) == 1


@given(x0=st.integers(0, 5), y0=st.integers(0, 5), w=st.integers(1, 5), h=st.integers(1, 4))
def test_from_box_fills_it(x0: int, y0: int, w: int, h: int) -> None:
    box = Box(x0, y0, x0 + w, y0 + h)
    region = Region.from_box(box, id="r1")
    assert region.area_px == box.area_px
    assert region.score == 1.0


@pytest.mark.parametrize(
    ("mask", "score", "words"),
    [
        (np.ones((3, 4), bool), 0.5, r"bool \(4, 3\), got bool \(3, 4\)"),
        (np.ones((4, 3), np.uint8), 0.5, "got uint8"),
        (np.zeros((4, 3), bool), 0.5, "empty"),
        (np.ones((4, 3), bool), 1.01, "score"),
        (np.ones((4, 3), bool), float("nan"), "score"),
    ],
)
def test_a_region_is_checked(mask: np.ndarray, score: float, words: str) -> None:
    with pytest.raises(ValueError, match=rf"region r9: .*{words}"):
        Region(id="r9", box=Box(0, 0, 3, 4), mask_hw=mask, score=score)


def test_no_region_from_an_empty_mask() -> None:
    with pytest.raises(ValueError, match="empty"):
        Region.from_mask(np.zeros((4, 4), bool), id="r1", score=1.0)
