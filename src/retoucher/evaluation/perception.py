"""How well saliency finds what people marked, at pixels, at parts and at the product's own regions.

Truth is what the labels say: a marked region's mask (or its whole box), weighted by severity, of
regions of at least `min_severity`. Milder regions count neither for nor against.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from retoucher.agents import BoolArray, FloatArray
from retoucher.data.sample import CleanPart, LabelledRegion, Sample
from retoucher.domain.geometry import Box
from retoucher.domain.saliency import SaliencyMap
from retoucher.errors import InputError
from retoucher.evaluation.metrics import SaliencyScores, Summary, measure, rank_auc, summarise
from retoucher.imaging.regions import RegionSettings, find_regions

Predict = Callable[[Sample], FloatArray]
"""Saliency float32 (H, W) of a sample, of the picture's size."""

FOUND_SHARE = 0.25
"""A defect is found when regions cover this share of its mark; a region is right when this share of
it lies on marks. Marks are boxes and regions are shapes, so an IoU would mostly measure that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """The product's own operating point: what `find` would show a user.

    Attributes:
        defects, found: marked regions of at least the least severity, and those covered.
        regions, right: regions shown, and those that lie on a mark of any severity.
        clean_pictures, touched: pictures without any mark, and those with a region.
        clean_area: mean share of clean pictures' pixels at or above the threshold.
        clean_mse: mean square of the map on clean pictures.
    """

    defects: int = 0
    found: int = 0
    regions: int = 0
    right: int = 0
    clean_pictures: int = 0
    touched: int = 0
    clean_area: float = float("nan")
    clean_mse: float = float("nan")

    @property
    def recall(self) -> float:
        return self.found / self.defects if self.defects else float("nan")

    @property
    def precision(self) -> float:
        return self.right / self.regions if self.regions else float("nan")

    @property
    def touched_share(self) -> float:
        return self.touched / self.clean_pictures if self.clean_pictures else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class PerceptionReport:
    """Figures of one model on one data set.

    Attributes:
        saliency: the five metrics over pictures with defects.
        parts: chance that a defective part's mean saliency exceeds a clean part's.
        parts_by_kind: the same among hands only, faces only, and so on; NaN where one side is
            missing.
        operation: see `Operation`.
        recall_by_category, recall_by_severity: share of marked regions found, and their number.
    """

    saliency: Summary
    parts: float
    parts_by_kind: dict[str, float]
    operation: Operation
    recall_by_category: dict[str, tuple[float, int]]
    recall_by_severity: dict[int, tuple[float, int]]


@dataclass(slots=True)
class _Tally:
    """What is gathered while pictures pass."""

    scores: list[SaliencyScores] = field(default_factory=list[SaliencyScores])
    bad: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    good: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    found: list[tuple[str, int, bool]] = field(default_factory=list[tuple[str, int, bool]])
    right: list[bool] = field(default_factory=list[bool])
    clean: list[tuple[bool, float, float]] = field(default_factory=list[tuple[bool, float, float]])


def evaluate(
    samples: Iterable[Sample],
    predict: Predict,
    *,
    settings: RegionSettings | None = None,
    min_severity: int = 2,
) -> PerceptionReport:
    """Scores a model's maps on labelled pictures.

    Args:
        samples: labelled pictures, at least one.
        predict: the model.
        settings: how maps become regions; None: the product's defaults.
        min_severity: of the regions that count as defects.
    """
    chosen = settings or RegionSettings()
    tally = _Tally()
    for sample in samples:
        saliency = predict(sample)
        if saliency.shape != (sample.height, sample.width):
            raise InputError(f"{sample.id}: the map has shape {saliency.shape}, not the picture's")
        _take(tally, sample, saliency, chosen, min_severity)
    return _report(tally, min_severity)


def truth_map(sample: Sample, min_severity: int = 2) -> FloatArray:
    """Severity of the marks, float32 (H, W), 0 where none of at least `min_severity` is."""
    truth = np.zeros((sample.height, sample.width), np.float32)
    for region in sample.regions:
        if region.severity >= min_severity:
            box = region.box.clip(sample.height, sample.width)
            if box is None:
                continue
            mark = np.float32(region.severity) * _mark(region, sample)
            np.maximum(truth[box.slices], mark, out=truth[box.slices])
    return truth


def part_means(
    sample: Sample, saliency_hw: FloatArray, min_severity: int = 2
) -> tuple[list[tuple[str, float]], list[tuple[str, float]]]:
    """Kind and mean saliency of each defective part, and of each clean part."""
    bad = [
        (kind_of(r), _box_mean(saliency_hw, r.box))
        for r in sample.regions
        if r.severity >= min_severity
    ]
    good = [(p.part, _box_mean(saliency_hw, p.box)) for p in sample.clean_parts]
    return bad, good


def _box_mean(saliency_hw: FloatArray, box: Box) -> float:
    """Rounded to far below any meaning, so that equal maps tie whatever the box's size."""
    return round(float(saliency_hw[box.slices].mean(dtype=np.float64)), 10)


