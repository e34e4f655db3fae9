"""Procedural surfaces, float32 (H, W, 3) in 0..1."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Canvas = NDArray[np.float32]
Rng = np.random.Generator
Rgb = tuple[float, float, float]


def noise_field(h: int, w: int, sigma: float, rng: Rng) -> Canvas:
    """Smooth noise of unit deviation, shape (h, w)."""
    field = cv2.GaussianBlur(rng.standard_normal((h, w)).astype(np.float32), (0, 0), sigma)
    return field / max(1e-6, float(field.std()))


def plaster(h: int, w: int, rng: Rng, rgb: Rgb, rough: float) -> Canvas:
    """A plain surface; rough is the contrast of its grain."""
    grain = sum(noise_field(h, w, s, rng) * a for s, a in ((0.7, 0.5), (3, 0.6), (25, 0.8)))
    return np.clip(np.array(rgb, np.float32) * (1 + rough * grain[..., None]), 0, 1)


def paper(h: int, w: int, rng: Rng, rgb: Rgb) -> Canvas:
    return plaster(h, w, rng, rgb, 0.014)


def wood(h: int, w: int, rng: Rng, rgb: Rgb) -> Canvas:
    """Boards with long grain along x."""
    stretched = cv2.resize(
        noise_field(h, max(8, w // 24), 1.2, rng), (w, h), interpolation=cv2.INTER_CUBIC
    )
    rings = np.sin(np.linspace(0, h / 9, h, dtype=np.float32)[:, None] + 1.8 * stretched)
    fine = cv2.GaussianBlur(rng.standard_normal((h, w)).astype(np.float32), (0, 0), 12, sigmaY=0.6)
    tone = 1 + 0.1 * rings + 0.6 * fine + 0.08 * noise_field(h, w, 40, rng)
    return np.clip(np.array(rgb, np.float32) * tone[..., None], 0, 1)


def bricks(h: int, w: int, rng: Rng) -> Canvas:
    """A wall in stretcher bond, each brick its own tone, with sunk mortar."""
    bh, bw, gap = 26, 74, 4
    clay = np.array(
        ((0.56, 0.28, 0.21), (0.62, 0.36, 0.27), (0.50, 0.45, 0.40))[int(rng.integers(3))]
    )
    wall = plaster(h, w, rng, (0.66, 0.63, 0.58), 0.05)
    for row in range(h // bh + 1):
        shift = (row % 2) * bw // 2
        for x in range(-shift, w, bw):
            tone = clay * rng.uniform(0.78, 1.15) + rng.normal(0, 0.012, 3)
            y0, x0 = row * bh, max(0, x)
            wall[y0 : y0 + bh - gap, x0 : max(0, x + bw - gap)] = np.clip(tone, 0, 1)
            wall[y0 + bh - gap - 2 : y0 + bh - gap, x0 : max(0, x + bw - gap)] *= 0.8
    rough = 1 + 0.07 * noise_field(h, w, 0.8, rng) + 0.06 * noise_field(h, w, 4, rng)
    return np.clip(cv2.GaussianBlur(wall, (0, 0), 0.7) * rough[..., None], 0, 1).astype(np.float32)


def gradient(h: int, w: int, rng: Rng, low: float = 0.7) -> Canvas:
    """Light that falls off across the picture from 1 to `low`, shape (h, w, 1)."""
    angle = rng.uniform(0, 2 * np.pi)
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    t = (xx / w - 0.5) * np.cos(angle) + (yy / h - 0.5) * np.sin(angle)
    t = (t - t.min()) / max(1e-6, float(t.max() - t.min()))
    return (low + (1 - low) * t).astype(np.float32)[..., None]


def resize_cover(photo: Canvas, h: int, w: int) -> Canvas:
    """The photo scaled and centre-cropped to (h, w)."""
    scale = max(h / photo.shape[0], w / photo.shape[1])
    size = round(photo.shape[1] * scale + 0.5), round(photo.shape[0] * scale + 0.5)
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    big = cv2.resize(photo, size, interpolation=way)
    y, x = (big.shape[0] - h) // 2, (big.shape[1] - w) // 2
    return np.clip(big[y : y + h, x : x + w], 0, 1).astype(np.float32)


def card_shadow(shape_hw: tuple[int, int], quad_xy: NDArray[np.float64]) -> Canvas:
    """A soft shadow below and right of a flat thing, shape (H, W), 0..1."""
    mask = np.zeros(shape_hw, np.uint8)
    height = float(np.linalg.norm(quad_xy[3] - quad_xy[0]))
    moved = quad_xy + np.array([0.015, 0.03]) * height
    cv2.fillPoly(mask, [np.round(moved).astype(np.int32)], 255)
    return cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), max(2.0, 0.02 * height))
