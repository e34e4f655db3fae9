"""`retouch fix --dry-run`: the first look and the plan, and nothing else."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

from retoucher.api import Result
from retoucher.cli.display import Display
from retoucher.cli.find import place_words
from retoucher.cli.work import Answer
from retoucher.domain.diagnosis import Diagnosis, Json
from retoucher.domain.events import Diagnosed, Event, Perceived, Planned
from retoucher.domain.plan import Step
from retoucher.domain.region import Region
from retoucher.records import region_records


def plan_answer(file: Path, events: Generator[Event, None, Result], display: Display) -> Answer:
    """Follow a run up to its first plan, then drop it; no tool is used."""
    regions: tuple[Region, ...] = ()
    diagnoses: tuple[Diagnosis, ...] = ()
    steps: tuple[Step, ...] = ()
    size = (0, 0)
    for event in events:
        display.see(event)
        match event:
            case Perceived():
                regions = event.regions
                size = (event.saliency.values_hw.shape[0], event.saliency.values_hw.shape[1])
            case Diagnosed():
                diagnoses = event.diagnoses
            case Planned():
                steps = event.steps
                break
            case _:
                pass
    events.close()
    plan: list[Json] = [
        {
            "region": step.region_id,
            "tool": step.tool,
            "instruction": step.instruction,
            "reason": step.reason,
        }
        for step in steps
    ]
    record: dict[str, Json] = {
        "file": str(file),
        "dry_run": True,
        "regions": region_records(regions, diagnoses, *size),
        "plan": plan,
    }
    return Answer(record=record, lines=_lines(file, regions, diagnoses, steps))


def _lines(
    file: Path,
    regions: tuple[Region, ...],
    diagnoses: tuple[Diagnosis, ...],
    steps: tuple[Step, ...],
) -> tuple[str, ...]:
    if not steps:
        return (f"{file}: nothing to repair",)
    lines = [f"{file}: would do"]
    for region, diagnosis, step in zip(regions, diagnoses, steps, strict=True):
        lines.append(f"  {place_words(region, diagnosis)}")
        if step.tool is None:
            lines.append(f"    leave it alone: {step.reason}")
        else:
            lines.append(f"    {step.tool}: {step.instruction or step.reason}")
    return tuple(lines)