def kind_of(label: LabelledRegion | CleanPart) -> str:
    """hand, face, text, foot, object, limb, interaction or unknown."""
    return label.part if isinstance(label, CleanPart) else label.category.split("_")[0]


def _mark(region: LabelledRegion, sample: Sample) -> BoolArray:
    box = region.box.clip(sample.height, sample.width)
    assert box is not None
    if region.mask_hw is None:
        return np.ones((box.height, box.width), np.bool_)
    return region.mask_hw[box.shift(-region.box.x0, -region.box.y0).slices]


def _take(
    tally: _Tally,
    sample: Sample,
    saliency: FloatArray,
    settings: RegionSettings,
    min_severity: int,
) -> None:
    truth = truth_map(sample, min_severity)
    if truth.any():
        tally.scores.append(measure(saliency, truth))
    bad, good = part_means(sample, saliency, min_severity)
    tally.bad += bad
    tally.good += good
    regions = find_regions(SaliencyMap(saliency), settings)
    shown = np.zeros(saliency.shape, np.bool_)
    marked = truth_map(sample, 1) > 0
    for region in regions:
        shown[region.box.slices] |= region.mask_hw
        tally.right.append(bool(marked[region.box.slices][region.mask_hw].mean() >= FOUND_SHARE))
    for region in sample.regions:
        if region.severity >= min_severity:
            share = float(shown[region.box.slices][_mark(region, sample)].mean())
            tally.found.append((region.category, region.severity, share >= FOUND_SHARE))
    if sample.is_clean:
        area = float((saliency >= settings.threshold).mean())
        tally.clean.append((bool(regions), area, float(np.square(saliency).mean())))


def _report(tally: _Tally, min_severity: int) -> PerceptionReport:
    categories = sorted({c for c, _, _ in tally.found})
    severities = sorted({s for _, s, _ in tally.found})
    operation = Operation(
        defects=len(tally.found),
        found=sum(f for _, _, f in tally.found),
        regions=len(tally.right),
        right=sum(tally.right),
        clean_pictures=len(tally.clean),
        touched=sum(t for t, _, _ in tally.clean),
        clean_area=_mean([a for _, a, _ in tally.clean]),
        clean_mse=_mean([m for _, _, m in tally.clean]),
    )
    kinds = sorted({k for k, _ in tally.bad} & {k for k, _ in tally.good})
    return PerceptionReport(
        saliency=summarise(tally.scores),
        parts=_discrimination(tally.bad, tally.good),
        parts_by_kind={
            k: _discrimination(
                [x for x in tally.bad if x[0] == k], [x for x in tally.good if x[0] == k]
            )
            for k in kinds
        },
        operation=operation,
        recall_by_category={
            c: _recall([f for k, _, f in tally.found if k == c]) for c in categories
        },
        recall_by_severity={
            s: _recall([f for _, k, f in tally.found if k == s]) for s in severities
        },
    )


def _discrimination(bad: Sequence[tuple[str, float]], good: Sequence[tuple[str, float]]) -> float:
    return rank_auc(np.array([m for _, m in bad]), np.array([m for _, m in good]))


def _recall(found: Sequence[bool]) -> tuple[float, int]:
    return (sum(found) / len(found) if found else float("nan")), len(found)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
