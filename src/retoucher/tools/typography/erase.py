"""Old strokes taken away: the surface goes on underneath, with its light, texture and grain."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retoucher.tools.fill import patch_fill
from retoucher.tools.typography.raster import blur, enlarge, grow, reduce, shrink

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
TEXTURE_LEVELS = 3.0
MAX_AREA_PX = 60_000


def erase(
    picture: FloatArray,
    hole: BoolArray,
    surface: BoolArray,
    source: BoolArray,
    base: FloatArray,
    *,
    text_px: float,
    seed: int,
) -> FloatArray:
    """The picture with the hole filled from the surface around it.

    The slow change of light is bridged smoothly; what is left (texture, grain) is filled by
    PatchMatch, so that shading and texture are both kept.

    Args:
        picture: float32 (h, w, 3), sRGB 0..255.
        hole: bool (h, w), strokes to take away.
        surface: bool (h, w), what the lettering plainly stands on; its light is bridged.
        source: bool (h, w), what texture may be copied from: the surface and its joints or seams.
        base: float32 (h, w, 3), the surface's smooth colour, roughly.
        text_px: height of the lettering.
        seed: of the search.
    """
    if not hole.any():
        return picture
    surface = surface & ~hole
    avoid = ~(source | surface) & ~hole
    bridge = _bridge(picture - base, surface, sigma_px=max(2.0, 0.25 * text_px))
    smooth = np.asarray(base + bridge, np.float32)
    detail = np.asarray(picture - smooth, np.float32)
    away = _away(hole, avoid)
    filled = np.zeros_like(detail)
    if _textured(detail, away):
        filled = _fill_detail(detail, hole, avoid, seed)
    filled = _regrain(filled, detail, hole, away, seed)
    out = picture.copy()
    out[hole] = np.clip(smooth + filled, 0, 255)[hole]
    return out


def _fill_detail(detail: FloatArray, hole: BoolArray, avoid: BoolArray, seed: int) -> FloatArray:
    """PatchMatch on what is left of the surface without its light; large ones at half size."""
    h, w = hole.shape
    scale = min(1.0, float(np.sqrt(MAX_AREA_PX / (h * w))))
    shown = np.clip(detail + 128, 0, 255).round().astype(np.uint8)
    if scale == 1.0:
        return patch_fill(shown, hole, avoid=avoid, seed=seed).astype(np.float32) - np.float32(128)
    small_hw = (max(1, round(h * scale)), max(1, round(w * scale)))
    small = reduce(shown.astype(np.float32), small_hw).round().astype(np.uint8)
    small_hole = reduce(hole.astype(np.float32), small_hw) > 0
    small_avoid = reduce(avoid.astype(np.float32), small_hw) > 0.3
    done = patch_fill(small, small_hole, avoid=small_avoid & ~small_hole, seed=seed)
    return enlarge(done.astype(np.float32), (h, w)) - np.float32(128)


def _away(hole: BoolArray, avoid: BoolArray) -> BoolArray:
    """Surface near the hole but not next to it: there the old edges' ringing is no texture."""
    return grow(hole, 12) & ~grow(hole | avoid, 2)


def _bridge(picture: FloatArray, known: BoolArray, *, sigma_px: float) -> FloatArray:
    """Local mean of the known pixels, from near ones where there are any, else from farther."""
    weight = known.astype(np.float32)
    out = np.zeros_like(picture)
    for sigma in (4 * sigma_px, 2 * sigma_px, sigma_px):
        share = blur(weight, sigma)
        local = blur(picture * weight[..., None], sigma) / np.maximum(share, 1e-6)[..., None]
        trust = np.clip(share / 0.08, 0, 1)[..., None]
        out = out * (1 - trust) + local * trust
    return np.asarray(out, np.float32)


def _textured(detail: FloatArray, away: BoolArray) -> bool:
    """Whether the surface has a texture coarser than grain."""
    if away.sum() < 30:
        return False
    return float(blur(detail, 1.2)[away].std(0).mean()) > TEXTURE_LEVELS


def _regrain(
    filled: FloatArray, detail: FloatArray, hole: BoolArray, away: BoolArray, seed: int
) -> FloatArray:
    """Grain that averaging took away is put back, as strong as around the hole."""
    inner = shrink(hole, 1)
    if away.sum() < 30 or inner.sum() < 30:
        return filled
    goal, now = _spread(_fine(detail)[away]), _spread(_fine(filled)[inner])
    missing = np.sqrt(np.maximum(goal**2 - now**2, 0)).clip(0, 12)
    noise = grain(filled.shape[:2], seed)
    return np.asarray(filled + noise[..., None] * missing, np.float32)


def _spread(values: FloatArray) -> FloatArray:
    """Robust standard deviation of each channel."""
    return np.asarray(1.48 * np.median(np.abs(values), axis=0), np.float32)


def _fine(values: FloatArray) -> FloatArray:
    return values - blur(values, 1.2)


def grain(shape_hw: tuple[int, int], seed: int) -> FloatArray:
    """Soft noise of unit deviation, float32 (h, w)."""
    raw = np.random.default_rng(seed).standard_normal(shape_hw).astype(np.float32)
    soft = blur(raw, 0.6)
    return np.asarray(soft / max(float(soft.std()), 1e-6), np.float32)
