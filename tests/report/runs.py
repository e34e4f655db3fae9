"""A hand-made run for the report's tests: one repair kept, one rolled back, one region left."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retoucher.domain.diagnosis import Diagnosis, Evidence
from retoucher.domain.events import Diagnosed, EditJudged, Event, Perceived, Planned, Stopped
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Step
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import (
    AgentInfo,
    EditRecord,
    LeftRegion,
    Outcome,
    PictureInfo,
    Round,
    SaliencySummary,
    StopReason,
    Trace,
)
from retoucher.domain.verdict import Check, Verdict

RgbArray = NDArray[np.uint8]
BOXES = (Box(40, 30, 160, 70), Box(200, 120, 260, 150), Box(300, 10, 318, 200))


def picture(height: int = 240, width: int = 320) -> RgbArray:
    """A smooth gradient with a bright band."""
    rows, columns = np.mgrid[:height, :width]
    rgb = np.stack([columns * 0.6 + 40, rows * 0.7 + 30, (rows + columns) * 0.3 + 60], axis=2)
    return np.clip(rgb, 0, 255).astype(np.uint8)


def regions() -> tuple[Region, ...]:
    return tuple(Region.from_box(box, id=f"r{i}", score=0.9) for i, box in enumerate(BOXES, 1))


def diagnoses(words: str = "the sign reads HELO") -> tuple[Diagnosis, ...]:
    evidence = Evidence(
        kind="lettering",
        data={"read": words, "intended": None, "confidence": 0.123456, "asked": ["HELLO", words]},
    )
    return (
        Diagnosis(
            region_id="r1",
            category="text_wrong",
            severity=2,
            description=words,
            confidence=0.9,
            evidence=(evidence,),
        ),
        Diagnosis(
            region_id="r2",
            category="object_texture",
            severity=1,
            description="the wall is smeared",
            confidence=0.6,
        ),
        Diagnosis(
            region_id="r3",
            category="no_defect",
            severity=0,
            description="nothing wrong",
            confidence=0.8,
        ),
    )


def judged(index: int, region_id: str, outcome: Outcome, box: Box, reason: str) -> EditJudged:
    """An edit that painted its box white."""
    accepted = outcome is Outcome.ACCEPTED
    after = np.full((box.height, box.width, 3), 255, np.uint8)
    record = EditRecord(
        region_id=region_id,
        tool="lettering",
        outcome=outcome,
        box=box,
        verdict=Verdict(
            accepted=accepted,
            reason=reason,
            score_before=0.9,
            score_after=0.1 if accepted else 0.95,
            checks=(
                Check(name="reads", passed=accepted, before=0.2, after=0.9, detail=reason),
                Check(name="surroundings", passed=True, before=None, after=None, detail="calm"),
            ),
        ),
        error=None,
        seconds=0.4,
    )
    return EditJudged(
        index=index,
        record=record,
        before_rgb=picture()[box.slices],
        after_rgb=after,
    )


def events(words: str = "the sign reads HELO") -> tuple[Event, ...]:
    steps = (
        Step(region_id="r1", tool="lettering", instruction=words, reason="it is lettering"),
        Step(region_id="r2", tool="patchmatch", instruction="a plain wall", reason="it fits"),
        Step(region_id="r3", tool=None, instruction="", reason="no defect"),
    )
    kept = judged(1, "r1", Outcome.ACCEPTED, BOXES[0].expand(4), f"now reads {words}")
    gone = judged(1, "r2", Outcome.ROLLED_BACK, BOXES[1].expand(4), f"worse: {words}")
    saliency = np.zeros((240, 320), np.float32)
    for box in BOXES:
        saliency[box.slices] = np.linspace(0.2, 0.9, box.width, dtype=np.float32)
    record = Round(
        index=1,
        saliency=SaliencySummary(peak=0.9, mean=0.1, area_share=0.05),
        regions=regions(),
        diagnoses=diagnoses(words),
        steps=steps,
        edits=(kept.record, gone.record),
        seconds=1.5,
    )
    after = picture()
    after[BOXES[0].expand(4).slices] = 255
    return (
        Perceived(index=1, saliency=SaliencyMap(saliency), regions=regions()),
        Diagnosed(index=1, diagnoses=diagnoses(words)),
        Planned(index=1, steps=steps),
        kept,
        gone,
        Stopped(reason=StopReason.NO_PROGRESS, rounds=(record,), image_rgb=after),
    )


def trace(words: str = "the sign reads HELO", prompt: str = 'a sign that says "HELLO"') -> Trace:
    stopped = events(words)[-1]
    assert isinstance(stopped, Stopped)
    return Trace(
        schema_version=1,
        software="agentic-retoucher 0.1.0",
        created_at="2026-01-02T03:04:05Z",
        picture=PictureInfo(
            width=320, height=240, pixels_sha256="0" * 64, file_name="sign.png", format="PNG"
        ),
        prompt=prompt,
        prompt_source="option",
        seed=7,
        settings={"regions": {"threshold": 0.5}, "rounds": 3},
        agents=(AgentInfo(role="perceiver", name="text", version="1", settings={"words": words}),),
        environment={"python": "3.11"},
        rounds=stopped.rounds,
        stop=stopped.reason,
        left=(
            LeftRegion(
                box=BOXES[1],
                category="object_texture",
                description=words,
                reason="every admissible tool was tried and rolled back",
            ),
        ),
        output_sha256="1" * 64,
        warnings=(f"note: {words}",),
        seconds=2.5,
    )
