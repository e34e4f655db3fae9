"""Changes of a picture's look that keep its content, so that generators look alike.

What tells generators apart (colour, contrast, sharpness, noise, compression, resampling) must not
tell defects apart. All of it comes after everything that edits a part, so it carries no clue.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import RgbArray

Random = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentSettings:
    """Chance of each change, 0 to 1."""

    tone: float = 0.6
    hue: float = 0.3
    grey: float = 0.15
    resolution: float = 0.35
    blur: float = 0.2
    sharpen: float = 0.2
    noise: float = 0.25
    jpeg: float = 0.5


def augment(image_rgb: RgbArray, settings: AugmentSettings, rng: Random) -> RgbArray:
    """A changed copy of the same size, uint8 (H, W, 3)."""
    out = image_rgb
    if rng.random() < settings.tone:
        out = _tone(out, rng)
    if rng.random() < settings.hue:
        out = _hue(out, rng)
    if rng.random() < settings.grey:
        out = _rgb(np.repeat(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)[..., None], 3, 2))
    if rng.random() < settings.resolution:
        out = _resolution(out, rng)
    if rng.random() < settings.blur:
        out = _rgb(cv2.GaussianBlur(out, (0, 0), rng.uniform(0.4, 1.5)))
    if rng.random() < settings.sharpen:
        soft = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.8, 2.0))
        strength = rng.uniform(0.3, 1.2)
        out = _rgb(cv2.addWeighted(out, 1 + strength, soft, -strength, 0))
    if rng.random() < settings.noise:
        noise = rng.standard_normal(out.shape, np.float32) * rng.uniform(2, 12)
        out = np.clip(out + noise, 0, 255).astype(np.uint8)
    if rng.random() < settings.jpeg:
        out = _jpeg(out, int(rng.uniform(35, 95)))
    return np.ascontiguousarray(out)


def _rgb(image: NDArray[Any]) -> RgbArray:
    """OpenCV's result as what it is: uint8, of the input's type."""
    return np.asarray(image, np.uint8)


def _tone(image: RgbArray, rng: Random) -> RgbArray:
    gain = rng.uniform(0.7, 1.35) * rng.uniform(0.85, 1.15, 3)
    moved = (image.astype(np.float32) - 128) * gain + 128 + rng.uniform(-25, 25)
    return np.clip(moved, 0, 255).astype(np.uint8)


def _hue(image: RgbArray, rng: Random) -> RgbArray:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float32)
    hsv[..., 0] = (hsv[..., 0] + rng.uniform(-12, 12)) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * rng.uniform(0.4, 1.6), 0, 255)
    return np.asarray(cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB), np.uint8)


def _resolution(image: RgbArray, rng: Random) -> RgbArray:
    height, width = image.shape[:2]
    scale = rng.uniform(0.35, 0.95)
    small = cv2.resize(
        image, (int(width * scale), int(height * scale)), interpolation=cv2.INTER_AREA
    )
    mode = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(small, (width, height), interpolation=mode), np.uint8)


def _jpeg(image: RgbArray, quality: int) -> RgbArray:
    """Through a JPEG file; channels pass as they are, so their order does not matter."""
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
