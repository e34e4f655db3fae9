"""How often the reasoner `embedded` names what people named, and how often it invents a defect.

    python benchmarks/diagnostician.py DATASET [--train REAL_TRAIN] [--json FILE] [--no-find]
        [--only-looks] [--without-hands]

DATASET is a labelled set. First the marked boxes themselves are diagnosed: which of the categories,
or none. Then the product looks by itself (perceivers `text` and `saliency` at their operating
point), and its regions are compared with the marks. REAL_TRAIN only serves the baseline of always
naming the most frequent category of the training set. --only-looks: nothing is read, and the boxes
alone are judged (a tenth of the time); --without-hands: hands are not measured, to see what that is
worth. Markdown on standard output.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from retoucher import Retoucher
from retoucher.agents import Reasoner, RgbArray
from retoucher.config import Settings
from retoucher.data.ours import read_labels
from retoucher.data.sample import Sample
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.evaluation.diagnosis import (
    accuracy,
    dimension,
    expected_calibration_error,
    macro_f1,
)
from retoucher.evaluation.metrics import rank_auc
from retoucher.evaluation.perception import FOUND_SHARE
from retoucher.lettering.judge import Judgement, LetteringJudge
from retoucher.reasoning.embedded import EmbeddedReasoner
from retoucher.reasoning.embedded_model import Diagnostician, shipped_diagnostician

MIN_SEVERITY = 2
CATEGORIES = tuple(taxonomy())


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """One box with its label and what was said of it.

    Attributes:
        truth: a category, or no_defect for a clean part.
        part: kind of a clean part, "" for a defect.
        severity: of the label, 0 for a clean part.
        said: category, no_defect or unknown.
        said_severity: of the diagnosis.
        best: the most probable category, named or not.
        share: probability of `best`, given that there is a defect.
        defect: probability of a defect.
    """

    truth: str
    part: str
    severity: int
    said: str
    said_severity: int
    best: str
    share: float
    defect: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One region of the product.

    Attributes:
        on_mark: it lies on a marked defect of any severity.
        said: its diagnosis.
        marks: categories of the marks that it lies on.
    """

    on_mark: bool
    said: str
    marks: tuple[str, ...]


class NothingRead(LetteringJudge):
    """Finds no lettering anywhere."""

    def judge(self, image_rgb: RgbArray, prompt: str) -> Judgement:
        return Judgement(units=(), asked=())


def without_hands(model: Diagnostician) -> Diagnostician:
    """The same classifier, to which a measured hand says nothing."""
    return replace(model, hand_h=np.zeros_like(model.hand_h))


def judge_boxes(reasoner: Reasoner, sample: Sample) -> list[Judged]:
    """Diagnoses of a picture's marked boxes (of `MIN_SEVERITY` at least) and clean parts."""
    labels = [(r.box, r.category, "", r.severity) for r in sample.regions]
    labels = [label for label in labels if label[3] >= MIN_SEVERITY]
    labels += [(p.box, NO_DEFECT, str(p.part), 0) for p in sample.clean_parts]
    regions = [Region.from_box(box, id=f"r{i}") for i, (box, *_) in enumerate(labels)]
    said = reasoner.diagnose(sample.load_rgb(), sample.prompt, regions)
    return [
        _judged(truth, part, severity, diagnosis)
        for (_, truth, part, severity), diagnosis in zip(labels, said, strict=True)
    ]


def _judged(truth: str, part: str, severity: int, diagnosis: Diagnosis) -> Judged:
    looks = [e.data for e in diagnosis.evidence if e.kind == "looks"]
    category = diagnosis.category
    if looks:
        best, share = str(looks[0]["category"]), float(str(looks[0]["share"]))
        defect = float(str(looks[0]["defect"]))
    else:  # lettering was read, and that decided
        defect = diagnosis.confidence if category in CATEGORIES else 1.0 - diagnosis.confidence
        best, share = (category, 1.0) if category in CATEGORIES else ("text_garbled", 0.5)
    return Judged(
        truth=truth,
        part=part,
        severity=severity,
        said=category,
        said_severity=diagnosis.severity,
        best=best,
        share=share,
        defect=defect,
    )


