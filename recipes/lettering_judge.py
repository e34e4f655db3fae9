"""Train the weights that tell garbled lettering from lettering that is fine.

    python recipes/lettering_judge.py DATA [--rendered SET] [--out garbled_weights.json]

DATA holds `real_train/` (labelled text-to-image pictures) and `pool/` (photographs, mostly clean
generated pictures); SET is a folder made by `lettering_set.make_set` of benchmarks/, of which only
the split "dev" is used. Every line of text that the reader finds is one example; a line belongs to
the labelled box in which most of it lies. Prints what a grouped cross-validation reaches (a
profession or a picture is never in both parts), then fits on everything. About 15 minutes on a CPU.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from retoucher.lettering.features import FEATURES, line_features
from retoucher.lettering.judge import MIN_GARBLED_HEIGHT_PX, is_judgeable
from retoucher.lettering.reading import TextReader

FloatArray = NDArray[np.float64]
BAD = {"text_garbled", "r_garbled", "r_unreadable"}
WEIGHT = {"photo": 3.0, "clean": 1.5, "r_clean": 1.5}
"""Photographs count more: to flag one is the worst mistake."""
L2 = 5.0
PHOTO_FALSE_ALARMS = 0.025
"""The operating point: lines flagged per photograph (not per line)."""
THRESHOLD = 0.4
"""Where the operating point comes to lie, by a shift of the bias."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """One line of text; `group` is never split by the cross-validation."""

    label: str
    picture: str
    group: str
    features: FloatArray


def main() -> None:
    """Read, cross-validate, fit, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--rendered", type=Path, default=None)
    parser.add_argument("--out", type=Path, default=Path("garbled_weights.json"))
    args = parser.parse_args()
    reader = TextReader()
    sources = [real_train(args.data / "real_train"), pool(args.data / "pool")]
    if args.rendered:
        sources.append(rendered(args.rendered))
    examples = [e for source in sources for e in read_examples(reader, source)]
    photos = sum(1 for kind in pool_kinds(args.data / "pool") if kind == "photo")
    train(examples, photos, args.out)


Labelled = tuple[Path, str, list[tuple[Sequence[float], str]], str]
"""File, group, boxes with their labels, label of lines outside of all boxes ("" for none)."""


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """Objects of a JSON-lines file."""
    for line in path.read_text("utf-8").splitlines():
        yield json.loads(line)


def real_train(folder: Path) -> Iterator[Labelled]:
    """Pictures with labelled boxes."""
    for row in rows(folder / "labels.jsonl"):
        boxes = [(r["box"], r["category"]) for r in row["regions"]]
        boxes = [b for b in boxes if b[1].startswith("text")]
        boxes += [(c["box"], "clean") for c in row["clean_parts"] if c["part"] == "text"]
        match = re.match(r"isp_([a-z-]+)_", row["id"])
        yield folder / row["file"], match.group(1) if match else row["id"], boxes, ""


def pool_kinds(folder: Path) -> Iterator[str]:
    """Kind of each pool picture, "" for those that are not used."""
    for row in rows(folder / "manifest.jsonl"):
        yield row["kind"] if row["file"].startswith(("coco_", "gpt4o_")) else ""


def pool(folder: Path) -> Iterator[Labelled]:
    """Photographs and generated pictures that are mostly right."""
    for row, kind in zip(rows(folder / "manifest.jsonl"), pool_kinds(folder), strict=True):
        if kind in ("photo", "t2i-mostly-clean"):
            # A generated picture may be in real_train too: same name, same group.
            group = row["file"].split(".")[0]
            yield folder / row["file"], group, [], "photo" if kind == "photo" else "t2i"


def rendered(folder: Path) -> Iterator[Labelled]:
    """Lettering drawn by the benchmark, the part that may be trained on."""
    for row in rows(folder / "truth.jsonl"):
        if row["split"] == "dev":
            boxes = [(_bounds(np.array(u["quad_xy"])), "r_" + u["kind"]) for u in row["units"]]
            yield folder / row["file"], "rendered " + row["id"], boxes, ""


def read_examples(reader: TextReader, source: Iterator[Labelled]) -> Iterator[Example]:
    """Every line of these pictures that is large enough and not of an ambiguous kind."""
    for path, group, boxes, rest in source:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened).convert("RGB")
        image_rgb = np.ascontiguousarray(np.asarray(upright))
        for line in reader.read(image_rgb):
            label = _label(_bounds(line.quad_xy), boxes) or rest
            if not label or label in ("text_wrong", "r_misspelled"):
                continue
            if line.height_px >= MIN_GARBLED_HEIGHT_PX and is_judgeable(line):
                features = line_features(image_rgb, line)
                yield Example(label=label, picture=path.name, group=group, features=features)


