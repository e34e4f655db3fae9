"""Colour drift of a repaired crop, estimated where nothing was to be repaired.

Tools that pass the whole crop through an autoencoder, or repaint all of it, shift its colours. The
ring around the mask shows the same content before and after, so the shift can be read there and
undone inside the mask: one gain and one offset per channel.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.errors import ConfigError

RgbArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]
Float64Array = NDArray[np.float64]

_BLOCKS_A_SIDE = 64  # the ring is compared by means of blocks: noise and small misfits average out
_FEWEST_BLOCKS = 4
_LEVELS_CLIPPED = 3  # so near to 0 or 255 a shift may have been cut off


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourSettings:
    """Limits of the correction.

    Attributes:
        max_gain: the gain stays within [1 / max_gain, max_gain].
        max_shift: change of the ring's mean stays within this many levels of 255.
        tolerance: a block of the ring agrees if the correction brings it this near, in levels.
        min_agreement: share of the ring that must agree; with less, its content was changed and
            says nothing of colour, so nothing is corrected.

    Raises:
        ConfigError: on a value out of range.
    """

    max_gain: float = 1.25
    max_shift: float = 48.0
    tolerance: float = 10.0
    min_agreement: float = 0.5

    def __post_init__(self) -> None:
        if not 1.0 <= self.max_gain <= 10.0:
            raise ConfigError(f"max_gain must lie in [1, 10], got {self.max_gain}")
        if not 0.0 <= self.max_shift <= 255.0:
            raise ConfigError(f"max_shift must lie in [0, 255], got {self.max_shift}")
        if not 0.0 < self.tolerance <= 255.0:
            raise ConfigError(f"tolerance must lie in (0, 255], got {self.tolerance}")
        if not 0.0 < self.min_agreement <= 1.0:
            raise ConfigError(f"min_agreement must lie in (0, 1], got {self.min_agreement}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourFit:
    """original = gain * edited + offset, per channel R, G, B, in levels of 255."""

    gain_rgb: tuple[float, float, float]
    offset_rgb: tuple[float, float, float]

    def apply(self, image_rgb: RgbArray) -> RgbArray:
        """The corrected picture, uint8 (H, W, 3), rounded and clipped; a new array."""
        levels = np.arange(256, dtype=np.float64)[:, None]
        table = levels * np.array(self.gain_rgb) + np.array(self.offset_rgb)
        table = np.clip(np.floor(table + 0.5), 0, 255).astype(np.uint8)
        return np.asarray(cv2.LUT(image_rgb, table.reshape(1, 256, 3)), dtype=np.uint8)

    def inverse(self) -> ColourFit:
        """The shift itself: edited = gain * original + offset."""
        (a, b, c), (x, y, z) = self.gain_rgb, self.offset_rgb
        return ColourFit(gain_rgb=(1 / a, 1 / b, 1 / c), offset_rgb=(-x / a, -y / b, -z / c))


def fit_ring(
    edited_rgb: RgbArray, original_rgb: RgbArray, ring_hw: BoolArray, settings: ColourSettings
) -> ColourFit | None:
    """The correction that brings the edited ring back to the original, or None.

    Args:
        edited_rgb, original_rgb: uint8 (h, w, 3), the crop after and before the edit.
        ring_hw: bool (h, w), True where nothing was to be repaired.
        settings: limits.

    Returns:
        None where the ring is too small, was left as it was (at least half of its pixels are
        equal), shows other content than before, or needs no correction.
    """
    ring_px = int(np.count_nonzero(ring_hw))
    if not ring_px:
        return None
    equal = cv2.inRange(cv2.absdiff(edited_rgb, original_rgb), (0, 0, 0), (0, 0, 0))
    if 2 * int(np.count_nonzero(equal[ring_hw])) >= ring_px:
        return None
    edited, original = _ring_blocks(edited_rgb, original_rgb, ring_hw)
    if len(edited) < _FEWEST_BLOCKS:
        return None
    lines = [_robust_line(edited[:, c], original[:, c], settings) for c in range(3)]
    gain, offset = np.array(lines).T
    misfit = np.abs(edited * gain + offset - original).max(axis=1)
    if float((misfit <= settings.tolerance).mean()) < settings.min_agreement:
        return None
    drift = np.abs(edited.mean(axis=0) * (gain - 1) + offset)
    if (np.abs(gain - 1) < 0.002).all() and (drift < 0.3).all():
        return None
    return ColourFit(
        gain_rgb=(float(gain[0]), float(gain[1]), float(gain[2])),
        offset_rgb=(float(offset[0]), float(offset[1]), float(offset[2])),
    )


def _ring_blocks(
    edited_rgb: RgbArray, original_rgb: RgbArray, ring_hw: BoolArray
) -> tuple[Float64Array, Float64Array]:
    """Mean colours (n, 3), after and before, of the blocks that lie wholly in the ring."""
    h, w = ring_hw.shape
    side = max(1, round((h * w) ** 0.5 / _BLOCKS_A_SIDE))
    side = min(side, h, w)
    rows, cols = h // side, w // side

    def means(array: NDArray[np.uint8]) -> NDArray[np.uint8]:
        whole = array[: rows * side, : cols * side]
        small = cv2.resize(whole, (cols, rows), interpolation=cv2.INTER_AREA)
        return np.asarray(small, dtype=np.uint8)

    in_ring = means(ring_hw.view(np.uint8) * np.uint8(255)) == 255
    return (
        means(edited_rgb)[in_ring].astype(np.float64),
        means(original_rgb)[in_ring].astype(np.float64),
    )


def _robust_line(x: Float64Array, y: Float64Array, settings: ColourSettings) -> tuple[float, float]:
    """Gain and offset of y = gain * x + offset, by Tukey-weighted least squares, clamped.

    A pull of the gain towards 1, in proportion to the noise, keeps a flat ring from inventing one:
    there the spread of x is noise, and plain least squares would answer with a gain near 0.
    """
    low, high = _LEVELS_CLIPPED, 255 - _LEVELS_CLIPPED
    sound = (x >= low) & (x <= high) & (y >= low) & (y <= high)
    if int(sound.sum()) < _FEWEST_BLOCKS:
        return 1.0, 0.0
    x, y = x[sound], y[sound]
    gain, offset = 1.0, float(np.median(y - x))
    for _ in range(10):
        misfit = y - (gain * x + offset)
        spread = max(1.4826 * float(np.median(np.abs(misfit))), 0.5)
        weight = np.clip(1 - (misfit / (4.685 * spread)) ** 2, 0, None) ** 2
        total = float(weight.sum())
        if total <= 0:
            break
        mean_x, mean_y = float(weight @ x) / total, float(weight @ y) / total
        pull = total * (16 + 50 * spread**2)
        covariance = float(weight @ ((x - mean_x) * (y - mean_y)))
        variance = float(weight @ (x - mean_x) ** 2)
        previous = gain
        gain = (covariance + pull) / (variance + pull)
        gain = min(max(gain, 1 / settings.max_gain), settings.max_gain)
        offset = mean_y - gain * mean_x
        if abs(gain - previous) < 1e-4:
            break
    mean = float(x.mean())
    shift = gain * mean + offset - mean
    limited = min(max(shift, -settings.max_shift), settings.max_shift)
    return gain, offset + limited - shift
