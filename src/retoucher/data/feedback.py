"""What users said of found defects and of repairs, kept for training: a folder for each picture.

    FOLDER/ID/picture.png     the input, upright RGB
    FOLDER/ID/result.png      with the repairs that were kept; only where there are any
    FOLDER/ID/feedback.json   regions, what was found, what the user said, what became of each edit

A user's word is evidence of what it speaks of and of nothing else: a region that the user wanted
repaired is a defect, one that the user calls right is not, and the rest of the picture is unknown
(`Sample.complete` is False).
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
from PIL import Image

from retoucher.data.coco import write_coco
from retoucher.data.jsonl import (
    Record,
    as_record,
    get_floats,
    get_int,
    get_list,
    get_str,
    read_json,
)
from retoucher.data.ours import box_in_picture, write_labels
from retoucher.data.sample import BoolArray, CleanPart, LabelledRegion, Part, RgbArray, Sample
from retoucher.domain import rle
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.taxonomy import NO_DEFECT, taxonomy
from retoucher.domain.trace import EditRecord, Outcome
from retoucher.errors import InputError, OutputError

SCHEMA_VERSION = 1

Judged: TypeAlias = Literal["accepted", "rejected", "rolled_back", "unchanged", "failed"]
"""What became of an edit; "rejected" by the user, "rolled_back" by verification."""

_PARTS: Mapping[str, Part] = {"hand": "hand", "face": "face", "text": "text", "limb": "person"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """Somebody's word for a region: category ("no_defect" and "unknown" too), severity, words."""

    category: str
    severity: int
    description: str


def opinion_of(said: Diagnosis) -> Opinion:
    """A diagnosis as an opinion."""
    return Opinion(category=said.category, severity=said.severity, description=said.description)


_OUTCOMES: Mapping[Outcome, Judged] = {
    Outcome.ACCEPTED: "accepted",
    Outcome.ROLLED_BACK: "rolled_back",
    Outcome.UNCHANGED: "unchanged",
    Outcome.FAILED: "failed",
}


def judged_edits(
    edits: Iterable[EditRecord], rejected: Sequence[EditRecord]
) -> tuple[tuple[str, Judged], ...]:
    """(tool, what became of it) of each edit; `rejected`: those that the user took back."""
    return tuple(
        (e.tool, "rejected" if any(e is r for r in rejected) else _OUTCOMES[e.outcome])
        for e in edits
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedRegion:
    """One region, and what was said and done about it.

    Attributes:
        box, mask_hw: in the picture; the mask is bool (box.height, box.width).
        drawn: by the user, not found.
        found, said: by reasoning, and by the user (equal where the user agreed).
        wanted: the user wanted it repaired.
        edits: (tool, what became of it), in order.
    """

    box: Box
    mask_hw: BoolArray
    drawn: bool
    found: Opinion
    said: Opinion
    wanted: bool
    edits: tuple[tuple[str, Judged], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Feedback:
    """What one user said of one picture.

    Attributes:
        id: names the record's folder.
        picture_rgb, result_rgb: uint8 (H, W, 3); result_rgb None: nothing was kept.
        prompt: of the picture.
        software: that found and repaired.
        created_at: ISO time.
        regions: all that were listed.
    """

    id: str
    picture_rgb: RgbArray
    result_rgb: RgbArray | None
    prompt: str
    software: str
    created_at: str
    regions: tuple[JudgedRegion, ...]


def keep_feedback(feedback: Feedback, folder: Path) -> Path:
    """Write a record, whole or not at all, in place of an earlier one of the same id.

    Raises:
        OutputError: it cannot be written there.
    """
    target = folder / feedback.id
    try:
        folder.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=".feedback-", dir=folder))
        try:
            _write(feedback, beside)
            if target.exists():
                shutil.rmtree(target)
            beside.rename(target)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    except OSError as error:
        raise OutputError(f"{target}: the feedback cannot be kept ({error.strerror})") from error
    return target


def read_feedback(folder: Path) -> list[Sample]:
    """The records of a folder as samples for training, sorted by id; pictures load when asked.

    Raises:
        InputError: there is none, or one is malformed.
    """
    return [_sample(path, record) for path, record in _records(folder)]


def export_feedback(folder: Path, out: Path, form: Literal["labels", "coco"] = "labels") -> int:
    """Write a data set with pictures, in our own form or as COCO, and `outcomes.jsonl`: one line
    for each edit, with tool, category, size and what became of it.

    Returns:
        How many pictures it has.

    Raises:
        InputError: as `read_feedback`.
        OutputError: something is in the way at `out`.
    """
    if out.is_file() or (out.is_dir() and any(out.iterdir())):
        raise OutputError(f"{out}: is no empty folder; choose another")
    samples = read_feedback(folder)
    write = write_labels if form == "labels" else write_coco
    write(_loaded(samples), out)
    lines = [line for path, record in _records(folder) for line in _outcomes(path, record)]
    text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    (out / "outcomes.jsonl").write_text(text, "utf-8")
    return len(samples)


