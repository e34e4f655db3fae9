"""Harmful edits that verification keeps, and good ones that it loses, as a table.

    python benchmarks/verification.py [--data DIR] [--quick] [--json] [--seed N]
                                      [--weights DIR] [--calibrated]

Needs the extra `bench`. Each picture has one synthetic defect and a clean twin. Thirteen tools
that do harm and two that paste the twin back work on it through the real crop, stitch and verifier.
What an edit is worth is judged by its distance to the twin inside the mask, never by the verifier's
models.
DIR holds `pool/`; without it the pictures are those of scikit-image and openpeople.
What each figure means stands in docs/verification.md.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from adversaries import GOOD, HARMFUL, EditTool
from numpy.typing import NDArray
from verification_pairs import Pair, Rgb, pairs

from retoucher.agents import Perceiver, Reasoner, RgbArray
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.plan import Step
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.taxonomy import UNKNOWN
from retoucher.domain.trace import AgentInfo, Outcome
from retoucher.imaging.regions import RegionSettings, dilate_region, find_regions
from retoucher.job import Agents, LoopSettings
from retoucher.perception.saliency import SaliencyPerceiver, SaliencySettings, ViewSettings
from retoucher.perception.text import TextPerceiver
from retoucher.planning.policy import StaticPlanner
from retoucher.reasoning.embedded import EmbeddedReasoner
from retoucher.repair import Place, Repairer
from retoucher.verification.improvement import ImprovementVerifier, VerifySettings
from retoucher.vision.runtime import WEIGHTS

SEED = 20
TEXT = ("text_garbled", "text_wrong")
OTHER = (
    "hand_shape",
    "face_feature",
    "object_structure",
    "object_texture",
    "interaction_contact",
    "object_structure",
    "interaction_physics",
)
WORSE = 0.01
"""An edit is harmful when it is farther from the twin than the defect by more than this."""


class CannotTell:
    """A reasoner for which everything is unknown: pixels and perception must do."""

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="reasoner", name="cannot-tell", version="1")

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        return tuple(
            Diagnosis(region_id=r.id, category=UNKNOWN, severity=1, description="-", confidence=0.0)
            for r in regions
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One edit. `seen`: the perceiver found the place by itself. `worse_by`: distance to the twin
    after the edit minus before. `outside`: bytes changed outside the region."""

    judge: str
    pair: str
    category: str
    edit: str
    seen: bool
    outcome: str
    worse_by: float
    outside: int
    reason: str


def distance(image_rgb: Rgb, twin_rgb: Rgb, mask_hw: NDArray[np.bool_]) -> float:
    """Unlikeness of two pictures in a mask: structure (1 - SSIM), colour and sharpness."""
    a, b = image_rgb.astype(np.float32), twin_rgb.astype(np.float32)
    structure = float((1 - _ssim(a, b))[mask_hw].mean())
    colour = float(np.abs(a - b)[mask_hw].mean()) / 64
    detail = [float(np.abs(_laplacian(x))[mask_hw].mean()) + 0.5 for x in (image_rgb, twin_rgb)]
    return structure + colour + 0.25 * abs(float(np.log(detail[0] / detail[1])))


