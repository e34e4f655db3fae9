"""Bring an editor's picture of a crop back onto the crop: its size, and a small shift undone.

Editors that follow an instruction repaint the whole crop, at a size of their own, and what they
were not asked to touch often comes back a few pixels off. Outside the mask both show the same
content, so the shift can be read there: where the two pictures' detail correlates best, counting
only pixels outside the mask of both (masked normalised cross-correlation, Padfield 2012; plain
phase correlation is drawn to zero by the mask's own edge, which does not move). It is believed only
if it makes the outside fit clearly better.
"""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.errors import ToolError
from retoucher.imaging.crop import resample

RgbArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
Float64Array = NDArray[np.float64]

MAX_SHIFT = 1 / 24
"""A shift is looked for up to this share of the crop's shorter side."""

_LEAST_SHIFT_PX = 0.25  # less is not worth a resampling
_LEAST_OUTSIDE = 0.05  # share of the crop that must lie outside the mask to be believed
_BETTER = 0.85  # the misfit outside must fall to this share ...
_AGREEMENT = 0.6  # ... and fall in this share of the blocks
_BLOCK_PX = 16


def register(edited_rgb: RgbArray, crop_rgb: RgbArray, mask_hw: BoolArray) -> RgbArray:
    """The edited picture at the crop's size, moved so that what lies outside the mask fits best.

    Args:
        edited_rgb: what the editor returned, uint8 (h', w', 3), of any size.
        crop_rgb: what it was given, uint8 (h, w, 3).
        mask_hw: bool (h, w), True where it was to change something.

    Returns:
        A new array, uint8 (h, w, 3). Only resized where the shift is below a quarter of a pixel or
        not trustworthy (too little outside the mask, nothing there to hold on to, or another
        picture altogether).

    Raises:
        ToolError: the editor returned no picture uint8 (h', w', 3).
    """
    if edited_rgb.ndim != 3 or edited_rgb.shape[2] != 3 or edited_rgb.dtype != np.uint8:
        got = f"{edited_rgb.dtype} {edited_rgb.shape}"
        raise ToolError(f"the editor returned {got}, expected a picture uint8 (h, w, 3)")
    if not edited_rgb.size:
        raise ToolError("the editor returned an empty picture")
    height, width = mask_hw.shape
    sized = np.ascontiguousarray(resample(edited_rgb, height, width))
    shift = estimate_shift(sized, crop_rgb, mask_hw)
    return sized.copy() if shift is None else _moved_back(sized, shift)


def estimate_shift(
    edited_rgb: RgbArray, crop_rgb: RgbArray, mask_hw: BoolArray
) -> tuple[float, float] | None:
    """By how far, (dx, dy) in pixels, the edited picture lies right of and below the crop.

    Args:
        edited_rgb, crop_rgb: uint8 (h, w, 3), of one size.
        mask_hw: bool (h, w), True where the content may differ.

    Returns:
        None where there is no shift worth undoing, or none that can be trusted.
    """
    outside = _outside(mask_hw)
    reach = int(min(mask_hw.shape) * MAX_SHIFT)
    if reach < 1 or outside.mean() < _LEAST_OUTSIDE:
        return None
    before, after = _detail(crop_rgb), _detail(edited_rgb)
    # One pixel farther than is accepted: a peak between pixels needs neighbours on both sides.
    dx, dy = _peak(_correlation(before, after, outside, reach + 1), reach + 1)
    if max(abs(dx), abs(dy)) < _LEAST_SHIFT_PX or max(abs(dx), abs(dy)) > reach:
        return None
    as_it_is = _misfits(before, after, outside, reach)
    moved = _misfits(before, _shifted(after, (dx, dy)), outside, reach)
    if not len(moved) or moved.sum() > _BETTER * as_it_is.sum():
        return None
    return (dx, dy) if (moved < as_it_is).mean() >= _AGREEMENT else None


