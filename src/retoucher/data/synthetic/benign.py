"""Edits with a defect's border, resampling and blending that leave the picture right.

Without them a network learns the seam. Each returns the edited window, float32 (h, w, 3), and looks
as right as what it was given.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import cv2
import numpy as np

from retoucher.data.sample import FloatArray
from retoucher.data.synthetic.fields import (
    blurred,
    capsule,
    ellipse,
    f32,
    grain,
    mix,
    noise,
    noise_field,
    ragged_ellipse,
    smoothed,
    turn,
    warp,
)

Benign: TypeAlias = Callable[[np.random.Generator, FloatArray], FloatArray]


def resampled(rng: np.random.Generator, crop: FloatArray) -> FloatArray:
    """Made smaller and larger again."""
    height, width = crop.shape[:2]
    share = float(rng.uniform(0.5, 0.9))
    small = max(round(width * share), 2), max(round(height * share), 2)
    down = cv2.resize(crop, small, interpolation=cv2.INTER_AREA)
    modes = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
    up = cv2.resize(down, (width, height), interpolation=modes[int(rng.integers(3))])
    return np.clip(up, 0, 255).astype(np.float32)


def recompressed(rng: np.random.Generator, crop: FloatArray) -> FloatArray:
    """Through JPEG once more."""
    quality = int(rng.integers(25, 80))
    eight = np.clip(crop, 0, 255).astype(np.uint8)
    _, code = cv2.imencode(".jpg", eight, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(code, cv2.IMREAD_COLOR)
    assert decoded is not None
    return f32(decoded)


def nudged(rng: np.random.Generator, crop: FloatArray) -> FloatArray:
    """Shifted by a pixel or two, turned and scaled by a hair."""
    height, width = crop.shape[:2]
    side = min(height, width)
    matrix = turn(
        (width / 2, height / 2),
        float(rng.uniform(-0.05, 0.05)),
        float(rng.uniform(0.96, 1.04)),
        (float(rng.uniform(-0.015, 0.015)) * side, float(rng.uniform(-0.015, 0.015)) * side),
    )
    out = cv2.warpAffine(
        crop, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.clip(out, 0, 255).astype(np.float32)


def relit(rng: np.random.Generator, crop: FloatArray) -> FloatArray:
    """Brighter, darker, warmer or colder, evenly or along a gradient."""
    height, width = crop.shape[:2]
    gain = 1 + rng.uniform(-0.12, 0.12, 3) * 0.4 + rng.uniform(-0.15, 0.15)
    slope = noise(rng, (height, width), max(height, width) * 0.8) * float(rng.uniform(0, 0.07))
    return np.clip(crop * gain * (1 + slope[..., None]), 0, 255).astype(np.float32)


def eased(rng: np.random.Generator, crop: FloatArray) -> FloatArray:
    """A warp so broad and small that every shape stays possible."""
    height, width = crop.shape[:2]
    side = min(height, width)
    scale = side * float(rng.uniform(0.5, 0.9))
    field = noise_field(rng, (height, width), scale, side * float(rng.uniform(0.006, 0.015)))
    return np.clip(warp(crop, field), 0, 255).astype(np.float32)


def softened(rng: np.random.Generator, crop: FloatArray) -> FloatArray:
    """Slightly out of focus."""
    side = min(crop.shape[:2])
    return blurred(crop, float(rng.uniform(0.4, max(0.6, min(0.014 * side, 1.8)))))


def denoised(rng: np.random.Generator, crop: FloatArray) -> FloatArray:
    """Fine texture smoothed, edges kept, sometimes with the grain put back."""
    out = smoothed(crop, float(rng.uniform(0.0, 0.35)))
    if rng.random() < 0.5:
        out = np.clip(out + 0.7 * grain(rng, crop, 1.0), 0, 255).astype(np.float32)
    return out


def sharpened(rng: np.random.Generator, crop: FloatArray) -> FloatArray:
    """Unsharp mask."""
    detail = crop - blurred(crop, float(rng.uniform(0.8, 2.0)))
    return np.clip(crop + detail * float(rng.uniform(0.3, 0.9)), 0, 255).astype(np.float32)


def noised(rng: np.random.Generator, crop: FloatArray) -> FloatArray:
    """Sensor noise."""
    sigma = float(rng.uniform(2, 8))
    return np.clip(crop + rng.normal(0, sigma, crop.shape), 0, 255).astype(np.float32)


BENIGN: tuple[Benign, ...] = (
    resampled,
    recompressed,
    nudged,
    relit,
    eased,
    softened,
    denoised,
    sharpened,
    noised,
)


def random_border(rng: np.random.Generator, size_hw: tuple[int, int]) -> FloatArray:
    """Where an edit goes in: an ellipse, a ragged blob, a thick stroke or a soft rectangle."""
    height, width = size_hw
    centre = (
        width * float(rng.uniform(0.35, 0.65)),
        height * float(rng.uniform(0.35, 0.65)),
    )
    radii = width * float(rng.uniform(0.2, 0.45)), height * float(rng.uniform(0.2, 0.45))
    kind = int(rng.integers(4))
    if kind == 0:
        return ellipse(size_hw, centre, radii, float(rng.uniform(0.05, 0.5)))
    if kind == 1:
        return ragged_ellipse(rng, size_hw, centre, radii)
    if kind == 2:
        steps = rng.standard_normal((4, 2)) * np.array([width, height]) * 0.18
        line = np.array(centre) + np.cumsum(steps, axis=0)
        return capsule(size_hw, line, min(size_hw) * float(rng.uniform(0.08, 0.25)))
    out = np.zeros(size_hw, np.float32)
    x0, x1 = max(int(centre[0] - radii[0]), 0), int(centre[0] + radii[0]) + 1
    y0, y1 = max(int(centre[1] - radii[1]), 0), int(centre[1] + radii[1]) + 1
    out[y0:y1, x0:x1] = 1
    return blurred(out, float(rng.uniform(0.5, 4.0)))


def benign_edit(
    rng: np.random.Generator, crop: FloatArray, border: FloatArray | None = None
) -> FloatArray:
    """One to three harmless edits inside one border; float32 (h, w, 3).

    Args:
        rng: source of chance.
        crop: the window, values 0..255.
        border: opacity (h, w) of the edit, such as a defect's own; None: a random shape.
    """
    edited = crop
    for index in rng.choice(len(BENIGN), size=int(rng.integers(1, 4)), replace=False):
        edited = BENIGN[int(index)](rng, edited)
    alpha = random_border(rng, crop.shape[:2]) if border is None else border
    return mix(crop, edited, alpha)