def look_for_regions(retoucher: Retoucher, sample: Sample) -> list[Found]:
    """The product's own regions of a picture, against its marks."""
    findings = retoucher.find(sample.load_rgb(), prompt=sample.prompt)
    out: list[Found] = []
    for region, diagnosis in zip(findings.regions, findings.diagnoses, strict=True):
        shares = [(r.category, _inside(region, r.box)) for r in sample.regions]
        covered = np.zeros(region.mask_hw.shape, np.bool_)
        for mark in sample.regions:
            common = mark.box.intersection(region.box)
            if common is not None:
                covered[common.shift(-region.box.x0, -region.box.y0).slices] = True
        on_mark = float(covered[region.mask_hw].mean()) >= FOUND_SHARE
        marks = tuple(sorted({c for c, share in shares if share >= FOUND_SHARE / 2}))
        out.append(Found(on_mark=on_mark, said=diagnosis.category, marks=marks if on_mark else ()))
    return out


def _inside(region: Region, box: Box) -> float:
    """Share of the region's mask inside a box."""
    common = region.box.intersection(box)
    if common is None:
        return 0.0
    mask = region.mask_hw[common.shift(-region.box.x0, -region.box.y0).slices]
    return float(mask.sum()) / region.area_px


def summary(rows: Sequence[Judged], most_frequent: str | None) -> dict[str, float]:
    bad = [r for r in rows if r.truth != NO_DEFECT]
    clean = [r for r in rows if r.truth == NO_DEFECT]
    truth = [r.truth for r in bad]
    dims = [dimension(t) for t in truth]
    common = Counter(truth).most_common(1)[0][0]
    out: dict[str, float] = {
        "defects": len(bad),
        "clean parts": len(clean),
        "accuracy, best category": accuracy(truth, [r.best for r in bad]),
        "accuracy, as said": accuracy(truth, [r.said for r in bad]),
        "dimension accuracy, best": accuracy(dims, [dimension(r.best) for r in bad]),
        "dimension accuracy, as said": accuracy(dims, [dimension(r.said) for r in bad]),
        "macro-F1, best": macro_f1(truth, [r.best for r in bad]),
        "uniform": 1 / len(CATEGORIES),
        "uniform, dimension": 1 / len({dimension(c) for c in CATEGORIES}),
        "always the set's most frequent": accuracy(truth, [common] * len(truth)),
        "the same, dimension": accuracy(dims, [dimension(common)] * len(truth)),
        "the same, macro-F1": macro_f1(truth, [common] * len(truth)),
    }
    if most_frequent:
        out["always training's most frequent"] = accuracy(truth, [most_frequent] * len(truth))
        out["training's, dimension"] = accuracy(dims, [dimension(most_frequent)] * len(truth))
    named = [r for r in bad if r.said in CATEGORIES]
    out |= {
        "defects named": len(named) / max(len(bad), 1),
        "defects unknown": _share([r.said == UNKNOWN for r in bad]),
        "defects called sound": _share([r.said == NO_DEFECT for r in bad]),
        "right when named": accuracy([r.truth for r in named], [r.said for r in named]),
        "dimension right when named": accuracy(
            [dimension(r.truth) for r in named], [dimension(r.said) for r in named]
        ),
        "severity right when named": _share([r.severity == r.said_severity for r in named]),
        "clean called defective": _share([r.said in CATEGORIES for r in clean]),
        "clean unknown": _share([r.said == UNKNOWN for r in clean]),
        "clean called sound": _share([r.said == NO_DEFECT for r in clean]),
        "ECE, defect": expected_calibration_error(
            [r.defect for r in rows], [r.truth != NO_DEFECT for r in rows]
        ),
        "ECE, category": expected_calibration_error(
            [r.share for r in bad], [r.best == r.truth for r in bad]
        ),
    }
    for part in ("", "hand", "face"):
        wrong = [r.defect for r in bad if part in ("", dimension(r.truth))]
        right = [r.defect for r in clean if part in ("", r.part)]
        if wrong and right:
            name = f"AUC, defective against clean {part or 'part'}s"
            out[name] = float(rank_auc(np.array(wrong), np.array(right)))
    return out


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else float("nan")


