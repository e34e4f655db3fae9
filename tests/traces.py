"""A trace with every kind of record in it, for tests."""

from __future__ import annotations

import numpy as np

from retoucher.domain.diagnosis import Diagnosis, Evidence
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Step
from retoucher.domain.region import Region
from retoucher.domain.trace import (
    SCHEMA_VERSION,
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


def full_trace() -> Trace:
    region = Region(id="r1", box=Box(3, 4, 8, 10), mask_hw=np.tri(6, 5, dtype=bool), score=0.75)
    diagnosis = Diagnosis(
        region_id="r1",
        category="text_wrong",
        severity=3,
        description="reads 'OPNE'",
        confidence=0.9,
        evidence=(Evidence(kind="lettering", data={"read": "OPNE", "quad_xy": [[0.5, 1.0]]}),),
    )
    step = Step(region_id="r1", tool="lettering", instruction="-", reason="-", params={"a": [1]})
    verdict = Verdict(
        accepted=True,
        reason="gone",
        score_before=0.75,
        score_after=0.0,
        checks=(Check(name="seam", passed=True, before=None, after=2.0, detail="-"),),
        evidence=(Evidence(kind="vlm_usage", data={"requests": 1, "prompt_tokens": 70}),),
    )
    edits = (
        EditRecord(
            region_id="r1",
            tool="lettering",
            outcome=Outcome.ACCEPTED,
            box=region.box,
            verdict=verdict,
            error=None,
            seconds=0.25,
        ),
        EditRecord(
            region_id="r1",
            tool="patchmatch",
            outcome=Outcome.FAILED,
            box=None,
            verdict=None,
            error="no room",
            seconds=0.0,
        ),
    )
    rnd = Round(
        index=1,
        saliency=SaliencySummary(peak=0.9, mean=0.1, area_share=0.05),
        regions=(region,),
        diagnoses=(diagnosis,),
        steps=(step,),
        edits=edits,
        seconds=1.5,
    )
    return Trace(
        schema_version=SCHEMA_VERSION,
        software="agentic-retoucher 0",
        created_at="2026-01-01T00:00:00+00:00",
        picture=PictureInfo(width=20, height=20, pixels_sha256="ab", file_name="a<b>.png"),
        prompt='a sign that says "OPEN"',
        prompt_source="argument",
        seed=3,
        settings={"rounds": 3, "preference": {"only": []}},
        agents=(AgentInfo(role="tool", name="lettering", version="1", weights={"f": "cd"}),),
        environment={"python": "3"},
        rounds=(rnd,),
        stop=StopReason.CONVERGED,
        left=(LeftRegion(box=Box(0, 0, 1, 1), category="unknown", description="-", reason="-"),),
        output_sha256="ef",
        warnings=("JPEG",),
        seconds=2.0,
    )
