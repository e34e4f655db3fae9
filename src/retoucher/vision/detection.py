"""MediaPipe's single-shot detectors: boxes with a few points in them, from one look at a square."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retoucher.agents import FloatArray, RgbArray
from retoucher.vision.sessions import Session
from retoucher.vision.squares import Square

_STRIDES = ((8, 2), (16, 6))
"""Pixels per cell, and anchors in each: of the palm and the short-range face detector alike."""
_SAME = 0.3
"""Boxes that overlap (intersection over union) so much are one part."""
_MAX_LOGIT = 80.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Detection:
    """A part that a detector saw, upright in the view it was shown.

    Attributes:
        score: 0 to 1.
        box_xyxy: float32 (4,), in the picture's pixels; may reach outside.
        points_xy: float32 (K, 2), likewise.
    """

    score: float
    box_xyxy: FloatArray
    points_xy: FloatArray


class Detector:
    """One detector: palms or faces.

    Args:
        session: of its graph, with the outputs "boxes" and "logits".
        side_px: of its input.
        signed: it wants pixels in [-1, 1], not in [0, 1].
    """

    def __init__(self, session: Session, side_px: int, *, signed: bool) -> None:
        self._session = session
        self._side_px = side_px
        self._signed = signed
        self._anchors_xy = _anchors(side_px)

    def find(self, image_rgb: RgbArray, view: Square, min_score: float) -> tuple[Detection, ...]:
        """The parts in a square of a picture, uint8 (H, W, 3), the surest first.

        Args:
            image_rgb: the picture.
            view: upright; what is less than a twentieth of it is too small to be seen.
            min_score: of a detection.
        """
        pixels = view.cut(image_rgb, self._side_px, extend=False)
        if self._signed:
            pixels = 2 * pixels - 1
        boxes, logits = self._session.run(["boxes", "logits"], {"image": pixels[None]})
        limited = np.clip(logits[0, :, 0].astype(np.float32), -_MAX_LOGIT, _MAX_LOGIT)
        scores = (1 / (1 + np.exp(-limited))).astype(np.float32)
        seen = np.flatnonzero(scores >= min_score)
        # Each row: centre, size, points; all but the size from the anchor's centre.
        rows = boxes[0].reshape(len(scores), -1, 2)[seen]
        centre, half = rows[:, 0] + self._anchors_xy[seen], rows[:, 1] / 2
        points = rows[:, 2:] + self._anchors_xy[seen, None]
        corners = np.stack([centre - half, centre + half], 1)
        return tuple(
            Detection(
                score=score,
                box_xyxy=view.to_picture(together[:2], self._side_px).ravel(),
                points_xy=view.to_picture(together[2:], self._side_px),
            )
            for score, together in _merged(scores[seen], np.concatenate([corners, points], 1))
        )


def _anchors(side_px: int) -> FloatArray:
    """Centres of the anchors in the input's pixels, (N, 2)."""
    out: list[NDArray[np.floating]] = []
    for stride, count in _STRIDES:
        middles = (np.arange(side_px // stride) + 0.5) * stride
        grid = np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)
        out.append(np.repeat(grid, count, 0))
    return np.concatenate(out).astype(np.float32)


def _merged(scores: FloatArray, rows_n2: FloatArray) -> list[tuple[float, FloatArray]]:
    """Each part's best score, and the mean of its overlapping rows weighted by theirs.

    Args:
        scores: (N,).
        rows_n2: (N, 2 + K, 2), two corners, then points.
    """
    left = np.argsort(-scores, kind="stable")
    out: list[tuple[float, FloatArray]] = []
    while left.size:
        same = _iou(rows_n2[left[0], :2], rows_n2[left, :2]) > _SAME
        same[0] = True
        group = left[same]
        mean = np.average(rows_n2[group], 0, weights=scores[group])
        out.append((float(scores[left[0]]), mean.astype(np.float32)))
        left = left[~same]
    return out


def _iou(one: FloatArray, many: FloatArray) -> NDArray[np.floating]:
    """Intersection over union of corners (2, 2) with corners (N, 2, 2)."""
    low, high = np.maximum(one[0], many[:, 0]), np.minimum(one[1], many[:, 1])
    common = np.maximum(high - low, 0).prod(1)
    areas = np.maximum(many[:, 1] - many[:, 0], 0).prod(1)
    total = np.maximum(one[1] - one[0], 0).prod() + areas - common
    return common / np.maximum(total, 1e-9)
