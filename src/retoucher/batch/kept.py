"""What a batch keeps for a review: of each picture its record, a small view and every repair.

FOLDER/run.json          the trace, as the run left it
FOLDER/view.webp         the input, reduced
FOLDER/0.before.png      the pixels of the first kept repair's box without and with it
FOLDER/0.after.png
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
from PIL import Image

from retoucher.agents import RgbArray
from retoucher.api import Result
from retoucher.domain.codec import trace_from_json, trace_to_json
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.trace import EditRecord, Outcome, Round, Trace
from retoucher.errors import InputError
from retoucher.imaging import atomic
from retoucher.review import Repair

RUN, VIEW = "run.json", "view.webp"

VIEW_PX = 1600
"""Longer side of a view at most."""

SAME_PLACE_OVERLAP = 0.5
"""A later round's region that shares so much of the smaller one is the same place again."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """A defect that was found, with all that was tried there.

    Attributes:
        id: "ROUND.REGION" of the first look at it.
        regions, diagnoses: more than one where one edit repaired neighbours together.
        edits: in order.
        repairs: indices into the run's kept repairs (`Trace.accepted`).
        on_repaired: what was found are pixels that an earlier repair had made.
    """

    id: str
    regions: tuple[Region, ...]
    diagnoses: tuple[Diagnosis, ...]
    edits: tuple[EditRecord, ...] = ()
    repairs: tuple[int, ...] = ()
    on_repaired: bool = False

    @property
    def box(self) -> Box:
        """Around its regions and its kept repairs."""
        boxes = [region.box for region in self.regions]
        boxes += [e.box for e in self.edits if e.box and e.outcome is Outcome.ACCEPTED]
        x0, y0, x1, y1 = zip(*(box.as_xyxy() for box in boxes), strict=True)
        return Box(min(x0), min(y0), max(x1), max(y1))

    @property
    def state(self) -> Literal["repaired", "left"]:
        return "repaired" if self.repairs else "left"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """One picture's run, read back.

    Attributes:
        folder: where it lies.
        trace: as the run left it, before any review.
    """

    folder: Path
    trace: Trace

    @property
    def run(self) -> str:
        """Names the run: another one of this picture has another name."""
        return self.trace.output_sha256[:16]

    def repairs(self) -> tuple[Repair, ...]:
        """The kept repairs with their pixels, in order.

        Raises:
            InputError: they cannot be read.
        """
        index = {id(e): rnd.index for rnd in self.trace.rounds for e in rnd.edits}
        return tuple(
            Repair(
                round_index=index[id(record)],
                record=record,
                before_rgb=_pixels(self.folder / f"{i}.before.png", record),
                after_rgb=_pixels(self.folder / f"{i}.after.png", record),
            )
            for i, record in enumerate(self.trace.accepted)
        )


def keep(folder: Path, result: Result, repairs: Sequence[Repair]) -> None:
    """Write what a review needs; nothing where no defect was found.

    Raises:
        OutputError: it cannot be written.
    """
    if not places_of(result.trace):
        return
    folder.mkdir(parents=True, exist_ok=True)
    for i, repair in enumerate(repairs):
        _write(folder / f"{i}.before.png", Image.fromarray(repair.before_rgb), "PNG")
        _write(folder / f"{i}.after.png", Image.fromarray(repair.after_rgb), "PNG")
    view = Image.fromarray(result.picture.image_rgb)
    view.thumbnail((VIEW_PX, VIEW_PX))
    _write(folder / VIEW, view, "WEBP")
    text = json.dumps(trace_to_json(result.trace), ensure_ascii=False)
    atomic.write_bytes(folder / RUN, text.encode())


def read_kept(folder: Path) -> Kept | None:
    """What was kept of a picture; None: nothing.

    Raises:
        InputError: it is damaged, or of another version.
    """
    file = folder / RUN
    try:
        data: object = json.loads(file.read_text("utf-8"))
        return Kept(folder=folder, trace=trace_from_json(cast("Mapping[str, object]", data)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, AttributeError) as error:
        raise InputError(f"{file} cannot be read: {error}") from error


def places_of(trace: Trace) -> tuple[Place, ...]:
    """The defects of all rounds, each once, in the order in which they were found."""
    places: list[Place] = []
    order = {id(edit): i for i, edit in enumerate(trace.accepted)}
    made: list[Box] = []
    for rnd in trace.rounds:
        for place in _of_round(rnd, order, made):
            old = next((p for p in places if _same(p, place)), None)
            if old is None:
                places.append(place)
            else:
                places[places.index(old)] = Place(
                    id=old.id,
                    regions=old.regions,
                    diagnoses=old.diagnoses,
                    edits=old.edits + place.edits,
                    repairs=old.repairs + place.repairs,
                    on_repaired=old.on_repaired,
                )
        made += [e.box for e in rnd.edits if e.box and e.outcome is Outcome.ACCEPTED]
    return tuple(places)


def _of_round(rnd: Round, order: Mapping[int, int], made: Sequence[Box]) -> list[Place]:
    """The places of one round; `made`: the boxes of earlier rounds' repairs."""
    pairs = {r.id: (r, d) for r, d in zip(rnd.regions, rnd.diagnoses, strict=True)}
    served = {id for step in rnd.steps for id in step.serves}
    serves = {step.region_id: step.serves for step in rnd.steps}
    found: list[Place] = []
    for region, diagnosis in pairs.values():
        edits = tuple(edit for edit in rnd.edits if edit.region_id == region.id)
        if region.id in served or not (edits or diagnosis.is_defect):
            continue
        together = [(region, diagnosis), *(pairs[id] for id in serves.get(region.id, ()))]
        found.append(
            Place(
                id=f"{rnd.index}.{region.id}",
                regions=tuple(r for r, _ in together),
                diagnoses=tuple(d for _, d in together),
                edits=edits,
                repairs=tuple(order[id(edit)] for edit in edits if id(edit) in order),
                on_repaired=any(box.intersection(region.box) for box in made),
            )
        )
    return found


def _same(old: Place, new: Place) -> bool:
    return any(r.overlap(new.regions[0]) >= SAME_PLACE_OVERLAP for r in old.regions)


def _write(path: Path, image: Image.Image, form: str) -> None:
    stream = io.BytesIO()
    image.save(stream, form, **({"quality": 85} if form == "WEBP" else {}))
    atomic.write_bytes(path, stream.getvalue())


def _pixels(path: Path, record: EditRecord) -> RgbArray:
    assert record.box is not None  # it was accepted
    try:
        with Image.open(path, formats=["PNG"]) as image:
            pixels = np.asarray(image.convert("RGB"))
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    if pixels.shape[:2] != (record.box.height, record.box.width):
        raise InputError(f"{path} is not of the repair's size; run the batch again")
    return pixels
