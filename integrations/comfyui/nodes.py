"""The nodes: find, diagnose, retouch, regions for Impact Pack, feedback."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from retoucher.api import Findings
from retoucher.config import Settings
from retoucher.domain.codec import to_json
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.events import (
    EditJudged,
    EditStarted,
    Event,
    Perceived,
    Planned,
    RoundFinished,
)
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import taxonomy

from . import host
from .feedback import RecordFeedback
from .tensors import Segs, mask_of, masks_for, pictures, regions_of, segs_of, with_changes

CATEGORY = "Agentic Retoucher"
REGIONS = "RETOUCHER_REGIONS"
PROMPT = ("STRING", {"multiline": True, "default": "", "tooltip": "what the picture should show"})
CROP_FACTOR = ("FLOAT", {"default": 3.0, "min": 1.0, "max": 10.0, "step": 0.1})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """What goes from our nodes to our nodes: one entry per picture of the batch."""

    regions: list[tuple[Region, ...]]
    diagnoses: list[tuple[Diagnosis, ...]]


class FindDefects:
    """Looks for local defects and says what is wrong; changes nothing."""

    CATEGORY = CATEGORY
    FUNCTION = "find"
    RETURN_TYPES = ("MASK", "SEGS", "IMAGE", REGIONS, "STRING")
    RETURN_NAMES = ("mask", "segs", "saliency", "regions", "diagnoses")
    OUTPUT_IS_LIST = (False, True, False, False, True)
    OUTPUT_TOOLTIPS = (
        "all regions with a defect",
        "one SEGS per picture",
        "where it looks distorted, white: most",
        "for Regions to SEGS",
        "one JSON text per picture",
    )
    DESCRIPTION = "Finds local defects (hands, faces, lettering, objects) and names them."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        threshold = Settings().regions.threshold
        return {
            "required": {"image": ("IMAGE",)},
            "optional": {
                "prompt": PROMPT,
                "threshold": (
                    "FLOAT",
                    {"default": threshold, "min": 0.01, "max": 1.0, "step": 0.01},
                ),
                "crop_factor": CROP_FACTOR,
            },
        }

    def find(
        self,
        image: torch.Tensor,
        prompt: str = "",
        threshold: float | None = None,
        crop_factor: float = 3.0,
    ) -> tuple[torch.Tensor, list[Segs], torch.Tensor, Places, list[str]]:
        settings = host.base_settings()
        if threshold is not None:
            low = None  # the low threshold follows the high one
            regions = replace(settings.regions, threshold=threshold, threshold_low=low)
            settings = replace(settings, regions=regions)
        found = _look(image, prompt, settings, [None] * len(image))
        kept = [_defects(each.regions, each.diagnoses) for each in found]
        height, width = image.shape[1:3]
        saliency = [torch.from_numpy(each.saliency.values_hw.copy()) for each in found]
        return (
            torch.stack([mask_of(regions, height, width) for regions, _ in kept]),
            [segs_of(one, *pair, crop_factor) for one, pair in zip(image, kept, strict=True)],
            torch.stack(saliency)[..., None].expand(-1, -1, -1, 3).contiguous(),
            Places(regions=[r for r, _ in kept], diagnoses=[d for _, d in kept]),
            [_told(each.regions, each.diagnoses) for each in found],
        )


class Diagnose:
    """Says what is wrong in places that a mask marks."""

    CATEGORY = CATEGORY
    FUNCTION = "diagnose"
    RETURN_TYPES = (REGIONS, "STRING")
    RETURN_NAMES = ("regions", "diagnoses")
    OUTPUT_IS_LIST = (False, True)
    DESCRIPTION = "Names what is wrong in each connected part of a mask."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {"image": ("IMAGE",), "mask": ("MASK",)},
            "optional": {"prompt": PROMPT},
        }

    def diagnose(
        self, image: torch.Tensor, mask: torch.Tensor, prompt: str = ""
    ) -> tuple[Places, list[str]]:
        own = _own_regions(image, mask)
        found = _look(image, prompt, host.base_settings(), own)
        places = Places(
            regions=[each.regions for each in found], diagnoses=[each.diagnoses for each in found]
        )
        return places, [_told(each.regions, each.diagnoses) for each in found]


class Retouch:
    """Finds, repairs and verifies; what is not better is rolled back."""

    CATEGORY = CATEGORY
    FUNCTION = "retouch"
    RETURN_TYPES = ("IMAGE", "MASK", "STRING")
    RETURN_NAMES = ("image", "changed", "report")
    OUTPUT_IS_LIST = (False, False, True)
    OUTPUT_TOOLTIPS = (
        "pixels outside the repairs keep their values exactly",
        "where something was changed",
        "one trace (JSON) per picture: every step, tool, verdict and reason",
    )
    DESCRIPTION = "Repairs local defects and keeps a repair only if it is one."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {
            "required": {"image": ("IMAGE",)},
            "optional": {
                "mask": ("MASK", {"tooltip": "repair here instead of looking for defects"}),
                "prompt": PROMPT,
                "rounds": ("INT", {"default": 3, "min": 1, "max": 10}),
                "seed": ("INT", {"default": 0, "min": 0, "max": 2**31 - 1}),
                "tools": (
                    "STRING",
                    {"default": "", "tooltip": "names of tools, by preference; empty: settings"},
                ),
            },
        }

    def retouch(
        self,
        image: torch.Tensor,
        mask: torch.Tensor | None = None,
        prompt: str = "",
        rounds: int = 3,
        seed: int = 0,
        tools: str = "",
    ) -> tuple[torch.Tensor, torch.Tensor, list[str]]:
        settings = replace(host.base_settings(), rounds=rounds, seed=seed)
        settings = _with_tools(settings, tools)
        retoucher = host.retoucher_for(settings)
        own = [None] * len(image) if mask is None else _own_regions(image, mask)
        out: list[torch.Tensor] = []
        changed: list[torch.Tensor] = []
        reports: list[str] = []
        progress = _Steps(rounds, len(image))
        for one, picture, regions in zip(image, pictures(image), own, strict=True):
            progress.begin(picture)
            result = retoucher.fix(
                picture,
                prompt=prompt,
                regions=regions,
                on_event=progress.on_event,
                cancelled=host.interrupted,
            )
            host.stop_if_interrupted()
            out.append(with_changes(one, picture, result.image_rgb))
            changed.append(torch.from_numpy((picture != result.image_rgb).any(axis=2)).float())
            reports.append(json.dumps(to_json(result.trace), ensure_ascii=False, indent=1))
        return torch.stack(out), torch.stack(changed), reports


class RegionsToSegs:
    """Hands regions to Impact Pack's detailers."""

    CATEGORY = CATEGORY
    FUNCTION = "convert"
    RETURN_TYPES = ("SEGS",)
    RETURN_NAMES = ("segs",)
    OUTPUT_IS_LIST = (True,)
    DESCRIPTION = "Regions as SEGS for Impact Pack's Detailer (SEGS), chosen by defect."

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        dimensions = list(dict.fromkeys(row.dimension for row in taxonomy().values()))
        return {
            "required": {"image": ("IMAGE",), "regions": (REGIONS,)},
            "optional": {
                "crop_factor": CROP_FACTOR,
                "only": (["any", *dimensions, *taxonomy()], {"tooltip": "defects to hand over"}),
                "min_severity": ("INT", {"default": 1, "min": 1, "max": 3}),
            },
        }

    def convert(
        self,
        image: torch.Tensor,
        regions: Places,
        crop_factor: float = 3.0,
        only: str = "any",
        min_severity: int = 1,
    ) -> tuple[list[Segs]]:
        if len(image) != len(regions.regions):
            raise ValueError(
                f"{len(image)} pictures but regions of {len(regions.regions)}:"
                " give both from the same batch"
            )
        segs: list[Segs] = []
        for one, places, said in zip(image, regions.regions, regions.diagnoses, strict=True):
            chosen = [
                (region, diagnosis)
                for region, diagnosis in zip(*_defects(places, said), strict=True)
                if diagnosis.severity >= min_severity and _is(diagnosis, only)
            ]
            segs.append(segs_of(one, [r for r, _ in chosen], [d for _, d in chosen], crop_factor))
        return (segs,)


