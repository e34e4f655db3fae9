"""Cut the part of a picture that a tool gets, at a size the tool works at."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import SizeNeeds
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.errors import ConfigError, InputError, PluginError

RgbArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]

_NATIVE = 1.25
"""Rather than resample by less than this factor, take more or less context: no blur at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSettings:
    """How much of the picture goes with a region.

    Attributes:
        context_factor: crop side over region side, instead of the tool's own; None: the tool's.
        min_context_px: at least this many picture pixels on every side, where the picture has them.

    Raises:
        ConfigError: on a value out of range.
    """

    context_factor: float | None = None
    min_context_px: int = 32

    def __post_init__(self) -> None:
        if self.context_factor is not None and not 1.0 <= self.context_factor < math.inf:
            raise ConfigError(f"context_factor must be at least 1, got {self.context_factor}")
        if self.min_context_px < 0:
            raise ConfigError(f"min_context_px must be at least 0, got {self.min_context_px}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crop:
    """A part of the picture as a tool sees it.

    Attributes:
        box: the part, in picture pixels, inside the picture; it contains the region.
        image_rgb: uint8 (h, w, 3), read-only, at working size; it shows exactly `box`.
        mask_hw: bool (h, w), read-only, the region's mask at working size.
    """

    box: Box
    image_rgb: RgbArray
    mask_hw: BoolArray

    @property
    def resampled(self) -> bool:
        """False: `image_rgb` is an exact copy of the picture's pixels."""
        return self.mask_hw.shape != (self.box.height, self.box.width)

    @property
    def scale(self) -> float:
        """Working pixels per picture pixel (geometric mean of both axes)."""
        h, w = self.mask_hw.shape
        return math.sqrt(h * w / self.box.area_px)


def cut(
    image_rgb: RgbArray,
    region: Region,
    *,
    size: SizeNeeds,
    context_factor: float,
    settings: CropSettings | None = None,
) -> Crop:
    """The region with its context, at a size that `size` allows.

    Both sides are multiples of `size.multiple` and within its limits, always. To get there the crop
    grows or shrinks in the picture as far as picture and region allow; only what is left over is
    done by resampling (area to reduce, cubic to enlarge). The aspect changes by rounding alone,
    unless a very long region in a picture without room beside it meets both limits at once.

    Args:
        image_rgb: the picture, uint8 (H, W, 3).
        region: what to repair, inside the picture.
        size: the tool's needs.
        context_factor: crop side over region side, at least 1.
        settings: defaults if None.

    Raises:
        InputError: the picture is not uint8 (H, W, 3), or the region is not inside it.
        ConfigError: the context factor is less than 1.
        PluginError: the tool's needs contradict each other.
    """
    settings = settings or CropSettings()
    check_picture(image_rgb, region)
    factor = context_factor if settings.context_factor is None else settings.context_factor
    if not 1.0 <= factor < math.inf:
        raise ConfigError(f"context_factor must be at least 1, got {factor}")
    box, work_h, work_w = _frame(
        region.box, image_rgb.shape[:2], _Limits.of(size), factor, settings.min_context_px
    )
    image = np.ascontiguousarray(resample(image_rgb[box.slices], work_h, work_w))
    if np.may_share_memory(image, image_rgb):
        image = image.copy()
    mask = np.zeros((box.height, box.width), bool)
    mask[region.box.shift(-box.x0, -box.y0).slices] = region.mask_hw
    mask = _mask_at(mask, work_h, work_w)
    image.flags.writeable = False
    mask.flags.writeable = False
    return Crop(box=box, image_rgb=image, mask_hw=mask)


def check_picture(image_rgb: RgbArray, region: Region) -> None:
    """Raise InputError unless this is a picture, uint8 (H, W, 3), that contains the region."""
    if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
        got = f"{image_rgb.dtype} {image_rgb.shape}"
        raise InputError(f"a picture is uint8 (H, W, 3), got {got}; convert it to RGB first")
    height, width = image_rgb.shape[:2]
    if region.box.clip(height, width) != region.box:
        raise InputError(
            f"region {region.id} at {region.box.as_xyxy()} leaves the picture of "
            f"{width} x {height} px; give it in upright picture pixels"
        )


def resample(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Resize uint8 (h, w) or (h, w, C): area where a side shrinks, cubic where it grows.

    Pixel centres are aligned. The input itself where the size is right already.
    """
    h, w = image.shape[:2]
    if (h, w) == (height, width):
        return image
    # Shrink first: the fewer pixels for the second pass, and area needs both axes to shrink.
    small = (min(w, width), min(h, height))
    if small != (w, h):
        image = np.asarray(cv2.resize(image, small, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if small != (width, height):
        image = np.asarray(
            cv2.resize(image, (width, height), interpolation=cv2.INTER_CUBIC), dtype=np.uint8
        )
    return image


def _mask_at(mask_hw: BoolArray, height: int, width: int) -> BoolArray:
    """The mask at working size; a working pixel that touches a masked one is masked."""
    h, w = mask_hw.shape
    if (h, w) == (height, width):
        return mask_hw
    shrunk = (min(h, height), min(w, width))
    # Rows and columns of the large grid, as ranges per cell of the small one (outer bounds).
    if shrunk[0] < h:
        mask_hw = _any_over(mask_hw, shrunk[0])
    if shrunk[1] < w:
        mask_hw = _any_over(mask_hw.T, shrunk[1]).T
    rows = np.arange(height) * mask_hw.shape[0] // height
    cols = np.arange(width) * mask_hw.shape[1] // width
    return mask_hw[rows][:, cols]


def _any_over(mask_hw: BoolArray, rows: int) -> BoolArray:
    """Reduce the first axis to `rows`; True where any source row that overlaps the cell is."""
    h = mask_hw.shape[0]
    counts = np.vstack([np.zeros((1, mask_hw.shape[1]), np.int32), mask_hw.cumsum(0, np.int32)])
    start = np.arange(rows) * h // rows
    stop = -(-np.arange(1, rows + 1) * h // rows)
    return counts[stop] > counts[start]


@dataclass(frozen=True, slots=True)
class _Limits:
    """Sides a tool works at: multiples of `multiple` from `low` to `high`, both multiples."""

    low: int
    high: int | None
    multiple: int

    @classmethod
    def of(cls, size: SizeNeeds) -> _Limits:
        m = size.multiple
        if m < 1 or size.min_side_px < 0:
            raise PluginError(f"a tool's size needs multiple >= 1 and min_side_px >= 0, got {size}")
        low = max(1, math.ceil(size.min_side_px / m)) * m
        high = None if size.max_side_px is None else size.max_side_px // m * m
        if high is not None and high < low:
            raise PluginError(f"no side is a multiple of {m} within the tool's limits: {size}")
        return cls(low, high, m)

    def clamp(self, side: int) -> int:
        return max(self.low, side if self.high is None else min(side, self.high))


def _frame(
    region: Box, picture_hw: tuple[int, int], limits: _Limits, factor: float, context_px: int
) -> tuple[Box, int, int]:
    """Where the crop lies in the picture, and its working height and width."""
    height, width = picture_hw
    room = (width, height)
    sides = (region.width, region.height)
    least = [min(s + 2 * context_px, r) for s, r in zip(sides, room, strict=True)]
    want = [
        min(max(math.ceil(s * factor), m), r) for s, m, r in zip(sides, least, room, strict=True)
    ]
    if limits.high is not None:  # make it stout enough to meet both limits at one scale
        stout = math.ceil(max(want) * limits.low / limits.high)
        want = [min(max(v, stout), r) for v, r in zip(want, room, strict=True)]
    scale, want = _scale(want, least, room, limits)
    box_w, work_w = _fit_side(want[0], least[0], room[0], scale, limits)
    box_h, work_h = _fit_side(want[1], least[1], room[1], scale, limits)
    centre_x, centre_y = region.centre_xy
    x0 = min(max(math.floor(centre_x - box_w / 2), 0), width - box_w)
    y0 = min(max(math.floor(centre_y - box_h / 2), 0), height - box_h)
    return Box(x0, y0, x0 + box_w, y0 + box_h), work_h, work_w


def _scale(
    want: list[int], least: list[int], room: tuple[int, int], limits: _Limits
) -> tuple[float, list[int]]:
    """Working px per picture px, and the crop's sides in picture px, before fitting multiples."""
    low, high = limits.low, limits.high
    scale = max(1.0, low / min(want))
    if high is not None and scale * max(want) > high:
        scale = high / max(want)
    if 1 < scale <= _NATIVE and min(room) >= low:
        grown = [max(v, low) for v in want]
        if high is None or max(grown) <= high:
            return 1.0, grown
    if 1 / _NATIVE <= scale < 1 and high is not None and max(least) <= high:
        trimmed = [min(v, high) for v in want]
        if min(trimmed) >= low:
            return 1.0, trimmed
    return scale, want


def _fit_side(want: int, least: int, room: int, scale: float, limits: _Limits) -> tuple[int, int]:
    """One side of the crop in picture px, and at working size, a multiple within the limits."""
    multiple = limits.multiple
    work = limits.clamp(math.ceil(want * scale / multiple - 1e-9) * multiple)
    side = round(work / scale)
    if least <= side <= room:
        return side, work
    if side > room:  # no room to grow to a multiple: shrink to one
        work = math.floor(room * scale / multiple + 1e-9) * multiple
        side = round(work / scale)
        if work == limits.clamp(work) and least <= side:
            return side, work
    side = min(max(want, least), room)
    return side, limits.clamp(round(side * scale / multiple) * multiple)
