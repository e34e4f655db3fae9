"""Quads of text: four corners (4, 2), clockwise from the text's own top-left, in pixels."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

RgbArray = NDArray[np.uint8]
QuadArray = NDArray[np.float64]


def quad_height_px(quad_xy: QuadArray) -> float:
    """Mean length of the two sides that run from the top to the bottom of the letters."""
    left = np.linalg.norm(quad_xy[3] - quad_xy[0])
    right = np.linalg.norm(quad_xy[2] - quad_xy[1])
    return float(left + right) / 2


def quad_width_px(quad_xy: QuadArray) -> float:
    """Mean length of the two sides along the line of text."""
    top = np.linalg.norm(quad_xy[1] - quad_xy[0])
    bottom = np.linalg.norm(quad_xy[2] - quad_xy[3])
    return float(top + bottom) / 2


def rotate_quad(quad_xy: QuadArray, quarter_turns: int) -> QuadArray:
    """The same quad with the text's top-left at the next corner(s), clockwise."""
    return np.roll(quad_xy, -quarter_turns, axis=0)


def slice_quad(quad_xy: QuadArray, start: float, end: float) -> QuadArray:
    """The part of a line between two fractions 0 to 1 of its length."""
    top = quad_xy[1] - quad_xy[0]
    bottom = quad_xy[2] - quad_xy[3]
    return np.array(
        [
            quad_xy[0] + start * top,
            quad_xy[0] + end * top,
            quad_xy[3] + end * bottom,
            quad_xy[3] + start * bottom,
        ]
    )


def grow_quad(quad_xy: QuadArray, margin_px: float) -> QuadArray:
    """The quad with each side moved outwards by about margin_px."""
    along = quad_xy[1] - quad_xy[0] + quad_xy[2] - quad_xy[3]
    down = quad_xy[3] - quad_xy[0] + quad_xy[2] - quad_xy[1]
    along = margin_px * along / max(float(np.linalg.norm(along)), 1e-9)
    down = margin_px * down / max(float(np.linalg.norm(down)), 1e-9)
    return quad_xy + np.array([-along - down, along - down, along + down, down - along])


def crop_quad(image_rgb: RgbArray, quad_xy: QuadArray) -> RgbArray:
    """The quad's pixels, straightened; at least 1 x 1, at most 4096 wide."""
    w = int(np.clip(round(quad_width_px(quad_xy)), 1, 4096))
    h = int(np.clip(round(quad_height_px(quad_xy)), 1, 4096))
    # Corners name pixel corners, warpPerspective counts pixel centres: hence the halves.
    target = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32) - np.float32(0.5)
    matrix = cv2.getPerspectiveTransform((quad_xy - 0.5).astype(np.float32), target)
    out = cv2.warpPerspective(
        image_rgb, matrix, (w, h), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(out, np.uint8)
