"""Turned squares: what is cut out is what lies there, and points find their way back."""

from __future__ import annotations

import math

import numpy as np
import pytest

from retoucher.vision.squares import Square


def spotted(height: int, width: int, spot_xy: tuple[int, int]) -> np.ndarray:
    """Black, with a white spot of 9 x 9 px around a pixel's middle."""
    x, y = spot_xy
    image = np.zeros((height, width, 3), np.uint8)
    image[y - 4 : y + 5, x - 4 : x + 5] = 255
    return image


@pytest.mark.parametrize("angle", [0.0, 0.7, math.pi, -2.0])
@pytest.mark.parametrize("side", [40.0, 90.0, 400.0])
def test_a_point_of_the_crop_is_where_it_is_in_the_picture(angle: float, side: float) -> None:
    image = spotted(300, 400, (210, 140))
    square = Square(centre_xy=(200.0, 150.0), side_px=side, angle_rad=angle)
    crop = square.cut(image, 128, extend=False)
    ys, xs = np.mgrid[:128, :128] + 0.5
    weight = crop[..., 0]
    assert weight.sum() > 1
    middle = np.array([[(xs * weight).sum(), (ys * weight).sum()]]) / weight.sum()
    found = square.to_picture(middle.astype(np.float32), 128)
    assert found == pytest.approx(np.array([[210.5, 140.5]]), abs=max(0.3, 0.004 * side))


def test_up_in_the_square_is_its_own_up() -> None:
    quarter = Square(centre_xy=(50.0, 50.0), side_px=10.0, angle_rad=math.pi / 2)
    top = quarter.to_picture(np.array([[5.0, 0.0]], np.float32), 10)
    assert top == pytest.approx(np.array([[55.0, 50.0]]), abs=1e-5)
    assert quarter.moved(down=-0.5).centre_xy == pytest.approx((55.0, 50.0))


def test_upright_at_its_own_size_it_is_the_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    square = Square(centre_xy=(40.0, 30.0), side_px=32)
    crop = square.cut(image, 32, extend=True)
    assert crop == pytest.approx(image[14:46, 24:56] / 255, abs=0.01)


@pytest.mark.parametrize(("extend", "expected"), [(True, 1.0), (False, 0.0)])
def test_outside_of_the_picture(extend: bool, expected: float) -> None:
    white = np.full((20, 20, 3), 255, np.uint8)
    crop = Square(centre_xy=(0.0, 10.0), side_px=20).cut(white, 20, extend=extend)
    assert crop[:, 12:] == pytest.approx(1.0)
    assert crop[:, :8] == pytest.approx(expected)
    away = Square(centre_xy=(500.0, 10.0), side_px=20).cut(white, 20, extend=extend)
    assert away.shape == (20, 20, 3)
    assert not away.any()


def test_what_is_made_small_is_averaged() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = Square(centre_xy=(128.0, 128.0), side_px=256).cut(stripes, 16, extend=True)
    assert crop == pytest.approx(0.5, abs=0.02)


def test_moves_are_along_its_own_axes() -> None:
    square = Square(centre_xy=(10.0, 20.0), side_px=8.0, angle_rad=math.pi / 2)
    moved = square.moved(right=0.5, scale=2.0, turn_rad=0.1)
    assert moved.centre_xy == pytest.approx((10.0, 24.0))
    assert (moved.side_px, moved.angle_rad) == pytest.approx((16.0, math.pi / 2 + 0.1))


@pytest.mark.parametrize("side", [0.0, -1.0, float("nan"), float("inf")])
def test_a_square_has_a_side(side: float) -> None:
    with pytest.raises(ValueError, match="positive side"):
        Square(centre_xy=(0.0, 0.0), side_px=side)
