"""A reviewer's decisions carried out: rejected repairs get the input's pixels back.

Every result is made anew from the input and the kept repairs, so a review can be changed as often
as one likes, and the journal knows the new result as it knew the old one.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from retoucher import recording, records
from retoucher.agents import RgbArray
from retoucher.api import Result
from retoucher.batch.decisions import Decision, Missed, PictureDecisions
from retoucher.batch.items import Item
from retoucher.batch.journal import RESULT, REVIEW, TRACE, Entry, Journal, Staged, file_sha256
from retoucher.batch.kept import Kept, Place, places_of, read_kept
from retoucher.data.feedback import (
    Feedback,
    JudgedRegion,
    Opinion,
    judged_edits,
    keep_feedback,
    opinion_of,
)
from retoucher.domain.codec import trace_to_json
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN
from retoucher.errors import InputError
from retoucher.imaging import atomic
from retoucher.imaging.files import read_picture
from retoucher.records import Record
from retoucher.review import Repair, fallen, settle

_ALLOWED = {"repaired": ("accept", "reject", "no_defect"), "left": ("defect", "no_defect")}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Reviewed:
    """A picture's run and what was decided.

    Attributes:
        decided: by place id.
        asked, rejected: indices of the repairs that the reviewer does not want, and of all that
            go, those that stand on them included.
    """

    kept: Kept
    places: tuple[Place, ...]
    repairs: tuple[Repair, ...]
    decided: Mapping[str, Decision]
    missed: tuple[Missed, ...]
    asked: frozenset[int]
    rejected: frozenset[int]
    result: Result

    def fell_along(self) -> list[str]:
        """What is to be said of accepted repairs that stood on one that is taken back."""
        return [
            f"{place.id} was made on top of a repair that is taken back, and goes with it"
            for place in self.places
            if place.id in self.decided
            and self.decided[place.id].verdict == "accept"
            and self.rejected.intersection(place.repairs)
        ]


def apply(
    journal: Journal, item: Item, said: PictureDecisions, feedback: Path | None = None
) -> Record:
    """Carry out what was said of one picture, and keep it for training where that is wanted.

    Args:
        journal: of the output folder.
        item: the picture in IN.
        said: the decisions; they take the place of earlier ones.
        feedback: folder for training data; None: nothing is kept.

    Returns:
        The picture's new record.

    Raises:
        InputError: the decisions are not of this run, or do not fit it, or the input was changed.
        OutputError: the result was changed by somebody else, or a place cannot be written.
    """
    entry = journal.entry(item.name, "fix")
    kept = read_kept(journal.review_path(item.name))
    if entry is None or entry.state != "done" or kept is None:
        raise InputError(f"{item.name}: nothing was kept for a review; see retouch batch --review")
    if said.run != kept.run:
        raise InputError(
            f"{item.name}: was done again since it was looked at; look at the new review page"
        )
    reviewed = _reviewed(item, kept, said)
    told = _feedback(item, reviewed)  # before anything is written: it checks the outlines
    notes = _publish(journal, item, entry, reviewed)
    record = records.fix_record(reviewed.result, [*notes, *reviewed.fell_along()])
    record["review"] = said.model_dump(mode="json", exclude={"file"})
    journal.finish(
        item.name,
        "fix",
        content=entry.content_sha256,
        work=entry.work_sha256,
        state="done",
        record=record,
    )
    if feedback is not None:
        keep_feedback(told, feedback)
    return record


def _reviewed(item: Item, kept: Kept, said: PictureDecisions) -> _Reviewed:
    picture = read_picture(item.path)
    original = picture.image_rgb
    if recording.pixels_sha256(original) != kept.trace.picture.pixels_sha256:
        raise InputError(f"{item.name}: the picture in IN is not the one that was worked on")
    places, repairs = places_of(kept.trace), kept.repairs()
    decided = {decision.id: decision for decision in said.places}
    _check(item, places, decided)
    asked = frozenset(
        i
        for place in places
        if place.id in decided and decided[place.id].verdict in ("reject", "no_defect")
        for i in place.repairs
    )
    rejected = fallen(repairs, asked)
    whole = Result(
        picture=picture,
        image_rgb=_composed(original, repairs),
        trace=kept.trace,
        changed=bool(repairs),
    )
    result = settle(whole, repairs, rejected)
    right = {
        region.box
        for place in places
        if place.id in decided and decided[place.id].verdict == "no_defect"
        for region in place.regions
    }
    left = tuple(item for item in result.trace.left if item.box not in right)
    return _Reviewed(
        kept=kept,
        places=places,
        repairs=repairs,
        decided=decided,
        missed=said.missed,
        asked=asked,
        rejected=rejected,
        result=replace(result, trace=replace(result.trace, left=left)),
    )


def _check(item: Item, places: Sequence[Place], decided: Mapping[str, Decision]) -> None:
    states = {place.id: place.state for place in places}
    for id, decision in decided.items():
        if id not in states:
            raise InputError(f"{item.name}: has no place {id}; it has {', '.join(states)}")
        allowed = _ALLOWED[states[id]]
        if decision.verdict not in allowed:
            raise InputError(
                f"{item.name}: {id} was {states[id]}; say {', '.join(allowed)}, "
                f"not {decision.verdict}"
            )


def _composed(original: RgbArray, repairs: Sequence[Repair]) -> RgbArray:
    image = original.copy()
    for repair in repairs:
        assert repair.record.box is not None
        image[repair.record.box.slices] = repair.after_rgb
    image.flags.writeable = False
    return image


def _publish(journal: Journal, item: Item, entry: Entry, reviewed: _Reviewed) -> tuple[str, ...]:
    """Write the result to its place, whole or not at all; returns what is to be said of it."""
    folder = journal.home / "staging" / secrets.token_hex(8) / "0"
    staged = folder / RESULT / Path(item.name).name
    staged.parent.mkdir(parents=True)
    notes = reviewed.result.save(staged).notes
    sha256 = file_sha256(staged)
    if sha256 == entry.published_sha256:
        shutil.rmtree(folder, ignore_errors=True)
        return tuple(notes)
    shutil.copytree(reviewed.kept.folder, folder / REVIEW)
    if journal.trace_path(item.name).exists():
        text = json.dumps(trace_to_json(reviewed.result.trace), ensure_ascii=False, indent=1)
        atomic.write_bytes(folder / TRACE, text.encode())
    journal.publish(
        Staged(name=item.name, folder=folder, result_sha256=sha256),
        content=entry.content_sha256,
        work=entry.work_sha256,
        record=entry.record,
    )
    return tuple(notes)


def _feedback(item: Item, reviewed: _Reviewed) -> Feedback:
    result, trace = reviewed.result, reviewed.kept.trace
    height, width = result.picture.image_rgb.shape[:2]
    name = hashlib.sha256(f"{item.name}\0{trace.picture.pixels_sha256}".encode()).hexdigest()
    regions = [
        _judged(place, region, diagnosis, reviewed)
        for place in reviewed.places
        if not place.on_repaired  # it speaks of pixels that the input does not have
        for region, diagnosis in zip(place.regions, place.diagnoses, strict=True)
    ]
    return Feedback(
        id=name[:24],
        picture_rgb=result.picture.image_rgb,
        result_rgb=result.image_rgb if result.changed else None,
        prompt=trace.prompt,
        software=trace.software,
        created_at=trace.created_at,
        regions=(*regions, *(_drawn(missed, height, width) for missed in reviewed.missed)),
    )


def _judged(
    place: Place, region: Region, diagnosis: Diagnosis, reviewed: _Reviewed
) -> JudgedRegion:
    decision = reviewed.decided.get(place.id)
    found = opinion_of(diagnosis)
    said = found
    if decision is not None and decision.verdict == "no_defect":
        said = Opinion(category=NO_DEFECT, severity=0, description="")
    elif decision is not None:
        words = decision.description
        said = Opinion(
            category=decision.category or found.category,
            severity=found.severity or 2,
            description=found.description if words is None else words,
        )
    gone = [reviewed.repairs[i].record for i in reviewed.asked]
    return JudgedRegion(
        box=region.box,
        mask_hw=region.mask_hw,
        drawn=False,
        found=found,
        said=said,
        wanted=decision is not None and decision.verdict != "no_defect",
        edits=judged_edits(place.edits, gone),
    )


def _drawn(missed: Missed, height: int, width: int) -> JudgedRegion:
    mask = np.zeros((height, width), np.uint8)
    points = np.array(missed.outline_xy, np.float64).round().clip(-32000, 32000)
    cv2.fillPoly(mask, [points.astype(np.int32)], 1)
    if not mask.any():
        raise InputError(f"an outline lies outside the picture of {width}x{height}")
    region = Region.from_mask(mask.astype(bool), id="m", score=1.0)
    return JudgedRegion(
        box=region.box,
        mask_hw=region.mask_hw,
        drawn=True,
        found=Opinion(category=UNKNOWN, severity=0, description=""),
        said=Opinion(category=missed.category, severity=2, description=missed.description),
        wanted=True,
    )