def end_to_end(pictures: Sequence[tuple[Sample, list[Found]]]) -> dict[str, float]:
    found = [f for _, regions in pictures for f in regions]
    right = [f for f in found if f.on_mark]
    wrong = [f for f in found if not f.on_mark]
    named = [f for f in right if f.said in CATEGORIES]
    clean = [regions for sample, regions in pictures if sample.is_clean]
    return {
        "regions": len(found),
        "on a mark": len(right),
        "on a mark, category named": len(named),
        "on a mark, category right": sum(f.said in f.marks for f in named),
        "on a mark, dimension right": sum(
            dimension(f.said) in {dimension(m) for m in f.marks} for f in named
        ),
        "on a mark, unknown": sum(f.said == UNKNOWN for f in right),
        "on a mark, called sound": sum(f.said == NO_DEFECT for f in right),
        "off the marks": len(wrong),
        "off the marks, category named": sum(f.said in CATEGORIES for f in wrong),
        "off the marks, unknown": sum(f.said == UNKNOWN for f in wrong),
        "off the marks, called sound": sum(f.said == NO_DEFECT for f in wrong),
        "clean pictures": len(clean),
        "clean pictures with a defect named": sum(
            any(f.said in CATEGORIES for f in regions) for regions in clean
        ),
    }


def confusion(rows: Sequence[Judged]) -> str:
    """Rows: truth; columns: what was said, by the best category where a defect was seen."""
    columns = (*CATEGORIES, UNKNOWN, NO_DEFECT)
    present = [c for c in (*CATEGORIES, NO_DEFECT) if any(r.truth == c for r in rows)]
    lines = ["| truth \\ said | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in present:
        counts = Counter(r.said for r in rows if r.truth == name)
        lines.append(f"| {name} | " + " | ".join(str(counts[c] or "") for c in columns) + " |")
    return "\n".join(lines)


def table(values: dict[str, float]) -> str:
    lines = ["| figure | value |", "|---|---|"]
    for name, value in values.items():
        shown = str(value) if isinstance(value, int) else f"{value:.3f}"
        lines.append(f"| {name} | {shown} |")
    return "\n".join(lines)


def _instead(shipped: Reasoner, only_looks: bool, no_hands: bool) -> Reasoner:
    """The reasoner that the options ask for."""
    if not (only_looks or no_hands):
        return shipped
    model = shipped_diagnostician()
    return EmbeddedReasoner(
        NothingRead() if only_looks else None,
        diagnostician=without_hands(model) if no_hands else model,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--no-find", action="store_true", help="marked boxes only")
    parser.add_argument("--only-looks", action="store_true", help="read nothing; implies --no-find")
    parser.add_argument("--without-hands", action="store_true", help="measure no hands")
    args = parser.parse_args()
    samples = read_labels(args.dataset)
    retoucher = Retoucher.from_profile(
        "embedded",
        Settings(perceivers=("text", "saliency"), reasoner="embedded"),
        around_reasoner=lambda shipped: _instead(shipped, args.only_looks, args.without_hands),
    )
    most_frequent = None
    if args.train:
        labels = [r.category for s in read_labels(args.train) for r in s.regions]
        most_frequent = Counter(labels).most_common(1)[0][0]
    rows: list[Judged] = []
    pictures: list[tuple[Sample, list[Found]]] = []
    for sample in samples:
        rows += judge_boxes(retoucher.agents.reasoner, sample)
        if not (
            args.no_find or args.only_looks
        ):  # right after, while the picture's readings and views are at hand
            pictures.append((sample, look_for_regions(retoucher, sample)))
    figures = summary(rows, most_frequent)
    print(f"Marked boxes of severity >= {MIN_SEVERITY} and clean parts, {args.dataset.name}\n")
    print(table(figures), "\n")
    print(confusion(rows), "\n")
    data: dict[str, object] = {"boxes": [asdict(row) for row in rows], "summary": figures}
    if pictures:
        data["find"] = end_to_end(pictures)
        data["regions"] = {s.id: [asdict(f) for f in found] for s, found in pictures}
        print(f"The product's own regions, {args.dataset.name}\n")
        print(table(end_to_end(pictures)))
    if args.json:
        args.json.write_text(json.dumps(data, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
