"""What can be measured on hands and faces, and whether it tells wrong ones from right ones.

    python benchmarks/part_measurements.py REAL_TRAIN [--signs HAND_SIGNS --landmarks FILE]
        [--mediapipe MODULES [--only-faces]] [--every N]

REAL_TRAIN is a labelled set; its pictures are split as in training. For each measurement: the AUC
of marked defects of severity >= 2 against clean parts, on training pictures (all, and those of the
source that has most defects, where knowing the generator helps nobody) and on held-out ones. The
networks that measure saw none of them. HAND_SIGNS are photographs named by the number of fingers
that they show (0 to 5); with their landmarks (recipes/annotations/hand_signs.jsonl), hands with a
synthetic finger too many or too few are compared with their untouched twins. MODULES, see
perception_parts.py, brings faces, which the product does not measure. Markdown on standard output.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from retoucher.data.landmarks import FINGERS, attach_landmarks
from retoucher.data.ours import read_hand_signs, read_labels
from retoucher.data.sample import Sample
from retoucher.data.synthetic.make import SyntheticSettings, make_pair
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import taxonomy
from retoucher.evaluation.metrics import rank_auc
from retoucher.reasoning.embedded_hands import HandMeasured, measure_hand
from retoucher.train.split import held_out
from retoucher.vision.hands import HandNetworks

HELD_OUT, SEED = 0.12, 0
"""As recipes/diagnostician.py."""
MIN_SEVERITY = 2
STRAIGHT, REACH = 0.9, 1.2
"""A finger is stretched whose ends lie so much of its length apart, and whose tip lies so much
farther from the wrist than its middle joint."""
THUMB_STRAIGHT, THUMB_AWAY, THUMB_FREE = 0.95, 0.4, 0.5
"""Likewise the thumb's tip: from the index finger's root and from its tip, in palm lengths."""
PAIRS = 150


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One marked or clean part and the values measured on it.

    Attributes:
        bad: it is a marked defect.
        source: of the picture.
        held_out: the picture is.
        values: by name; the greater, the likelier a defect. Empty where no such part was found.
    """

    bad: bool
    source: str
    held_out: bool
    values: dict[str, float]


Measure = Callable[[np.ndarray, Box], dict[str, float]]


def measured_parts(samples: Sequence[Sample], part: str, measure: Measure) -> list[Measured]:
    """Every marked and clean part of one kind."""
    held = {s.id for s in held_out(samples, HELD_OUT, SEED)[1]}
    out: list[Measured] = []
    for sample in samples:
        places = [
            (r.box, True)
            for r in sample.regions
            if taxonomy()[r.category].dimension == part and r.severity >= MIN_SEVERITY
        ]
        places += [(p.box, False) for p in sample.clean_parts if p.part == part]
        if places:
            rgb = sample.load_rgb()
        for box, bad in places:
            inside = box.clip(*rgb.shape[:2])
            assert inside is not None
            out.append(
                Measured(
                    bad=bad,
                    source=sample.source,
                    held_out=sample.id in held,
                    values=measure(rgb, inside),
                )
            )
    return out


