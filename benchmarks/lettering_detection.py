"""How well wrong lettering is found in real pictures, and how often it is invented.

    python benchmarks/lettering_detection.py [--data DIR] [--quick] [--json]

Runs perceiver `text` and reasoner `embedded` (each labelled box as a region) over the labelled
text-to-image pictures of real_dev (never trained on), and counts false alarms on photographs and on
mostly right generated pictures of the pool and on the clean text parts of real_train. The weights
saw the pool and real_train in training, so those rows are no held-out figures (the recipe
prints cross-validated ones); real_dev is.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.lettering.judge import LetteringJudge
from retoucher.lettering.reading import TextReader
from retoucher.perception.text import TextPerceiver
from retoucher.reasoning.embedded import EmbeddedReasoner

THRESHOLD = 0.4
HIT_SHARE = 0.15
"""A labelled box is hit where so much of it is above the threshold: boxes are drawn generously."""


@dataclass(slots=True, kw_only=True)
class Tally:
    """What was counted on one set of pictures."""

    pictures: int = 0
    pictures_flagged: int = 0
    blobs_elsewhere: int = 0
    found: dict[str, list[int]] = field(default_factory=dict[str, list[int]])
    said: dict[str, list[int]] = field(default_factory=dict[str, list[int]])

    def add(self, table: dict[str, list[int]], label: str, hit: bool) -> None:
        entry = table.setdefault(label, [0, 0])
        entry[0] += hit
        entry[1] += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--quick", action="store_true", help="every eighth picture")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    judge = LetteringJudge(TextReader())
    agents = TextPerceiver(judge), EmbeddedReasoner(judge)
    step = 8 if args.quick else 1
    sets = {
        "real_dev (held out)": list(labelled(args.data / "real_dev", only_text=False)),
        "real_train with text": list(labelled(args.data / "real_train", only_text=True)),
        "pool photographs": list(pool(args.data / "pool", "photo")),
        "pool t2i-mostly-clean": list(pool(args.data / "pool", "t2i-mostly-clean")),
    }
    tallies: dict[str, Tally] = {}
    for name, pictures in sets.items():
        tallies[name] = count(agents, pictures[::step])
        if not args.json:
            show(name, tallies[name])
    if args.json:
        rows = {n: {k: getattr(t, k) for k in Tally.__slots__} for n, t in tallies.items()}
        print(json.dumps({"threshold": THRESHOLD, "quick": args.quick, "sets": rows}))


Labelled = tuple[Path, str, list[tuple[list[float], str]]]


def labelled(folder: Path, *, only_text: bool) -> Iterator[Labelled]:
    for line in (folder / "labels.jsonl").read_text("utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        boxes = [(r["box"], r["category"]) for r in row["regions"]]
        boxes = [b for b in boxes if b[1].startswith("text")]
        boxes += [(c["box"], "clean") for c in row["clean_parts"] if c["part"] == "text"]
        if boxes or not only_text:
            yield folder / row["file"], row["prompt"], boxes


def pool(folder: Path, kind: str) -> Iterator[Labelled]:
    for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines():
        row: dict[str, Any] = json.loads(line)
        webcam = kind == "photo" and not row["file"].startswith("coco_")
        if row["kind"] == kind and not webcam:
            yield folder / row["file"], row.get("caption") or "", []


def count(agents: tuple[TextPerceiver, EmbeddedReasoner], rows: list[Labelled]) -> Tally:
    perceiver, reasoner = agents
    tally = Tally()
    for path, prompt, boxes in rows:
        image_rgb = load(path)
        hot = perceiver.perceive(image_rgb, prompt).values_hw >= THRESHOLD
        tally.pictures += 1
        tally.pictures_flagged += bool(hot.any())
        regions = [region(box, i, image_rgb) for i, (box, _) in enumerate(boxes)]
        verdicts = reasoner.diagnose(image_rgb, prompt, regions)
        elsewhere = hot.copy()
        for one, verdict, (_, label) in zip(regions, verdicts, boxes, strict=True):
            tally.add(tally.found, label, float(hot[one.box.slices].mean()) >= HIT_SHARE)
            tally.add(tally.said, f"{label} -> {verdict.category}", True)
            elsewhere[one.box.slices] = False
        tally.blobs_elsewhere += cv2.connectedComponents(elsewhere.astype(np.uint8))[0] - 1
    return tally


def region(box: list[float], number: int, image_rgb: NDArray[np.uint8]) -> Region:
    inside = Box.from_xyxy(box).clip(*image_rgb.shape[:2])
    assert inside is not None
    return Region.from_box(inside, id=f"r{number}")


def load(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as opened:
        return np.ascontiguousarray(np.asarray(ImageOps.exif_transpose(opened).convert("RGB")))


def show(name: str, tally: Tally) -> None:
    print(
        f"{name}: {tally.pictures} pictures, {tally.pictures_flagged} with saliency >= {THRESHOLD}"
    )
    print(f"  places flagged outside of labelled text: {tally.blobs_elsewhere}")
    for label, (hit, total) in sorted(tally.found.items()):
        print(f"  {label:14s} flagged by `text`: {hit:3d} of {total:3d}")
    for label, (hit, _) in sorted(tally.said.items()):
        print(f"  {label:32s} by `embedded`: {hit:3d}", flush=True)


if __name__ == "__main__":
    main()
