"""Sizes and masks that pipelines are given, and their pictures put back onto the crop."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retoucher.agents import SizeNeeds
from retoucher.errors import ToolError
from retoucher.tools.diffusers.frame import CELL_PX, lay_out, onto_crop, to_levels
from tests.tools.diffusers.asks import picture


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 90),
    least=st.sampled_from([16, 32]),
    most=st.sampled_from([48, 64, 96]),
    multiple=st.sampled_from([8, 16]),
    shrink=st.sampled_from([1.0, 0.75, 0.5]),
)
def test_the_canvas_meets_the_needs(
    height: int, width: int, least: int, most: int, multiple: int, shrink: float
) -> None:
    mask = np.zeros((height, width), bool)
    mask[height // 2, width // 2] = True
    needs = SizeNeeds(min_side_px=least, max_side_px=most, multiple=multiple)
    canvas = lay_out(picture(height, width), mask, needs, shrink)
    assert canvas.image.size == canvas.mask.size == (canvas.width, canvas.height)
    for side in (canvas.width, canvas.height):
        assert side % multiple == 0
        assert multiple <= side <= most
    told = np.asarray(canvas.mask)
    assert set(np.unique(told)) <= {0, 255}
    assert told.any()


def test_a_crop_of_the_right_size_is_given_as_it_is() -> None:
    crop = picture(64, 48)
    mask = np.zeros((64, 48), bool)
    mask[10, 20] = True
    canvas = lay_out(crop, mask, SizeNeeds(min_side_px=32, max_side_px=64, multiple=16), 1.0)
    assert np.array_equal(np.asarray(canvas.image), crop)
    rows, columns = np.nonzero(np.asarray(canvas.mask))
    assert (rows.min(), rows.max() + 1) == (CELL_PX, 2 * CELL_PX)
    assert (columns.min(), columns.max() + 1) == (2 * CELL_PX, 3 * CELL_PX)


def test_levels() -> None:
    values = np.array([[[0.0, 0.5, 1.0]]], np.float32)
    assert to_levels(values).tolist() == [[[0, 128, 255]]]
    with pytest.raises(ToolError, match="no numbers"):
        to_levels(values * np.nan)
    with pytest.raises(ToolError, match="expected"):
        to_levels(np.zeros((4, 4, 3), np.uint8))


def test_a_shift_of_place_and_colour_is_undone() -> None:
    """As an autoencoder or an instruction editor leaves the whole crop behind."""
    crop = picture(160, 160)
    mask = np.zeros((160, 160), bool)
    mask[60:100, 60:100] = True
    wanted = crop.copy()
    wanted[mask] = picture(160, 160, seed=8)[mask]
    drifted = np.clip(np.roll(wanted, (2, -3), (0, 1)) * 0.92 + 12, 0, 255).astype(np.uint8)
    out = onto_crop(drifted, crop, mask)
    assert np.array_equal(out[~mask], crop[~mask])
    inner = cv2.erode(mask.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert np.abs(out.astype(int) - wanted)[inner].mean() < 2
    assert np.abs(drifted.astype(int) - wanted)[inner].mean() > 8
