"""Sets the intended words in place of wrong ones, in the manner of the old lettering."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from retoucher.agents import BoolArray, EditRequest, FloatArray, RgbArray, ToolSpec
from retoucher.domain.diagnosis import Json
from retoucher.errors import Cancelled, ToolError
from retoucher.tools.typography import draw, match
from retoucher.tools.typography.erase import erase, grain
from retoucher.tools.typography.frame import Frame, frame_of
from retoucher.tools.typography.matte import Matte, segment
from retoucher.tools.typography.old import Old, cut
from retoucher.tools.typography.raster import grow
from retoucher.tools.typography.soft import blur_of, soften

VERSION = "1"
MIN_TEXT_PX = 7.0
MIN_COVERED = 0.85
MAX_GRAIN = 6.0
UNEXPLAINED = 0.35
SOURCE = 0.3
BACK_BLUR_PX = 0.4


class LetteringTool:
    """Re-letters: old glyphs are measured and taken away, the intended text is set instead.

    Reads evidence of kind "intended_text". Straight lines of Latin text only: curved baselines,
    letters of several colours in one word and texts that touch other marks are refused or come
    out plain. Of several texts in one request, those that can be set are set.
    """

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="lettering",
            version=VERSION,
            kind="mask",
            summary="sets the intended words in the manner of the old lettering",
            categories=frozenset({"text_garbled", "text_wrong"}),
            requires_evidence=frozenset({"intended_text"}),
            priority=50,
            context_factor=1.6,
        )

    def edit(self, request: EditRequest) -> RgbArray:
        """Set every intended text of the request; see `Tool.edit`."""
        units = [e.data for e in request.diagnosis.evidence if e.kind == "intended_text"]
        if not units:
            raise ToolError("the diagnosis does not say what the lettering should read")
        picture = request.crop_rgb.astype(np.float32)
        failures: list[str] = []
        for index, unit in enumerate(units):
            if request.cancelled():
                raise Cancelled("stopped between two texts")
            try:
                picture = _set_unit(picture, unit, request, request.seed + index)
            except ToolError as error:
                failures.append(str(error))
        if len(failures) == len(units):
            raise ToolError("; ".join(dict.fromkeys(failures)))
        out = request.crop_rgb.copy()
        done = np.clip(np.round(picture), 0, 255).astype(np.uint8)
        out[request.mask_hw] = done[request.mask_hw]
        return out


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Scene:
    """The old lettering of one unit, measured, and how the new one is to be set."""

    frame: Frame
    view: FloatArray
    matte: Matte
    read: str
    fitted: match.Setting
    wanted: str
    setting: match.Setting


def _set_unit(
    picture: FloatArray, unit: Mapping[str, Json], request: EditRequest, seed: int
) -> FloatArray:
    read = str(unit.get("read") or "").strip()
    wanted = in_case_of(str(unit.get("intended") or "").strip(), read)
    if not wanted:
        raise ToolError("the intended text is empty")
    frame = frame_of(request.to_crop_xy(_quad(unit)))
    height = frame.text_px / frame.zoom
    if height < MIN_TEXT_PX:
        raise ToolError(f"the lettering is {height:.0f} px high, too small to set anew")
    scene = _measure(picture, frame, read or wanted, wanted, request.mask_hw)
    if request.cancelled():
        raise Cancelled("stopped between measuring and setting")
    return _render(picture, scene, request.mask_hw, seed)


def _measure(
    picture: FloatArray, frame: Frame, read: str, wanted: str, mask_hw: BoolArray
) -> _Scene:
    view = frame.view(picture)
    matte = segment(view, frame, read)
    allowed = frame.view_mask(mask_hw)
    if (allowed & matte.solid).sum() < MIN_COVERED * matte.solid.sum():
        raise ToolError("the mask leaves out part of the old lettering; enlarge the region")
    old = cut(matte, frame.zoom, read)
    fitted = match.match(old, read, wanted)
    setting = match.refit(fitted, wanted, old, _room(allowed, matte, old))
    return _Scene(
        frame=frame,
        view=view,
        matte=matte,
        read=read,
        fitted=fitted,
        wanted=wanted,
        setting=setting,
    )


def _render(picture: FloatArray, scene: _Scene, mask_hw: BoolArray, seed: int) -> FloatArray:
    shape, frame, matte = mask_hw.shape, scene.frame, scene.matte
    sigma = blur_of(matte.alpha, draw.cover(scene.fitted, scene.read, frame.shape_hw))
    halo = draw.halo_of(scene.view, matte, frame.text_px, sigma)
    strokes = _strokes(scene.view, matte, halo, 2.2 * sigma + 0.6 * frame.zoom)
    hole = (frame.back(strokes.astype(np.float32), shape) > 0.4) & mask_hw
    clean = _erase_near(picture, hole, matte, frame, seed)
    sharp = draw.cover(scene.setting, scene.wanted, frame.shape_hw)
    # The way back into the crop softens a little by itself.
    drawn = float(np.sqrt(max(sigma**2 - BACK_BLUR_PX**2, 0.3**2)))
    alpha = soften(sharp, drawn, like=matte.alpha)
    layers = [alpha[..., None], matte.ink]
    if halo:
        layers.append(draw.halo_layer(halo, sharp))
    back = frame.back(np.concatenate(layers, axis=-1), shape)
    a = np.clip(back[..., :1], 0, 1)
    weight = frame.back(np.ones(frame.shape_hw, np.float32), shape)[..., None]
    ink = back[..., 1:4] / np.maximum(weight, 1e-3)
    ink = ink + grain(shape, seed + 1)[..., None] * min(matte.ink_noise, MAX_GRAIN)
    under = clean + back[..., 4:7] * (1 - a) if halo else clean
    out = under + a * (ink - under)
    return np.asarray(np.where(mask_hw[..., None], out, picture), np.float32)


def _strokes(view: FloatArray, matte: Matte, halo: draw.Halo | None, soft_px: float) -> BoolArray:
    """What has to be erased: strokes with their soft edge and halo, but no other marks there."""
    radius = max(1, round(soft_px)) + (halo.reach_px if halo else 0)
    around = grow(matte.solid, radius)
    axis = matte.ink - matte.ground
    alpha = matte.alpha[..., None]
    model = matte.ground + alpha * axis
    if halo:
        model = model + draw.halo_layer(halo, matte.alpha) * (1 - alpha)
    contrast = np.linalg.norm(axis, axis=-1)
    unexplained = np.linalg.norm(view - model, axis=-1) > UNEXPLAINED * contrast
    return (around & ~unexplained) | matte.solid


def _erase_near(
    picture: FloatArray, hole: BoolArray, matte: Matte, frame: Frame, seed: int
) -> FloatArray:
    """Erase inside a window around the lettering only."""
    ys, xs = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    if not len(ys):
        return picture
    text_px = frame.text_px / frame.zoom
    extra = int(np.ceil(0.5 * text_px)) + 4
    h, w = hole.shape
    window = (
        slice(max(0, ys[0] - extra), min(h, ys[-1] + 1 + extra)),
        slice(max(0, xs[0] - extra), min(w, xs[-1] + 1 + extra)),
    )
    seen = frame.back(np.ones(frame.shape_hw, np.float32), (h, w))[window] > 0.99
    near = frame.back(np.concatenate([matte.ground, matte.ink], -1), (h, w))[window]
    ground, ink = near[..., :3], near[..., 3:]
    contrast = np.linalg.norm(ink - ground, axis=-1)
    off = np.linalg.norm(picture[window] - ground, axis=-1)
    close = seen & ~hole[window] & (off < 0.4 * contrast)
    around = grow(hole[window], max(2.0, 0.15 * text_px))
    spread = 2.5 * float(np.median(off[close & around])) if (close & around).any() else 0.0
    surface = close & (off < max(spread, 16.0))
    out = picture.copy()
    out[window] = erase(
        picture[window],
        hole[window],
        surface,
        close & (off < np.maximum(SOURCE * contrast, 16.0)),
        ground,
        text_px=text_px,
        seed=seed,
    )
    return out


def _room(allowed: BoolArray, matte: Matte, old: Old) -> tuple[float, float]:
    """Columns of the view, left and right, between which the new text may stand."""
    rows = slice(old.top, old.top + old.height)
    blocked = (matte.foreign[rows].mean(0) > 0.12) | (allowed[rows].mean(0) < 0.95)
    left, right = old.left, old.left + old.width
    limit = round(0.9 * old.height)
    gap = round(0.12 * old.height)
    start = left
    while start > max(0, left - limit) and not blocked[max(0, start - gap) : start].any():
        start -= 1
    end = right
    size = len(blocked)
    while end < min(size, right + limit) and not blocked[end : end + gap].any():
        end += 1
    return float(start), float(end)


def _quad(unit: Mapping[str, Json]) -> NDArray[np.float64]:
    try:
        quad = np.array(cast("list[list[float]]", unit["quad_xy"]), np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise ToolError("the lettering evidence has no usable quad_xy") from error
    if quad.shape != (4, 2) or not np.isfinite(quad).all():
        raise ToolError("the lettering evidence has no usable quad_xy")
    return quad


def in_case_of(wanted: str, read: str) -> str:
    """The wanted text in the capitals of what was read, unless it has its own."""
    letters = [c for c in read if c.isalpha()]
    if not letters:
        return wanted
    upper = sum(c.isupper() for c in letters) / len(letters)
    if len(letters) > 1 and upper >= 0.75:
        return wanted.upper()
    if wanted.islower() and letters[0].isupper() and upper < 0.5:
        return wanted[:1].upper() + wanted[1:]
    return wanted
