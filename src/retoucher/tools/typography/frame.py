"""A straightened view of one line of lettering, and the way back."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.tools.typography.raster import blur

FloatArray = NDArray[np.float32]
Points = NDArray[np.float64]

TARGET_PX = 56.0
MAX_ZOOM = 4.0
MAX_TEXT_PX = 112.0
MARGIN_X, MARGIN_Y = 0.6, 0.35


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Frame:
    """Where a straightened view lies in the crop.

    Attributes:
        to_crop: 3x3, from pixel centres of the view to pixel centres of the crop.
        shape_hw: of the view.
        text_px: height of the quad in the view.
        zoom: view pixels per crop pixel, about.
        core: (x0, y0, x1, y1) of the quad in the view.
    """

    to_crop: NDArray[np.float64]
    shape_hw: tuple[int, int]
    text_px: float
    zoom: float
    core: tuple[int, int, int, int]

    def view(self, picture: FloatArray) -> FloatArray:
        """The crop, float32 (h, w[, 3]), as seen straight on."""
        h, w = self.shape_hw
        source = picture
        if self.zoom < 1:
            source = blur(picture, 0.45 / self.zoom)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        seen = cv2.warpPerspective(
            source, self.to_crop, (w, h), flags=flags, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(np.clip(seen, 0, 255), np.float32)

    def view_mask(self, mask_hw: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of the crop as seen straight on; False outside the crop."""
        h, w = self.shape_hw
        flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
        seen = cv2.warpPerspective(mask_hw.astype(np.uint8), self.to_crop, (w, h), flags=flags)
        return np.asarray(seen) > 0

    def back(self, layer: FloatArray, shape_hw: tuple[int, int]) -> FloatArray:
        """A layer of the view, float32 (h, w[, c]), in the crop's pixels; 0 elsewhere."""
        h, w = shape_hw
        return np.asarray(
            cv2.warpPerspective(layer, self.to_crop, (w, h), flags=cv2.INTER_LINEAR), np.float32
        )


def frame_of(quad_xy: Points) -> Frame:
    """The frame of a quad (4, 2) in crop coordinates, clockwise from the text's top-left."""
    tl, tr, br, bl = quad_xy
    width = float(np.linalg.norm(tr - tl) + np.linalg.norm(br - bl)) / 2
    height = max(1.0, float(np.linalg.norm(bl - tl) + np.linalg.norm(br - tr)) / 2)
    zoom = float(np.clip(TARGET_PX / height, 1.0, MAX_ZOOM))
    zoom = min(zoom, MAX_TEXT_PX / height)
    w, h = max(4.0, width * zoom), max(4.0, height * zoom)
    mx, my = round(MARGIN_X * h), round(MARGIN_Y * h)
    corners = np.array([[0, 0], [w, 0], [w, h], [0, h]]) + np.array([mx, my])
    matrix = cv2.getPerspectiveTransform(
        (corners - 0.5).astype(np.float32), (quad_xy - 0.5).astype(np.float32)
    )
    return Frame(
        to_crop=np.asarray(matrix, np.float64),
        shape_hw=(round(h) + 2 * my, round(w) + 2 * mx),
        text_px=float(h),
        zoom=zoom,
        core=(mx, my, mx + round(w), my + round(h)),
    )
