"""The few picture operations of this package, typed: blur, grow, resize, warp, connected parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
Matrix = NDArray[np.float64]


def blur(values: FloatArray, sigma_px: float) -> FloatArray:
    """Gaussian blur of (h, w[, c]); wide ones are made on a smaller picture."""
    step = int(max(1, sigma_px // 4))
    if step == 1:
        return cast("FloatArray", cv2.GaussianBlur(values, (0, 0), sigma_px))
    h, w = values.shape[:2]
    small = reduce(values, (max(1, h // step), max(1, w // step)))
    return enlarge(cast("FloatArray", cv2.GaussianBlur(small, (0, 0), sigma_px / step)), (h, w))


def reduce(values: FloatArray, shape_hw: tuple[int, int]) -> FloatArray:
    """Resized by area, for making smaller."""
    size = (shape_hw[1], shape_hw[0])
    return cast("FloatArray", cv2.resize(values, size, interpolation=cv2.INTER_AREA))


def enlarge(values: FloatArray, shape_hw: tuple[int, int]) -> FloatArray:
    """Resized bilinearly, for making larger."""
    size = (shape_hw[1], shape_hw[0])
    return cast("FloatArray", cv2.resize(values, size, interpolation=cv2.INTER_LINEAR))


def affine(
    values: FloatArray, matrix: Matrix, shape_hw: tuple[int, int], *, inverse: bool = False
) -> FloatArray:
    """Moved by a 2x3 matrix from source to target pixels (`inverse`: from target to source)."""
    flags = cv2.INTER_LINEAR | (cv2.WARP_INVERSE_MAP if inverse else 0)
    size = (shape_hw[1], shape_hw[0])
    return cast("FloatArray", cv2.warpAffine(values, matrix, size, flags=flags))


def grow(mask: BoolArray, radius_px: float) -> BoolArray:
    """Dilated by a disk of at least one pixel's radius."""
    return cv2.dilate(mask.astype(np.uint8), _disk(radius_px)) > 0


def shrink(mask: BoolArray, radius_px: float) -> BoolArray:
    """Eroded by a disk of at least one pixel's radius."""
    return cv2.erode(mask.astype(np.uint8), _disk(radius_px)) > 0


def depth(mask: BoolArray) -> FloatArray:
    """Distance of each True pixel to the nearest False one, in px; 0 outside."""
    return cast("FloatArray", cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5))


def lab(rgb: FloatArray) -> FloatArray:
    """CIE Lab of sRGB 0..255."""
    return cast("FloatArray", cv2.cvtColor(rgb / np.float32(255), cv2.COLOR_RGB2LAB))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Parts:
    """Connected parts of a mask; arrays hold one entry a part, without the background.

    Attributes:
        labels: int32 (h, w), 0 background, part i is i + 1.
        left, top, width, height, area, centre_x: in pixels.
    """

    labels: NDArray[np.int32]
    left: NDArray[np.float64]
    top: NDArray[np.float64]
    width: NDArray[np.float64]
    height: NDArray[np.float64]
    area: NDArray[np.float64]
    centre_x: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.area)

    def only(self, chosen: BoolArray) -> BoolArray:
        """The mask of the chosen parts."""
        return np.concatenate([[False], chosen])[self.labels]


def parts(mask: BoolArray) -> Parts:
    """The 8-connected parts of a mask."""
    _, labels, stats, centres = cv2.connectedComponentsWithStats(
        mask.astype(np.uint8), connectivity=8
    )
    table = np.asarray(stats, np.float64)[1:]
    return Parts(
        labels=np.asarray(labels, np.int32),
        left=table[:, cv2.CC_STAT_LEFT],
        top=table[:, cv2.CC_STAT_TOP],
        width=table[:, cv2.CC_STAT_WIDTH],
        height=table[:, cv2.CC_STAT_HEIGHT],
        area=table[:, cv2.CC_STAT_AREA],
        centre_x=np.asarray(centres, np.float64)[1:, 0],
    )


def gradient(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Central differences (down, right)."""
    down, right = np.gradient(values)
    return cast("FloatArray", down), cast("FloatArray", right)


def _disk(radius_px: float) -> NDArray[np.uint8]:
    size = 2 * max(1, round(radius_px)) + 1
    return cast("NDArray[np.uint8]", cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
