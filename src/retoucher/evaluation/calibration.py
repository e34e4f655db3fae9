"""Choosing how a model's logits are scaled and shifted, so that the product's threshold fits it.

A monotone change: it moves no ranking (AUC), only what is shown at the threshold and how peaked the
map is. Chosen on validation pictures, for precision first: clean pictures must stay untouched.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from retoucher.agents import FloatArray
from retoucher.data.sample import Sample
from retoucher.domain.saliency import SaliencyMap
from retoucher.errors import InputError
from retoucher.evaluation.metrics import nss
from retoucher.evaluation.perception import judge_regions, truth_map
from retoucher.imaging.regions import RegionSettings, find_regions

_MAX_STEPS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """logits become `scale * logits + shift`.

    Attributes:
        scale, shift: see above.
        touched_share: clean pictures with a region, after it.
        right_share: of the regions shown in the labelled pictures, on a mark, after it.
        nss: on pictures with defects, after it.
    """

    scale: float
    shift: float
    touched_share: float
    right_share: float
    nss: float


def calibrate(
    labelled: Sequence[tuple[Sample, FloatArray]],
    clean: Sequence[FloatArray],
    *,
    regions: RegionSettings,
    touched_share: float,
    right_share: float,
    scales: Sequence[float] = (0.8, 1.0, 1.25, 1.5, 2.0),
) -> Calibration:
    """The scale of the best NSS among those whose shift keeps what is shown right.

    For each scale the shift is the largest at which at most `touched_share` of the clean pictures
    have a region and at least `right_share` of the regions shown in the labelled ones lie on a
    mark, so that as many defects are shown as that allows. Clean pictures alone would not do: those
    at hand may be of a kind that the model knows well.

    Args:
        labelled: validation samples and their uncalibrated saliency, float32 (H, W).
        clean: uncalibrated saliency of pictures without defects.
        regions: the product's settings.
        touched_share: of clean pictures that may have a region, 0 to 1.
        right_share: of the regions in labelled pictures that must be right, 0 to 1.
        scales: to choose from.

    Raises:
        InputError: there is no clean picture, or none with a defect.
    """
    marked = [(s, m, t) for s, m in labelled if (t := truth_map(s)).any()]
    if not clean or not marked:
        raise InputError("calibration needs clean pictures and pictures with defects")
    best: Calibration | None = None
    for scale in scales:
        shift = _largest_shift(clean, scale, regions, touched_share)
        shift, right = _shift_for_right(labelled, scale, shift, regions, right_share)
        touched = _touched(clean, scale, shift, regions)
        score = float(np.mean([float(nss(rescaled(m, scale, shift), t)) for _, m, t in marked]))
        if best is None or score > best.nss:
            best = Calibration(
                scale=scale, shift=shift, touched_share=touched, right_share=right, nss=score
            )
    assert best is not None
    return best


def rescaled(saliency_hw: FloatArray, scale: float, shift: float) -> FloatArray:
    """Saliency whose logits are scaled and shifted, float32."""
    s = np.clip(saliency_hw.astype(np.float64), 1e-9, 1 - 1e-9)
    logits = scale * np.log(s / (1 - s)) + shift
    return (1 / (1 + np.exp(-logits))).astype(np.float32)


def _largest_shift(
    clean: Sequence[FloatArray], scale: float, regions: RegionSettings, allowed: float
) -> float:
    """By bisection on steps of 0.1: the more saliency rises, the more pictures have a region."""

    def touched(step: int) -> float:
        return _touched(clean, scale, step / 10, regions)

    low, high = -_MAX_STEPS, _MAX_STEPS
    if touched(low) > allowed:
        raise InputError("no shift leaves clean pictures alone: the model marks them like defects")
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if touched(middle) <= allowed else (low, middle)
    return low / 10


def _touched(
    clean: Sequence[FloatArray], scale: float, shift: float, regions: RegionSettings
) -> float:
    maps = (SaliencyMap(rescaled(m, scale, shift)) for m in clean)
    return sum(bool(find_regions(m, regions)) for m in maps) / len(clean)


def _shift_for_right(
    labelled: Sequence[tuple[Sample, FloatArray]],
    scale: float,
    shift: float,
    regions: RegionSettings,
    wanted: float,
) -> tuple[float, float]:
    """The largest shift up to `shift`, in steps of 0.1, at which enough of what is shown is right,
    and the share that is; a shift at which nothing is shown does not count."""
    for step in range(round(shift * 10), -_MAX_STEPS - 1, -1):
        right = [
            ok
            for sample, m in labelled
            for ok in judge_regions(sample, rescaled(m, scale, step / 10), regions).right
        ]
        if right and sum(right) / len(right) >= wanted:
            return step / 10, sum(right) / len(right)
    raise InputError("no shift shows regions of which enough are right: the model is too weak")
