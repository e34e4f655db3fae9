"""Later rounds are looked at where something changed, and the last look is at the whole picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from retoucher.agents import RgbArray
from retoucher.domain.events import Perceived, Stopped
from retoucher.domain.geometry import Box
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo, StopReason
from retoucher.job import Agents, Job, LoopSettings
from retoucher.looking import Basis, basis_of, looking_since
from retoucher.loop import run
from retoucher.planning.policy import StaticPlanner
from retoucher.testing import ScriptedReasoner, ScriptedTool, ScriptedVerifier, paint
from retoucher.testing import saliency_of_boxes as bad

H, W = 120, 160
ONE, TWO = Box(20, 20, 60, 60), Box(100, 50, 140, 90)


def picture() -> RgbArray:
    return np.random.default_rng(1).integers(1, 256, (H, W, 3), np.uint8)


def painted(image_rgb: RgbArray, box: Box) -> bool:
    return not image_rgb[box.expand(-10).slices].any()


class Glancing:
    """Sees a defect in a box until it is painted black; where it may, it looks at part only."""

    def __init__(self, boxes: Sequence[Box]) -> None:
        self.boxes = list(boxes)
        self.looks: list[tuple[RgbArray, RgbArray | None]] = []

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="perceiver", name="glancing", version="0")

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        basis = basis_of(image_rgb)
        if basis is not None:
            basis.used = True
        self.looks.append((image_rgb, basis.image_rgb if basis else None))
        left = [box for box in self.boxes if not painted(image_rgb, box)]
        return bad(H, W, left)


class LookingVerifier(ScriptedVerifier):
    """Keeps every edit, after a look at it."""

    def __init__(self, perceiver: Glancing) -> None:
        super().__init__([True])
        self.perceiver = perceiver

    def verify(self, request):  # type: ignore[no-untyped-def]
        self.perceiver.perceive(request.after_rgb, request.prompt)
        return super().verify(request)


def play(perceiver: Glancing, **changed: object) -> tuple[Stopped, list[Perceived]]:
    tool = ScriptedTool("t", [paint(0)])
    agents = Agents(
        perceiver=perceiver,
        reasoner=ScriptedReasoner(),
        planner=StaticPlanner(),
        tools={"t": tool},
        verifier=LookingVerifier(perceiver),
    )
    agents = replace(agents, **changed)  # type: ignore[arg-type]
    events = list(run(Job(image_rgb=picture()), agents, LoopSettings(), clock=lambda: 0.0))
    assert isinstance(events[-1], Stopped)
    return events[-1], [e for e in events if isinstance(e, Perceived)]


def test_the_first_look_and_the_last_are_at_the_whole_picture() -> None:
    perceiver = Glancing([ONE, TWO])
    stopped, seen = play(perceiver)
    assert stopped.reason is StopReason.CONVERGED
    first = perceiver.looks[0][0]
    # Round 1, two edits, round 2 where it changed, and again as a whole, before it is called done.
    assert [basis is first if basis is not None else None for _, basis in perceiver.looks] == [
        None, True, True, True, None,
    ]  # fmt: skip
    assert perceiver.looks[-1][0] is stopped.image_rgb
    assert len(seen) == 2


def test_what_only_a_whole_look_sees_is_still_repaired() -> None:
    class Overlooking(Glancing):
        """Once the first place is repaired, a look at all of the picture shows another one."""

        def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
            whole = basis_of(image_rgb) is None
            self.boxes = [ONE, TWO] if whole and painted(image_rgb, ONE) else [ONE]
            return super().perceive(image_rgb, prompt)

    stopped, seen = play(Overlooking([ONE]))
    assert stopped.reason is StopReason.CONVERGED
    assert painted(stopped.image_rgb, ONE)
    assert painted(stopped.image_rgb, TWO)
    assert [len(event.regions) for event in seen] == [1, 1, 0]


def test_who_always_looks_at_everything_is_not_asked_twice() -> None:
    class Whole(Glancing):
        def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
            with looking_since(None):
                return super().perceive(image_rgb, prompt)

    perceiver = Whole([ONE, TWO])
    play(perceiver)
    assert len(perceiver.looks) == 4


def test_a_look_at_what_is_left_at_the_end_of_the_rounds_is_whole() -> None:
    perceiver = Glancing([ONE, TWO])

    class OnlyOne(LookingVerifier):
        def verify(self, request):  # type: ignore[no-untyped-def]
            verdict = super().verify(request)
            return replace(verdict, accepted=request.region.box.x0 < 80)

    stopped, _ = play(perceiver, verifier=OnlyOne(perceiver))
    assert stopped.reason is StopReason.NO_PROGRESS
    assert perceiver.looks[-1] == (perceiver.looks[-1][0], None)


def test_a_basis_is_for_pictures_of_its_size_and_for_inside_only() -> None:
    first, other = picture(), picture()
    basis = Basis(first)
    with looking_since(basis):
        assert basis_of(other) is basis
        assert basis_of(first) is None
        assert basis_of(other[:-1]) is None
        with looking_since(None):
            assert basis_of(other) is None
        assert basis_of(other) is basis
    assert basis_of(other) is None