def _bounds(quad_xy: FloatArray) -> tuple[float, ...]:
    return (*quad_xy.min(0).tolist(), *quad_xy.max(0).tolist())


def _label(line: Sequence[float], boxes: list[tuple[Sequence[float], str]]) -> str:
    area = max((line[2] - line[0]) * (line[3] - line[1]), 1e-9)
    for box, label in boxes:
        w = min(line[2], box[2]) - max(line[0], box[0])
        h = min(line[3], box[3]) - max(line[1], box[1])
        if w > 0 and h > 0 and w * h > 0.5 * area:
            return label
    return ""


def weights_of(examples: list[Example], bad: NDArray[np.bool_]) -> FloatArray:
    """A picture full of lines counts as the square root of their number; classes balanced."""
    count = Counter((e.picture, e.label) for e in examples)
    out = np.array([WEIGHT.get(e.label, 1.0) * count[e.picture, e.label] ** -0.5 for e in examples])
    out[bad] *= out[~bad].sum() / out[bad].sum()
    return out


Model = tuple[FloatArray, FloatArray, FloatArray]
"""Mean, scale, and weights with the bias last."""


def fit(x: FloatArray, y: NDArray[np.bool_], w: FloatArray) -> Model:
    """Weighted logistic regression by Newton's method."""
    mean = np.average(x, 0, w)
    scale = np.sqrt(np.average((x - mean) ** 2, 0, w)) + 1e-6
    z = _standard(x, mean, scale)
    beta = np.zeros(z.shape[1])
    ridge = np.diag([L2] * (z.shape[1] - 1) + [0.0])
    for _ in range(30):
        p = 1 / (1 + np.exp(-z @ beta))
        hessian = (z * (w * p * (1 - p))[:, None]).T @ z + ridge
        beta += np.linalg.solve(hessian, z.T @ (w * (y - p)) - ridge @ beta)
    return mean, scale, beta


def logits(model: Model, x: FloatArray) -> FloatArray:
    """Log odds of being garbled, one per row of x."""
    mean, scale, beta = model
    return _standard(x, mean, scale) @ beta


def _standard(x: FloatArray, mean: FloatArray, scale: FloatArray) -> FloatArray:
    return np.c_[np.clip((x - mean) / scale, -4, 4), np.ones(len(x))]


def cross_validated(examples: list[Example], x: FloatArray, y: NDArray[np.bool_]) -> FloatArray:
    """Mean logit of each example over 6 repetitions of 5 folds in which it was held out."""
    groups = np.array([e.group for e in examples])
    total = np.zeros(len(y))
    for seed in range(6):
        order = np.random.default_rng(seed).permutation(np.unique(groups))
        fold_of = {g: i % 5 for i, g in enumerate(order.tolist())}
        fold = np.array([fold_of[g] for g in groups.tolist()])
        for k in range(5):
            inside = [e for e, f in zip(examples, fold, strict=True) if f != k]
            w = weights_of(inside, y[fold != k])
            total[fold == k] += logits(fit(x[fold != k], y[fold != k], w), x[fold == k])
    return total / 6


def train(examples: list[Example], photos: int, out: Path) -> None:
    """Print what is reached on held-out groups, then fit on everything and write the weights."""
    x = np.array([e.features for e in examples])
    labels = np.array([e.label for e in examples])
    y = np.isin(labels, list(BAD))
    held_out = cross_validated(examples, x, y)
    allowed = int(PHOTO_FALSE_ALARMS * photos)
    cut = float(np.sort(held_out[labels == "photo"])[::-1][allowed]) + 1e-9
    print(f"operating point: {allowed} lines flagged in {photos} photographs")
    for label in np.unique(labels).tolist():
        flagged = held_out[labels == label] > cut
        print(f"{label:14s} {int(flagged.sum()):4d} of {len(flagged):4d} lines flagged")
    mean, scale, beta = fit(x, y, weights_of(examples, y))
    beta[-1] += np.log(THRESHOLD / (1 - THRESHOLD)) - cut
    table = [
        {"name": n, "mean": round(m, 5), "scale": round(s, 5), "weight": round(b, 5)}
        for n, m, s, b in zip(FEATURES, mean.tolist(), scale.tolist(), beta.tolist(), strict=False)
    ]
    for row in table:
        print(f"{row['name']:20s} {row['weight']:+.2f}")
    document = {"features": table, "bias": round(float(beta[-1]), 5)}
    out.write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    print(f"written: {out}")


if __name__ == "__main__":
    main()
