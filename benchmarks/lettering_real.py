"""The labelled text regions of real generated pictures, and false alarms on photographs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from lettering_run import edit_notes, load_rgb
from lettering_score import Rgb

from retoucher import Retoucher
from retoucher.domain.geometry import Box
from retoucher.domain.trace import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class RealRegion:
    """One labelled text region. `fate`: kept (an edit was accepted), rolled back, left (found, no
    tool could), seen, no defect (diagnosed as right), missed."""

    picture: str
    box: tuple[int, int, int, int]
    label: str
    severity: int
    diagnosed: str | None
    fate: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RealPicture:
    """`false_boxes`: accepted edits that lie on no labelled text region."""

    picture: str
    regions: tuple[RealRegion, ...]
    false_boxes: tuple[tuple[int, int, int, int], ...]
    false_defects: int
    changed: bool
    seconds: float
    notes: tuple[str, ...]


def labelled(root: Path) -> list[dict[str, Any]]:
    text = (root / "labels.jsonl").read_text("utf-8")
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def _on(box: Box, label: Box) -> bool:
    """Does a region lie on a label: half of it inside, or a fifth of the label covered?"""
    common = box.intersection(label)
    if common is None:
        return False
    return common.area_px >= 0.5 * box.area_px or common.area_px >= 0.2 * label.area_px


def run_real(retoucher: Retoucher, row: dict[str, Any], root: Path) -> tuple[RealPicture, Rgb, Rgb]:
    """Fix one labelled picture. Also returns it before and after."""
    path = root / row["file"]
    before = load_rgb(path)
    began = time.perf_counter()
    result = retoucher.fix(path, prompt=row.get("prompt") or "")
    seconds = time.perf_counter() - began
    seen: list[tuple[Box, str]] = []
    edits: list[tuple[Box, Outcome]] = []
    for rnd in result.trace.rounds:
        boxes = {region.id: region.box for region in rnd.regions}
        seen += [(boxes[d.region_id], d.category) for d in rnd.diagnoses]
        edits += [(boxes[e.region_id], e.outcome) for e in rnd.edits]
    labels = [r for r in row["regions"] if r["category"].startswith("text")]
    regions: list[RealRegion] = []
    for label in labels:
        box = Box.from_xyxy(label["box"])
        here = [category for where, category in seen if _on(where, box)]
        bad = [category for category in here if category not in ("no_defect", "unknown")]
        done = {outcome for where, outcome in edits if _on(where, box)}
        fate = (
            "kept" if Outcome.ACCEPTED in done
            else "rolled back" if done
            else "left" if bad
            else "seen, no defect" if here
            else "missed"
        )  # fmt: skip
        regions.append(
            RealRegion(
                picture=row["id"],
                box=box.as_xyxy(),
                label=label["category"],
                severity=int(label["severity"]),
                diagnosed=bad[0] if bad else None,
                fate=fate,
            )
        )
    label_boxes = [Box.from_xyxy(label["box"]) for label in labels]
    false = [
        where.as_xyxy()
        for where, outcome in edits
        if outcome is Outcome.ACCEPTED and not any(_on(where, box) for box in label_boxes)
    ]
    defects = [w for w, c in seen if c not in ("no_defect", "unknown")]
    picture = RealPicture(
        picture=row["id"],
        regions=tuple(regions),
        false_boxes=tuple(false),
        false_defects=sum(not any(_on(w, b) for b in label_boxes) for w in defects),
        changed=bool((before != result.image_rgb).any()),
        seconds=seconds,
        notes=edit_notes(result),
    )
    return picture, before, result.image_rgb


@dataclass(frozen=True, slots=True, kw_only=True)
class PhotoRow:
    """A photograph: everything found or changed in it is a false alarm."""

    file: str
    defects: int
    changed: bool
    boxes: tuple[tuple[int, int, int, int], ...]
    seconds: float


def photo_sample(pool: Path, count: int, seed: int) -> list[Path]:
    """COCO photographs of the pool, drawn by seed."""
    rows = [json.loads(line) for line in (pool / "manifest.jsonl").read_text("utf-8").splitlines()]
    names = sorted(r["file"] for r in rows if r["kind"] == "photo" and "coco" in r["file"])
    order = np.random.default_rng(seed).permutation(len(names))[:count]
    return [pool / names[i] for i in order]


def run_photo(retoucher: Retoucher, path: Path) -> tuple[PhotoRow, Rgb, Rgb]:
    before = load_rgb(path)
    began = time.perf_counter()
    result = retoucher.fix(path, prompt="")
    seconds = time.perf_counter() - began
    row = PhotoRow(
        file=path.name,
        defects=sum(
            d.category not in ("no_defect", "unknown")
            for rnd in result.trace.rounds[:1]
            for d in rnd.diagnoses
        ),
        changed=bool((before != result.image_rgb).any()),
        boxes=tuple(e.box.as_xyxy() for e in result.trace.accepted if e.box is not None),
        seconds=seconds,
    )
    return row, before, result.image_rgb
