"""What a worker process of the service does with one job: bytes in, record and bytes out."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

from retoucher.api import Result, Retoucher
from retoucher.batch.items import BoxXyxy
from retoucher.batch.process import Cancelled, Handler, MakeHandler, Tell
from retoucher.batch.work import embedded, regions_from_boxes
from retoucher.config import Settings
from retoucher.domain.codec import trace_to_json
from retoucher.domain.events import (
    Diagnosed,
    EditJudged,
    EditStarted,
    Event,
    Perceived,
    Planned,
    RoundStarted,
)
from retoucher.domain.trace import StopReason
from retoucher.errors import Cancelled as WasCancelled
from retoucher.imaging.files import FORMAT_OF_SUFFIX, read_picture
from retoucher.imaging.limits import Limits
from retoucher.records import Record, find_record, fix_record

MEDIA_TYPES = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
    "GIF": "image/gif",
}

Kind = Literal["find", "fix"]
Progress = dict[str, Any]
MakeRetoucher = Callable[[Settings], Retoucher]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """One job as its worker gets it. None and () keep what the service is configured with.

    Attributes:
        kind: "find" looks; "fix" repairs.
        image: the file's bytes.
        prompt: None: from the picture's metadata.
        boxes: look only here, pixels (x0, y0, x1, y1).
        only, skip: categories.
        output_format: one of `MEDIA_TYPES`; None: the picture's own.
    """

    kind: Kind
    image: bytes
    prompt: str | None = None
    boxes: tuple[BoxXyxy, ...] | None = None
    rounds: int | None = None
    seed: int | None = None
    time_budget_s: float | None = None
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    output_format: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """What became of a job.

    Attributes:
        record: `fix_record` or `find_record`.
        image, media_type: the result's file (fix).
        trace: JSON of the whole run (fix).
    """

    record: Record
    image: bytes = b""
    media_type: str = ""
    trace: bytes = b""

    @property
    def size_bytes(self) -> int:
        return len(self.image) + len(self.trace)


def worker(settings: Settings, max_pixels: int, make: MakeRetoucher = embedded) -> MakeHandler:
    """What a worker process makes at its start."""
    return partial(_handler, settings, max_pixels, make)


def _handler(settings: Settings, max_pixels: int, make: MakeRetoucher) -> Handler:
    base = make(settings)
    limits = Limits(max_pixels=max_pixels)

    def handle(request: Any, tell: Tell, cancelled: Cancelled) -> Output:
        work = cast(Work, request)
        retoucher = Retoucher(base.agents, _settings(settings, work), base.warnings)
        picture = read_picture(work.image, limits=limits)
        height, width = picture.image_rgb.shape[:2]
        regions = None
        if work.boxes is not None:
            regions = regions_from_boxes(work.boxes, height, width)
        if work.kind == "find":
            findings = retoucher.find(picture, prompt=work.prompt, regions=regions)
            return Output(record=find_record(findings))

        def see(event: Event) -> None:
            if (words := progress(event)) is not None:
                tell(words)

        result = retoucher.fix(
            picture, prompt=work.prompt, regions=regions, on_event=see, cancelled=cancelled
        )
        if result.trace.stop is StopReason.CANCELLED:
            raise WasCancelled("cancelled")
        return _output(result, work.output_format or picture.format)

    return handle


def _settings(settings: Settings, work: Work) -> Settings:
    preference = settings.preference
    if work.only:
        preference = replace(preference, only=frozenset(work.only))
    if work.skip:
        preference = replace(preference, skip=frozenset(work.skip))
    budget = settings.time_budget_s if work.time_budget_s is None else work.time_budget_s
    return replace(
        settings,
        preference=preference,
        rounds=settings.rounds if work.rounds is None else work.rounds,
        seed=settings.seed if work.seed is None else work.seed,
        time_budget_s=budget,
    )


def _output(result: Result, file_format: str) -> Output:
    suffix = next(s for s, name in FORMAT_OF_SUFFIX.items() if name == file_format)
    with tempfile.TemporaryDirectory(prefix="retouch-") as folder:
        path = Path(folder, f"result{suffix}")  # our own name: nothing of a client's
        notes = result.save(path).notes
        image = path.read_bytes()
    trace = json.dumps(trace_to_json(result.trace), ensure_ascii=False).encode()
    return Output(
        record=fix_record(result, notes),
        image=image,
        media_type=MEDIA_TYPES[file_format],
        trace=trace,
    )


def progress(event: Event) -> Progress | None:
    """What a client is told of an event, as {"event": name, ...}; None: nothing."""
    match event:
        case RoundStarted(index=index, limit=limit):
            return {"event": "round", "index": index, "limit": limit}
        case Perceived(saliency=saliency, regions=regions):
            return {"event": "perceived", "regions": len(regions), "peak": saliency.peak}
        case Diagnosed(diagnoses=diagnoses):
            found = [
                {
                    "region": d.region_id,
                    "category": d.category,
                    "severity": d.severity,
                    "description": d.description,
                }
                for d in diagnoses
            ]
            return {"event": "diagnosed", "diagnoses": found}
        case Planned(steps=steps):
            plan = [{"region": s.region_id, "tool": s.tool, "reason": s.reason} for s in steps]
            return {"event": "planned", "steps": plan}
        case EditStarted(step=step):
            return {"event": "edit", "region": step.region_id, "tool": step.tool}
        case EditJudged(record=record):
            reason = record.verdict.reason if record.verdict else record.error
            return {
                "event": "judged",
                "region": record.region_id,
                "tool": record.tool,
                "outcome": record.outcome.value,
                "reason": reason,
            }
        case _:
            return None
