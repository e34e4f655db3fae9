"""Label Studio's export as it comes: tasks with one annotation per annotator, for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from retoucher.data.ours import write_labels
from retoucher.data.sample import LabelledRegion, Sample
from retoucher.domain.geometry import Box

WIDTH, HEIGHT = 200, 120


def pictures(folder: Path) -> Path:
    """A labelled set of three pictures: two defects, one, none."""
    rng = np.random.default_rng(5)
    samples: list[Sample] = []
    for name, boxes in (
        ("a", ((20, 20, 60, 60), (120, 30, 180, 90))),
        ("b", ((50, 40, 90, 80),)),
        ("c", ()),
    ):
        regions = tuple(
            LabelledRegion(
                box=Box(*b), category="hand_shape", severity=3, description="melted hand"
            )
            for b in boxes
        )
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        samples.append(
            Sample(
                id=name, picture=pixels, width=WIDTH, height=HEIGHT, prompt=f"a {name}",
                regions=regions, source="made",
            )
        )  # fmt: skip
    write_labels(samples, folder)
    return folder


def _shared(key: str, **value: Any) -> dict[str, Any]:
    return {
        "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0, "id": key,
        "to_name": "image", "origin": "manual", "value": value,
    }  # fmt: skip


def percent(x0: float, y0: float, x1: float, y1: float) -> dict[str, float]:
    return {
        "x": 100 * x0 / WIDTH, "y": 100 * y0 / HEIGHT,
        "width": 100 * (x1 - x0) / WIDTH, "height": 100 * (y1 - y0) / HEIGHT, "rotation": 0,
    }  # fmt: skip


def rectangle(
    key: str, box: tuple[float, float, float, float], category: str, note: str = "",
    severity: str = "",
) -> list[dict[str, Any]]:  # fmt: skip
    """A rectangle with its note and severity: three results, one id."""
    place = percent(*box)
    out = [
        {**_shared(key, **place, rectanglelabels=[category]), "from_name": "box",
         "type": "rectanglelabels"}
    ]  # fmt: skip
    return out + beside(key, place, note, severity)


def point(key: str, x: float, y: float, category: str, note: str = "") -> list[dict[str, Any]]:
    place = {"x": 100 * x / WIDTH, "y": 100 * y / HEIGHT, "width": 0.4}
    first = {**_shared(key, **place, keypointlabels=[category]), "from_name": "centre",
             "type": "keypointlabels"}  # fmt: skip
    return [first, *beside(key, place, note, "")]


def beside(key: str, place: dict[str, Any], note: str, severity: str) -> list[dict[str, Any]]:
    out: list[dict[str, Any]] = []
    if note:
        out.append({**_shared(key, **place, text=[note]), "from_name": "note", "type": "textarea"})
    if severity:
        out.append(
            {**_shared(key, **place, choices=[severity]), "from_name": "severity",
             "type": "choices"}
        )  # fmt: skip
    return out


def exported(
    task: dict[str, Any], number: int, by: dict[int, list[dict[str, Any]]]
) -> dict[str, Any]:
    """A task of ours as it comes out again, with results by annotator."""
    return {
        "id": 100 + number, "inner_id": number, "project": 7, "file_upload": None,
        "total_annotations": len(by), "drafts": [], "meta": {}, "data": task["data"],
        "predictions": [], "created_at": "2026-01-02T10:00:00.000000Z",
        "annotations": [
            {
                "id": 1000 * number + person, "completed_by": person, "result": results,
                "was_cancelled": False, "ground_truth": False, "lead_time": 12.5,
                "task": 100 + number,
                "result_count": len(results), "unique_id": f"u{number}-{person}",
                "created_at": "2026-01-02T10:01:00.000000Z", "parent_prediction": None,
            }
            for person, results in by.items()
        ],
    }  # fmt: skip


def rgb_file(path: Path, size_wh: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    Image.new("RGB", size_wh, (90, 120, 150)).save(path)
    return path
