from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from retoucher.domain.geometry import Box

SIDE = 12


@st.composite
def boxes(draw: st.DrawFn, low: int = 0, high: int = SIDE) -> Box:
    x0, y0 = draw(st.integers(low, high - 1)), draw(st.integers(low, high - 1))
    return Box(x0, y0, draw(st.integers(x0 + 1, high)), draw(st.integers(y0 + 1, high)))


def pixels(box: Box | None) -> np.ndarray:
    """The set of pixels a box covers, as a mask: the definition that all else must agree with."""
    mask = np.zeros((SIDE, SIDE), bool)
    if box is not None:
        mask[box.slices] = True
    return mask


@given(a=boxes(), b=boxes())
def test_set_operations_agree_with_pixels(a: Box, b: Box) -> None:
    both, either = pixels(a) & pixels(b), pixels(a) | pixels(b)
    assert np.array_equal(pixels(a.intersection(b)), both)
    assert a.contains(b) == bool((pixels(a) >= pixels(b)).all())
    assert a.iou(b) == pytest.approx(both.sum() / either.sum())
    assert a.iou(b) == b.iou(a)
    hull = a.union(b)
    assert hull.contains(a)
    assert hull.contains(b)
    ys, xs = np.nonzero(either)
    assert hull.as_xyxy() == (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)


@given(box=boxes())
def test_measures_agree_with_pixels(box: Box) -> None:
    ys, xs = np.nonzero(pixels(box))
    assert box.area_px == len(xs) == box.width * box.height
    assert box.centre_xy == pytest.approx((xs.mean() + 0.5, ys.mean() + 0.5))


@given(box=boxes(-9, 20), height=st.integers(1, SIDE), width=st.integers(1, SIDE))
def test_clip_keeps_what_is_in_the_picture(box: Box, height: int, width: int) -> None:
    inside = [
        (x, y)
        for x in range(box.x0, box.x1)
        for y in range(box.y0, box.y1)
        if 0 <= x < width and 0 <= y < height
    ]
    clipped = box.clip(height, width)
    if not inside:
        assert clipped is None
    else:
        assert clipped is not None
        assert clipped.area_px == len(inside)
        assert box.contains(clipped)
        assert Box.of_picture(height, width).contains(clipped)


@given(box=boxes(), dx=st.integers(-50, 50), dy=st.integers(-50, 50), margin=st.integers(0, 9))
def test_shift_and_expand_undo_themselves(box: Box, dx: int, dy: int, margin: int) -> None:
    moved = box.shift(dx, dy)
    assert (moved.width, moved.height) == (box.width, box.height)
    assert moved.shift(-dx, -dy) == box
    grown = box.expand(margin)
    assert (grown.width, grown.height) == (box.width + 2 * margin, box.height + 2 * margin)
    assert grown.centre_xy == box.centre_xy
    assert grown.expand(-margin) == box


@given(
    x0=st.floats(-100, 100), y0=st.floats(-100, 100), w=st.floats(0.01, 50), h=st.floats(0.01, 50)
)
def test_from_xyxy_is_the_smallest_cover(x0: float, y0: float, w: float, h: float) -> None:
    box = Box.from_xyxy([x0, y0, x0 + w, y0 + h])
    assert box.x0 <= x0 < box.x0 + 1
    assert box.y0 <= y0 < box.y0 + 1
    assert box.x1 - 1 < x0 + w <= box.x1
    assert box.y1 - 1 < y0 + h <= box.y1


@pytest.mark.parametrize("xyxy", [(3, 0, 3, 5), (4, 0, 3, 5), (0, 5, 3, 5), (0, 6, 3, 5)])
def test_an_empty_box_is_refused(xyxy: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="x0 < x1 and y0 < y1"):
        Box(*xyxy)


@pytest.mark.parametrize(
    "values", [(1, 2, 3), (1, 2, 3, 4, 5), (0, 0, math.nan, 4), (0, 0, math.inf, 4)]
)
def test_from_xyxy_wants_four_finite_numbers(values: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="four finite numbers"):
        Box.from_xyxy(values)


def test_boxes_that_only_touch_do_not_overlap() -> None:
    a, b = Box(0, 0, 4, 4), Box(4, 0, 8, 4)
    assert a.intersection(b) is None
    assert a.iou(b) == 0
    assert not a.contains(b)
