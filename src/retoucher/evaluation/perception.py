"""How well saliency finds what people marked, at pixels, at parts and at the product's own regions.

Truth is what the labels say: a marked region's mask (or its whole box), weighted by severity, of
regions of at least `min_severity`. Milder regions count neither for nor against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import cv2
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
        parts_by_kind: the same among hands only, faces only, and so on; kinds of which one side is
            missing are left out.
        part_counts: how many defective and clean parts of each kind there are.
        operation: see `Operation`.
        recall_by_category, recall_by_severity: share of marked regions found, and their number.
    """

    saliency: Summary
    parts: float
    parts_by_kind: dict[str, float]
    part_counts: dict[str, tuple[int, int]]
    operation: Operation
    recall_by_category: dict[str, tuple[float, int]]
    recall_by_severity: dict[int, tuple[float, int]]


@dataclass(slots=True, kw_only=True)
class Evaluation:
    """Gathers a model's figures while pictures pass.

    Attributes:
        settings: how maps become regions.
        min_severity: of the regions that count as defects.
    """

    settings: RegionSettings = field(default_factory=RegionSettings)
    min_severity: int = 2
    _scores: list[SaliencyScores] = field(default_factory=list[SaliencyScores])
    _bad: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    _good: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    _found: list[tuple[str, int, bool]] = field(default_factory=list[tuple[str, int, bool]])
    _right: list[bool] = field(default_factory=list[bool])
    _clean: list[tuple[bool, float, float]] = field(default_factory=list[tuple[bool, float, float]])

    def take(self, sample: Sample, saliency_hw: FloatArray) -> None:
        """One labelled picture and its map, float32 (H, W) of the picture's size.

        Raises:
            InputError: the map has another size.
        """
        if saliency_hw.shape != (sample.height, sample.width):
            shape = saliency_hw.shape
            raise InputError(f"{sample.id}: the map has shape {shape}, not the picture's")
        truth = truth_map(sample, self.min_severity)
        if truth.any():
            self._scores.append(measure(saliency_hw, truth))
        bad, good = part_means(sample, saliency_hw, self.min_severity)
        self._bad += bad
        self._good += good
        judged = judge_regions(sample, saliency_hw, self.settings, self.min_severity)
        self._right += judged.right
        self._found += judged.found
        if sample.is_clean:
            area = float((saliency_hw >= self.settings.threshold).mean())
            mse = float(np.square(saliency_hw).mean())
            self._clean.append((bool(judged.right), area, mse))

    def report(self) -> PerceptionReport:
        """Figures of everything taken so far."""
        bad, good = Counter(k for k, _ in self._bad), Counter(k for k, _ in self._good)
        kinds = sorted(bad.keys() & good.keys())
        categories = sorted({c for c, _, _ in self._found})
        severities = sorted({s for _, s, _ in self._found})
        return PerceptionReport(
            saliency=summarise(self._scores),
            parts=_discrimination(self._bad, self._good),
            parts_by_kind={
                k: _discrimination(
                    [x for x in self._bad if x[0] == k], [x for x in self._good if x[0] == k]
                )
                for k in kinds
            },
            part_counts={k: (bad[k], good[k]) for k in sorted(bad.keys() | good.keys())},
            operation=self._operation(),
            recall_by_category={
                c: _recall([f for k, _, f in self._found if k == c]) for c in categories
            },
            recall_by_severity={
                s: _recall([f for _, k, f in self._found if k == s]) for s in severities
            },
        )

    def _operation(self) -> Operation:
        return Operation(
            defects=len(self._found),
            found=sum(f for _, _, f in self._found),
            regions=len(self._right),
            right=sum(self._right),
            clean_pictures=len(self._clean),
            touched=sum(t for t, _, _ in self._clean),
            clean_area=_mean([a for _, a, _ in self._clean]),
            clean_mse=_mean([m for _, _, m in self._clean]),
        )


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
    gathered = Evaluation(settings=settings or RegionSettings(), min_severity=min_severity)
    for sample in samples:
        gathered.take(sample, predict(sample))
    return gathered.report()


class Judged(NamedTuple):
    """Regions shown and defects marked in one picture: which regions lie on a mark, and category,
    severity and whether it was found of each defect."""

    right: list[bool]
    found: list[tuple[str, int, bool]]


def judge_regions(
    sample: Sample, saliency_hw: FloatArray, settings: RegionSettings, min_severity: int = 2
) -> Judged:
    """What the product would show of a picture, against its marks; see `FOUND_SHARE`."""
    judged = Judged([], [])
    shown = np.zeros(saliency_hw.shape, np.bool_)
    marked = truth_map(sample, 1) > 0
    for region in find_regions(SaliencyMap(saliency_hw), settings):
        shown[region.box.slices] |= region.mask_hw
        judged.right.append(bool(marked[region.box.slices][region.mask_hw].mean() >= FOUND_SHARE))
    for region in sample.regions:
        if region.severity >= min_severity:
            share = float(shown[region.box.slices][_mark(region, sample)].mean())
            judged.found.append((region.category, region.severity, share >= FOUND_SHARE))
    return judged


def truth_map(sample: Sample, min_severity: int = 2) -> FloatArray:
    """Severity of the marks, float32 (H, W), 0 where none of at least `min_severity` is.

    A data set's own saliency (RichHF-18K) counts as it is, scaled to the highest severity.
    """
    size_wh = (sample.width, sample.height)
    truth = np.zeros((sample.height, sample.width), np.float32)
    if sample.saliency_hw is not None:
        own = cv2.resize(sample.saliency_hw, size_wh, interpolation=cv2.INTER_LINEAR)
        truth = 3 * np.asarray(own, np.float32)
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


def _discrimination(bad: Sequence[tuple[str, float]], good: Sequence[tuple[str, float]]) -> float:
    return rank_auc(np.array([m for _, m in bad]), np.array([m for _, m in good]))


def _recall(found: Sequence[bool]) -> tuple[float, int]:
    return (sum(found) / len(found) if found else float("nan")), len(found)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")
