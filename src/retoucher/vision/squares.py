"""Turned squares of a picture: how its parts are shown to networks that want them upright."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import FloatArray, RgbArray

_SHRINK_FROM = 1.5
"""Picture pixels per crop pixel from which areas are averaged, not points taken."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Square:
    """A square of the picture, turned about its centre; it may reach outside.

    Attributes:
        centre_xy: in the picture's pixels, where 0 is the outer edge of the first one.
        side_px: in the picture's pixels, positive.
        angle_rad: by which its upward direction is turned clockwise from the picture's.
    """

    centre_xy: tuple[float, float]
    side_px: float
    angle_rad: float = 0.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.side_px) and self.side_px > 0):
            raise ValueError(f"a square needs a positive side, got {self.side_px}")

    def moved(
        self, *, right: float = 0.0, down: float = 0.0, scale: float = 1.0, turn_rad: float = 0.0
    ) -> Square:
        """Another square near this one.

        Args:
            right, down: along the square's own axes, in its sides.
            scale: factor of the side.
            turn_rad: further clockwise.
        """
        c, s = math.cos(self.angle_rad), math.sin(self.angle_rad)
        x, y = right * self.side_px, down * self.side_px
        return Square(
            centre_xy=(self.centre_xy[0] + c * x - s * y, self.centre_xy[1] + s * x + c * y),
            side_px=self.side_px * scale,
            angle_rad=self.angle_rad + turn_rad,
        )

    def to_picture(self, points_xy: FloatArray, crop_px: int) -> FloatArray:
        """Points (N, 2) of the crop, `crop_px` wide, in the picture's pixels."""
        linear, offset = self._affine(crop_px)
        return (points_xy @ linear.T + offset).astype(np.float32)

    def cut(self, image_rgb: RgbArray, crop_px: int, *, extend: bool) -> FloatArray:
        """What the square shows, float32 (crop_px, crop_px, 3) in [0, 1].

        Args:
            image_rgb: uint8 (H, W, 3).
            crop_px: side of the crop.
            extend: outside of the picture its border goes on; False: black.
        """
        height, width = image_rgb.shape[:2]
        linear, offset = self._affine(crop_px)
        step = self.side_px / crop_px
        turned = abs(math.cos(self.angle_rad)) + abs(math.sin(self.angle_rad))
        reach = self.side_px * turned / 2 + 2 * max(step, 1.0) + 1
        x, y = self.centre_xy
        x0, x1 = max(math.floor(x - reach), 0), min(math.ceil(x + reach), width)
        y0, y1 = max(math.floor(y - reach), 0), min(math.ceil(y + reach), height)
        if x0 >= x1 or y0 >= y1:
            return np.zeros((crop_px, crop_px, 3), np.float32)
        near: NDArray[np.uint8] = np.ascontiguousarray(image_rgb[y0:y1, x0:x1])
        shrunk = np.ones(2)
        if step > _SHRINK_FROM:
            size = max(1, round((x1 - x0) / step)), max(1, round((y1 - y0) / step))
            shrunk = np.array([size[0] / (x1 - x0), size[1] / (y1 - y0)])
            near = np.asarray(cv2.resize(near, size, interpolation=cv2.INTER_AREA), np.uint8)
        linear = shrunk[:, None] * linear
        offset = shrunk * (offset - [x0, y0])
        # OpenCV counts from the middle of the first pixel.
        offset = offset + linear @ np.array([0.5, 0.5]) - 0.5
        crop = cv2.warpAffine(
            near,
            np.hstack([linear, offset[:, None]]),
            (crop_px, crop_px),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE if extend else cv2.BORDER_CONSTANT,
        )
        return crop.astype(np.float32) / np.float32(255)

    def _affine(self, crop_px: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """From crop to picture: (2, 2) and (2,)."""
        step = self.side_px / crop_px
        c, s = math.cos(self.angle_rad), math.sin(self.angle_rad)
        linear = step * np.array([[c, -s], [s, c]])
        return linear, np.array(self.centre_xy) - linear @ np.full(2, crop_px / 2)
