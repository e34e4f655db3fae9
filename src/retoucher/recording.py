"""From a finished run to its trace, and to the short record that goes into the output file."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import metadata

import numpy as np
from numpy.typing import NDArray

import retoucher
from retoucher.agents import RgbArray
from retoucher.domain.diagnosis import Json
from retoucher.domain.trace import LeftRegion, Outcome, Round, StopReason, Trace

SOFTWARE = f"agentic-retoucher {retoucher.__version__}"


def pixels_sha256(image_rgb: RgbArray) -> str:
    """Digest of the pixels and the size of a picture, uint8 (H, W, 3)."""
    pixels: NDArray[np.uint8] = np.ascontiguousarray(image_rgb)
    digest = hashlib.sha256(f"{pixels.shape}".encode())
    digest.update(pixels.data)
    return digest.hexdigest()


@cache
def _environment() -> tuple[tuple[str, str], ...]:
    names = ("numpy", "opencv-python-headless", "onnxruntime", "pillow", "rapidocr")
    versions = [(name, metadata.version(name)) for name in names]
    return (("python", platform.python_version()), ("platform", platform.platform()), *versions)


def environment() -> dict[str, str]:
    """Versions of what decides about bytes."""
    return dict(_environment())


def left_regions(rounds: Sequence[Round], stop: StopReason) -> tuple[LeftRegion, ...]:
    """What the last look saw that no accepted edit repaired, and why it was left."""
    if not rounds:
        return ()
    last = rounds[-1]
    kept = {e.region_id for e in last.edits if e.outcome is Outcome.ACCEPTED}
    repaired = kept.union(*(step.serves for step in last.steps if step.region_id in kept))
    reasons = {step.region_id: step.reason for step in last.steps if step.tool is None}
    for edit in last.edits:
        if edit.verdict is not None:
            reasons[edit.region_id] = f"{edit.tool} was rolled back: {edit.verdict.reason}"
        elif edit.outcome is not Outcome.ACCEPTED:
            reasons[edit.region_id] = f"{edit.tool} {edit.outcome}: {edit.error or 'no change'}"
    return tuple(
        LeftRegion(
            box=region.box,
            category=diagnosis.category,
            description=diagnosis.description,
            reason=reasons.get(region.id, f"the run ended first ({stop.value})"),
        )
        for region, diagnosis in zip(last.regions, last.diagnoses, strict=True)
        if diagnosis.is_defect and region.id not in repaired
    )


def file_record(trace: Trace) -> Mapping[str, Json]:
    """What the output file says of its retouching: which boxes may differ, why, and by what."""
    found = {(rnd.index, d.region_id): d for rnd in trace.rounds for d in rnd.diagnoses}
    edits: list[dict[str, Json]] = [
        {
            "box_xyxy": list(edit.box.as_xyxy()),
            "category": found[rnd.index, edit.region_id].category,
            "tool": edit.tool,
        }
        for rnd in trace.rounds
        for edit in rnd.edits
        if edit.outcome is Outcome.ACCEPTED and edit.box is not None
    ]
    kept = ", ".join(f"{edit['category']} by {edit['tool']}" for edit in edits)
    return {
        "summary": f"{trace.software}: repaired {kept}" if kept else f"{trace.software}: no change",
        "software": trace.software,
        "schema_version": trace.schema_version,
        "input_sha256": trace.picture.pixels_sha256,
        "output_sha256": trace.output_sha256,
        "seed": trace.seed,
        "stop": trace.stop.value,
        "edits": [*edits],
    }
