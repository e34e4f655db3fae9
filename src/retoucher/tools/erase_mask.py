"""Which pixels a removal has to fill: the strokes where they can be found, else the whole mask."""

from __future__ import annotations

from typing import cast

import numpy as np
from numpy.typing import NDArray

from retoucher.agents import BoolArray, EditRequest
from retoucher.domain.diagnosis import Json
from retoucher.errors import ToolError
from retoucher.tools.typography.frame import frame_of
from retoucher.tools.typography.matte import segment
from retoucher.tools.typography.raster import grow

TEXT = frozenset({"text_garbled", "text_wrong"})
GROW = 0.09
MIN_DEFECT = 0.35  # units below it read right and stay


def stroke_mask(request: EditRequest) -> BoolArray:
    """The mask cut down to the glyphs' strokes, grown by their soft edge; bool (h, w).

    Only for text defects whose every wrong unit has a place and separable glyphs; in every other
    case the request's mask as it is, since removing half of a lettering is worse than
    removing it all.
    """
    if request.diagnosis.category not in TEXT:
        return request.mask_hw
    units = [e.data for e in request.diagnosis.evidence if e.kind == "lettering"]
    wrong = [u for u in units if _number(u.get("defect"), 1.0) >= MIN_DEFECT and "quad_xy" in u]
    if not wrong:
        return request.mask_hw
    picture = request.crop_rgb.astype(np.float32)
    out = np.zeros(request.mask_hw.shape, bool)
    for unit in wrong:
        quad = np.array(cast("list[list[float]]", unit["quad_xy"]), np.float64)
        found = _strokes(picture, request.to_crop_xy(quad), str(unit.get("read") or ""))
        if found is None:
            return request.mask_hw
        out |= found
    out &= request.mask_hw
    return out if out.any() else request.mask_hw


def _number(value: Json, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default


def _strokes(
    picture: NDArray[np.float32], quad_xy: NDArray[np.float64], text: str
) -> BoolArray | None:
    if quad_xy.shape != (4, 2) or not np.isfinite(quad_xy).all():
        return None
    frame = frame_of(quad_xy)
    try:
        matte = segment(frame.view(picture), frame, text)
    except ToolError:  # not separable: the caller fills the whole mask instead
        return None
    grown = grow(matte.solid, max(2.0, GROW * frame.text_px)).astype(np.float32)
    return frame.back(grown, picture.shape[:2]) > 0.4
