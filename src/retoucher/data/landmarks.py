"""Named points of hands, faces and bodies: what a part's `points_xy` mean, and their files.

The points come from `recipes/annotate_parts.py` (MediaPipe's landmark models) and lie in a JSON
lines file, one picture a line: {"id", "parts": [{"part", "box", "points": [[x, y] | null, ...]}]}.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from retoucher.data.jsonl import as_record, get_floats, get_list, get_str, read_records
from retoucher.data.sample import PARTS, CleanPart, FloatArray, Part, Sample
from retoucher.domain.geometry import Box
from retoucher.errors import InputError

# Hand: 21 points, wrist, then thumb, index, middle, ring, little finger, each root to tip.
HAND_POINTS = 21
FINGERS: tuple[tuple[int, ...], ...] = tuple(tuple(range(1 + 4 * f, 5 + 4 * f)) for f in range(5))

# Face: 56 points. Left and right as the viewer sees them.
FACE_OVAL = tuple(range(16))  # clockwise from the forehead's top
EYE_LEFT = tuple(range(16, 22))  # outer corner, two above, inner corner, two below
EYE_RIGHT = tuple(range(22, 28))
BROW_LEFT = tuple(range(28, 33))
BROW_RIGHT = tuple(range(33, 38))
NOSE = tuple(range(38, 44))  # bridge, bridge, tip, left wing, right wing, base
LIPS = tuple(range(44, 56))  # clockwise from the left corner
FACE_POINTS = 56

FACE_MESH_INDICES: tuple[int, ...] = (
    *(10, 297, 284, 389, 454, 361, 397, 378, 152, 149, 172, 132, 234, 162, 54, 67),
    *(33, 160, 158, 133, 153, 144),
    *(263, 387, 385, 362, 380, 373),
    *(70, 63, 105, 66, 107),
    *(300, 293, 334, 296, 336),
    *(168, 6, 4, 98, 327, 2),
    *(61, 40, 37, 0, 267, 270, 291, 321, 314, 17, 84, 91),
)
"""Where the 56 face points stand in MediaPipe's mesh of 468."""

# Body: 16 points, left and right as the viewer sees a person who faces them.
POSE_MESH_INDICES: tuple[int, ...] = (
    12,
    11,
    14,
    13,
    16,
    15,
    20,
    19,
    24,
    23,
    26,
    25,
    28,
    27,
    32,
    31,
)
POSE_POINTS = 16
ARM_LEFT, ARM_RIGHT = (0, 2, 4, 6), (1, 3, 5, 7)  # shoulder, elbow, wrist, fingertip
LEG_LEFT, LEG_RIGHT = (8, 10, 12, 14), (9, 11, 13, 15)  # hip, knee, ankle, toes

_COUNTS: dict[Part, int] = {"hand": HAND_POINTS, "face": FACE_POINTS, "person": POSE_POINTS}

_FACE_MIRROR: tuple[int, ...] = (
    *((16 - i) % 16 for i in FACE_OVAL),
    *EYE_RIGHT,
    *EYE_LEFT,
    *BROW_RIGHT,
    *BROW_LEFT,
    *(38, 39, 40, 42, 41, 43),
    *(50, 49, 48, 47, 46, 45, 44, 55, 54, 53, 52, 51),
)


def mirrored_points(points_xy: FloatArray, part: Part, width: int) -> FloatArray:
    """Points after left and right are exchanged, each under the name it then has."""
    out = points_xy.copy()
    out[:, 0] = width - out[:, 0]
    if part == "face":
        return out[list(_FACE_MIRROR)]
    if part == "person":
        return out.reshape(-1, 2, 2)[:, ::-1].reshape(-1, 2)
    return out


def attach_landmarks(samples: Iterable[Sample], path: Path) -> list[Sample]:
    """Samples with the points of a landmark file on the clean parts they belong to.

    A part of the file whose box is no clean part of the sample (found by a detector) joins as an
    inexact one, unless it lies on a labelled defect.

    Raises:
        InputError: a line does not follow the format, with its number.
    """
    found: dict[str, list[CleanPart]] = {}
    for where, record in read_records(path):
        rows = [as_record(p, where) for p in get_list(record, "parts", where)]
        found[get_str(record, "id", where)] = [_part(row, where) for row in rows]
    return [_joined(s, found[s.id]) if s.id in found else s for s in samples]


def _part(record: object, where: str) -> CleanPart:
    row = as_record(record, where)
    part = get_str(row, "part", where)
    if part not in PARTS:
        raise InputError(f"{where}: unknown part {part!r}; known: {', '.join(PARTS)}")
    points = None
    if part in _COUNTS:
        rows = get_list(row, "points", where)
        if len(rows) != _COUNTS[part]:
            raise InputError(f"{where}: a {part} has {_COUNTS[part]} points, got {len(rows)}")
        xy = [(np.nan, np.nan) if p is None else get_floats(p, "a point", where, 2) for p in rows]
        points = np.array(xy, np.float32)
    box = Box.from_xyxy(get_floats(row.get("box"), "a part's box", where, 4))
    return CleanPart(box=box, part=part, exact=False, points_xy=points)


def _joined(sample: Sample, found: list[CleanPart]) -> Sample:
    parts = list(sample.clean_parts)
    for new in found:
        box = new.box.clip(sample.height, sample.width)
        if box is None:
            continue
        same = [i for i, p in enumerate(parts) if p.part == new.part and p.box.iou(box) > 0.9]
        if same:
            parts[same[0]] = replace(parts[same[0]], points_xy=new.points_xy)
        elif not any(box.intersection(r.box) for r in sample.regions):
            parts.append(replace(new, box=box))
    return replace(sample, clean_parts=tuple(parts))
