"""The loop of the paper (algorithm 1): perceive, diagnose, act, look again.

    t = 0
    repeat
        S_t = perceive(I_t, P)
        if S_t does not exceed tau_s: stop
        {M_i} = regions(S_t)
        {D_i} = reason(I_t, P, {M_i})
        I_{t+1} = act(I_t, {M_i, D_i})      here: region by region, verified or rolled back
        t = t + 1
    until converged

Later rounds are looked at where the picture changed, by agents that can (`looking`); the look
that ends a run is at the whole picture. Time and cancellation come in as arguments; every decision
goes out as an event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from retoucher.agents import PlanRequest, RgbArray
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.events import (
    Diagnosed,
    EditJudged,
    EditStarted,
    Event,
    Perceived,
    Planned,
    RoundFinished,
    RoundStarted,
    Stopped,
)
from retoucher.domain.plan import Step
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import EditRecord, Outcome, Round, SaliencySummary, StopReason
from retoucher.errors import RetoucherError
from retoucher.imaging.regions import find_regions
from retoucher.job import Agents, Job, LoopSettings
from retoucher.ledger import Ledger, tool_outcome
from retoucher.looking import Basis, looking_since
from retoucher.repair import Place, Repairer, places


def run(
    job: Job,
    agents: Agents,
    settings: LoopSettings,
    *,
    clock: Callable[[], float],
    cancelled: Callable[[], bool] = lambda: False,
) -> Iterator[Event]:
    """Retouch one picture; yields what happens and ends with `Stopped`, which holds the result.

    `clock` returns seconds and only ever grows. `cancelled` and the time budget are looked at
    between steps; what was accepted until then stays. At most `settings.rounds` rounds act; one
    more may look, to say what is left.
    """
    state = _Run(job, agents, settings, clock, cancelled)
    while (stop := state.stop or state.interrupted()) is None:
        yield RoundStarted(index=len(state.rounds) + 1, limit=settings.rounds)
        yield from state.round()
    yield Stopped(reason=stop, rounds=tuple(state.rounds), image_rgb=state.image, error=state.error)


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """What was seen in one state of the picture, and whether all of it was looked at."""

    image: RgbArray
    whole: bool
    saliency: SaliencyMap
    regions: tuple[Region, ...]
    diagnoses: tuple[Diagnosis, ...]


class _Run:
    """The state of one run: the picture as it is now, and what did not work where."""

    def __init__(
        self,
        job: Job,
        agents: Agents,
        settings: LoopSettings,
        clock: Callable[[], float],
        cancelled: Callable[[], bool],
    ) -> None:
        self.job, self.agents, self.settings = job, agents, settings
        self.clock, self.cancelled = clock, cancelled
        self.ledger = Ledger(clock, settings.time_budget_s, job.preference.max_cost_usd)
        self.repairer = Repairer(
            agents=agents, settings=settings, prompt=job.prompt, clock=clock, cancelled=cancelled
        )
        self.image = job.image_rgb
        self.rounds: list[Round] = []
        self.stop: StopReason | None = None
        self.error: str | None = None
        self.look: _Look | None = None
        self.seen_whole: RgbArray | None = None

    def round(self) -> Iterator[Event]:
        index, began = len(self.rounds) + 1, self.clock()
        try:
            look = self._look(index)
        except RetoucherError as problem:
            self._fail(problem)
            return
        yield Perceived(index=index, saliency=look.saliency, regions=look.regions)
        yield Diagnosed(index=index, diagnoses=look.diagnoses)
        steps: tuple[Step, ...] = ()
        edits: list[EditRecord] = []
        self.stop = self._nothing_wrong(look) or self.interrupted() or self._budget_spent(index)
        if self.stop is None:
            steps = self._plan(index, look)
            yield Planned(index=index, steps=steps)
            self.stop = self._nothing_planned(steps, look.regions)
        for place in places(look.regions, look.diagnoses, steps):
            if (stop := self.interrupted()) is not None:
                self.stop = stop
                break
            yield EditStarted(index=index, step=place.step)
            try:
                judged = self._act(index, place, look.saliency)
            except RetoucherError as problem:
                self._fail(problem)
                break
            edits.append(judged.record)
            yield judged
        record = Round(
            index=index,
            saliency=_summary(look.saliency, self.settings.regions.threshold),
            regions=look.regions,
            diagnoses=look.diagnoses,
            steps=steps,
            edits=tuple(edits),
            seconds=self.clock() - began,
        )
        self.rounds.append(record)
        yield RoundFinished(round=record, image_rgb=self.image)

    def interrupted(self) -> StopReason | None:
        if self.cancelled():
            return StopReason.CANCELLED
        return StopReason.TIME_BUDGET if self.ledger.seconds_left == 0.0 else None

    def _fail(self, problem: RetoucherError) -> None:
        """An agent failed: what was accepted stays; with nothing to keep, it is raised."""
        if not self.ledger.repaired:
            raise problem
        self.stop, self.error = StopReason.FAILED, str(problem)

    def _look(self, index: int) -> _Look:
        """Perceive and diagnose the picture as it is now; once per state of the picture.

        A look that ends the run is at the whole picture.
        """
        if self.look is None or self.look.image is not self.image:
            self.look = self._looked(self._basis())
        if not self.look.whole and self._is_last(index, self.look):
            self.look = self._looked(None)
        if self.look.whole:
            self.seen_whole = self.image
        return self.look

    def _looked(self, basis: Basis | None) -> _Look:
        with looking_since(basis):
            saliency = self.agents.perceiver.perceive(self.image, self.job.prompt)
            if self.job.regions is None:
                regions = find_regions(saliency, self.settings.regions)
            else:
                regions = tuple(r for r in self.job.regions if r not in self.ledger.repaired)
            diagnoses: tuple[Diagnosis, ...] = ()
            if regions:
                diagnoses = self.agents.reasoner.diagnose(self.image, self.job.prompt, regions)
        return _Look(self.image, basis is None or not basis.used, saliency, regions, diagnoses)

    def _basis(self) -> Basis | None:
        return None if self.seen_whole is None else Basis(self.seen_whole)

    def _is_last(self, index: int, look: _Look) -> bool:
        """Nothing would be done after this look."""
        if self._nothing_wrong(look) or self._budget_spent(index):
            return True
        return not any(step.tool for step in self._plan(index, look))

    def _nothing_wrong(self, look: _Look) -> StopReason | None:
        if any(diagnosis.is_defect for diagnosis in look.diagnoses):
            return None
        return StopReason.CONVERGED if self.ledger.repaired else StopReason.CLEAN

    def _budget_spent(self, index: int) -> StopReason | None:
        return StopReason.ROUND_BUDGET if index > self.settings.rounds else None

    def _nothing_planned(
        self, steps: Sequence[Step], regions: Sequence[Region]
    ) -> StopReason | None:
        if any(step.tool for step in steps):
            return None
        tried = any(self.ledger.tried(region) for region in regions)
        return StopReason.NO_PROGRESS if tried else StopReason.NOTHING_REPAIRABLE

    def _plan(self, index: int, look: _Look) -> tuple[Step, ...]:
        request = PlanRequest(
            regions=look.regions,
            diagnoses=look.diagnoses,
            prompt=self.job.prompt,
            preference=self.job.preference,
            tools=[tool.spec for tool in self.agents.tools.values()],
            tried={region.id: self.ledger.tried(region) for region in look.regions},
            seed=self.job.seed + 1000 * (index - 1),
            apart=self.ledger.apart(look.regions),
            time_left_s=self.ledger.seconds_left,
            money_left_usd=self.ledger.usd_left,
        )
        return self.agents.planner.plan(request).steps

    def _act(self, index: int, place: Place, saliency: SaliencyMap) -> EditJudged:
        """One repair; the picture advances only when it is accepted."""
        before, left = self.image, self.ledger
        with looking_since(self._basis()):
            attempt = self.repairer.attempt(
                before, place, saliency, seconds_left=left.seconds_left, usd_left=left.usd_left
            )
        record, after = attempt.record, attempt.after_rgb
        self.ledger.enter(place, record)
        if record.outcome is Outcome.ACCEPTED:
            self.image = after
        if self.agents.learner is not None and not self.cancelled():
            version = self.agents.tools[record.tool].spec.version
            self.agents.learner.learn(tool_outcome(place, record, version))
        box = record.box
        return EditJudged(
            index=index,
            record=record,
            before_rgb=before[box.slices].copy() if box else None,
            after_rgb=after[box.slices].copy() if box else None,
        )


def _summary(saliency: SaliencyMap, tau_s: float) -> SaliencySummary:
    values = saliency.values_hw
    return SaliencySummary(
        peak=saliency.peak,
        mean=float(values.mean(dtype=np.float64)),
        area_share=float(np.count_nonzero(values >= tau_s)) / values.size,
    )
