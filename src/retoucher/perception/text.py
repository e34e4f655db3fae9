"""The perceiver `text`: garbled or misspelled lettering becomes saliency."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

import retoucher
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.taxonomy import NO_DEFECT
from retoucher.domain.trace import AgentInfo
from retoucher.lettering.judge import JudgedUnit, LetteringJudge, shared_judge
from retoucher.lettering.quads import grow_quad

RgbArray = NDArray[np.uint8]

_GROW = 0.12
"""The painted quad reaches so far beyond the text's, in heights of the text."""
_SOFT = 0.12
"""Width of the soft edge, in heights of the text."""
_CLAIM_MARGIN = 0.026
"""Around judged lettering, over the picture's geometric mean side: a little more than two regions'
dilation and merge distance (24 of 1024 px), so that a neighbour's region does not join it."""
_FINE_TAIL = 0.05
"""Fainter units are not painted: a clean picture has an empty map."""


class TextPerceiver:
    """Paints each unit of lettering with the probability that it is garbled or wrong.

    Args:
        judge: shared with other agents, so that a picture is read and judged once.
    """

    def __init__(self, judge: LetteringJudge | None = None) -> None:
        self._judge = judge or shared_judge()

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(
            role="perceiver",
            name="text",
            version=retoucher.__version__,
            weights=self._judge.weights,
            settings=self._judge.settings,
        )

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        """Saliency of the lettering, float32 (H, W).

        Args:
            image_rgb: uint8 (H, W, 3).
            prompt: searched for the words that the picture is to show; may be empty.

        Raises:
            InputError, MissingDependencyError: as `TextReader.read`.
        """
        h, w = image_rgb.shape[:2]
        values = np.zeros((h, w), np.float32)
        for unit in self._judge.judge(image_rgb, prompt).units:
            if unit.defect >= _FINE_TAIL:
                _paint(values, unit)
        return SaliencyMap(values)

    def claims(self, image_rgb: RgbArray, prompt: str) -> NDArray[np.bool_]:
        """Judged lettering and the margin around it, bool (H, W): nobody knows better there.

        Lettering that could not be judged is left to other perceivers. The margin depends on where
        lettering is, not on what is thought of it, so that a repair moves no border.

        Args, raises: as `perceive`.
        """
        h, w = image_rgb.shape[:2]
        claimed = np.zeros((h, w), np.uint8)
        margin = _CLAIM_MARGIN * math.sqrt(h * w)
        for unit in self._judge.judge(image_rgb, prompt).units:
            if unit.judged and _is_lettering(unit):
                painted = (_GROW + _SOFT) * unit.height_px
                quad = grow_quad(unit.quad_xy, painted + margin)
                cv2.fillConvexPoly(claimed, np.round(quad - 0.5).astype(np.int32), 1)
        return claimed.astype(np.bool_)


def _is_lettering(unit: JudgedUnit) -> bool:
    """One or two characters that seem right may be anything; texture reads like that too."""
    return unit.category != NO_DEFECT or sum(c.isalnum() for c in unit.read) >= 3


def _paint(values_hw: NDArray[np.float32], unit: JudgedUnit) -> None:
    """The unit's quad at its probability, fading outwards; where units overlap, the greater."""
    h, w = values_hw.shape
    quad = grow_quad(unit.quad_xy, _GROW * unit.height_px)
    edge = max(1.0, _SOFT * unit.height_px)
    x0, y0 = np.maximum(np.floor(quad.min(0) - edge).astype(int), 0)
    x1, y1 = np.minimum(np.ceil(quad.max(0) + edge).astype(int), [w, h])
    if x1 <= x0 or y1 <= y0:
        return
    part = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.fillConvexPoly(part, np.round(quad - [x0, y0] - 0.5).astype(np.int32), 1)
    if not part.any():
        part[part.shape[0] // 2, part.shape[1] // 2] = 1
    distance = cv2.distanceTransform(1 - part, cv2.DIST_L2, 3)
    painted = unit.defect * np.clip(1.0 - distance / edge, 0.0, 1.0)
    target = values_hw[y0:y1, x0:x1]
    np.maximum(target, painted.astype(np.float32), out=target)
