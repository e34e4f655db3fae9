"""What learning from outcomes is worth: a simulation, regret as a table.

    python benchmarks/planning.py [--quick] [--json]

Five tools of known quality repair a stream of defects, one edit each. The real planners choose (and
the learning one keeps its real history file); only the outcomes are drawn. Reward is the
improvement that verification would keep, minus the price of time and money. Regret is the oracle's
expected reward minus the chosen tool's, summed; the oracle knows every quality at every moment. The
best fixed tool is the best single one in hindsight.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from retoucher.agents import Planner, PlanRequest, ToolSpec
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Plan, Preference, ToolOutcome
from retoucher.domain.region import Region
from retoucher.domain.trace import AgentInfo
from retoucher.planning.learned import LearnedPlanner, LearningSettings
from retoucher.planning.policy import StaticPlanner

CATEGORIES = ("hand_shape", "face_feature", "text_garbled", "object_structure")
SIDES = (40, 120, 300)
Quality = Mapping[tuple[str, str], float]
"""Share of edits that verification keeps, per tool and category."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Tools, how good they are, and what changes when.

    Attributes:
        name, about: for the table.
        early, late: qualities before and after `change`.
        change: edit from which on `late` holds.
    """

    name: str
    about: str
    early: Quality
    late: Quality
    change: int = 10**9

    def quality(self, tool: str, category: str, i: int) -> float:
        return (self.late if i >= self.change else self.early)[tool, category]


TOOLS = tuple(
    ToolSpec(
        name=name,
        version="1",
        kind="mask",
        summary="-",
        priority=priority,
        latency_s=seconds,
        cost_usd=usd,
    )
    for name, priority, seconds, usd in (
        ("large", 50, 20.0, 0.0),
        ("cloud", 40, 8.0, 0.04),
        ("medium", 30, 6.0, 0.0),
        ("small", 20, 2.0, 0.0),
        ("filler", 10, 0.5, 0.0),
    )
)
_KEPT = {
    "large": (0.70, 0.75, 0.30, 0.60),
    "cloud": (0.65, 0.60, 0.80, 0.65),
    "medium": (0.50, 0.70, 0.25, 0.55),
    "small": (0.30, 0.40, 0.15, 0.50),
    "filler": (0.05, 0.02, 0.55, 0.20),
}
_BASE: Quality = {
    (tool, category): share
    for tool, shares in _KEPT.items()
    for category, share in zip(CATEGORIES, shares, strict=True)
}
_WORSE: Quality = {**_BASE, **{("large", c): 0.10 for c in CATEGORIES}}
_BETTER: Quality = {**_BASE, **{("medium", c): 0.90 for c in CATEGORIES}}
_AS_RANKED: Quality = {
    (spec.name, c): 0.75 - 0.12 * k for k, spec in enumerate(TOOLS) for c in CATEGORIES
}


def worlds(edits: int) -> tuple[World, ...]:
    half = edits // 2
    return (
        World(name="steady", about="the priorities are roughly right", early=_BASE, late=_BASE),
        World(
            name="as ranked",
            about="the priorities are exactly right",
            early=_AS_RANKED,
            late=_AS_RANKED,
        ),
        World(
            name="worse",
            about="the first tool breaks half-way",
            early=_BASE,
            late=_WORSE,
            change=half,
        ),
        World(
            name="better",
            about="the third tool gets better half-way",
            early=_BASE,
            late=_BETTER,
            change=half,
        ),
    )


MEAN_IMPROVEMENT = 0.6
SETTINGS = LearningSettings(enabled=True)


def expected(world: World, spec: ToolSpec, category: str, i: int) -> float:
    """Expected reward of an edit, as the settings weigh time and money (quality before speed)."""
    price = 0.1 * SETTINGS.second_cost * spec.latency_s + SETTINGS.dollar_cost * spec.cost_usd
    return world.quality(spec.name, category, i) * MEAN_IMPROVEMENT - price


def request(category: str, side: int, seed: int) -> PlanRequest:
    region = Region.from_box(Box(0, 0, side, side), id="r1")
    diagnosis = Diagnosis(
        region_id="r1", category=category, severity=2, description="-", confidence=0.9
    )
    return PlanRequest(
        regions=[region],
        diagnoses=[diagnosis],
        prompt="",
        preference=Preference(),
        tools=TOOLS,
        tried={},
        seed=seed,
    )


def play(world: World, planner: Planner, edits: int, seed: int) -> list[float]:
    """Regret of each edit in turn."""
    rng = np.random.default_rng(seed)
    specs = {spec.name: spec for spec in TOOLS}
    regrets: list[float] = []
    for i in range(edits):
        category, side = str(rng.choice(CATEGORIES)), int(rng.choice(SIDES))
        luck, size = float(rng.random()), float(rng.normal(MEAN_IMPROVEMENT, 0.15))
        (step,) = planner.plan(request(category, side, seed * 100_000 + i)).steps
        assert step.tool is not None
        spec = specs[step.tool]
        best = max(expected(world, other, category, i) for other in TOOLS)
        regrets.append(best - expected(world, spec, category, i))
        if isinstance(planner, LearnedPlanner):
            accepted = luck < world.quality(spec.name, category, i)
            planner.learn(
                ToolOutcome(
                    category=category,
                    side_px=float(side),
                    tool=spec.name,
                    tool_version=spec.version,
                    accepted=accepted,
                    improvement=min(max(size, 0.0), 1.0) if accepted else 0.0,
                    seconds=spec.latency_s,
                    cost_usd=spec.cost_usd,
                )
            )
    return regrets


class Fixed:
    """Always the same tool: the static planner, given no other."""

    def __init__(self, tool: str) -> None:
        self.tool, self.inner = tool, StaticPlanner()

    @property
    def info(self) -> AgentInfo:
        return self.inner.info

    def plan(self, asked: PlanRequest) -> Plan:
        tools = [spec for spec in asked.tools if spec.name == self.tool]
        return self.inner.plan(replace(asked, tools=tools))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """Regret of one way to choose in one world: total, and of the last quarter, per 100 edits."""

    world: str
    way: str
    total: float
    last_quarter: float


def measure(edits: int, seeds: Sequence[int]) -> list[Row]:
    rows: list[Row] = []
    for world in worlds(edits):
        ways = {
            "static policy": [play(world, StaticPlanner(), edits, seed) for seed in seeds],
            "learned": [learned(world, edits, seed, SETTINGS.discount) for seed in seeds],
            "learned, never forgets": [learned(world, edits, seed, 1.0) for seed in seeds],
        }
        fixed = {
            spec.name: [play(world, Fixed(spec.name), edits, seed) for seed in seeds]
            for spec in TOOLS
        }
        best = min(fixed, key=lambda name: sum(map(sum, fixed[name])))
        ways[f"best fixed tool ({best})"] = fixed[best]
        rows += [_row(world, way, regrets) for way, regrets in ways.items()]
    return rows


def learned(world: World, edits: int, seed: int, discount: float) -> list[float]:
    """Regret of the learning planner, starting without any history."""
    memory = Path("/dev/shm")  # each outcome is synced to disk: here that would be all there is
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        path = str(Path(folder, "outcomes.sqlite3"))
        settings = LearningSettings(enabled=True, path=path, discount=discount)
        return play(world, LearnedPlanner(settings), edits, seed)


def _row(world: World, way: str, regrets: Sequence[Sequence[float]]) -> Row:
    quarter = len(regrets[0]) // 4
    return Row(
        world=world.name,
        way=way,
        total=100 * statistics.fmean(map(statistics.fmean, regrets)),
        last_quarter=100 * statistics.fmean(statistics.fmean(r[-quarter:]) for r in regrets),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer edits, one seed")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    edits, seeds = (200, (1,)) if options.quick else (1200, (1, 2, 3))
    rows = measure(edits, seeds)
    if options.json:
        print(json.dumps({"edits": edits, "seeds": seeds, "rows": [asdict(row) for row in rows]}))
        return
    print(f"Regret per 100 edits against the oracle, mean of {len(seeds)} runs of {edits} edits")
    for world in worlds(edits):
        print(f"\n{world.name}: {world.about}\n")
        print("| chosen by | all edits | last quarter |\n|---|---|---|")
        for row in rows:
            if row.world == world.name:
                print(f"| {row.way} | {row.total:.1f} | {row.last_quarter:.1f} |")


if __name__ == "__main__":
    main()
