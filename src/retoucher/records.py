"""One picture's outcome as plain JSON: what summaries, the journal and the service hand out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from retoucher.api import Findings, Result
from retoucher.domain import rle
from retoucher.domain.codec import to_json
from retoucher.domain.diagnosis import Diagnosis, Json
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT
from retoucher.domain.trace import Trace

Record = dict[str, Json]


def region_records(
    regions: Sequence[Region], diagnoses: Sequence[Diagnosis], height: int, width: int
) -> list[Json]:
    """One object a region, in order; masks as COCO RLE of the whole (height, width) picture."""
    return [
        {
            "id": region.id,
            "box_xyxy": list(region.box.as_xyxy()),
            "mask": to_json(rle.encode(region.full_mask(height, width))),
            "score": region.score,
            "category": diagnosis.category,
            "severity": diagnosis.severity,
            "description": diagnosis.description,
            "confidence": diagnosis.confidence,
            "evidence": to_json(diagnosis.evidence),
        }
        for region, diagnosis in zip(regions, diagnoses, strict=True)
    ]


def find_record(findings: Findings) -> Record:
    """As one line of `retouch find --json`, without the file, with `severity` of the picture."""
    height, width = findings.picture.image_rgb.shape[:2]
    return {
        "width": width,
        "height": height,
        "prompt": findings.prompt,
        "prompt_source": findings.prompt_source,
        "peak": findings.saliency.peak,
        "severity": max((d.severity for d in findings.diagnoses), default=0),
        "regions": region_records(findings.regions, findings.diagnoses, height, width),
    }


def fix_record(result: Result, notes: Sequence[str]) -> Record:
    """As one line of `retouch fix --json`, without the files, with what was found first."""
    trace = result.trace
    return {
        "width": trace.picture.width,
        "height": trace.picture.height,
        "prompt": trace.prompt,
        "prompt_source": trace.prompt_source,
        "changed": result.changed,
        "stop": trace.stop.value,
        "rounds": len(trace.rounds),
        "found": _found(trace),
        "repaired": len(trace.accepted),
        "edits": _edits(trace),
        "left": [
            {
                "box_xyxy": to_json(item.box),
                "category": item.category,
                "description": item.description,
                "reason": item.reason,
            }
            for item in trace.left
        ],
        "notes": [*notes, *trace.warnings],
        "seconds": round(trace.seconds, 3),
    }


def _found(trace: Trace) -> list[Json]:
    """Categories of the defects of the first look."""
    first = trace.rounds[:1]
    return [d.category for rnd in first for d in rnd.diagnoses if d.is_defect]


def _edits(trace: Trace) -> list[Json]:
    categories = {(r.index, d.region_id): d.category for r in trace.rounds for d in r.diagnoses}
    return [
        {
            "round": rnd.index,
            "region": edit.region_id,
            "box_xyxy": to_json(edit.box),
            "category": categories[rnd.index, edit.region_id],
            "tool": edit.tool,
            "outcome": edit.outcome.value,
            "reason": edit.verdict.reason if edit.verdict else edit.error,
        }
        for rnd in trace.rounds
        for edit in rnd.edits
    ]


def defects(record: Mapping[str, Json]) -> list[Mapping[str, Json]]:
    """The regions of a `find_record` that reasoning calls defects."""
    regions = record.get("regions")
    if not isinstance(regions, list):
        return []
    objects = [region for region in regions if isinstance(region, dict)]
    return [region for region in objects if region["category"] != NO_DEFECT]


def badness(record: Mapping[str, Json]) -> tuple[float, float, float]:
    """Sorts `find_record`s: worst severity, then how much of it, then peak saliency."""
    found = defects(record)
    weights = [_number(d["severity"]) * _number(d["confidence"]) for d in found]
    worst = max((_number(d["severity"]) for d in found), default=0.0)
    return worst, sum(weights), _number(record.get("peak"))


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
