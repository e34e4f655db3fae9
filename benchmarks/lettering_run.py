"""Runs the product and the baselines over pictures, and keeps what scoring needs."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from lettering_score import (
    Detection,
    Fate,
    Rgb,
    character_error_rate,
    detection,
    ink_and_paper_lab,
    ink_left,
    quad_mask,
    rectified,
    surroundings_changed,
    unit_fate,
)
from lettering_set import Sample
from PIL import Image

from retoucher import Retoucher
from retoucher.agents import Verifier, VerifyRequest
from retoucher.api import Result
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.trace import AgentInfo, Outcome
from retoucher.domain.verdict import Verdict


def load_rgb(path: Path) -> Rgb:
    return np.asarray(Image.open(path).convert("RGB"))


@cache
def _ocr() -> Any:
    from rapidocr import RapidOCR

    return RapidOCR(params={"Global.log_level": "error"})


def read_line(strip_rgb: Rgb) -> tuple[str, float]:
    """What RapidOCR's recogniser reads in a rectified line, and its confidence."""
    out = _ocr()(
        cv2.cvtColor(strip_rgb, cv2.COLOR_RGB2BGR), use_det=False, use_rec=True, use_cls=False
    )
    return (str(out.txts[0]), float(out.scores[0])) if out.txts else ("", 0.0)


def read_page(image_rgb: Rgb) -> list[tuple[str, float, np.ndarray]]:
    """All lines RapidOCR finds with its own settings: text, confidence, quad (4, 2)."""
    # RapidOCR remembers the switches of its last call: all of them are given each time.
    bgr = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2BGR)
    out = _ocr()(bgr, use_det=True, use_rec=True, use_cls=False)
    if out.txts is None:
        return []
    return list(zip(out.txts, map(float, out.scores), out.boxes, strict=True))


class AcceptEverything:
    """Stands in for the verifier to show what verification is worth."""

    def __init__(self, real: Verifier) -> None:
        self.real = real

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="verifier", name="accept-everything", version="1")

    def verify(self, request: VerifyRequest) -> Verdict:
        return Verdict(accepted=True, reason="not verified", score_before=1.0, score_after=0.0)


