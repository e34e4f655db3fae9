"""What the rounds after the first cost: looks, pixels read and seconds, against a plain loop.

    python benchmarks/loop_cost.py [--quick] [--json]

The real loop, perceivers (lettering reader and saliency network, as in the product), verifier, crop
and stitch on a drawn picture with lettering and three regions. Two repairs are kept in round 1, the
third in round 2 by another tool; round 3 looks and finds nothing to do. (What is kept is scripted,
so that every run goes the same way; the verifier looks all the same.)

plain: recomputes everything. remembering: what was seen of a state of the picture is kept, and what
the verifier saw of an edit that was kept is what the next round sees. changed: lettering is besides
read again only where the picture changed, and as a whole before the run ends.
Seconds are CPU time, so that a busy machine tells the same; ratios are against round 1 of the plain
loop in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import EditRequest, RgbArray, ToolSpec, VerifyRequest
from retoucher.domain.events import RoundFinished, Stopped
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo
from retoucher.domain.verdict import Verdict
from retoucher.job import Agents, Job, LoopSettings
from retoucher.lettering.ctc import LatinAlphabet
from retoucher.lettering.engine import OcrEngine
from retoucher.lettering.judge import LetteringJudge
from retoucher.lettering.reading import TextReader
from retoucher.looking import looking_since
from retoucher.loop import run
from retoucher.perception.fusion import FusedPerceiver
from retoucher.perception.saliency import SaliencyPerceiver
from retoucher.perception.text import TextPerceiver
from retoucher.planning.policy import StaticPlanner
from retoucher.testing import ScriptedReasoner, ScriptedTool
from retoucher.verification.improvement import ImprovementVerifier, VerifySettings
from retoucher.vision.runtime import SaliencyNetwork, View

SIDE_PX = 1024
ROWS = ("FRESH COFFEE", "open daily", "no smoking", "please ring")
Loop = Literal["plain", "remembering", "changed"]
LOOPS: tuple[Loop, ...] = ("plain", "remembering", "changed")


class CountedNetwork(SaliencyNetwork):
    """Counts its runs; a forgetful one computes what it has computed before."""

    runs = 0
    forgetful = False

    def look(self, image_rgb: RgbArray, prompt: str, long_side_px: int) -> View:
        if self.forgetful:
            self._views.clear()
        return super().look(image_rgb, prompt, long_side_px)

    def _look(self, image_rgb: RgbArray, prompt: str, long_side_px: int) -> View:
        self.runs += 1
        return super()._look(image_rgb, prompt, long_side_px)


class CountedEngine(OcrEngine):
    """Counts the pixels in which it looks for text."""

    looked_px = 0

    def detect(self, image_rgb: RgbArray) -> list[tuple[NDArray[np.float64], float]]:
        self.looked_px += image_rgb.shape[0] * image_rgb.shape[1]
        return super().detect(image_rgb)


class Whole:
    """A perceiver that always looks at all of a picture; a forgetful one does so every time."""

    def __init__(self, real: FusedPerceiver, forget: Callable[[], None] | None) -> None:
        self.real, self.forget = real, forget

    @property
    def info(self) -> AgentInfo:
        return self.real.info

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        if self.forget is not None:
            self.forget()
        with looking_since(None):
            return self.real.perceive(image_rgb, prompt)


class Keeping:
    """Looks as the real verifier does, then keeps what the script says."""

    def __init__(self, real: ImprovementVerifier, kept: Iterator[bool]) -> None:
        self.real, self.kept = real, kept
        self.scores: list[float] = []

    @property
    def info(self) -> AgentInfo:
        return self.real.info

    def verify(self, request: VerifyRequest) -> Verdict:
        verdict = self.real.verify(request)
        self.scores += [verdict.score_before, verdict.score_after]
        return replace(verdict, accepted=next(self.kept))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one run, by round: runs of the network, megapixels searched for text, CPU seconds."""

    looks: list[int]
    read_mp: list[float]
    seconds: list[float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Played:
    """One run: its cost, its output, and the scores that its verdicts saw."""

    cost: Cost
    image_rgb: RgbArray
    scores: list[float]


def picture() -> NDArray[np.uint8]:
    rng = np.random.default_rng(3)
    rgb = np.full((SIDE_PX, SIDE_PX, 3), (150, 135, 120), np.uint8)
    for _ in range(300):
        centre = tuple(int(v) for v in rng.integers(0, SIDE_PX, 2))
        colour = tuple(int(v) for v in rng.integers(60, 200, 3))
        cv2.circle(rgb, centre, int(rng.integers(5, 60)), colour, -1, cv2.LINE_AA)
    for i, text in enumerate(ROWS):
        where = (80 + 130 * (i % 2), 120 + 240 * i)
        cv2.rectangle(
            rgb,
            (where[0] - 20, where[1] - 60),
            (where[0] + 560, where[1] + 30),
            (238, 234, 225),
            -1,
        )
        cv2.putText(rgb, text, where, cv2.FONT_HERSHEY_DUPLEX, 1.8, (30, 35, 60), 4, cv2.LINE_AA)
    return np.clip(rgb + rng.normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)


def brighter(levels: int) -> Callable[[EditRequest], RgbArray]:
    """A change that the pixels alone do not rule out, so that the verifier has to look."""

    def edit(request: EditRequest) -> RgbArray:
        out = request.crop_rgb.copy()
        lit = out[request.mask_hw].astype(np.int16) + levels
        out[request.mask_hw] = np.clip(lit, 0, 255).astype(np.uint8)
        return out

    return edit


def play(loop: Loop) -> Played:
    network, reader = CountedNetwork(threads=1), TextReader()
    engine = CountedEngine(reader.settings.engine)
    reader._engine, reader._latin = engine, LatinAlphabet(engine.alphabet)
    saliency = SaliencyPerceiver(threads=1)
    saliency._network = network
    judge = LetteringJudge(reader)

    def forget() -> None:
        reader._cache.clear()
        judge._cache.clear()

    fused = FusedPerceiver([TextPerceiver(judge), saliency])
    fused.perceive(picture()[:64, :64], "")  # loads everything
    network.runs = engine.looked_px = 0
    network.forgetful = loop == "plain"
    perceiver = fused if loop == "changed" else Whole(fused, forget if loop == "plain" else None)
    verifier = Keeping(
        ImprovementVerifier(
            perceiver,
            ScriptedReasoner([("object_structure", 2)]),
            threshold=0.4,
            settings=VerifySettings(),
        ),
        iter([True, True, False, True]),
    )
    spec = ToolSpec(name="-", version="1", kind="mask", summary="-")
    tools = [
        ScriptedTool(name, [brighter(levels)], spec)
        for name, levels in (("first", 6), ("second", 9))
    ]
    agents = Agents(
        perceiver=perceiver,
        reasoner=ScriptedReasoner([("object_structure", 2)]),
        planner=StaticPlanner(),
        tools={tool.spec.name: tool for tool in tools},
        verifier=verifier,
    )
    boxes = (Box(100, 100, 220, 240), Box(500, 300, 640, 420), Box(300, 700, 420, 820))
    regions = tuple(Region.from_box(box, id=f"r{i}") for i, box in enumerate(boxes, 1))
    job = Job(image_rgb=picture(), regions=regions)
    looks: list[int] = []
    read: list[float] = []
    seconds: list[float] = []
    for event in run(job, agents, LoopSettings(), clock=time.process_time):
        if isinstance(event, RoundFinished):
            looks.append(network.runs - sum(looks))
            read.append(engine.looked_px / 1e6 - sum(read))
            seconds.append(event.round.seconds)
        if isinstance(event, Stopped):
            cost = Cost(looks=looks, read_mp=read, seconds=seconds)
            return Played(cost=cost, image_rgb=event.image_rgb, scores=verifier.scores)
    raise AssertionError("a run ends with Stopped")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one repeat")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    repeats = 1 if options.quick else 3
    runs = {loop: [play(loop) for _ in range(repeats)] for loop in LOOPS}
    plain = runs["plain"][0]
    same = all(np.array_equal(plain.image_rgb, r.image_rgb) for some in runs.values() for r in some)
    gap = max(
        abs(a - b) for r in runs["changed"] for a, b in zip(plain.scores, r.scores, strict=True)
    )
    costs = {loop: _median([r.cost for r in some]) for loop, some in runs.items()}
    if options.json:
        figures = {loop: asdict(cost) for loop, cost in costs.items()}
        print(json.dumps({"same_output": same, "score_gap": gap, **figures}))
        return
    base = costs["plain"].seconds[0]
    print("| loop | network runs | megapixels read | CPU seconds | rounds 2, 3 over 1 | all |")
    print("|---|---|---|---|---|---|")
    for name, cost in costs.items():
        print(
            f"| {name} | {', '.join(map(str, cost.looks))} "
            f"| {', '.join(f'{mp:.2f}' for mp in cost.read_mp)} "
            f"| {', '.join(f'{s:.2f}' for s in cost.seconds)} "
            f"| {', '.join(f'{s / base:.2f}' for s in cost.seconds[1:])} "
            f"| {sum(cost.seconds) / base:.2f} |"
        )
    print(f"\noutputs are {'the same in every byte' if same else 'DIFFERENT'}")
    print(f"largest difference of a verdict's scores, changed against plain: {gap:.3f}")


def _median(costs: list[Cost]) -> Cost:
    rounds = zip(*(cost.seconds for cost in costs), strict=True)
    return replace(costs[0], seconds=[statistics.median(r) for r in rounds])


if __name__ == "__main__":
    main()
