"""What a batch worker does with one picture."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

from retoucher import records
from retoucher.api import Result, Retoucher
from retoucher.batch.items import BoxXyxy, Item
from retoucher.batch.journal import REPORT, RESULT, REVIEW, TRACE, Mode, file_sha256
from retoucher.batch.kept import keep
from retoucher.batch.process import Cancelled, Handler, MakeHandler, Tell
from retoucher.batch.rate import Pace, Turnstile
from retoucher.config import Settings
from retoucher.domain.codec import to_json, trace_to_json
from retoucher.domain.events import EditJudged, Event
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.errors import InputError
from retoucher.imaging import atomic
from retoucher.imaging.files import PictureFile, read_picture
from retoucher.imaging.limits import Limits
from retoucher.report import Recorder, render_report
from retoucher.review import Repair

DIGEST_VERSION = 1
"""Raised when the same settings would give another result or record."""

MakeRetoucher = Callable[[Settings, Mapping[str, Turnstile]], Retoucher]


def embedded(settings: Settings, stiles: Mapping[str, Turnstile] | None = None) -> Retoucher:
    """What `retouch` runs; the agents that `stiles` names wait for their turn."""
    pace = Pace(stiles=stiles or {})
    return Retoucher.from_profile(
        "embedded",
        settings,
        around_reasoner=lambda reasoner: pace.of_reasoner(reasoner, settings.reasoner),
        around_tool=pace.of_tool,
    )


class GivenRegions(Protocol):
    """The user's own regions, for any picture of the batch."""

    def for_picture(self, file_name: str, height: int, width: int) -> tuple[Region, ...]:
        """In the user's order, named r1, r2, ...

        Raises:
            InputError: they do not fit a picture of this size, or none is for this picture.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What is to be done with every picture of a batch.

    Attributes:
        mode: "fix" repairs and writes; "find" only looks.
        reports, traces: write these files too.
        review: keep what a review of the repairs needs.
        regions: look only there, in every picture; a picture's own boxes come first.
        regions_sha256: of the file they were read from.
        max_pixels: a larger picture is refused.
    """

    mode: Mode = "fix"
    reports: bool = False
    traces: bool = False
    review: bool = False
    regions: GivenRegions | None = None
    regions_sha256: str = ""
    max_pixels: int = Limits().max_pixels


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One picture for a worker.

    Attributes:
        item: the picture.
        folder: its own staging folder; not made yet.
    """

    item: Item
    folder: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a worker made of a picture.

    Attributes:
        content_sha256: of the input file's bytes as they were read.
        result_sha256: of the staged result; None: nothing was to be written.
        record: `records.fix_record` or `records.find_record`.
    """

    content_sha256: str
    result_sha256: str | None
    record: records.Record


def worker(
    settings: Settings,
    order: Order,
    stiles: Mapping[str, Turnstile] | None = None,
    make: MakeRetoucher = embedded,
) -> MakeHandler:
    """What a worker process makes at its start."""
    return partial(_handler, settings, order, stiles or {}, make)


def _handler(
    settings: Settings, order: Order, stiles: Mapping[str, Turnstile], make: MakeRetoucher
) -> Handler:
    retoucher = make(settings, stiles)

    def handle(request: Any, tell: Tell, cancelled: Cancelled) -> Done:
        task = cast(Task, request)
        return (
            _find(retoucher, order, task)
            if order.mode == "find"
            else _fix(retoucher, order, task, cancelled)
        )

    return handle


def _find(retoucher: Retoucher, order: Order, task: Task) -> Done:
    picture, regions = _read(order, task.item)
    findings = retoucher.find(picture, prompt=task.item.prompt, regions=regions)
    return Done(
        content_sha256=picture.sha256,
        result_sha256=None,
        record=records.find_record(findings),
    )


def _fix(retoucher: Retoucher, order: Order, task: Task, cancelled: Cancelled) -> Done:
    picture, regions = _read(order, task.item)
    recorder = Recorder(before_rgb=picture.image_rgb) if order.reports else None
    repairs: list[Repair] = []

    def see(event: Event) -> None:
        if recorder is not None:
            recorder.see(event)
        if isinstance(event, EditJudged) and (repair := Repair.of(event)) is not None:
            repairs.append(repair)

    result = retoucher.fix(
        picture, prompt=task.item.prompt, regions=regions, on_event=see, cancelled=cancelled
    )
    staged = task.folder / RESULT / Path(task.item.name).name
    staged.parent.mkdir(parents=True, exist_ok=True)  # a dead worker may have made it
    notes = result.save(staged).notes
    _write_sidecars(order, task, result, recorder, notes)
    if order.review:
        keep(task.folder / REVIEW, result, repairs)
    return Done(
        content_sha256=picture.sha256,
        result_sha256=file_sha256(staged),
        record=records.fix_record(result, notes),
    )


def _write_sidecars(
    order: Order, task: Task, result: Result, recorder: Recorder | None, notes: Sequence[str]
) -> None:
    if order.traces:
        text = json.dumps(trace_to_json(result.trace), ensure_ascii=False, indent=1)
        atomic.write_bytes(task.folder / TRACE, text.encode())
    if recorder is not None:
        page = render_report([recorder.report(task.item.name, result.trace, notes)])
        atomic.write_bytes(task.folder / REPORT, page.encode())


def _read(order: Order, item: Item) -> tuple[PictureFile, tuple[Region, ...] | None]:
    picture = read_picture(item.path, limits=Limits(max_pixels=order.max_pixels))
    height, width = picture.image_rgb.shape[:2]
    if item.boxes is not None:
        return picture, regions_from_boxes(item.boxes, height, width)
    if order.regions is not None:
        return picture, order.regions.for_picture(Path(item.name).name, height, width)
    return picture, None


def regions_from_boxes(boxes: Sequence[BoxXyxy], height: int, width: int) -> tuple[Region, ...]:
    """Regions r1, r2, ... from boxes in pixels, cut off at the picture's edges.

    Raises:
        InputError: a box lies outside the picture.
    """
    regions: list[Region] = []
    for number, xyxy in enumerate(boxes, 1):
        box = Box.from_xyxy(xyxy).clip(height, width)
        if box is None:
            raise InputError(f"box {list(xyxy)} lies outside the picture of {width}x{height}")
        regions.append(Region.from_box(box, id=f"r{number}"))
    return tuple(regions)


def work_digest(retoucher: Retoucher, order: Order) -> str:
    """Digest of all that decides about results, but for the picture itself and its prompt."""
    return _sha256(
        {
            "version": DIGEST_VERSION,
            "settings": to_json(retoucher.settings),
            "agents": to_json(retoucher.infos()),
            "order": [order.mode, order.reports, order.traces, order.review, order.max_pixels],
            "regions": order.regions_sha256,
        }
    )


def item_digest(base: str, item: Item) -> str:
    """`work_digest` with what is particular to one picture; not the content of its file."""
    sidecar = item.path.with_suffix(".txt") if item.prompt is None else None
    return _sha256(
        {
            "base": base,
            "prompt": item.prompt,
            "sidecar": file_sha256(sidecar) if sidecar is not None else None,
            "boxes": item.boxes,
        }
    )


def _sha256(data: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()
