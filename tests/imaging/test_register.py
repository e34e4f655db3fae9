"""Registration of an edited crop: the shift is found and undone, or left alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retoucher.errors import ToolError
from retoucher.imaging.register import estimate_shift, register

Rgb = NDArray[np.uint8]


def _picture(height: int, width: int, seed: int = 0) -> Rgb:
    """Blobs, edges and a little noise, as a photograph has them."""
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.normal(0, 1, (height, width, 3)), (0, 0), 5)
    image = 128 + 45 * image / image.std()
    for _ in range(12):
        x, y = rng.integers(0, width), rng.integers(0, height)
        colour = tuple(float(v) for v in rng.integers(20, 235, 3))
        cv2.circle(image, (int(x), int(y)), int(rng.integers(6, 40)), colour, -1)
    return np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def _mask(height: int, width: int) -> NDArray[np.bool_]:
    mask = np.zeros((height, width), bool)
    mask[height // 3 : 2 * height // 3, width // 3 : 2 * width // 3] = True
    return mask


def _edited(crop: Rgb, mask: NDArray[np.bool_], dx: float, dy: float) -> Rgb:
    """Moved, repainted inside the mask, colour-shifted and noisy: what an editor returns."""
    painted = crop.copy()
    painted[mask] = _picture(*mask.shape, seed=9)[mask]
    matrix = np.array([[1.0, 0.0, dx], [0.0, 1.0, dy]])
    size = (crop.shape[1], crop.shape[0])
    moved = cv2.warpAffine(painted, matrix, size, flags=cv2.INTER_CUBIC, borderMode=1)
    noise = np.random.default_rng(3).normal(0, 3, moved.shape)
    return np.clip(moved * 0.93 + 14 + noise, 0, 255).astype(np.uint8)


@settings(max_examples=15, deadline=None)
@given(
    dx=st.floats(-6.5, 6.5),
    dy=st.floats(-6.5, 6.5),
    size=st.sampled_from([(200, 261), (193, 187), (256, 256)]),
)
@example(dx=6.5, dy=2.5, size=(193, 187))
@example(dx=2.5, dy=-6.5, size=(193, 187))
def test_the_shift_is_found(dx: float, dy: float, size: tuple[int, int]) -> None:
    crop, mask = _picture(*size), _mask(*size)
    found = estimate_shift(_edited(crop, mask, dx, dy), crop, mask)
    if max(abs(dx), abs(dy)) < 0.2:
        assert found is None
    elif max(abs(dx), abs(dy)) > 0.4:
        assert found is not None
        assert abs(found[0] - dx) < 0.3  # a parabola is that good
        assert abs(found[1] - dy) < 0.3


def test_the_outside_fits_again() -> None:
    crop, mask = _picture(240, 240), _mask(240, 240)
    edited = _edited(crop, mask, 3.0, -2.0)
    out = register(edited, crop, mask)
    inner = ~mask
    inner[:6], inner[-6:], inner[:, :6], inner[:, -6:] = False, False, False, False

    def misfit(picture: Rgb) -> float:
        undone = (picture.astype(float) - 14) / 0.93
        return float(np.abs(undone - crop)[inner].mean())

    assert misfit(edited) > 6
    assert misfit(out) < 3


def test_a_whole_pixel_shift_is_undone_without_resampling() -> None:
    crop, mask = _picture(200, 200), np.zeros((200, 200), bool)
    mask[80:120, 80:120] = True
    edited = np.roll(crop, (2, -3), (0, 1))
    out = register(edited, crop, mask)
    assert np.array_equal(out[8:-8, 8:-8], crop[8:-8, 8:-8])


def test_another_size_is_brought_to_the_crops() -> None:
    crop, mask = _picture(150, 211), _mask(150, 211)
    edited = cv2.resize(crop, (320, 224), interpolation=cv2.INTER_CUBIC)
    out = register(np.asarray(edited, np.uint8), crop, mask)
    assert out.shape == crop.shape
    assert np.abs(out.astype(int) - crop)[4:-4, 4:-4].mean() < 3


def test_smooth_content_behind_a_mask_with_sharp_edges() -> None:
    """The mask does not move with the content, and must not hold the estimate back."""
    noise = np.random.default_rng(0).normal(0, 1, (160, 160, 3))
    soft = cv2.GaussianBlur(noise, (0, 0), 4)
    crop = np.clip(128 + 50 * soft / soft.std(), 0, 255).astype(np.uint8)
    mask = np.zeros((160, 160), bool)
    mask[60:100, 60:100] = True
    edited = crop.copy()
    edited[mask] = 255 - edited[mask]
    edited = (np.roll(edited, (2, -3), (0, 1)) * 0.92 + 12).astype(np.uint8)
    found = estimate_shift(edited, crop, mask)
    assert found is not None
    assert np.allclose(found, (-3, 2), atol=0.1)


@pytest.mark.parametrize("seed", range(8))
def test_another_picture_is_not_moved(seed: int) -> None:
    crop, other, mask = _picture(200, 200), _picture(200, 200, seed=20 + seed), _mask(200, 200)
    assert np.array_equal(register(other, crop, mask), other)


def test_nothing_to_hold_on_to() -> None:
    rng = np.random.default_rng(0)
    flat = (np.full((200, 200, 3), 128) + rng.normal(0, 1.5, (200, 200, 3))).astype(np.uint8)
    again = (np.full((200, 200, 3), 128) + rng.normal(0, 1.5, (200, 200, 3))).astype(np.uint8)
    assert np.array_equal(register(again, flat, _mask(200, 200)), again)


def test_a_pattern_is_moved_by_the_small_shift_not_by_a_period() -> None:
    wave = 128 + 80 * np.sign(np.sin(np.arange(240) * 2 * np.pi / 10))
    crop = np.repeat(np.repeat(wave[None, :, None], 240, 0), 3, 2).astype(np.uint8)
    edited = np.roll(crop, 2, 1)
    out = register(edited, crop, _mask(240, 240))
    assert np.array_equal(out[:, 12:-12], crop[:, 12:-12])


def test_a_far_shift_is_left() -> None:
    crop, mask = _picture(200, 200), np.zeros((200, 200), bool)
    mask[80:120, 80:120] = True
    edited = np.roll(crop, 40, 1)
    assert np.array_equal(register(edited, crop, mask), edited)


@pytest.mark.parametrize("size", [(1, 1), (7, 5), (24, 24), (33, 61)])
def test_small_and_wholly_masked_crops(size: tuple[int, int]) -> None:
    crop = _picture(*size)
    for mask in (np.ones(size, bool), np.zeros(size, bool), _mask(*size)):
        out = register(crop, crop, mask)
        assert np.array_equal(out, crop)
        assert not np.shares_memory(out, crop)


@pytest.mark.parametrize(
    "edited",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3), np.float32)],
)
def test_no_picture(edited: NDArray[np.uint8]) -> None:
    with pytest.raises(ToolError, match="expected a picture uint8"):
        register(edited, np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool))
