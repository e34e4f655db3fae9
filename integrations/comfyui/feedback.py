"""The node that keeps what the user says of a place and its repair, for training."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from retoucher.data.feedback import (
    Feedback,
    JudgedRegion,
    Opinion,
    judged_edits,
    keep_feedback,
    opinion_of,
)
from retoucher.domain.codec import trace_from_json
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.domain.trace import EditRecord, Outcome, Trace
from retoucher.recording import SOFTWARE

from . import host
from .tensors import masks_for, pictures, regions_of

UNDECIDED = "undecided"
VERDICTS = (UNDECIDED, "defect", "accept", "reject", NO_DEFECT)
SAME_PLACE_OVERLAP = 0.5
"""A region of the report that shares so much of the smaller one is the place of the mask."""


class RecordFeedback:
    """Keeps picture, mask, category and verdict where `retouch data export` finds them."""

    CATEGORY = "Agentic Retoucher"
    FUNCTION = "record"
    OUTPUT_NODE = True
    INPUT_IS_LIST = True
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("records",)
    OUTPUT_IS_LIST = (True,)
    OUTPUT_TOOLTIPS = ("the folder of each picture's record",)
    DESCRIPTION = (
        "Keeps what you say of the masked places, on this machine, for training: "
        "`retouch data export` turns the folder into a data set."
    )

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {
                "image": ("IMAGE", {"tooltip": "the picture before any repair"}),
                "mask": ("MASK", {"tooltip": "the places you speak of; found, or painted by hand"}),
                "category": ([*taxonomy()], {"tooltip": "what is wrong there"}),
                "verdict": (
                    [*VERDICTS],
                    {
                        "default": UNDECIDED,
                        "tooltip": "undecided: nothing is kept; defect: something is wrong; "
                        "accept, reject: and its repair is good, or bad; no_defect: nothing is "
                        "wrong there",
                    },
                ),
            },
            "optional": {
                "result": ("IMAGE", {"tooltip": "of Retouch, where you accept it"}),
                "report": (
                    "STRING",
                    {"forceInput": True, "tooltip": "of Retouch: what was found, by which tool"},
                ),
                "description": ("STRING", {"default": "", "tooltip": "what is wrong, in words"}),
                "prompt": ("STRING", {"multiline": True, "default": ""}),
                "folder": (
                    "STRING",
                    {"default": "retoucher_feedback", "tooltip": "below ComfyUI's output folder"},
                ),
            },
        }

    def record(
        self,
        image: list[torch.Tensor],
        mask: list[torch.Tensor],
        category: list[str],
        verdict: list[str],
        result: list[torch.Tensor] | None = None,
        report: list[str] | None = None,
        description: Sequence[str] = ("",),
        prompt: Sequence[str] = ("",),
        folder: Sequence[str] = ("retoucher_feedback",),
    ) -> dict[str, Any]:
        if verdict[0] == UNDECIDED:
            return {"ui": {"text": ("nothing was kept: say what you think",)}, "result": ([""],)}
        before = [picture for batch in image for picture in pictures(batch)]
        after = [picture for batch in result or () for picture in pictures(batch)]
        masks = masks_for(torch.cat([m[None] if m.ndim == 2 else m for m in mask]), len(before))
        for name, given in (("result", after), ("report", report or [])):
            if given and len(given) != len(before):
                raise ValueError(f"{len(before)} pictures but {len(given)} of {name}")
        out = host.output_folder(folder[0])
        places: list[str] = []
        for i, picture in enumerate(before):
            regions = regions_of(masks[i], *picture.shape[:2])
            if not regions:
                raise ValueError("the mask is empty; paint over the place you speak of")
            trace = _trace(report[i]) if report else None
            words = _Words(category[0], verdict[0], description[0])
            feedback = Feedback(
                id=_id(picture, masks[i]),
                picture_rgb=picture,
                result_rgb=after[i] if after and verdict[0] == "accept" else None,
                prompt=prompt[0] or (trace.prompt if trace else ""),
                software=trace.software if trace else SOFTWARE,
                created_at=datetime.now(UTC).isoformat(timespec="seconds"),
                regions=tuple(words.of(region, trace) for region in regions),
            )
            places.append(str(keep_feedback(feedback, out)))
        return {"ui": {"text": tuple(places)}, "result": (places,)}


class _Words:
    """What the user says of every place of one picture."""

    def __init__(self, category: str, verdict: str, description: str) -> None:
        if verdict not in VERDICTS:
            raise ValueError(f"verdict {verdict!r}; known: {', '.join(VERDICTS)}")
        self.category, self.verdict, self.description = category, verdict, description

    def of(self, region: Region, trace: Trace | None) -> JudgedRegion:
        found, edits = (None, []) if trace is None else _in_report(region, trace)
        wrong = self.verdict != NO_DEFECT
        severity = (found.severity if found else 0) or 2
        said = Opinion(
            category=self.category if wrong else NO_DEFECT,
            severity=severity if wrong else 0,
            description=self.description or (found.description if found and wrong else ""),
        )
        taken_back = [e for e in edits if e.outcome is Outcome.ACCEPTED]
        # A place that nobody found was found by the user's eye only.
        own = Opinion(category=self.category, severity=severity, description="")
        unknown = own if not wrong else Opinion(category=UNKNOWN, severity=0, description="")
        return JudgedRegion(
            box=region.box,
            mask_hw=region.mask_hw,
            drawn=found is None,
            found=found or unknown,
            said=said,
            wanted=wrong,
            edits=judged_edits(edits, taken_back if self.verdict in ("reject", NO_DEFECT) else []),
        )


def _in_report(region: Region, trace: Trace) -> tuple[Opinion | None, list[EditRecord]]:
    """What was found at a place first, and all edits of it."""
    found: Opinion | None = None
    edits: list[EditRecord] = []
    for rnd in trace.rounds:
        for seen, diagnosis in zip(rnd.regions, rnd.diagnoses, strict=True):
            if seen.overlap(region) >= SAME_PLACE_OVERLAP:
                found = found or opinion_of(diagnosis)
                edits += [edit for edit in rnd.edits if edit.region_id == seen.id]
    return found, edits


def _trace(report: str) -> Trace:
    try:
        return trace_from_json(json.loads(report))
    except (ValueError, AttributeError) as error:
        raise ValueError(f"report: is none of Retouch ({error})") from error


def _id(picture_rgb: NDArray[np.uint8], mask: torch.Tensor) -> str:
    """The same picture and mask again take the place of the earlier record."""
    digest = hashlib.sha256(np.ascontiguousarray(picture_rgb).tobytes())
    digest.update(mask.detach().cpu().float().numpy().tobytes())
    return digest.hexdigest()[:24]
