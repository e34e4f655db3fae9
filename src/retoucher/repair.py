"""One repair: cut a crop, let the tool edit it, paste it back, judge the picture with it in.

A tool may get several tries at a place (best of N): as many as the defect's severity and what is
left of time and money allow, and none after a clearly good one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from retoucher.agents import EditRequest, RgbArray, VerifyRequest
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Step
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import Candidate, EditRecord, Outcome
from retoucher.domain.verdict import Verdict
from retoucher.errors import RetoucherError, ToolError
from retoucher.imaging.crop import cut
from retoucher.imaging.stitch import stitch
from retoucher.job import Agents, LoopSettings

SEED_STRIDE = 32
"""From one candidate's seed to the next: more than the regions of a round, whose seeds differ by
one; the seeds of rounds are 1000 apart."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """A region of the current round, what is wrong there and what is to be done.

    `members` are the regions of the round that it is made of: more than one where one edit serves
    neighbours.
    """

    region: Region
    diagnosis: Diagnosis
    step: Step
    members: tuple[Region, ...]


def places(
    regions: Sequence[Region], diagnoses: Sequence[Diagnosis], steps: Sequence[Step]
) -> list[Place]:
    """Where something is to be done, one place per edit; none where nothing was planned."""
    by_id = {r.id: (r, d) for r, d in zip(regions, diagnoses, strict=True)}
    out: list[Place] = []
    for step in steps:
        if step.tool is None:
            continue
        pairs = [by_id[name] for name in (step.region_id, *step.serves)]
        members = tuple(region for region, _ in pairs)
        place = Place(region=members[0], diagnosis=pairs[0][1], step=step, members=members)
        out.append(_common(place, [d for _, d in pairs]) if step.serves else place)
    return out


def _common(place: Place, diagnoses: Sequence[Diagnosis]) -> Place:
    """One region and one diagnosis for all members: the severest words, everybody's evidence."""
    box = place.region.box
    for member in place.members:
        box = box.union(member.box)
    mask = np.zeros((box.height, box.width), bool)
    for member in place.members:
        mask[member.box.shift(-box.x0, -box.y0).slices] |= member.mask_hw
    score = max(member.score for member in place.members)
    worst = max(diagnoses, key=lambda d: d.severity)
    evidence = tuple(e for d in diagnoses for e in d.evidence)
    name = place.region.id
    return replace(
        place,
        region=Region(id=name, box=box, mask_hw=mask, score=score),
        diagnosis=replace(worst, region_id=name, evidence=evidence),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attempt:
    """The record of an edit and the whole picture with it in (itself where nothing changed)."""

    record: EditRecord
    after_rgb: RgbArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repairer:
    """Makes attempts; keeps no state, so what becomes of an attempt is the loop's decision."""

    agents: Agents
    settings: LoopSettings
    prompt: str
    clock: Callable[[], float]
    cancelled: Callable[[], bool]

    def attempt(
        self,
        image_rgb: RgbArray,
        place: Place,
        saliency: SaliencyMap,
        *,
        seconds_left: float | None = None,
        usd_left: float | None = None,
    ) -> Attempt:
        """Edit and judge, up to N times; the best try counts.

        A tool's failure or bug becomes part of the record, never an exception.

        Args:
            image_rgb: the picture as it is now, uint8 (H, W, 3).
            place: where, why and with which tool (`place.step.tool` is not None).
            saliency: this round's map.
            seconds_left, usd_left: no further try is begun that would likely need more.
        """
        spec = self.agents.tools[place.step.tool or ""].spec
        most = 1 if spec.deterministic else self.settings.candidates.count(place.diagnosis.severity)
        tries: list[Attempt] = []
        seeds: list[int] = []
        for k in range(most):
            spent = sum(t.record.seconds for t in tries)
            if k and (
                self.cancelled()
                or (seconds_left is not None and spent + spent / k > seconds_left)
                or (usd_left is not None and (k + 1) * spec.cost_usd > usd_left)
            ):
                break
            seeds.append(place.step.seed + SEED_STRIDE * k)
            step = replace(place.step, seed=seeds[-1])
            tries.append(self._try(image_rgb, replace(place, step=step), saliency, spec.cost_usd))
            if tries[-1].record.outcome is Outcome.FAILED or self._is_enough(tries[-1].record):
                break
        best = min(tries, key=lambda t: _rank(t.record))
        if len(tries) == 1:
            return best
        verdicts = [t.record.verdict for t in tries if t.record.verdict is not None]
        asked = tuple(e for verdict in verdicts for e in verdict.evidence)
        verdict = best.record.verdict
        record = replace(
            best.record,
            verdict=verdict and replace(verdict, evidence=asked),
            seconds=sum(t.record.seconds for t in tries),
            cost_usd=sum(t.record.cost_usd for t in tries),
            candidates=tuple(_candidate(s, t.record) for s, t in zip(seeds, tries, strict=True)),
        )
        return replace(best, record=record)

    def _is_enough(self, record: EditRecord) -> bool:
        verdict = record.verdict
        if verdict is None or not verdict.accepted:
            return False
        return verdict.improvement >= self.settings.candidates.enough * verdict.score_before

    def _try(
        self, image_rgb: RgbArray, place: Place, saliency: SaliencyMap, cost_usd: float
    ) -> Attempt:
        assert place.step.tool is not None
        began = self.clock()
        after, box, verdict, error = image_rgb, None, None, None
        try:
            after, box = self._edit(image_rgb, place)
            outcome = Outcome.UNCHANGED
        except RetoucherError as problem:
            outcome, error = Outcome.FAILED, str(problem)
        notes: tuple[str, ...] = getattr(self.agents.tools[place.step.tool], "notes", ())
        if box is not None:
            verdict = self._judge(image_rgb, after, box, place, saliency)
            outcome = Outcome.ACCEPTED if verdict.accepted else Outcome.ROLLED_BACK
        record = EditRecord(
            region_id=place.region.id,
            tool=place.step.tool,
            outcome=outcome,
            box=box,
            verdict=verdict,
            error=error,
            seconds=self.clock() - began,
            cost_usd=cost_usd,
            notes=tuple(notes),
        )
        return Attempt(record=record, after_rgb=after)

    def _edit(self, image_rgb: RgbArray, place: Place) -> tuple[RgbArray, Box | None]:
        """The picture with the edit pasted in, and the box in which it differs."""
        step = place.step
        tool = self.agents.tools[step.tool or ""]
        crop = cut(
            image_rgb,
            place.region,
            size=tool.spec.size,
            context_factor=step.context_factor or tool.spec.context_factor,
            settings=self.settings.crop,
        )
        request = EditRequest(
            crop_rgb=crop.image_rgb,
            mask_hw=crop.mask_hw,
            crop_box=crop.box,
            diagnosis=place.diagnosis,
            instruction=step.instruction,
            prompt=self.prompt,
            seed=step.seed,
            params=step.params,
            cancelled=self.cancelled,
        )
        try:
            edited = tool.edit(request)
        except RetoucherError:
            raise
        except Exception as bug:  # a tool's bug costs its region, never the run
            raise ToolError(f"{step.tool} broke: {type(bug).__name__}: {bug}") from bug
        stitched = stitch(image_rgb, crop, edited, place.region, self.settings.stitch)
        return stitched.image_rgb, stitched.changed_box

    def _judge(
        self, before: RgbArray, after: RgbArray, box: Box, place: Place, saliency: SaliencyMap
    ) -> Verdict:
        return self.agents.verifier.verify(
            VerifyRequest(
                before_rgb=before,
                after_rgb=after,
                region=place.region,
                diagnosis=place.diagnosis,
                changed_box=box,
                prompt=self.prompt,
                saliency_before=saliency,
                tool=place.step.tool or "",
            )
        )


_ORDER: Mapping[Outcome, int] = {
    Outcome.ACCEPTED: 0,
    Outcome.ROLLED_BACK: 1,
    Outcome.UNCHANGED: 2,
    Outcome.FAILED: 3,
}


def _rank(record: EditRecord) -> tuple[int, float]:
    """Smaller is better; of equals the first is taken."""
    return _ORDER[record.outcome], record.verdict.score_after if record.verdict else 1.0


def _candidate(seed: int, record: EditRecord) -> Candidate:
    verdict = record.verdict
    return Candidate(
        seed=seed,
        outcome=record.outcome,
        score_after=verdict.score_after if verdict else None,
        reason=verdict.reason if verdict else record.error or "it changed nothing",
    )
