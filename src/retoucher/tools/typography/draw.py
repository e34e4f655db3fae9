"""New lettering drawn in the old one's manner: blur, colour, halo and grain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retoucher.tools.typography.faces import paint, set_line
from retoucher.tools.typography.match import Setting
from retoucher.tools.typography.matte import Matte
from retoucher.tools.typography.raster import affine, blur, depth, enlarge, gradient, grow, reduce

FloatArray = NDArray[np.float32]
DIRECTIONS = 8


def cover(setting: Setting, text: str, shape_hw: tuple[int, int]) -> FloatArray:
    """Sharp coverage of a set line in the view, float32 (h, w) in 0..1."""
    line = set_line(setting.face, text, setting.size_px)
    image, (ox, oy) = paint(
        line, line.lefts_at(setting.stretch, setting.tracking_px), stretch=setting.stretch
    )
    if abs(setting.weight_px) > 0.1:
        image = _embolden(image, setting.weight_px)
    matrix = np.vstack([setting.placing, [0, 0, 1]]) @ np.array(
        [[1.0, 0, -ox], [0, 1.0, -oy], [0, 0, 1]]
    )
    return affine(image, matrix[:2], shape_hw)


def _embolden(image: FloatArray, grow_px: float) -> FloatArray:
    """Strokes made thicker (or thinner) by a distance on each side, edges kept smooth."""
    pad = int(np.ceil(max(0.0, grow_px)))
    signed = signed_distance(np.pad(image, pad))
    out = np.clip(0.5 + signed + grow_px, 0, 1)
    return np.asarray(out[pad:-pad, pad:-pad] if pad else out, np.float32)


def signed_distance(cover_hw: FloatArray) -> FloatArray:
    """Distance to the outline in px, positive inside, of a coverage in 0..1."""
    scale = 3
    h, w = cover_hw.shape
    solid = enlarge(cover_hw, (h * scale, w * scale)) > 0.5
    if not solid.any():
        return np.full((h, w), -1e3, np.float32)
    return reduce(depth(solid) - depth(~solid), (h, w)) / np.float32(scale)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Halo:
    """What surrounds the old strokes that neither ink nor ground explains: outline or shadow.

    Attributes:
        table: float32 (DIRECTIONS, reach, 3), colour added, by the outline's normal and distance.
        reach_px: how far it goes.
    """

    table: FloatArray
    reach_px: int


def halo_of(view_rgb: FloatArray, matte: Matte, text_px: float, sigma_px: float) -> Halo | None:
    """Measure outline and shadow; None where there is none to speak of."""
    reach = max(3, round(0.12 * text_px))
    other = grow(matte.foreign & ~grow(matte.solid, reach), 2)
    alpha = matte.alpha[..., None]
    left_over = view_rgb - (matte.ground + alpha * (matte.ink - matte.ground))
    signed = signed_distance(matte.alpha)
    ring = (signed < 0) & (signed > -reach) & ~matte.solid & ~other
    bins = np.clip((-signed).astype(int), 0, reach - 1)
    turn = _direction(signed)
    table = np.zeros((DIRECTIONS, reach, 3), np.float32)
    for d in range(DIRECTIONS):
        for r in range(reach):
            here = ring & (turn == d) & (bins == r)
            if here.sum() >= 12:
                values = left_over[here]
                middle = np.median(values, axis=0)
                # As much of it as stands above its own scatter.
                scatter = np.abs(values - middle).mean(0) + 1.0
                table[d, r] = middle * np.clip((np.abs(middle) - scatter) / scatter, 0, 1)
    strength = np.abs(table).max(-1)
    edge = int(np.ceil(1.5 * sigma_px)) + 1
    shadow = ((strength[:, edge:] > 14).sum(1) >= 2).sum() >= 3
    outline = (strength[:, 1:].max(1) > 20).sum() >= 0.75 * DIRECTIONS
    if not (shadow or outline):
        return None
    # A halo ends; what does not fade is a ground that was not understood.
    mean = strength.mean(0)
    if mean[-2:].mean() > 0.3 * mean.max():
        return None
    shown = np.flatnonzero(strength.max(0) > 8)
    reach = min(reach, int(shown[-1]) + 2)
    fade = np.clip((reach - np.arange(reach)) / 2, 0, 1).astype(np.float32)
    return Halo(table=table[:, :reach] * fade[None, :, None], reach_px=reach)


def _direction(signed: FloatArray) -> NDArray[np.int64]:
    gy, gx = gradient(blur(signed, 1.5))
    angle = np.arctan2(gy, gx)
    return np.round(angle / (2 * np.pi) * DIRECTIONS).astype(np.int64) % DIRECTIONS


def halo_layer(halo: Halo, cover_hw: FloatArray) -> FloatArray:
    """The halo around new strokes, float32 (h, w, 3), to be added."""
    signed = signed_distance(cover_hw)
    outside = np.clip(-signed, 0, halo.reach_px - 1.001)
    low = outside.astype(int)
    part = (outside - low)[..., None]
    turn = _direction(signed)
    values = halo.table[turn, low] * (1 - part) + halo.table[turn, low + 1] * part
    values = values * ((signed <= 0.5) & (signed > -halo.reach_px))[..., None]
    return blur(np.asarray(values, np.float32), 0.8)
