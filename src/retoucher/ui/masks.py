"""Masks drawn by hand, to regions and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import BoolArray, RgbArray
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.errors import InputError

BRUSH_RGB = (214, 0, 96)
CANVAS_PX = 1280
"""The picture is drawn on at most so large; masks are brought to its own size."""

MIN_AREA_PX = 16
"""A touch of the brush smaller than this is a slip."""

MAX_PARTS = 64

RgbaArray = NDArray[np.uint8]


def canvas_size_wh(height: int, width: int) -> tuple[int, int]:
    """Size at which a picture of this size is drawn on."""
    scale = min(1.0, CANVAS_PX / max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def canvas(image_rgb: RgbArray) -> RgbArray:
    """The picture to draw on."""
    size = canvas_size_wh(*image_rgb.shape[:2])
    return np.asarray(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA), np.uint8)


def layer(region: Region, height: int, width: int) -> RgbaArray:
    """A region as brush strokes, uint8 (h, w, 4), for the canvas of a picture of this size."""
    mask = region.full_mask(height, width).astype(np.uint8) * 255
    size = canvas_size_wh(height, width)
    alpha = np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), np.uint8)
    rgba = np.zeros((*alpha.shape, 4), np.uint8)
    rgba[..., :3][alpha >= 128] = BRUSH_RGB
    rgba[..., 3] = np.where(alpha >= 128, 255, 0)
    return rgba


def drawn_mask(layers: Sequence[NDArray[Any]], height: int, width: int) -> BoolArray:
    """What was drawn, bool (height, width).

    Args:
        layers: uint8 (h, w, 4); where one is opaque there is mask.
        height, width: of the picture.

    Raises:
        InputError: nothing was drawn, or a layer is no RGBA picture.
    """
    mask = np.zeros((height, width), bool)
    for drawn in layers:
        if drawn.ndim != 3 or drawn.shape[2] != 4:
            raise InputError("the drawing could not be read; draw it again")
        alpha = np.ascontiguousarray(drawn[..., 3]).astype(np.uint8)
        full = cv2.resize(alpha, (width, height), interpolation=cv2.INTER_LINEAR)
        mask |= np.asarray(full) >= 128
    if np.count_nonzero(mask) < MIN_AREA_PX:
        raise InputError("nothing is drawn yet; paint over the place with the brush first")
    return mask


def parts(mask_hw: BoolArray) -> tuple[BoolArray, ...]:
    """The connected parts of a mask, each bool (H, W), from top to bottom; slips left out.

    Raises:
        InputError: too many parts.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask_hw.view(np.uint8))
    kept = [i for i in range(1, count) if int(stats[i, cv2.CC_STAT_AREA]) >= MIN_AREA_PX]
    if len(kept) > MAX_PARTS:
        raise InputError(f"the mask is in {len(kept)} pieces; at most {MAX_PARTS} are taken")
    return tuple(np.asarray(labels) == i for i in kept)


def box_from(text: str, height: int, width: int) -> Box:
    """A box typed as four numbers, x0 y0 x1 y1, inside a picture of this size.

    Raises:
        InputError: it is none, or lies outside.
    """
    numbers = re.findall(r"-?\d+(?:\.\d+)?", text)
    try:
        box = Box.from_xyxy(float(n) for n in numbers).clip(height, width)
    except ValueError as error:
        raise InputError(
            f"a box is x0 y0 x1 y1 in pixels, such as 10 20 200 90 ({error})"
        ) from error
    if box is None:
        raise InputError(f"the box lies outside the picture of {width}x{height}")
    return box


def union(regions: Sequence[Region], height: int, width: int) -> BoolArray:
    """All masks in one, bool (height, width)."""
    mask = np.zeros((height, width), bool)
    for region in regions:
        mask[region.box.slices] |= region.mask_hw
    return mask
