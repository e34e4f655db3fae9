"""Marked regions to the soft saliency map that the perception network is trained on.

The paper's ground truth is the mean of several annotators' marks, smoothed. Where each defect is
marked once, its mark is taken as the centre of where several people would have put theirs: the mark
(a mask, or a rounded box, since a defect rarely reaches the corners of its box) is blurred by a
Gaussian whose sigma is the spread between annotators, a share of the mark's own size. That is the
expectation over marks that are displaced by that spread. Each mark is scaled to peak at the weight
of its severity, and where marks overlap the stronger one holds.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from retoucher.data.sample import FloatArray, LabelledRegion, Sample
from retoucher.domain.geometry import Box


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSettings:
    """How marks become saliency.

    Attributes:
        severity_weights: peak of the target for severity 1, 2 and 3, each in [0, 1].
        corner_exponent: p of |x|^p + |y|^p <= 1 that a box's mark fills: 2 an ellipse (79% of the
            box), 4 a rounded box (93%), large: the whole box.
        box_spread, mask_spread: sigma of annotators' displacement over the mark's side (square root
            of its box's area), for boxes and for masks.
        min_sigma_px, max_sigma_px: bounds of that sigma, in pixels of the picture.
    """

    severity_weights: tuple[float, float, float] = (0.4, 0.8, 1.0)
    corner_exponent: float = 4.0
    box_spread: float = 0.08
    mask_spread: float = 0.06
    min_sigma_px: float = 2.0
    max_sigma_px: float = 24.0

    def __post_init__(self) -> None:
        if not all(0.0 <= w <= 1.0 for w in self.severity_weights):
            raise ValueError(f"severity weights lie in [0, 1], got {self.severity_weights}")
        if self.corner_exponent < 1.0:
            raise ValueError(f"corner_exponent must be >= 1, got {self.corner_exponent}")


DEFAULT_TARGET = TargetSettings()


def saliency_target(
    sample: Sample,
    size_hw: tuple[int, int] | None = None,
    settings: TargetSettings = DEFAULT_TARGET,
) -> FloatArray:
    """S_gt of a sample: float32 (h, w) in [0, 1], zero where nothing is marked.

    Args:
        sample: its own `saliency_hw`, where it has one, is resampled and joined with the regions.
        size_hw: size of the map; None: the picture's. The map covers the whole picture, so another
            aspect ratio stretches it.
        settings: see `TargetSettings`.
    """
    height, width = size_hw or (sample.height, sample.width)
    scale_xy = width / sample.width, height / sample.height
    if sample.saliency_hw is not None:
        target = _resampled(sample.saliency_hw, height, width)
    else:
        target = np.zeros((height, width), np.float32)
    for region in sample.regions:
        _stamp(target, region, scale_xy, settings)
    return target


def _resampled(values_hw: FloatArray, height: int, width: int) -> FloatArray:
    shrinks = height * width < values_hw.size
    mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    resized = cv2.resize(values_hw, (width, height), interpolation=mode)
    return np.clip(resized, 0.0, 1.0).astype(np.float32)


def _stamp(
    target_hw: FloatArray,
    region: LabelledRegion,
    scale_xy: tuple[float, float],
    settings: TargetSettings,
) -> None:
    """Join one region's mark into the target, in place, by maximum."""
    height, width = target_hw.shape
    sx, sy = scale_xy
    x0, y0, x1, y1 = (v * s for v, s in zip(region.box.as_xyxy(), (sx, sy, sx, sy), strict=True))
    spread = settings.box_spread if region.mask_hw is None else settings.mask_spread
    sigma = spread * math.sqrt(region.box.area_px)
    sigma = min(max(sigma, settings.min_sigma_px), settings.max_sigma_px) * math.sqrt(sx * sy)
    margin = math.ceil(3 * sigma) + 1
    window = Box.from_xyxy((x0 - margin, y0 - margin, x1 + margin, y1 + margin))
    inside = window.clip(height, width)
    if inside is None:
        return
    mark = _mark(region, window, scale_xy, settings)
    if sigma > 0.2:
        mark = cv2.GaussianBlur(mark, (0, 0), sigma, borderType=cv2.BORDER_CONSTANT)
    peak = float(mark.max())
    if peak <= 0.0:
        return
    mark *= settings.severity_weights[region.severity - 1] / peak
    part = mark[inside.shift(-window.x0, -window.y0).slices]
    np.maximum(target_hw[inside.slices], part, out=target_hw[inside.slices])


def _mark(
    region: LabelledRegion,
    window: Box,
    scale_xy: tuple[float, float],
    settings: TargetSettings,
) -> FloatArray:
    """The unblurred mark, float32 (window.height, window.width) in [0, 1]; at least one pixel."""
    sx, sy = scale_xy
    xs = np.arange(window.x0, window.x1, dtype=np.float32) + 0.5
    ys = np.arange(window.y0, window.y1, dtype=np.float32) + 0.5
    box = region.box
    if region.mask_hw is None:
        centre_x, centre_y = box.centre_xy
        # A box below one pixel of the map still marks the pixel that holds its centre.
        half_w, half_h = max(box.width * sx, 1.0) / 2, max(box.height * sy, 1.0) / 2
        p = settings.corner_exponent
        u = np.abs((xs - centre_x * sx) / half_w) ** p
        v = np.abs((ys - centre_y * sy) / half_h) ** p
        mark = (u[None, :] + v[:, None] <= 1.0).astype(np.float32)
    else:
        small_wh = max(round(box.width * sx), 1), max(round(box.height * sy), 1)
        shrinks = small_wh[0] < box.width
        mode = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        mask = cv2.resize(region.mask_hw.astype(np.float32), small_wh, interpolation=mode)
        mark = np.zeros((window.height, window.width), np.float32)
        left, top = round(box.x0 * sx) - window.x0, round(box.y0 * sy) - window.y0
        fit_h, fit_w = (
            min(mask.shape[0], mark.shape[0] - top),
            min(mask.shape[1], mark.shape[1] - left),
        )
        mark[top : top + fit_h, left : left + fit_w] = mask[:fit_h, :fit_w]
    if not mark.any():
        mark[mark.shape[0] // 2, mark.shape[1] // 2] = 1.0
    return mark