def without_verification(retoucher: Retoucher) -> Retoucher:
    agents = dataclasses.replace(
        retoucher.agents, verifier=AcceptEverything(retoucher.agents.verifier)
    )
    return Retoucher(agents, retoucher.settings, retoucher.warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitRow:
    """One unit's story. `cer_*` against the intended text (NaN when unknown); `*_delta_e` is the
    CIE76 distance of ink or paper to the clean twin's; `surroundings_changed` is the share of
    visibly changed pixels above and below it; `pixels_changed` counts bytes that differ
    inside the unit's quad."""

    sample: str
    kind: str
    prompt_kind: str
    look: str
    name: bool
    drawn: str
    intended: str | None
    cap_px: float
    found: str | None
    flagged: bool
    fate: Fate | None
    read_before: str
    read_after: str
    twin_readable: bool
    cer_before: float
    cer_after: float
    ink_delta_e: float
    paper_delta_e: float
    surroundings_changed: float
    pixels_changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureRow:
    """One picture's story. `notes`: every edit's tool, outcome, and why it was not kept."""

    sample: str
    clean: bool
    theme: str
    prompt_kind: str
    changed: bool
    changed_outside_boxes: int
    right: int
    false: int
    edits: int
    accepted: int
    seconds: float
    stop: str
    notes: tuple[str, ...]
    units: tuple[UnitRow, ...]


def edit_notes(result: Result) -> tuple[str, ...]:
    """Every edit in words: tool, outcome, and the reason where there is one."""
    edits = [edit for rnd in result.trace.rounds for edit in rnd.edits]
    return tuple(
        f"{e.tool} {e.outcome}: {e.error or (e.verdict.reason if e.verdict else '')}" for e in edits
    )


def _edit_boxes(result: Result, outcomes: set[Outcome]) -> list[tuple[Box, Region]]:
    """Box of each edit with such an outcome, and the region it was for."""
    out: list[tuple[Box, Region]] = []
    for rnd in result.trace.rounds:
        regions = {region.id: region for region in rnd.regions}
        for edit in rnd.edits:
            if edit.outcome in outcomes:
                region = regions[edit.region_id]
                out.append((edit.box or region.box, region))
    return out


def _touches(boxes: Sequence[tuple[Box, Region]], mask: np.ndarray) -> bool:
    """Does any edit's region cover a tenth or more of the mask?"""
    area = max(1, int(mask.sum()))
    return any(mask[region.box.slices][region.mask_hw].sum() >= 0.1 * area for _, region in boxes)


def run_sample(retoucher: Retoucher, sample: Sample, folder: Path) -> tuple[PictureRow, Rgb]:
    """Fix one picture of the set and compare it with its truth. Also returns the result."""
    path = folder / sample.file
    before, twin = load_rgb(path), load_rgb(folder / sample.twin)
    began = time.perf_counter()
    result = retoucher.fix(path, prompt=sample.prompt)
    seconds = time.perf_counter() - began
    after = result.image_rgb
    first = result.trace.rounds[0] if result.trace.rounds else None
    shape = before.shape[:2]
    seen = detection(
        sample, first.regions if first else (), first.diagnoses if first else (), shape
    )
    differs = np.any(before != after, axis=2)
    kept = _edit_boxes(result, {Outcome.ACCEPTED})
    undone = _edit_boxes(result, {Outcome.ROLLED_BACK, Outcome.UNCHANGED})
    failed = _edit_boxes(result, {Outcome.FAILED})
    outside = differs.copy()
    for box, _ in kept:
        outside[box.slices] = False
    units = tuple(
        _unit_row(sample, k, seen, before, after, twin, differs, kept, undone, failed)
        for k in range(len(sample.units))
    )
    row = PictureRow(
        sample=sample.id,
        clean=sample.clean,
        theme=sample.theme,
        prompt_kind=sample.prompt_kind,
        changed=bool(differs.any()),
        changed_outside_boxes=int(outside.sum()),
        right=seen.right,
        false=seen.false,
        edits=len(kept) + len(undone) + len(failed),
        accepted=len(kept),
        seconds=seconds,
        stop=str(result.trace.stop),
        notes=edit_notes(result),
        units=units,
    )
    return row, after


def _unit_row(
    sample: Sample,
    k: int,
    seen: Detection,
    before: Rgb,
    after: Rgb,
    twin: Rgb,
    differs: np.ndarray,
    kept: Sequence[tuple[Box, Region]],
    undone: Sequence[tuple[Box, Region]],
    failed: Sequence[tuple[Box, Region]],
) -> UnitRow:
    unit = sample.units[k]
    body = quad_mask([unit.quad_xy], before.shape[:2])
    wrong = quad_mask(unit.wrong_quads_xy, before.shape[:2])
    read_before, _ = read_line(rectified(before, unit))
    read_after, confidence = read_line(rectified(after, unit))
    read_twin, _ = read_line(rectified(twin, unit))
    fate = None
    if unit.kind != "clean":
        fate = unit_fate(
            unit,
            found=seen.found[k] is not None,
            failed=_touches(failed, wrong),
            rolled_back=_touches(undone, wrong),
            accepted=_touches(kept, wrong),
            read=read_after,
            confidence=confidence,
            ink_left=ink_left(before, after, unit),
        )
    nan = float("nan")
    known = unit.intended is not None
    ink_after, paper_after = ink_and_paper_lab(after, unit)
    ink_twin, paper_twin = ink_and_paper_lab(twin, unit)
    others = quad_mask(
        [other.quad_xy for other in sample.units if other is not unit], before.shape[:2]
    )
    return UnitRow(
        sample=sample.id,
        kind=unit.kind,
        prompt_kind=sample.prompt_kind,
        look=sample.look,
        name=unit.name,
        drawn=unit.drawn,
        intended=unit.intended,
        cap_px=unit.cap_px,
        found=seen.found[k],
        flagged=seen.flagged[k],
        fate=fate,
        read_before=read_before,
        read_after=read_after,
        twin_readable=known and character_error_rate(read_twin, unit.intended or "") == 0,
        cer_before=character_error_rate(read_before, unit.intended) if unit.intended else nan,
        cer_after=character_error_rate(read_after, unit.intended) if unit.intended else nan,
        ink_delta_e=float(np.linalg.norm(ink_after - ink_twin)) if known else nan,
        paper_delta_e=float(np.linalg.norm(paper_after - paper_twin)),
        surroundings_changed=surroundings_changed(before, after, unit, others),
        pixels_changed=int(differs[body].sum()),
    )


def naive_regions(image_rgb: Rgb, rule: str) -> list[Region]:
    """Baseline detectors on RapidOCR's lines: "confidence" takes lines read with less than 0.8,
    "spell-check" takes lines with a word of three letters or more that is in no word list."""
    from wordfreq import zipf_frequency

    regions: list[Region] = []
    for text, score, quad in read_page(image_rgb):
        words = ["".join(c for c in w if c.isalpha()) for w in text.split()]
        strange = any(len(w) >= 3 and zipf_frequency(w.lower(), "en") == 0 for w in words)
        if (score < 0.8) if rule == "confidence" else strange:
            mask = quad_mask([[(float(x), float(y)) for x, y in quad]], image_rgb.shape[:2])
            if mask.any():
                regions.append(Region.from_mask(mask, id=f"r{len(regions) + 1}", score=1.0))
    return regions