def _ssim(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    def mean(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.asarray(cv2.GaussianBlur(x, (0, 0), 1.5), np.float32)

    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma * ma, mean(b * b) - mb * mb, mean(a * b) - ma * mb
    top = (2 * ma * mb + 6.5) * (2 * cov + 58.5)
    return (top / ((ma * ma + mb * mb + 6.5) * (va + vb + 58.5))).mean(axis=2)


def _laplacian(image_rgb: Rgb) -> NDArray[np.float32]:
    grey = cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.Laplacian(grey, cv2.CV_32F), np.float32)


def place_of(
    pair: Pair, saliency: SaliencyMap, reasoner: Reasoner | None
) -> tuple[Region, Diagnosis, bool] | None:
    """Where and what the edit is for, and whether perception found it.

    With a reasoner: only what it calls a defect. Without: the truth, in the region that
    perception found on it or, where it found none, in the true region.
    """
    height, width = pair.rgb.shape[:2]
    truth = Region.from_mask(pair.mask_hw, id="r1", score=1.0)
    settings = RegionSettings()
    found = [r for r in find_regions(saliency, settings) if r.overlap(truth) >= 0.3]
    region = max(
        found, key=lambda r: r.overlap(truth) * min(r.area_px, truth.area_px), default=None
    )
    if reasoner is not None:
        if region is None:
            return None
        (diagnosis,) = reasoner.diagnose(pair.rgb, pair.prompt, [region])
        return (region, diagnosis, True) if diagnosis.is_defect else None
    seen = region is not None
    region = region or dilate_region(truth, height, width, settings)
    diagnosis = Diagnosis(
        region_id=region.id,
        category=pair.defect.category,
        severity=pair.defect.severity,
        description=pair.defect.description,
        confidence=0.9,
    )
    return region, diagnosis, seen


def runs(
    judge: str, perceiver: Perceiver, reasoner: Reasoner | None, some: Iterator[Pair]
) -> list[Run]:
    """All edits on all pairs, judged by these models."""
    out: list[Run] = []
    threshold = RegionSettings().threshold
    agents = Agents(
        perceiver=perceiver,
        reasoner=reasoner or CannotTell(),
        planner=StaticPlanner(),
        tools={},
        verifier=ImprovementVerifier(
            perceiver, reasoner or CannotTell(), threshold=threshold, settings=VerifySettings()
        ),
    )
    for pair in some:
        saliency = perceiver.perceive(pair.rgb, pair.prompt)
        place = place_of(pair, saliency, reasoner)
        if place is None:
            continue
        edits = {**HARMFUL, **{name: make(pair.twin_rgb) for name, make in GOOD.items()}}
        tools = {name: EditTool(name, edit) for name, edit in edits.items()}
        repairer = Repairer(
            agents=replace(agents, tools=tools),
            settings=LoopSettings(),
            prompt=pair.prompt,
            clock=time.monotonic,
            cancelled=lambda: False,
        )
        out += [_run(judge, pair, place, name, repairer, saliency) for name in tools]
    return out


def _run(
    judge: str,
    pair: Pair,
    place: tuple[Region, Diagnosis, bool],
    name: str,
    repairer: Repairer,
    saliency: SaliencyMap,
) -> Run:
    region, diagnosis, seen = place
    step = Step(region_id=region.id, tool=name, instruction="", reason="", seed=0)
    attempt = repairer.attempt(
        pair.rgb,
        Place(region=region, diagnosis=diagnosis, step=step, members=(region,)),
        saliency,
    )
    after, record = attempt.after_rgb, attempt.record
    differs = (after != pair.rgb).any(axis=2)
    inside = region.full_mask(*pair.rgb.shape[:2])
    where = inside & (differs | pair.mask_hw) if differs.any() else inside
    worse_by = distance(after, pair.twin_rgb, where) - distance(pair.rgb, pair.twin_rgb, where)
    return Run(
        judge=judge,
        pair=pair.name,
        category=pair.defect.category,
        edit=name,
        seen=seen,
        outcome=record.outcome.value,
        worse_by=worse_by,
        outside=int((differs & ~inside).sum()),
        reason=record.verdict.reason if record.verdict else record.error or "",
    )


def table(rows: Sequence[Run]) -> str:
    """Markdown: per tool and judge, how many edits were kept, and how many of these do harm."""
    judges = list(dict.fromkeys(row.judge for row in rows))
    lines = ["| edit | " + " | ".join(f"{j}: edits, kept, harmful kept" for j in judges) + " |"]
    lines.append("|---|" + "---|" * len(judges))
    for name in [*HARMFUL, *GOOD]:
        cells = [name]
        for judge in judges:
            some = [r for r in rows if r.judge == judge and r.edit == name]
            cells.append(f"{len(some)}, {sum(map(kept, some))}, {sum(map(harm_kept, some))}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n" + "\n".join(_summary(rows, judges))


def _summary(rows: Sequence[Run], judges: Sequence[str]) -> Iterator[str]:
    for judge in judges:
        mine = [r for r in rows if r.judge == judge]
        bad = [r for r in mine if r.edit in HARMFUL]
        good = [r for r in mine if r.edit in GOOD and r.seen]
        count = len({r.pair for r in mine})
        yield f"{judge}: {count} places, {len({r.pair for r in mine if r.seen})} found by itself"
        yield f"  harmful edits kept: {_share([harm_kept(r) for r in bad])}"
        yield f"  good edits kept, of places found: {_share([kept(r) for r in good])}"
    yield f"worst harm in an output: {max((r.worse_by for r in rows if kept(r)), default=0.0):.3f}"
    yield f"bytes changed outside the regions: {sum(r.outside for r in rows)}"


def kept(row: Run) -> bool:
    return row.outcome == Outcome.ACCEPTED


def harm_kept(row: Run) -> bool:
    return kept(row) and row.worse_by > WORSE


def _share(hits: Sequence[bool]) -> str:
    return f"{sum(hits)}/{len(hits)} ({100 * sum(hits) / max(1, len(hits)):.1f}%)"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("RETOUCHER_DATA"))
    parser.add_argument("--quick", action="store_true", help="a few pictures of each kind")
    parser.add_argument("--json", action="store_true", help="one JSON object, every run in it")
    parser.add_argument("--seed", type=int, default=SEED, help="of the pictures and their defects")
    parser.add_argument("--weights", type=Path, default=WEIGHTS, help="of the saliency network")
    parser.add_argument("--calibrated", action="store_true", help="see no more than the product")
    options = parser.parse_args()
    text, other = (4, 4) if options.quick else (12, 24)
    rows = runs(
        "text", TextPerceiver(), EmbeddedReasoner(), pairs(options.data, TEXT, text, options.seed)
    )
    # Uncalibrated by default, so that the network sees more than the product acts on.
    described = json.loads((options.weights / "run.json").read_text("utf-8"))["views"]
    calibration = {} if options.calibrated else {"scale": 1.0, "shift": 0.0}
    views = ViewSettings(**{**described, **calibration})
    network = SaliencyPerceiver(
        SaliencySettings(weights=str(options.weights)), views=views, threads=1
    )
    rows += runs("saliency", network, None, pairs(options.data, OTHER, other, options.seed + 1))
    if options.json:
        print(json.dumps({"seed": options.seed, "runs": [asdict(row) for row in rows]}))
    else:
        print(table(rows))


if __name__ == "__main__":
    main()
