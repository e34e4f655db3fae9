"""Fills the masked place by smooth continuation; the smaller choice for small holes."""

from __future__ import annotations

import cv2
import numpy as np

from retoucher.agents import EditRequest, RgbArray, ToolSpec
from retoucher.errors import Cancelled, ToolError
from retoucher.tools.erase_mask import stroke_mask
from retoucher.tools.patchmatch import check_fillable

METHODS = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS}
RADIUS_PX = 4.0


class OpenCvInpaintTool:
    """Telea's fast marching (2004), or Navier-Stokes (Bertalmio 2001) with params["method"].

    Fast and smooth: right for thin strokes on plain ground, blurry on texture.
    """

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(
            name="opencv-inpaint",
            version="1",
            kind="mask",
            summary="fills small places smoothly (Telea or Navier-Stokes)",
            categories=frozenset({"text_garbled", "text_wrong", "object_texture"}),
            excluded_by_evidence=frozenset({"intended_text", "looks"}),
            priority=5,
            deterministic=True,
            context_factor=2.0,
        )

    def edit(self, request: EditRequest) -> RgbArray:
        """Fill the mask; see `Tool.edit`. `params["method"]` is "telea" or "navier-stokes"."""
        method = request.params.get("method", "telea")
        if method not in METHODS:
            raise ToolError(f"method must be one of {', '.join(METHODS)}, got {method!r}")
        hole = stroke_mask(request)
        check_fillable(hole)
        if request.cancelled():
            raise Cancelled("stopped before filling")
        crop = np.ascontiguousarray(request.crop_rgb)
        filled = cv2.inpaint(crop, hole.astype(np.uint8), RADIUS_PX, METHODS[str(method)])
        out = request.crop_rgb.copy()
        out[hole] = np.asarray(filled, np.uint8)[hole]
        return out