def _loaded(samples: Iterable[Sample]) -> Iterator[Sample]:
    """One picture at a time in memory."""
    for sample in samples:
        yield replace(sample, picture=sample.load_rgb())


def _write(feedback: Feedback, folder: Path) -> None:
    height, width = feedback.picture_rgb.shape[:2]
    Image.fromarray(feedback.picture_rgb).save(folder / "picture.png")
    if feedback.result_rgb is not None:
        Image.fromarray(feedback.result_rgb).save(folder / "result.png")
    record = {
        "schema_version": SCHEMA_VERSION,
        "id": feedback.id,
        "created_at": feedback.created_at,
        "software": feedback.software,
        "prompt": feedback.prompt,
        "width": width,
        "height": height,
        "regions": [_region_record(region) for region in feedback.regions],
    }
    text = json.dumps(record, ensure_ascii=False, indent=1)
    (folder / "feedback.json").write_text(text + "\n", "utf-8")


def _region_record(region: JudgedRegion) -> dict[str, object]:
    return {
        "box": list(region.box.as_xyxy()),
        "mask": rle.encode(region.mask_hw),
        "drawn": region.drawn,
        "found": _opinion_record(region.found),
        "said": _opinion_record(region.said),
        "wanted": region.wanted,
        "edits": [{"tool": tool, "outcome": outcome} for tool, outcome in region.edits],
    }


def _opinion_record(opinion: Opinion) -> dict[str, object]:
    return {
        "category": opinion.category,
        "severity": opinion.severity,
        "description": opinion.description,
    }


def _records(folder: Path) -> list[tuple[Path, Record]]:
    paths = sorted(folder.glob("*/feedback.json"))
    if not paths:
        raise InputError(f"{folder}: no feedback is here (no folder with a feedback.json)")
    records = [(path, as_record(read_json(path), str(path))) for path in paths]
    for path, record in records:
        version = record.get("schema_version")
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{path}: schema version {version!r}; this version reads {SCHEMA_VERSION}"
            )
    return records


def _sample(path: Path, record: Record) -> Sample:
    where = str(path)
    width, height = get_int(record, "width", where), get_int(record, "height", where)
    rows = [as_record(r, where) for r in get_list(record, "regions", where)]
    try:
        regions = tuple(r for row in rows for r in _defect(row, height, width, where))
        parts = tuple(p for row in rows for p in _right(row, height, width, where))
        return Sample(
            id=get_str(record, "id", where),
            picture=path.parent / "picture.png",
            width=width,
            height=height,
            prompt=get_str(record, "prompt", where, ""),
            regions=regions,
            clean_parts=parts,
            source="feedback",
            complete=False,
        )
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _defect(row: Record, height: int, width: int, where: str) -> Sequence[LabelledRegion]:
    """The region as a label, where the user wanted it repaired and it is said what is wrong."""
    said = as_record(row.get("said"), where)
    category = get_str(said, "category", where)
    if row.get("wanted") is not True or category not in taxonomy():
        return ()
    mask = rle.decode(as_record(row.get("mask"), where))
    return (
        LabelledRegion(
            box=_box(row, height, width, where),
            category=category,
            severity=get_int(said, "severity", where),
            description=get_str(said, "description", where, ""),
            mask_hw=mask,
        ),
    )


def _right(row: Record, height: int, width: int, where: str) -> Sequence[CleanPart]:
    """A place that was found to be wrong and that the user calls right."""
    found, said = as_record(row.get("found"), where), as_record(row.get("said"), where)
    category = get_str(found, "category", where)
    if get_str(said, "category", where) != NO_DEFECT or category not in taxonomy():
        return ()
    part = _PARTS.get(taxonomy()[category].dimension, "object")
    return (CleanPart(box=_box(row, height, width, where), part=part, exact=False),)


def _box(row: Record, height: int, width: int, where: str) -> Box:
    return box_in_picture(get_floats(row.get("box"), "a box", where, 4), height, width, where)


def _outcomes(path: Path, record: Record) -> Iterator[dict[str, object]]:
    where = str(path)
    for item in get_list(record, "regions", where):
        row = as_record(item, where)
        said = as_record(row.get("said"), where)
        mask = rle.decode(as_record(row.get("mask"), where))
        for edit in get_list(row, "edits", where):
            made = as_record(edit, where)
            outcome = get_str(made, "outcome", where)
            if outcome not in get_args(Judged):
                raise InputError(f"{where}: unknown outcome {outcome!r}")
            yield {
                "id": get_str(record, "id", where),
                "category": get_str(said, "category", where),
                "side_px": round(float(np.sqrt(mask.sum())), 1),
                "tool": get_str(made, "tool", where),
                "outcome": outcome,
            }