def separation(parts: Sequence[Measured]) -> str:
    """A table of AUCs, and how often the part was found."""
    source = Counter(p.source for p in parts if p.bad).most_common(1)[0][0]
    groups = {
        "training": [p for p in parts if not p.held_out],
        f"training, {source}": [p for p in parts if not p.held_out and p.source == source],
        "held out": [p for p in parts if p.held_out],
    }
    lines = [
        "| measurement | " + " | ".join(groups) + " |",
        "|---" * (len(groups) + 1) + "|",
    ]
    for name, wanted in (("defects: found", True), ("clean: found", False)):
        cells = [[bool(p.values) for p in g if p.bad == wanted] for g in groups.values()]
        lines.append(f"| {name} | " + " | ".join(f"{sum(c)} of {len(c)}" for c in cells) + " |")
    names = list(dict.fromkeys(n for p in parts for n in p.values))
    for name in names:
        cells = [_auc(group, lambda p, n=name: p.values[n]) for group in groups.values()]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    cells = [_auc(group, score) for group, score in _combined(parts, names, groups)]
    lines.append("| all together (logistic, cross-validated) | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _auc(parts: Sequence[Measured], score: Callable[[Measured], float]) -> str:
    bad, good = (np.array([score(p) for p in parts if p.values and p.bad == b]) for b in (1, 0))
    if not len(bad) or not len(good):
        return ""
    return f"{rank_auc(bad, good):.3f} ({len(bad)}/{len(good)})"


def _combined(
    parts: Sequence[Measured], names: Sequence[str], groups: dict[str, list[Measured]]
) -> Iterator[tuple[list[Measured], Callable[[Measured], float]]]:
    """For each group, a score by a logistic regression that did not see the scored part."""
    found = [p for p in parts if p.values and not p.held_out]
    x = np.array([[p.values[n] for n in names] for p in found])
    y = np.array([p.bad for p in found])
    fold = np.random.default_rng(SEED).integers(0, 8, len(found))
    betas = [_logistic(x[fold != k], y[fold != k]) for k in range(8)]
    whole = _logistic(x, y)
    own = {id(p): betas[k] for p, k in zip(found, fold, strict=True)}

    def score(part: Measured) -> float:
        beta, mean, scale = own.get(id(part), whole)
        return float(((np.array([part.values[n] for n in names]) - mean) / scale) @ beta)

    for group in groups.values():
        yield group, score


def _logistic(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Slopes of a ridge logistic regression with balanced classes, by Newton's method."""
    mean, scale = x.mean(0), x.std(0) + 1e-9
    z = np.c_[(x - mean) / scale, np.ones(len(x))]
    weight = np.where(y, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    beta, ridge = np.zeros(z.shape[1]), np.eye(z.shape[1])
    for _ in range(30):
        p = 1 / (1 + np.exp(-z @ beta))
        curve = (z * (weight * p * (1 - p))[:, None]).T @ z + ridge
        beta = beta + np.linalg.solve(curve, z.T @ (weight * (y - p)) - ridge @ beta)
    return beta[:-1], mean, scale


def hand_values(measured: HandMeasured | None) -> dict[str, float]:
    """What the product measures, and the proportions that it does not use."""
    if measured is None:
        return {}
    logs = _log_bones(measured.points_xy)
    return {
        "presence": -measured.presence,
        "disagreement": measured.disagreement,
        "palm's score": -measured.palm,
        "spread of the bones' lengths": float(logs.std()),
        "longest finger over the palm": float(_reach(measured.points_xy)),
        "stretched fingers (fewer)": -float(stretched_fingers(measured.points_xy)),
    }


def _log_bones(points: np.ndarray) -> np.ndarray:
    bones = [points[b] - points[a] for f in FINGERS for a, b in pairwise(f)]
    lengths = np.linalg.norm(bones, axis=1)
    return np.log(lengths / lengths.mean() + 0.02)


def _reach(points: np.ndarray) -> float:
    palm = np.linalg.norm(points[9] - points[0])
    return float(np.linalg.norm(points[[8, 12, 16, 20]] - points[0], axis=1).max() / palm)


def stretched_fingers(points: np.ndarray) -> int:
    """How many of the five fingers of 21 points, (21, 2), are stretched out."""

    def far(a: int, b: int) -> float:
        return float(np.linalg.norm(points[a] - points[b]))

    palm = max(far(0, 9), 1e-6)
    count = 0
    for root, second, third, tip in FINGERS:
        path = far(root, second) + far(second, third) + far(third, tip)
        straight = far(root, tip) / max(path, 1e-6)
        if root == 1:
            away = far(tip, 5) > THUMB_AWAY * palm and far(tip, 8) > THUMB_FREE * palm
            count += straight > THUMB_STRAIGHT and away
        else:
            count += straight > STRAIGHT and far(tip, 0) > REACH * far(second, 0)
    return int(count)


def signs_table(networks: HandNetworks, samples: Sequence[Sample]) -> str:
    """How many fingers are counted on photographs of right hands that show 0 to 5."""
    counts: Counter[tuple[int, int]] = Counter()
    shown = [s for s in samples if int(s.id[0]) <= 5]
    for sample in shown:
        measured = measure_hand(networks, sample.load_rgb(), _whole(sample))
        if measured is not None:
            counts[int(sample.id[0]), stretched_fingers(measured.points_xy)] += 1
    found, right = counts.total(), sum(n for (a, b), n in counts.items() if a == b)
    lines = [f"{found} of {len(shown)} hands found; {right / found:.3f} of them counted right\n"]
    lines += ["| shown \\ counted | " + " | ".join(map(str, range(6))) + " |", "|---" * 7 + "|"]
    for truth in range(6):
        cells = " | ".join(str(counts[truth, said] or "") for said in range(6))
        lines.append(f"| {truth} | {cells} |")
    return "\n".join(lines)


def _whole(sample: Sample) -> Region:
    return Region.from_box(Box.of_picture(sample.height, sample.width), id="r1")


def fingers_table(networks: HandNetworks, samples: Sequence[Sample]) -> str:
    """Hands with a synthetic finger too many or too few, against their untouched twins."""
    settings = replace(SyntheticSettings(), extra_defect=0.0, other_edits=0.0)
    rng = np.random.default_rng(SEED)
    pairs: dict[str, list[tuple[dict[str, float], dict[str, float]]]] = {}
    for i in range(PAIRS):
        sample = samples[i % len(samples)]
        pair = make_pair(rng, sample, "hand_finger_count", settings)
        if pair is None:
            continue
        both = [measure_hand(networks, s.load_rgb(), _whole(s)) for s in (pair.defect, pair.twin)]
        spoiled, twin = (hand_values(m) for m in both)
        pairs.setdefault(pair.generators[0], []).append((spoiled, twin))
    names = ("presence", "disagreement")
    lines = ["| made | pairs | " + " | ".join(names) + " |", "|---" * (len(names) + 2) + "|"]
    for made, rows in sorted(pairs.items()):
        cells: list[str] = []
        for name in names:
            bad, good = (np.array([r[i][name] for r in rows if r[i]]) for i in (0, 1))
            cells.append(f"{rank_auc(bad, good):.3f}")
        lines.append(f"| {made} | {len(rows)} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def print_hands(samples: Sequence[Sample], signs: Sequence[Sample], landmarks: Path | None) -> None:
    networks = HandNetworks()
    spent: list[float] = []

    def measure(rgb: np.ndarray, box: Box) -> dict[str, float]:
        start = time.process_time()
        found = measure_hand(networks, rgb, Region.from_box(box, id="r1"))
        spent.append(time.process_time() - start)
        return hand_values(found)

    print("## Hands\n")
    print(separation(measured_parts(samples, "hand", measure)), "\n")
    print(f"{np.median(spent) * 1e3:.0f} ms of one core a region (median)\n")
    if signs:
        print("## Stretched fingers counted on photographs\n")
        print(signs_table(networks, signs), "\n")
        if landmarks:
            print("## Synthetic fingers too many or too few: AUC against their twins\n")
            print(fingers_table(networks, attach_landmarks(signs, landmarks)), "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("real_train", type=Path)
    parser.add_argument("--signs", type=Path)
    parser.add_argument("--landmarks", type=Path)
    parser.add_argument("--mediapipe", type=Path, metavar="MODULES")
    parser.add_argument("--only-faces", action="store_true", help="leave the hands out")
    parser.add_argument("--every", type=int, default=1, help="only every N-th picture")
    args = parser.parse_args()
    samples = read_labels(args.real_train)[:: args.every]
    if not args.only_faces:
        signs = read_hand_signs(args.signs) if args.signs else []
        print_hands(samples, signs, args.landmarks)
    if args.mediapipe:
        from face_measurements import FaceMeasure

        print("## Faces\n")
        print(separation(measured_parts(samples, "face", FaceMeasure(args.mediapipe))))


if __name__ == "__main__":
    main()
