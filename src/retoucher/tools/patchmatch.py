"""Fills the masked place from patches of its surroundings; unwanted lettering disappears."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import BoolArray, EditRequest, RgbArray, ToolSpec
from retoucher.errors import Cancelled, ToolError
from retoucher.tools.erase_mask import stroke_mask
from retoucher.tools.fill import PATCH_RADIUS_PX, patch_fill

VERSION = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchMatchTool:
    """PatchMatch inpainting (Barnes et al. 2009), without weights.

    For text defects with known places only the strokes are filled, so that the surface between
    them is kept; elsewhere the whole mask is. Large crops are searched at a smaller size and the
    coarse fill is then only enlarged inside the mask.

    Attributes:
        max_area_px: crops with more pixels are reduced to this for the search.
    """

    max_area_px: int = 400_000

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="patchmatch",
            version=VERSION,
            kind="mask",
            summary="fills the place from patches around it; removes unreadable lettering",
            categories=frozenset({"text_garbled", "text_wrong", "object_texture"}),
            excluded_by_evidence=frozenset({"intended_text", "looks"}),
            priority=10,
            context_factor=2.5,
            licence="MIT",
        )

    def edit(self, request: EditRequest) -> RgbArray:
        """Fill the mask; see `Tool.edit`. `params["radius_px"]` sets the patch radius (3)."""
        hole = stroke_mask(request)
        check_fillable(hole)
        if request.cancelled():
            raise Cancelled("stopped before filling")
        radius = _radius(request)
        h, w = hole.shape
        scale = min(1.0, float(np.sqrt(self.max_area_px / (h * w))))
        crop = np.ascontiguousarray(request.crop_rgb)
        if scale < 1:
            filled = _fill_reduced(crop, hole, scale, radius, request.seed)
        else:
            filled = patch_fill(crop, hole, seed=request.seed, radius_px=radius)
        out = request.crop_rgb.copy()
        out[hole] = filled[hole]
        return out


def check_fillable(hole: BoolArray) -> None:
    """Raise unless there is something to fill and something to fill it from."""
    if hole.all():
        raise ToolError("the mask covers the whole crop, so there is nothing to fill it from")
    if not hole.any():
        raise ToolError("the mask is empty, so there is nothing to fill")


def _radius(request: EditRequest) -> int:
    value = request.params.get("radius_px", PATCH_RADIUS_PX)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 15:
        raise ToolError(f"radius_px must be a whole number from 1 to 15, got {value!r}")
    return value


def _fill_reduced(
    crop: RgbArray, hole: BoolArray, scale: float, radius_px: int, seed: int
) -> NDArray[np.uint8]:
    h, w = hole.shape
    size = (max(1, round(w * scale)), max(1, round(h * scale)))
    small = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
    # A reduced pixel that holds any of the hole is hole.
    share = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    small_hole = np.asarray(share) > 0
    check_fillable(small_hole)
    filled = patch_fill(np.asarray(small, np.uint8), small_hole, seed=seed, radius_px=radius_px)
    return cast("NDArray[np.uint8]", cv2.resize(filled, (w, h), interpolation=cv2.INTER_CUBIC))
