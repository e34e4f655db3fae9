from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from retoucher.errors import ConfigError
from retoucher.imaging.colour import ColourFit, ColourSettings, fit_ring

PHOTO = np.ascontiguousarray(data.coffee()[60:316, 100:400])


def ring_of(height: int, width: int) -> np.ndarray:
    ring = np.ones((height, width), bool)
    ring[height // 4 : -height // 4, width // 4 : -width // 4] = False
    return ring


RING = ring_of(*PHOTO.shape[:2])


def shifted(image: np.ndarray, gain: np.ndarray, offset: np.ndarray) -> np.ndarray:
    return np.clip(np.round(image * gain + offset), 0, 255).astype(np.uint8)


@settings(max_examples=60, deadline=None)
@given(gain=st.tuples(*[st.floats(0.85, 1.15)] * 3), offset=st.tuples(*[st.floats(-15, 15)] * 3))
def test_any_global_shift_is_undone(
    gain: tuple[float, float, float], offset: tuple[float, float, float]
) -> None:
    # Levels that no shift of these bounds can clip.
    image = (40 + PHOTO * 0.6).astype(np.uint8)
    moved = shifted(image, np.array(gain), np.array(offset))
    fit = fit_ring(moved, image, RING, ColourSettings())
    back = moved if fit is None else fit.apply(moved)
    assert np.abs(back.astype(int) - image)[~RING].mean() < 0.75
    assert np.abs(back.astype(int) - image)[~RING].max() <= 2


def test_noise_and_a_small_misfit_do_not_hide_the_shift() -> None:
    rng = np.random.default_rng(0)
    image = (40 + PHOTO * 0.6).astype(np.uint8)  # nothing clips
    moved = np.roll(image, 1, axis=1) * np.array([1.0, 0.95, 1.0]) + np.array([6, 0, -9])
    moved = np.clip(np.round(moved + rng.normal(0, 4, moved.shape)), 0, 255).astype(np.uint8)
    fit = fit_ring(moved, image, RING, ColourSettings())
    assert fit is not None
    inside = ~RING
    drift = fit.apply(moved)[inside].mean(axis=0) - image[inside].mean(axis=0)
    assert np.abs(drift).max() < 1
    assert np.abs(moved[inside].mean(axis=0) - image[inside].mean(axis=0)).max() > 5


def test_a_flat_noisy_ring_invents_no_gain() -> None:
    rng = np.random.default_rng(0)
    flat = np.full((200, 200, 3), 120, np.uint8)
    moved = np.clip(flat + 8 + rng.normal(0, 5, flat.shape), 0, 255).astype(np.uint8)
    fit = fit_ring(moved, flat, ring_of(200, 200), ColourSettings())
    assert fit is not None
    # A bright repair inside keeps its contrast to the ring.
    bright = np.full((1, 1, 3), 228, np.uint8)
    assert np.abs(fit.apply(bright).astype(int) - 220).max() <= 3


def test_part_of_the_ring_may_have_other_content() -> None:
    moved = shifted(PHOTO, np.ones(3), np.array([10.0, -6.0, 4.0]))
    moved[:, :60] = 255 - moved[:, :60]
    fit = fit_ring(moved, PHOTO, RING, ColourSettings())
    assert fit is not None
    part = (slice(None), slice(60, None))
    assert np.abs(fit.apply(moved)[part].astype(int) - PHOTO[part]).mean() < 1


@pytest.mark.parametrize(
    "edited",
    [
        pytest.param(PHOTO, id="untouched"),
        pytest.param(np.where(RING[..., None], PHOTO, 0).astype(np.uint8), id="masked tool"),
        pytest.param(np.ascontiguousarray(np.flip(PHOTO, (0, 1))), id="other content"),
        pytest.param(np.random.default_rng(0).integers(0, 256, PHOTO.shape, np.uint8), id="noise"),
        pytest.param(np.zeros_like(PHOTO), id="black"),
    ],
)
def test_no_correction_where_the_ring_says_nothing(edited: np.ndarray) -> None:
    assert fit_ring(edited, PHOTO, RING, ColourSettings()) is None


def test_no_ring_no_correction() -> None:
    moved = shifted(PHOTO, np.ones(3), np.array([9.0, 9.0, 9.0]))
    assert fit_ring(moved, PHOTO, np.zeros_like(RING), ColourSettings()) is None
    few = np.zeros_like(RING)
    few[0, 0] = True
    assert fit_ring(moved, PHOTO, few, ColourSettings()) is None


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (7, 3), (70, 2)])
def test_tiny_crops_do_not_fail(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (*shape, 3), np.uint8)
    moved = rng.integers(0, 256, (*shape, 3), np.uint8)
    fit = fit_ring(moved, image, np.ones(shape, bool), ColourSettings())
    assert fit is None or fit.apply(moved).shape == moved.shape


def test_limits() -> None:
    moved = shifted(PHOTO, np.array([0.85, 1.0, 1.0]), np.zeros(3))
    strict = ColourSettings(max_gain=1.05, tolerance=255)
    fit = fit_ring(moved, PHOTO, RING, strict)
    assert fit is not None
    assert fit.gain_rgb[0] == pytest.approx(1.05)


def test_apply_rounds_and_clips_and_inverts() -> None:
    fit = ColourFit(gain_rgb=(1.0, 2.0, 0.5), offset_rgb=(-10.0, 0.0, 0.4))
    image = np.array([[[5, 200, 101]]], np.uint8)
    assert fit.apply(image).tolist() == [[[0, 255, 51]]]
    there = fit.inverse().inverse()
    assert there.gain_rgb == pytest.approx(fit.gain_rgb)
    assert there.offset_rgb == pytest.approx(fit.offset_rgb)


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"max_gain": 0.5}, "max_gain"),
        ({"max_shift": -1.0}, "max_shift"),
        ({"tolerance": 0.0}, "tolerance"),
        ({"min_agreement": float("nan")}, "min_agreement"),
    ],
)
def test_settings_are_checked(kwargs: dict[str, float], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        ColourSettings(**kwargs)
