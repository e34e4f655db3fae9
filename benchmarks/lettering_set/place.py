"""Lettering onto a surface: perspective, shading, blur, and the truth of where it went."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lettering_set.glyphs import Ink, Strip

Canvas = NDArray[np.float32]
"""Picture in progress, float32 (H, W, 3) in 0..1."""
Quad = NDArray[np.float64]
"""Four points (4, 2) x, y in pixels, clockwise from the lettering's own top-left."""
LARGEST_CAP_PX = 118.0
UNIT = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How ink sits on its surface.

    Attributes:
        rgb: ink colour, 0..1.
        opacity: 1 hides the surface; print on cloth lets some through.
        shade: how far the surface's light and texture show in the ink, 0..1.
        blur_px: softness of the edges, in picture pixels.
        grain: chalk and worn paint: share of the ink rubbed away.
        halo: glow around the ink (neon), 0..1.
    """

    rgb: tuple[float, float, float]
    opacity: float = 0.95
    shade: float = 0.7
    blur_px: float = 0.5
    grain: float = 0.0
    halo: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Placed:
    """Where a strip went: the quads of the whole line and of each word, and the cap height."""

    quad_xy: Quad
    word_quads_xy: tuple[Quad, ...]
    cap_px: float


def side_lengths(quad_xy: Quad) -> tuple[float, float]:
    """Mean width and height of a quad in pixels."""
    q = quad_xy
    width = (np.linalg.norm(q[1] - q[0]) + np.linalg.norm(q[2] - q[3])) / 2
    height = (np.linalg.norm(q[3] - q[0]) + np.linalg.norm(q[2] - q[1])) / 2
    return float(width), float(height)


def _map(points: NDArray[np.float64], matrix: NDArray[np.float64]) -> Quad:
    mapped = cv2.perspectiveTransform(points[None].astype(np.float64), matrix)[0]
    return np.asarray(mapped, np.float64)


def sub_quad(quad_xy: Quad, u0: float, v0: float, u1: float, v1: float) -> Quad:
    """The part of a quad between fractions u (along) and v (down)."""
    matrix = cv2.getPerspectiveTransform(UNIT, quad_xy.astype(np.float32))
    return _map(np.array([[u0, v0], [u1, v0], [u1, v1], [u0, v1]]), matrix)


def fit(strip: Strip, slot_xy: Quad, *, align: float = 0.5, fill: float = 1.0) -> Placed:
    """Fit a strip into a slot, keeping its proportions. align 0 left, 0.5 centre, 1 right."""
    h, w = strip.ink_hw.shape
    slot_w, slot_h = side_lengths(slot_xy)
    scale = min(fill * slot_w / w, fill * slot_h / h, LARGEST_CAP_PX / strip.cap_px)
    du, dv = w * scale / slot_w, h * scale / slot_h
    u0, v0 = (1 - du) * align, (1 - dv) / 2
    quad = sub_quad(slot_xy, u0, v0, u0 + du, v0 + dv)
    words = [sub_quad(quad, x0 / w, y0 / h, x1 / w, y1 / h) for x0, y0, x1, y1 in strip.word_boxes]
    return Placed(quad_xy=quad, word_quads_xy=tuple(words), cap_px=strip.cap_px * scale)


def _coverage(strip: Strip, quad_xy: Quad, shape_hw: tuple[int, int], blur_px: float) -> Ink:
    """The strip's coverage of each picture pixel, three times oversampled."""
    over, (h, w) = 3, strip.ink_hw.shape
    target_w, _ = side_lengths(quad_xy)
    shrink = min(1.0, over * target_w / w)
    size = max(2, round(w * shrink)), max(2, round(h * shrink))
    source = cv2.resize(strip.ink_hw, size, interpolation=cv2.INTER_AREA)
    corners = UNIT * np.array(size, np.float32)
    lo = np.floor(quad_xy.min(0) - 4 * blur_px - 2).astype(int)
    hi = np.ceil(quad_xy.max(0) + 4 * blur_px + 2).astype(int)
    lo, hi = np.maximum(lo, 0), np.minimum(hi, shape_hw[::-1])
    matrix = cv2.getPerspectiveTransform(corners, ((quad_xy - lo) * over).astype(np.float32))
    roi_wh = hi - lo
    big = cv2.warpPerspective(source, matrix, (int(roi_wh[0] * over), int(roi_wh[1] * over)))
    roi = cv2.resize(big, (int(roi_wh[0]), int(roi_wh[1])), interpolation=cv2.INTER_AREA)
    if blur_px > 0:
        roi = cv2.GaussianBlur(roi, (0, 0), blur_px)
    out = np.zeros(shape_hw, np.float32)
    out[lo[1] : hi[1], lo[0] : hi[0]] = roi
    return out


def paint(
    canvas: Canvas, strip: Strip, placed: Placed, style: Style, rng: np.random.Generator
) -> None:
    """Put the strip's ink on the canvas, in place."""
    cover = _coverage(strip, placed.quad_xy, canvas.shape[:2], style.blur_px)
    # Drawn for every style: the dice of a picture and of its clean twin stay in step.
    worn = rng.random(canvas.shape[:2], np.float32)
    if style.grain:
        worn = cv2.GaussianBlur(worn, (0, 0), 0.7)
        level = float(np.quantile(worn, style.grain))
        cover = cover * np.clip((worn - level) * 12 + 0.5, 0.15, 1)
    luma = canvas.mean(2)
    inside = cover > 0.3
    light = float(luma[inside].mean()) if inside.any() else 0.5
    ratio = np.clip((luma + 0.02) / (light + 0.02), 0.3, 1.6)
    shaded = np.clip(np.array(style.rgb, np.float32) * (ratio**style.shade)[..., None], 0, 1)
    if style.halo:
        glow = cv2.GaussianBlur(cover, (0, 0), max(2.0, 0.35 * placed.cap_px))[..., None]
        canvas += style.halo * glow * np.array(style.rgb, np.float32) * (1 - canvas)
    alpha = (cover * style.opacity)[..., None]
    canvas[:] = np.clip(canvas * (1 - alpha) + shaded * alpha, 0, 1)


def contrasting(
    canvas: Canvas, quad_xy: Quad, rng: np.random.Generator
) -> tuple[float, float, float]:
    """An ink colour that can be read on this part of the canvas."""
    x0, y0 = np.maximum(np.floor(quad_xy.min(0)).astype(int), 0)
    x1, y1 = np.ceil(quad_xy.max(0)).astype(int)
    luma = float(np.median(canvas[y0:y1, x0:x1].mean(2)))
    hue = rng.random()
    dark = luma > 0.45
    value, chroma = (
        (rng.uniform(0.03, 0.3), rng.uniform(0, 0.9)) if dark else (0.95, rng.uniform(0, 0.45))
    )
    hsv = np.array([[[hue * 360, chroma, value + (0.12 * chroma if dark else 0)]]], np.float32)
    r, g, b = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return float(r), float(g), float(b)
