"""What happens to whole pictures afterwards, alike for a defect and its clean twin."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from retoucher.data.sample import FloatArray, RgbArray
from retoucher.data.synthetic.fields import blurred


@dataclass(frozen=True, slots=True, kw_only=True)
class AugmentSettings:
    """Chances and ranges of the global changes.

    Attributes:
        resize, jpeg, blur, noise, colour, grey, sharpen: chance of each, 0 to 1.
        resize_range: the picture is made this much smaller, then enlarged to its size again.
        jpeg_range: quality.
        max_blur_px: sigma.
        max_noise: sigma, of 255.
        colour_strength: deviation of gain, gamma and saturation.
    """

    resize: float = 0.4
    jpeg: float = 0.6
    blur: float = 0.25
    noise: float = 0.3
    colour: float = 0.7
    grey: float = 0.08
    sharpen: float = 0.2
    resize_range: tuple[float, float] = (0.5, 0.95)
    jpeg_range: tuple[int, int] = (35, 97)
    max_blur_px: float = 1.3
    max_noise: float = 8.0
    colour_strength: float = 0.15


NO_AUGMENT = AugmentSettings(resize=0, jpeg=0, blur=0, noise=0, colour=0, grey=0, sharpen=0)


def augment(seed: int, rgb: RgbArray, settings: AugmentSettings) -> RgbArray:
    """The picture after global changes that `seed` alone chooses; uint8, same shape.

    Two pictures of one size and seed change by the same amounts, noise included.
    """
    rng = np.random.default_rng(seed)
    chance = rng.random(7)
    picture = rgb.astype(np.float32)
    if chance[0] < settings.colour:
        picture = _coloured(rng, picture, settings.colour_strength)
    if chance[1] < settings.grey:
        picture = _grey(rng, picture)
    if chance[2] < settings.resize:
        picture = _resized(rng, picture, settings.resize_range)
    if chance[3] < settings.blur:
        picture = blurred(picture, float(rng.uniform(0.2, max(settings.max_blur_px, 0.2))))
    elif chance[4] < settings.sharpen:
        picture = picture + (picture - blurred(picture, 1.2)) * float(rng.uniform(0.2, 0.8))
    if chance[5] < settings.noise:
        sigma = float(rng.uniform(1.0, max(settings.max_noise, 1.0)))
        picture = picture + rng.standard_normal(picture.shape, np.float32) * np.float32(sigma)
    out = np.clip(picture, 0, 255).astype(np.uint8)
    if chance[6] < settings.jpeg:
        quality = int(rng.integers(settings.jpeg_range[0], settings.jpeg_range[1] + 1))
        _, code = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])
        decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
        assert decoded is not None
        out = decoded.astype(np.uint8, copy=False)
    return np.ascontiguousarray(out)


def _coloured(rng: np.random.Generator, rgb: FloatArray, strength: float) -> FloatArray:
    gain = np.float32(1) + rng.standard_normal(3).astype(np.float32) * np.float32(strength * 0.35)
    gamma = float(np.exp(rng.normal(0, strength)))
    saturation = np.float32(np.exp(rng.normal(0, strength * 1.5)))
    # grey + (rgb - grey) * saturation, then gain, as one matrix
    mixed = np.full((3, 3), (1 - saturation) / 3, np.float32) + saturation * np.eye(3)
    out = np.clip(cv2.transform(rgb, (mixed * gain[:, None]).astype(np.float32)), 0, 255)
    table = (np.linspace(0, 1, 256) ** gamma * 255).astype(np.float32)
    return table[out.astype(np.uint8)]


def _grey(rng: np.random.Generator, rgb: FloatArray) -> FloatArray:
    grey = rgb @ np.array([0.299, 0.587, 0.114], np.float32)
    tone = np.array([1.0, 1.0, 1.0] if rng.random() < 0.5 else [1.06, 0.98, 0.84], np.float32)
    return (grey[..., None] * tone).astype(np.float32)


def _resized(
    rng: np.random.Generator, rgb: FloatArray, share_range: tuple[float, float]
) -> FloatArray:
    height, width = rgb.shape[:2]
    share = float(rng.uniform(*share_range))
    small = max(round(width * share), 8), max(round(height * share), 8)
    down = cv2.resize(rgb, small, interpolation=cv2.INTER_AREA)
    mode = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    return cv2.resize(down, (width, height), interpolation=mode).astype(np.float32, copy=False)