class _Steps:
    """The loop's events as progress: a picture is `rounds` rounds of ten steps."""

    PER_ROUND = 10

    def __init__(self, rounds: int, count: int) -> None:
        self.rounds, self.index = rounds, -1
        self.progress = host.Progress(rounds * count * self.PER_ROUND)
        self.picture: Any = None
        self.round, self.edits, self.planned = 0, 0, 1

    def begin(self, picture: Any) -> None:
        self.index, self.picture, self.round = self.index + 1, picture, 0
        self._to(0)

    def on_event(self, event: Event) -> None:
        if isinstance(event, Perceived):
            self.round, self.edits = event.index - 1, 0
            self._to(1)
        elif isinstance(event, Planned):
            self.planned = max(1, sum(step.tool is not None for step in event.steps))
            self._to(2)
        elif isinstance(event, EditStarted | EditJudged):
            self.edits += isinstance(event, EditJudged)
            self._to(2 + 7 * self.edits // self.planned)
        elif isinstance(event, RoundFinished):
            self.picture = event.image_rgb
            self._to(self.PER_ROUND)

    def _to(self, step: int) -> None:
        done = (self.index * self.rounds + min(self.round, self.rounds - 1)) * self.PER_ROUND
        self.progress.to(done + min(step, self.PER_ROUND), self.picture)


def _look(
    image: torch.Tensor,
    prompt: str,
    settings: Settings,
    own: Sequence[tuple[Region, ...] | None],
) -> list[Findings]:
    retoucher = host.retoucher_for(settings)
    progress = host.Progress(len(image))
    found: list[Findings] = []
    for i, (picture, regions) in enumerate(zip(pictures(image), own, strict=True)):
        host.stop_if_interrupted()
        found.append(retoucher.find(picture, prompt=prompt, regions=regions))
        progress.to(i + 1)
    return found


def _with_tools(settings: Settings, tools: str) -> Settings:
    """The settings with the tools that a workflow names, where the settings allow them."""
    named = tuple(name.strip() for name in tools.split(",") if name.strip())
    if not named:
        return settings
    allowed = settings.preference.tools
    for name in named:
        if allowed and name not in allowed:
            raise ValueError(
                f"{name} is not among the tools of settings.toml: {', '.join(allowed)}"
            )
    return replace(settings, preference=replace(settings.preference, tools=named))


def _own_regions(image: torch.Tensor, mask: torch.Tensor) -> list[tuple[Region, ...] | None]:
    """The user's regions per picture; one mask serves a whole batch."""
    height, width = int(image.shape[1]), int(image.shape[2])
    return [regions_of(each, height, width) for each in masks_for(mask, len(image))]


def _defects(
    regions: Sequence[Region], diagnoses: Sequence[Diagnosis]
) -> tuple[tuple[Region, ...], tuple[Diagnosis, ...]]:
    """Only what reasoning does not overrule."""
    pairs = [(r, d) for r, d in zip(regions, diagnoses, strict=True) if d.is_defect]
    return tuple(r for r, _ in pairs), tuple(d for _, d in pairs)


def _is(diagnosis: Diagnosis, only: str) -> bool:
    row = taxonomy().get(diagnosis.category)
    return only in ("any", diagnosis.category) or (row is not None and row.dimension == only)


def _told(regions: Sequence[Region], diagnoses: Sequence[Diagnosis]) -> str:
    rows = [
        {"box_xyxy": list(region.box.as_xyxy()), "score": round(region.score, 4)}
        | {
            "category": diagnosis.category,
            "severity": diagnosis.severity,
            "confidence": round(diagnosis.confidence, 4),
            "description": diagnosis.description,
        }
        for region, diagnosis in zip(regions, diagnoses, strict=True)
    ]
    return json.dumps(rows, ensure_ascii=False, indent=1)


NODE_CLASS_MAPPINGS = {
    "RetoucherFindDefects": FindDefects,
    "RetoucherDiagnose": Diagnose,
    "RetoucherRetouch": Retouch,
    "RetoucherRegionsToSEGS": RegionsToSegs,
    "RetoucherRecordFeedback": RecordFeedback,
}

NODE_DISPLAY_NAME_MAPPINGS = {
    "RetoucherFindDefects": "Find Defects",
    "RetoucherDiagnose": "Diagnose Defects",
    "RetoucherRetouch": "Retouch",
    "RetoucherRegionsToSEGS": "Regions to SEGS",
    "RetoucherRecordFeedback": "Record Feedback",
}
