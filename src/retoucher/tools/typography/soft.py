"""Blur of lettering: how soft old edges are, and new ones made as soft."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retoucher.tools.typography.raster import blur, gradient

FloatArray = NDArray[np.float32]
SIGMAS = (0.35, 0.6, 0.9, 1.3, 1.8, 2.5, 3.4, 4.6, 6.0)


def stroke_of(alpha: FloatArray) -> float:
    """Mean stroke thickness in px: twice the area over the length of the outline."""
    gy, gx = gradient(alpha)
    outline = float(np.hypot(gx, gy).sum())
    return max(0.3, 2 * float(alpha.sum()) / max(outline, 1e-6))


def soften(cover: FloatArray, sigma_px: float, *, like: FloatArray) -> FloatArray:
    """Coverage blurred, and made as full inside its strokes as another matte is.

    A thin blurred stroke never reaches full coverage, but the matte of one does: its ink colour
    was taken from the palest place. So both are brought to the same level.
    """
    soft = blur(cover, sigma_px)
    gain = _level(like) / max(_level(soft), 0.2)
    return np.asarray(np.clip(soft * np.clip(gain, 0.8, 2.5), 0, 1), np.float32)


def _level(alpha: FloatArray) -> float:
    """Mean of the fuller half of the inked pixels."""
    inked = alpha[alpha > 0.3 * float(alpha.max(initial=0.0))]
    return float(inked[inked >= inked.mean()].mean()) if inked.size else 1.0


def _edge_share(alpha: FloatArray) -> float:
    """Half-covered pixels per px of outline: grows with blur."""
    gy, gx = gradient(alpha)
    half = ((alpha > 0.12) & (alpha < 0.88)).sum()
    return float(half) / max(float(np.hypot(gx, gy).sum()), 1e-6)


def blur_of(alpha: FloatArray, sharp: FloatArray) -> float:
    """Standard deviation in px of the blur that makes sharp text's edges as soft as a matte's."""
    goal = _edge_share(np.pad(alpha, 2))
    shares = [_edge_share(soften(sharp, sigma, like=alpha)) for sigma in SIGMAS]
    return float(np.interp(goal, np.maximum.accumulate(shares), SIGMAS))
