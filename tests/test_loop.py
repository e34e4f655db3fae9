"""The loop's promises, with scripted agents: what is tried, kept, rolled back; when it stops."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from retoucher.agents import EditRequest, RgbArray, ToolSpec, VerifyRequest
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.events import EditJudged, Perceived, Stopped
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Preference, ToolOutcome
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import EditRecord, Outcome, StopReason
from retoucher.domain.verdict import Verdict
from retoucher.errors import PluginError
from retoucher.imaging.regions import RegionSettings
from retoucher.job import Agents, CandidateSettings, Job, LoopSettings
from retoucher.loop import run
from retoucher.planning.policy import StaticPlanner
from retoucher.testing import (
    ScriptedPerceiver,
    ScriptedReasoner,
    ScriptedTool,
    ScriptedVerifier,
    fail,
    keep,
    paint,
    saliency_of_boxes,
)

H, W = 120, 160
ONE, TWO = Box(20, 20, 60, 60), Box(100, 50, 140, 90)
CLEAN = SaliencyMap.zeros(H, W)


def picture() -> RgbArray:
    return np.random.default_rng(1).integers(0, 256, (H, W, 3), np.uint8)


def bad(*boxes: Box) -> SaliencyMap:
    return saliency_of_boxes(H, W, boxes)


def agents(
    maps: Sequence[SaliencyMap],
    tools: Sequence[ScriptedTool],
    *,
    accepted: Sequence[bool] = (True,),
    verdicts: Sequence[tuple[str, int]] = (("object_texture", 2),),
) -> Agents:
    return Agents(
        perceiver=ScriptedPerceiver(maps),
        reasoner=ScriptedReasoner(verdicts),
        planner=StaticPlanner(),
        tools={tool.spec.name: tool for tool in tools},
        verifier=ScriptedVerifier(accepted),
    )


def play(
    team: Agents,
    *,
    job: Job | None = None,
    rounds: int = 3,
    budget: float | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    cancelled: Callable[[], bool] = lambda: False,
) -> tuple[Stopped, list[object]]:
    settings = LoopSettings(rounds=rounds, time_budget_s=budget, regions=RegionSettings())
    job = job or Job(image_rgb=picture())
    events = list(run(job, team, settings, clock=clock, cancelled=cancelled))
    assert isinstance(events[-1], Stopped)
    return events[-1], list(events)


def test_clean_picture_is_left_alone_and_no_tool_runs() -> None:
    tool = ScriptedTool("t", [paint(0)])
    job = Job(image_rgb=picture())
    stopped, _ = play(agents([CLEAN], [tool]), job=job)
    assert stopped.reason is StopReason.CLEAN
    assert stopped.image_rgb is job.image_rgb
    assert not tool.requests


def test_every_round_perceives_the_repaired_picture_not_the_first() -> None:
    team = agents([bad(ONE), CLEAN], [ScriptedTool("t", [paint(0)])])
    stopped, _ = play(team)
    perceiver = team.perceiver
    assert isinstance(perceiver, ScriptedPerceiver)
    assert stopped.reason is StopReason.CONVERGED
    first, second = (image for image, _ in perceiver.calls)
    assert not np.array_equal(first, second)
    assert np.array_equal(second, stopped.image_rgb)


def test_rolled_back_edit_leaves_no_trace_in_the_picture() -> None:
    job = Job(image_rgb=picture())
    stopped, events = play(
        agents([bad(ONE)], [ScriptedTool("t", [paint(0)])], accepted=[False]), job=job
    )
    assert np.array_equal(stopped.image_rgb, job.image_rgb)
    judged = [e for e in events if isinstance(e, EditJudged)]
    assert [e.record.outcome for e in judged] == [Outcome.ROLLED_BACK]
    assert judged[0].record.box is not None
    assert stopped.reason is StopReason.NO_PROGRESS


def test_one_region_is_kept_while_the_other_is_rolled_back() -> None:
    job = Job(image_rgb=picture())
    team = agents(
        [bad(ONE, TWO), bad(TWO)], [ScriptedTool("t", [paint(0)])], accepted=[True, False]
    )
    stopped, events = play(team, job=job)
    records = [e.record for e in events if isinstance(e, EditJudged)]
    kept = [r.box for r in records if r.outcome is Outcome.ACCEPTED]
    assert [r.outcome for r in records] == [Outcome.ACCEPTED, Outcome.ROLLED_BACK]
    changed = (stopped.image_rgb != job.image_rgb).any(axis=2)
    assert changed.any()
    assert kept[0] is not None
    changed[kept[0].slices] = False
    assert not changed.any(), "bytes changed outside the recorded box"
    assert stopped.reason is StopReason.NO_PROGRESS


def test_next_candidate_is_tried_after_a_rollback_then_the_region_is_left() -> None:
    first, second = ScriptedTool("a", [paint(0)]), ScriptedTool("b", [paint(9)])
    team = agents([bad(ONE)], [first, second], accepted=[False])
    stopped, events = play(team, rounds=5)
    tools = [e.record.tool for e in events if isinstance(e, EditJudged)]
    assert tools == ["a", "b"]
    assert stopped.reason is StopReason.NO_PROGRESS
    assert "was tried here and not kept" in stopped.rounds[-1].steps[0].reason


def test_an_unchanged_picture_is_not_perceived_twice() -> None:
    team = agents([bad(ONE)], [ScriptedTool("a", [keep]), ScriptedTool("b", [fail])])
    stopped, events = play(team, rounds=5)
    assert isinstance(team.perceiver, ScriptedPerceiver)
    assert len(team.perceiver.calls) == 1
    assert [e.record.outcome for e in events if isinstance(e, EditJudged)] == [
        Outcome.UNCHANGED,
        Outcome.FAILED,
    ]
    assert stopped.reason is StopReason.NO_PROGRESS


def test_a_tool_with_a_bug_costs_its_region_only() -> None:
    def broken(request: EditRequest) -> RgbArray:
        raise ZeroDivisionError("oops")

    def wrong_size(request: EditRequest) -> RgbArray:
        return np.zeros((3, 3, 3), np.uint8)

    team = agents([bad(ONE, TWO), CLEAN], [ScriptedTool("t", [broken, wrong_size, paint(3)])])
    _, events = play(team)
    errors = [e.record.error for e in events if isinstance(e, EditJudged)]
    assert errors[0] == "t broke: ZeroDivisionError: oops"
    assert errors[1] is not None
    assert "(3, 3, 3)" in errors[1]


def test_reasoning_overrules_perception() -> None:
    tool = ScriptedTool("t", [paint(0)])
    stopped, _ = play(agents([bad(ONE)], [tool], verdicts=[("no_defect", 0)]))
    assert stopped.reason is StopReason.CLEAN
    assert not tool.requests


def test_nothing_repairable_without_an_admissible_tool() -> None:
    stopped, _ = play(agents([bad(ONE)], []))
    assert stopped.reason is StopReason.NOTHING_REPAIRABLE
    assert "none is installed" in stopped.rounds[0].steps[0].reason


def test_unknown_is_left_unless_asked_for() -> None:
    tool = ScriptedTool("t", [paint(0)])
    team = agents([bad(ONE), CLEAN], [tool], verdicts=[("unknown", 1)])
    stopped, _ = play(team)
    assert stopped.reason is StopReason.NOTHING_REPAIRABLE
    team = agents([bad(ONE), CLEAN], [tool], verdicts=[("unknown", 1)])
    job = Job(image_rgb=picture(), preference=Preference(repair_unknown=True))
    assert play(team, job=job)[0].reason is StopReason.CONVERGED


@pytest.mark.parametrize(("rounds", "acted"), [(1, 1), (2, 2), (4, 4)])
def test_round_budget_counts_acting_rounds_and_then_looks_once_more(
    rounds: int, acted: int
) -> None:
    edits = [paint(v) for v in range(0, 250, 10)]
    stopped, events = play(agents([bad(ONE)], [ScriptedTool("t", edits)]), rounds=rounds)
    assert stopped.reason is StopReason.ROUND_BUDGET
    assert sum(isinstance(e, EditJudged) for e in events) == acted
    assert stopped.rounds[-1].index == rounds + 1
    assert stopped.rounds[-1].diagnoses
    assert not stopped.rounds[-1].edits


def test_cancel_between_steps_keeps_what_is_done() -> None:
    tool = ScriptedTool("t", [paint(0)])
    job = Job(image_rgb=picture())
    stopped, events = play(
        agents([bad(ONE, TWO)], [tool]), job=job, cancelled=lambda: len(tool.requests) >= 1
    )
    assert stopped.reason is StopReason.CANCELLED
    assert sum(isinstance(e, EditJudged) for e in events) == 1
    assert not np.array_equal(stopped.image_rgb, job.image_rgb)
    assert len(stopped.rounds) == 1


def test_cancelled_before_the_start_does_nothing() -> None:
    team = agents([bad(ONE)], [])
    stopped, events = play(team, cancelled=lambda: True)
    assert stopped.reason is StopReason.CANCELLED
    assert events == [stopped]


def test_time_budget_ends_the_run_between_steps() -> None:
    ticks = iter(range(1000))
    tool = ScriptedTool("t", [paint(0)])
    stopped, _ = play(agents([bad(ONE, TWO)], [tool]), budget=6.0, clock=lambda: float(next(ticks)))
    assert stopped.reason is StopReason.TIME_BUDGET
    assert len(tool.requests) == 1


def test_own_regions_replace_perception_and_are_done_once() -> None:
    mine = (Region.from_box(TWO, id="mine"),)
    tool = ScriptedTool("t", [paint(0)])
    job = Job(image_rgb=picture(), regions=mine)
    stopped, events = play(agents([bad(ONE)], [tool]), job=job)
    seen = [e.regions for e in events if isinstance(e, Perceived)]
    assert seen[0] == mine
    assert stopped.reason is StopReason.CONVERGED
    assert len(tool.requests) == 1


def test_same_seed_same_bytes_and_another_seed_reaches_the_tool() -> None:
    def noise(request: EditRequest) -> RgbArray:
        rng = np.random.default_rng(request.seed)
        return rng.integers(0, 256, request.crop_rgb.shape, np.uint8)

    def result(seed: int) -> RgbArray:
        team = agents([bad(ONE), CLEAN], [ScriptedTool("t", [noise])])
        return play(team, job=Job(image_rgb=picture(), seed=seed))[0].image_rgb

    assert np.array_equal(result(1), result(1))
    assert not np.array_equal(result(1), result(2))


def test_the_tool_cannot_write_into_the_picture() -> None:
    def vandal(request: EditRequest) -> RgbArray:
        request.crop_rgb[:] = 0
        return request.crop_rgb

    job = Job(image_rgb=picture())
    before = job.image_rgb.copy()
    _, events = play(agents([bad(ONE)], [ScriptedTool("t", [vandal])]), job=job)
    assert np.array_equal(job.image_rgb, before)
    assert [e.record.outcome for e in events if isinstance(e, EditJudged)] == [Outcome.FAILED]


def test_one_edit_serves_neighbours_and_single_ones_follow_when_it_is_not_kept() -> None:
    near = Box(64, 20, 96, 60)
    spec = ToolSpec(name="t", version="1", kind="mask", summary="-", uses_prompt=True)
    settings = RegionSettings(merge_distance=0, dilation=0)
    tool = ScriptedTool("t", [paint(0), paint(5), paint(9)], spec)
    team = agents([bad(ONE, near)], [tool], accepted=[False, True])
    job = Job(image_rgb=picture())
    events = list(run(job, team, LoopSettings(rounds=2, regions=settings), clock=lambda: 0.0))
    records = [e.record for e in events if isinstance(e, EditJudged)]
    assert [r.outcome for r in records] == [
        Outcome.ROLLED_BACK,
        Outcome.ACCEPTED,
        Outcome.ACCEPTED,
    ]
    together, first, second = tool.requests
    assert together.mask_hw.sum() == first.mask_hw.sum() + second.mask_hw.sum()
    stopped = events[-1]
    assert isinstance(stopped, Stopped)
    assert [s.serves for s in stopped.rounds[0].steps] == [("r2",), ()]


def test_a_common_edit_that_is_kept_repairs_all_its_regions() -> None:
    near = Box(64, 20, 96, 60)
    mine = (Region.from_box(ONE, id="a"), Region.from_box(near, id="b"))
    spec = ToolSpec(name="t", version="1", kind="mask", summary="-", uses_prompt=True)
    tool = ScriptedTool("t", [paint(0)], spec)
    team = agents([bad(ONE, near)], [tool])
    stopped, _ = play(team, job=Job(image_rgb=picture(), regions=mine))
    assert stopped.reason is StopReason.CONVERGED
    assert len(tool.requests) == 1


def best_of(
    severity: int, accepted: Sequence[bool], *, deterministic: bool = False, budget: float = 0.0
) -> tuple[ScriptedTool, EditRecord]:
    spec = ToolSpec(
        name="t",
        version="1",
        kind="mask",
        summary="-",
        deterministic=deterministic,
        cost_usd=0.25,
    )
    tool = ScriptedTool("t", [paint(v) for v in (0, 5, 9, 13)], spec)
    team = agents(
        [bad(ONE), CLEAN], [tool], accepted=accepted, verdicts=[("object_texture", severity)]
    )
    preference = Preference(max_cost_usd=budget or None)
    settings = LoopSettings(rounds=1, candidates=CandidateSettings(most=4))
    job = Job(image_rgb=picture(), preference=preference, seed=7)
    events = list(run(job, team, settings, clock=lambda: 0.0))
    return tool, next(e.record for e in events if isinstance(e, EditJudged))


def test_best_of_n_tries_again_until_one_is_clearly_good() -> None:
    tool, record = best_of(3, [False, False, True, True])
    assert [r.seed for r in tool.requests] == [7, 39, 71]
    assert record.outcome is Outcome.ACCEPTED
    assert [c.outcome for c in record.candidates] == [
        Outcome.ROLLED_BACK,
        Outcome.ROLLED_BACK,
        Outcome.ACCEPTED,
    ]
    assert record.cost_usd == 0.75


@pytest.mark.parametrize(("severity", "tries"), [(1, 1), (2, 2), (3, 4)])
def test_glaring_defects_get_more_tries(severity: int, tries: int) -> None:
    tool, record = best_of(severity, [False])
    assert len(tool.requests) == tries
    assert record.outcome is Outcome.ROLLED_BACK
    assert len(record.candidates) == (tries if tries > 1 else 0)


def test_a_deterministic_tool_gets_one_try() -> None:
    assert len(best_of(3, [False], deterministic=True)[0].requests) == 1


def test_no_further_try_is_begun_that_money_does_not_allow() -> None:
    assert len(best_of(3, [False], budget=0.6)[0].requests) == 2


def test_the_learner_is_told_what_became_of_every_edit() -> None:
    class Pupil:
        def __init__(self) -> None:
            self.outcomes: list[ToolOutcome] = []

        def learn(self, outcome: ToolOutcome) -> None:
            self.outcomes.append(outcome)

    pupil = Pupil()
    team = agents([bad(ONE, TWO), CLEAN], [ScriptedTool("t", [paint(0), fail])])
    play(dataclasses.replace(team, learner=pupil))
    kept, failed = pupil.outcomes
    assert kept.accepted
    assert kept.improvement == pytest.approx(0.8)
    assert (kept.tool, kept.tool_version, kept.category) == ("t", "0", "object_texture")
    assert (failed.accepted, failed.improvement) == (False, 0.0)


class Unreachable(ScriptedReasoner):
    """Answers so many times, then its server is gone."""

    def __init__(self, answers: int) -> None:
        super().__init__((("object_texture", 2),))
        self.left = answers

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        if self.left == 0:
            raise PluginError("nobody answers")
        self.left -= 1
        return super().diagnose(image_rgb, prompt, regions)


def test_what_was_kept_survives_an_agent_that_fails_later() -> None:
    team = agents([bad(ONE), bad(TWO)], [ScriptedTool("t", [paint(0)])])
    end, _ = play(dataclasses.replace(team, reasoner=Unreachable(1)))
    assert (end.reason, end.error) == (StopReason.FAILED, "nobody answers")
    assert [e.outcome for r in end.rounds for e in r.edits] == [Outcome.ACCEPTED]
    assert (end.image_rgb[ONE.slices][10:-10, 10:-10] == 0).all()


def test_a_verifier_that_fails_costs_only_the_edit_at_hand() -> None:
    class Gone(ScriptedVerifier):
        def verify(self, request: VerifyRequest) -> Verdict:
            if request.region.box.x0 > 80:
                raise PluginError("nobody answers")
            return super().verify(request)

    team = agents([bad(ONE, TWO)], [ScriptedTool("t", [paint(0)])])
    end, _ = play(dataclasses.replace(team, verifier=Gone((True,))))
    assert end.reason is StopReason.FAILED
    assert [e.outcome for r in end.rounds for e in r.edits] == [Outcome.ACCEPTED]


def test_an_agent_that_fails_before_anything_is_kept_is_an_error() -> None:
    team = agents([bad(ONE)], [ScriptedTool("t", [paint(0)])])
    with pytest.raises(PluginError, match="nobody answers"):
        play(dataclasses.replace(team, reasoner=Unreachable(0)))
