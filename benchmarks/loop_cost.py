"""What the rounds after the first cost: network runs and seconds, against a plain loop.

    python benchmarks/loop_cost.py [--quick] [--json]

The real loop, network, verifier, crop and stitch on a drawn picture with three regions. Two repairs
are kept in round 1, the third in round 2 by another tool; round 3 looks and finds nothing to do.
(What is kept is scripted, so that every run goes the same way; the verifier looks all the same.)
The plain loop recomputes everything; ours remembers the last states of the picture, and what the
verifier saw of an edit that was kept is what the next round sees.
Ratios are against round 1 of the plain loop in the same run.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import EditRequest, RgbArray, ToolSpec, VerifyRequest
from retoucher.domain.events import RoundFinished, Stopped
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.trace import AgentInfo
from retoucher.domain.verdict import Verdict
from retoucher.job import Agents, Job, LoopSettings
from retoucher.loop import run
from retoucher.perception.saliency import SaliencyPerceiver
from retoucher.planning.policy import StaticPlanner
from retoucher.testing import ScriptedReasoner, ScriptedTool
from retoucher.verification.improvement import ImprovementVerifier, VerifySettings
from retoucher.vision.runtime import SaliencyNetwork, View

SIDE_PX = 1024


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


class Keeping:
    """Looks as the real verifier does, then keeps what the script says."""

    def __init__(self, real: ImprovementVerifier, kept: Iterator[bool]) -> None:
        self.real, self.kept = real, kept

    @property
    def info(self) -> AgentInfo:
        return self.real.info

    def verify(self, request: VerifyRequest) -> Verdict:
        return replace(self.real.verify(request), accepted=next(self.kept))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of one run, by round: runs of the network, and seconds."""

    looks: list[int]
    seconds: list[float]


def picture() -> NDArray[np.uint8]:
    rng = np.random.default_rng(3)
    rgb = np.full((SIDE_PX, SIDE_PX, 3), (150, 135, 120), np.uint8)
    for _ in range(300):
        centre = tuple(int(v) for v in rng.integers(0, SIDE_PX, 2))
        colour = tuple(int(v) for v in rng.integers(60, 200, 3))
        cv2.circle(rgb, centre, int(rng.integers(5, 60)), colour, -1, cv2.LINE_AA)
    return np.clip(rgb + rng.normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)


def brighter(levels: int) -> Callable[[EditRequest], RgbArray]:
    """A change that the pixels alone do not rule out, so that the verifier has to look."""

    def edit(request: EditRequest) -> RgbArray:
        out = request.crop_rgb.copy()
        lit = out[request.mask_hw].astype(np.int16) + levels
        out[request.mask_hw] = np.clip(lit, 0, 255).astype(np.uint8)
        return out

    return edit


def play(*, forgetful: bool) -> tuple[Cost, NDArray[np.uint8]]:
    network = CountedNetwork(threads=1)
    perceiver = SaliencyPerceiver(threads=1)
    perceiver._network = network
    perceiver.perceive(picture()[:64, :64], "")  # loads it
    network.runs, network.forgetful = 0, forgetful
    spec = ToolSpec(name="-", version="1", kind="mask", summary="-")
    tools = [
        ScriptedTool(name, [brighter(levels)], spec)
        for name, levels in (("first", 6), ("second", 9))
    ]
    real = ImprovementVerifier(
        perceiver,
        ScriptedReasoner([("object_structure", 2)]),
        threshold=0.4,
        settings=VerifySettings(),
    )
    agents = Agents(
        perceiver=perceiver,
        reasoner=ScriptedReasoner([("object_structure", 2)]),
        planner=StaticPlanner(),
        tools={tool.spec.name: tool for tool in tools},
        verifier=Keeping(real, iter([True, True, False, True])),
    )
    boxes = (Box(100, 100, 220, 240), Box(500, 300, 640, 420), Box(300, 700, 420, 820))
    regions = tuple(Region.from_box(box, id=f"r{i}") for i, box in enumerate(boxes, 1))
    job = Job(image_rgb=picture(), regions=regions)
    looks: list[int] = []
    seconds: list[float] = []
    for event in run(job, agents, LoopSettings(), clock=time.perf_counter):
        if isinstance(event, RoundFinished):
            looks.append(network.runs - sum(looks))
            seconds.append(event.round.seconds)
        if isinstance(event, Stopped):
            return Cost(looks=looks, seconds=seconds), event.image_rgb
    raise AssertionError("a run ends with Stopped")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one repeat")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    repeats = 1 if options.quick else 3
    plain = [play(forgetful=True) for _ in range(repeats)]
    ours = [play(forgetful=False) for _ in range(repeats)]
    same = all(np.array_equal(a[1], b[1]) for a, b in zip(plain, ours, strict=True))
    costs = {"plain": _median([c for c, _ in plain]), "ours": _median([c for c, _ in ours])}
    if options.json:
        print(json.dumps({"same_output": same, **{k: asdict(c) for k, c in costs.items()}}))
        return
    base = costs["plain"].seconds[0]
    print("| loop | network runs by round | seconds | rounds 2, 3 over 1 | all over plain 1 |")
    print("|---|---|---|---|---|")
    for name, cost in costs.items():
        print(
            f"| {name} | {', '.join(map(str, cost.looks))} "
            f"| {', '.join(f'{s:.2f}' for s in cost.seconds)} "
            f"| {', '.join(f'{s / base:.2f}' for s in cost.seconds[1:])} "
            f"| {sum(cost.seconds) / base:.2f} |"
        )
    print(f"\noutputs are {'the same in every byte' if same else 'DIFFERENT'}")


def _median(costs: list[Cost]) -> Cost:
    rounds = zip(*(cost.seconds for cost in costs), strict=True)
    return Cost(looks=costs[0].looks, seconds=[statistics.median(r) for r in rounds])


if __name__ == "__main__":
    main()