def _outside(mask_hw: BoolArray) -> BoolArray:
    """Where both pictures should show the same: outside the mask, a little away from it."""
    reach = max(1, min(mask_hw.shape) // 64)
    kernel = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    return np.asarray(cv2.dilate(mask_hw.astype(np.uint8), kernel)) == 0


def _detail(image_rgb: RgbArray) -> FloatArray:
    """Grey levels without what is broader than a few pixels: no colour shift, no uneven light."""
    grey = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    fine = cv2.GaussianBlur(grey, (0, 0), 1.0)
    return np.asarray(fine - cv2.GaussianBlur(grey, (0, 0), 6.0), dtype=np.float32)


def _correlation(
    before: FloatArray, after: FloatArray, outside: BoolArray, reach: int
) -> Float64Array:
    """Correlation coefficient of the pixels that are outside in both, for each shift of `after`.

    Shape (2 reach + 1, 2 reach + 1); the middle is no shift.
    """
    size = tuple(cv2.getOptimalDFTSize(side + reach) for side in outside.shape)
    weight = outside.astype(np.float64)

    def spectrum(plane: Float64Array) -> NDArray[np.complex128]:
        return np.fft.rfft2(plane, s=size)

    rows, columns = (np.arange(-reach, reach + 1) % side for side in size)

    def together(one: NDArray[np.complex128], other: NDArray[np.complex128]) -> Float64Array:
        """Sum over all pixels of one(x) * other(x + shift), for each shift."""
        return np.fft.irfft2(np.conj(one) * other, s=size)[np.ix_(rows, columns)]

    whole = spectrum(weight)
    one, other = spectrum(before * weight), spectrum(after * weight)
    count = np.maximum(together(whole, whole), 1.0)
    sum_one, sum_other = together(one, whole), together(whole, other)
    spread_one = together(spectrum(before**2 * weight), whole) - sum_one**2 / count
    spread_other = together(whole, spectrum(after**2 * weight)) - sum_other**2 / count
    product = together(one, other) - sum_one * sum_other / count
    return product / np.sqrt(np.maximum(spread_one * spread_other, 1e-6))


def _peak(correlation: Float64Array, reach: int) -> tuple[float, float]:
    """The shift (dx, dy) of the highest correlation, between pixels by a parabola each way."""
    y, x = (int(v) for v in np.unravel_index(int(correlation.argmax()), correlation.shape))
    return (
        x - reach + _between(correlation[y, :], x),
        y - reach + _between(correlation[:, x], y),
    )


def _between(line: Float64Array, at: int) -> float:
    """Offset of the top of the parabola through the peak and its neighbours, in [-0.5, 0.5]."""
    if not 0 < at < len(line) - 1:
        return 0.0
    left, top, right = (float(line[at + i]) for i in (-1, 0, 1))
    bend = left - 2 * top + right
    return 0.0 if bend >= 0 else min(max(0.5 * (left - right) / bend, -0.5), 0.5)


def _misfits(before: FloatArray, after: FloatArray, outside: BoolArray, reach: int) -> Float64Array:
    """Mean difference of detail in each block that lies outside, away from the border; (n,)."""
    inner = np.zeros_like(outside)
    inner[reach:-reach, reach:-reach] = outside[reach:-reach, reach:-reach]
    height, width = inner.shape
    side = max(1, min(_BLOCK_PX, height // 8, width // 8))
    blocks = (width // side, height // side)
    whole = (slice(0, blocks[1] * side), slice(0, blocks[0] * side))
    share = cv2.resize(inner[whole].astype(np.float32), blocks, interpolation=cv2.INTER_AREA)
    apart = cv2.absdiff(before, after)[whole] * inner[whole]
    mean = cv2.resize(np.asarray(apart, np.float32), blocks, interpolation=cv2.INTER_AREA)
    kept = np.asarray(share) > 0.5
    return (np.asarray(mean)[kept] / np.asarray(share)[kept]).astype(np.float64)


def _shifted(plane: FloatArray, shift_xy: tuple[float, float]) -> FloatArray:
    return np.asarray(_warp(plane, shift_xy, cv2.INTER_LINEAR), dtype=np.float32)


def _moved_back(image_rgb: RgbArray, shift_xy: tuple[float, float]) -> RgbArray:
    """The picture moved by -shift; a shift near whole pixels is undone without resampling."""
    whole = tuple(float(round(v)) for v in shift_xy)
    near = all(abs(v - r) < 0.15 for v, r in zip(shift_xy, whole, strict=True))
    dx, dy = cast("tuple[float, float]", whole) if near else shift_xy
    how = cv2.INTER_NEAREST if near else cv2.INTER_CUBIC
    return np.asarray(_warp(image_rgb, (dx, dy), how), dtype=np.uint8)


def _warp(
    image: NDArray[np.uint8] | FloatArray, shift_xy: tuple[float, float], how: int
) -> NDArray[np.uint8] | NDArray[np.float32]:
    height, width = image.shape[:2]
    matrix = np.array([[1.0, 0.0, shift_xy[0]], [0.0, 1.0, shift_xy[1]]])
    flags = how | cv2.WARP_INVERSE_MAP
    out = cv2.warpAffine(image, matrix, (width, height), flags=flags, borderMode=cv2.BORDER_REFLECT)
    return cast("NDArray[np.uint8] | NDArray[np.float32]", out)
