from __future__ import annotations

import numpy as np
import pytest

from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.errors import InputError
from retoucher.ui import masks


def layer_of(mask_hw: np.ndarray) -> np.ndarray:
    rgba = np.zeros((*mask_hw.shape, 4), np.uint8)
    rgba[mask_hw] = (214, 0, 96, 255)
    return rgba


def test_a_mask_of_the_pictures_size_comes_back_exactly() -> None:
    mask = np.zeros((90, 120), bool)
    mask[20:50, 30:80] = True
    assert np.array_equal(masks.drawn_mask([layer_of(mask)], 90, 120), mask)


@pytest.mark.parametrize(("height", "width"), [(240, 320), (3000, 2001), (1281, 500)])
def test_a_region_goes_to_the_canvas_and_back(height: int, width: int) -> None:
    region = Region.from_box(Box(width // 4, height // 4, width // 2, height // 2), id="r1")
    drawn = masks.layer(region, height, width)
    assert drawn.shape[:2] == masks.canvas_size_wh(height, width)[::-1]
    assert max(drawn.shape[:2]) <= masks.CANVAS_PX
    back = masks.drawn_mask([drawn], height, width)
    same = region.full_mask(height, width) == back
    assert same.mean() > 0.995


@pytest.mark.parametrize("layers", [[], [np.zeros((9, 9, 4), np.uint8)]])
def test_nothing_drawn_is_said(layers: list[np.ndarray]) -> None:
    with pytest.raises(InputError, match="nothing is drawn yet"):
        masks.drawn_mask(layers, 90, 120)


def test_parts_are_separate_and_slips_are_left_out() -> None:
    mask = np.zeros((60, 60), bool)
    mask[5:15, 5:15] = mask[30:50, 30:50] = True
    mask[58, 58] = True
    found = masks.parts(mask)
    assert [int(p.sum()) for p in found] == [100, 400]


@pytest.mark.parametrize("text", ["10 20 110 90", "10,20, 110;90", "[10, 20, 110, 90]"])
def test_a_box_may_be_typed(text: str) -> None:
    assert masks.box_from(text, 200, 300) == Box(10, 20, 110, 90)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a box is x0 y0 x1 y1"),
        ("1 2 3", "a box is x0 y0 x1 y1"),
        ("9 9 3 3", "a box is x0 y0 x1 y1"),
        ("400 10 500 20", "lies outside"),
    ],
)
def test_what_is_no_box_is_said(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        masks.box_from(text, 200, 300)
