"""How a picture reaches the network, and how the network's map gets back to the picture.

Shared by training, export and run time, so that they cannot drift apart. No stretching: the picture
keeps its aspect ratio and is padded at the right and bottom; padding is marked as not valid.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import FloatArray, RgbArray

MULTIPLE = 32


class NetworkInput(NamedTuple):
    """`image_1chw` float32 in [-1, 1], `valid_1hw` float32, and the picture's size inside it."""

    image_1chw: FloatArray
    valid_1hw: FloatArray
    shown_hw: tuple[int, int]


def prepare(image_rgb: RgbArray, long_side_px: int) -> NetworkInput:
    """The picture with its longer side at `long_side_px`, padded to multiples of 32."""
    height, width = image_rgb.shape[:2]
    scale = long_side_px / max(height, width)
    shown_h, shown_w = max(1, round(height * scale)), max(1, round(width * scale))
    shown: NDArray[np.uint8] = image_rgb
    if (shown_h, shown_w) != (height, width):
        mode = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        shown = np.asarray(cv2.resize(image_rgb, (shown_w, shown_h), interpolation=mode), np.uint8)
    padded_h, padded_w = (-(-side // MULTIPLE) * MULTIPLE for side in (shown_h, shown_w))
    image = np.zeros((1, 3, padded_h, padded_w), np.float32)
    image[0, :, :shown_h, :shown_w] = shown.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1.0
    valid = np.zeros((1, padded_h, padded_w), np.float32)
    valid[:, :shown_h, :shown_w] = 1.0
    return NetworkInput(image, valid, (shown_h, shown_w))


def shown_logits(logits_hw: FloatArray, shown_hw: tuple[int, int], stride: int) -> FloatArray:
    """Logits of every pixel of the shown picture, float32 `shown_hw`, without the padding."""
    height, width = logits_hw.shape[0] * stride, logits_hw.shape[1] * stride
    full = cv2.resize(logits_hw, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(full[: shown_hw[0], : shown_hw[1]], np.float32)


def joined(fine_hw: FloatArray, coarse_hw: FloatArray, coarse_weight: float) -> FloatArray:
    """Weighted mean of the logits of two views of a picture, at the size of the first."""
    size_wh = (fine_hw.shape[1], fine_hw.shape[0])
    enlarged = cv2.resize(coarse_hw, size_wh, interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine_hw + np.float32(coarse_weight) * (enlarged - fine_hw), np.float32)


def to_saliency(logits_hw: FloatArray, size_hw: tuple[int, int]) -> FloatArray:
    """Saliency of the picture's size from logits of the shown one; float32 in [0, 1]."""
    logits = np.ascontiguousarray(logits_hw)
    saliency = 1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0)))
    if saliency.shape != size_hw:
        mode = cv2.INTER_LINEAR
        if saliency.shape[0] > size_hw[0]:
            mode = cv2.INTER_AREA
        saliency = cv2.resize(saliency, size_hw[::-1], interpolation=mode)
    return np.clip(saliency, 0.0, 1.0).astype(np.float32)
