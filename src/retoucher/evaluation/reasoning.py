"""How often a reasoner names what people named, and how near its words are to theirs.

Every marked region of at least `min_severity`, and every part that people found clean, is put to
the reasoner, so any back end can be scored on any labelled set (the paper's zero-shot comparison).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from retoucher.agents import Reasoner
from retoucher.data.sample import Sample
from retoucher.domain.diagnosis import Diagnosis, Json
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.domain.trace import AgentInfo
from retoucher.evaluation.diagnosis import (
    accuracy,
    dimension,
    expected_calibration_error,
    macro_f1,
)
from retoucher.evaluation.wording import Encoder, WordingScores, score_wording


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One place: what people and the reasoner say of it."""

    sample: str
    truth: str
    truth_words: str
    diagnosis: Diagnosis


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoryScore:
    """Precision, recall and F1 of one category; NaN where nothing was said or marked."""

    precision: float
    recall: float
    f1: float
    marked: int
    said: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningReport:
    """Figures of one reasoner on one data set.

    Attributes:
        reasoner: what ran.
        places, defects: how many places were judged; how many of them are defects.
        accuracy: share of places with the right category, no_defect included.
        defect_accuracy, dimension_accuracy: among defects: the right category; the right dimension.
        macro_f1: over the categories that occur in the truth, no_defect included.
        majority, uniform: accuracy of always saying the commonest truth, and of chance among all
            13 verdicts.
        unknown: share of places of which it says "unknown".
        clean_called_defective: share of clean places called a defect (unknown not counted).
        calibration: expected calibration error of its confidence, unknown left out.
        categories: by name, no_defect included.
        confusion: how often which verdict was given, by truth.
        wording: against people's words, over all defects that people described, whatever the
            verdict; None where it was not asked for.
        usage: totals of evidence "vlm_usage": requests, tokens, USD, seconds.
    """

    reasoner: AgentInfo
    places: int
    defects: int
    accuracy: float
    defect_accuracy: float
    dimension_accuracy: float
    macro_f1: float
    majority: float
    uniform: float
    unknown: float
    clean_called_defective: float
    calibration: float
    categories: Mapping[str, CategoryScore]
    confusion: Mapping[str, Mapping[str, int]]
    wording: WordingScores | None = None
    usage: Mapping[str, float] = field(default_factory=dict[str, float])


def judge_samples(
    samples: Iterable[Sample],
    reasoner: Reasoner,
    *,
    min_severity: int = 2,
    clean_parts: bool = True,
    prompts: bool = True,
    after: Callable[[Sample], None] = lambda sample: None,
) -> list[Judged]:
    """Put every marked region and clean part of the pictures to a reasoner, a picture at a time.

    Args:
        samples: labelled pictures.
        reasoner: any back end.
        min_severity: milder regions are left out.
        clean_parts: put parts that are known to be right to it, too.
        prompts: whether it is told the prompt.
        after: called when a picture is done.

    Raises:
        RetoucherError: as the reasoner.
    """
    out: list[Judged] = []
    for sample in samples:
        truth = [
            (r.box, r.category, r.description) for r in sample.regions if r.severity >= min_severity
        ]
        if clean_parts:
            truth += [(part.box, NO_DEFECT, "") for part in sample.clean_parts]
        places: list[Region] = []
        kept: list[tuple[str, str]] = []
        for box, category, words in truth:
            inside = box.clip(sample.height, sample.width)
            if inside is not None:
                places.append(Region.from_box(inside, id=f"r{len(places) + 1}"))
                kept.append((category, words))
        if places:
            prompt = sample.prompt if prompts else ""
            said = reasoner.diagnose(sample.load_rgb(), prompt, places)
            out += [
                Judged(sample=sample.id, truth=category, truth_words=words, diagnosis=diagnosis)
                for (category, words), diagnosis in zip(kept, said, strict=True)
            ]
        after(sample)
    return out


def report(
    judged: Sequence[Judged],
    reasoner: AgentInfo,
    *,
    encoders: Sequence[Encoder] = (),
    overlap: bool = False,
) -> ReasoningReport:
    """All figures of what was judged.

    Args:
        judged: of `judge_samples`.
        reasoner: its info.
        encoders, overlap: see `score_wording`; without both, words are not scored.
    """
    truth = [j.truth for j in judged]
    said = [j.diagnosis.category for j in judged]
    bad = [j for j in judged if j.truth != NO_DEFECT]
    clean = [j for j in judged if j.truth == NO_DEFECT]
    bad_truth, bad_said = [j.truth for j in bad], [j.diagnosis.category for j in bad]
    told = [j for j in judged if j.diagnosis.category != UNKNOWN]
    described = [j for j in bad if j.truth_words]
    false_alarms = [j.diagnosis.category not in (NO_DEFECT, UNKNOWN) for j in clean]
    wording = None
    if encoders or overlap:
        wording = score_wording(
            [j.truth_words for j in described],
            [j.diagnosis.description for j in described],
            encoders,
            overlap=overlap,
        )
    return ReasoningReport(
        reasoner=reasoner,
        places=len(judged),
        defects=len(bad),
        accuracy=accuracy(truth, said),
        defect_accuracy=accuracy(bad_truth, bad_said),
        dimension_accuracy=accuracy(
            [dimension(t) for t in bad_truth], [dimension(s) for s in bad_said]
        ),
        macro_f1=macro_f1(truth, said),
        majority=_share(max(Counter(truth).values(), default=0), len(truth)),
        uniform=1 / (len(taxonomy()) + 1),
        unknown=_share(said.count(UNKNOWN), len(said)),
        clean_called_defective=_share(sum(false_alarms), len(clean)),
        calibration=expected_calibration_error(
            [j.diagnosis.confidence for j in told],
            [j.diagnosis.category == j.truth for j in told],
        ),
        categories=_categories(truth, said),
        confusion=_confusion(truth, said),
        wording=wording,
        usage=_usage(judged),
    )


def _categories(truth: Sequence[str], said: Sequence[str]) -> dict[str, CategoryScore]:
    out: dict[str, CategoryScore] = {}
    for name in (*taxonomy(), NO_DEFECT):
        marked, named = truth.count(name), said.count(name)
        hit = sum(t == s == name for t, s in zip(truth, said, strict=True))
        if marked or named:
            out[name] = CategoryScore(
                precision=_share(hit, named),
                recall=_share(hit, marked),
                f1=_share(2 * hit, marked + named),
                marked=marked,
                said=named,
            )
    return out


def _confusion(truth: Sequence[str], said: Sequence[str]) -> dict[str, dict[str, int]]:
    pairs = Counter(zip(truth, said, strict=True))
    names = [*taxonomy(), NO_DEFECT, UNKNOWN]
    return {t: {s: pairs[t, s] for s in names if pairs[t, s]} for t in names if t in set(truth)}


def _usage(judged: Sequence[Judged]) -> dict[str, float]:
    """Totals; what one request did not report (no count, no price) makes no total of it."""
    rows = [e.data for j in judged for e in j.diagnosis.evidence if e.kind == "vlm_usage"]
    totals: dict[str, float] = {}
    for name in ("requests", "prompt_tokens", "completion_tokens", "cost_usd", "latency_s"):
        values: list[Json] = [row.get(name) for row in rows]
        if rows and all(isinstance(value, int | float) for value in values):
            totals[name] = float(sum(cast("list[float]", values)))
    return totals


def _share(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
