"""A planner that learns: Thompson sampling over what verification kept, minus what it cost.

Each admissible tool has a normal posterior of its reward, improvement - cost, from discounted
outcomes (Raj and Kalyani 2017, "Taming non-stationary bandits"): the weight of an outcome falls
with every later one, so that a tool that was not used for long becomes uncertain and is tried
again, and one that got worse is noticed. Outcomes of like places count too, but less. The prior
follows the static order. One draw per tool; the highest is taken.
"""

from __future__ import annotations

import math
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import retoucher
from retoucher.agents import PlanRequest, ToolSpec
from retoucher.domain.plan import Plan, ToolOutcome
from retoucher.domain.taxonomy import taxonomy
from retoucher.domain.trace import AgentInfo
from retoucher.errors import ConfigError
from retoucher.planning.outcomes import OutcomeStore, default_path
from retoucher.planning.policy import Candidates, first_choice, plan_regions, user_rank

_SIZES_PX = (64.0, 192.0)
"""Places below, between and above these sides are small, middling and large."""
_OTHER_SIZE, _OTHER_CATEGORY = 0.8, 0.3
"""Weight of an outcome at another size, and of another category of the same dimension."""
_PRIOR_MEAN, _PRIOR_STEP, _PRIOR_WEIGHT = 0.4, 0.05, 1.0
"""Prior reward of the first tool of the static order, by how much each further one's is less, and
how many outcomes it counts as."""
_REWARD_SD = 0.1
"""Standard deviation that one edit's reward is taken to have. Rewards scatter three times as much;
less of it explores less, and was the better choice in benchmarks/planning.py (other seeds)."""
_REMEMBERED = 400
"""So many outcomes are looked at; by the default discount the oldest then counts 0.0003."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningSettings:
    """Whether and how tools are chosen by what became of earlier edits.

    Attributes:
        enabled: outcomes are remembered and used. Off: the same picture and seed give the same
            result whatever was done before.
        path: of the file that remembers; None: where the platform keeps such things.
        discount: weight of an outcome by each later one of its dimension, in (0, 1].
        second_cost: improvement (of 1) that one second is worth; a tenth where quality goes
            before speed.
        dollar_cost: improvement that one US dollar is worth.

    Raises:
        ConfigError: on a value out of range.
    """

    enabled: bool = False
    path: str | None = None
    discount: float = 0.98
    second_cost: float = 0.01
    dollar_cost: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 < self.discount <= 1.0:
            raise ConfigError(f"discount must lie in (0, 1], got {self.discount}")
        if self.second_cost < 0.0 or self.dollar_cost < 0.0:
            raise ConfigError("second_cost and dollar_cost must be at least 0")

    @property
    def file(self) -> Path:
        """The file in force."""
        return default_path() if self.path is None else Path(self.path).expanduser()


class LearnedPlanner:
    """As the static planner, but among equally wanted tools it takes what has worked.

    Without a remembered outcome for any of them it equals the static planner. The user's own order
    (`tools`, `prefer`) always goes first. Deterministic: the same request and the same history give
    the same plan.
    """

    def __init__(
        self, settings: LearningSettings | None = None, store: OutcomeStore | None = None
    ) -> None:
        self._settings = settings or LearningSettings(enabled=True)
        self.store = store or OutcomeStore(self._settings.file)

    @property
    def info(self) -> AgentInfo:
        """`settings["outcomes"]`: how many were remembered when this was asked."""
        return AgentInfo(
            role="planner",
            name="learned",
            version=retoucher.__version__,
            settings={**asdict(self._settings), "outcomes": self.store.count()},
        )

    def plan(self, request: PlanRequest) -> Plan:
        """One step per region, in order. Step i gets the request's seed plus i."""
        return plan_regions(request, self._choose)

    def learn(self, outcome: ToolOutcome) -> None:
        """Remember one outcome. A history that cannot be written warns and costs no picture."""
        try:
            self.store.add(outcome)
        except ConfigError as error:
            warnings.warn(f"an outcome was not remembered: {error}", RuntimeWarning, stacklevel=2)

    def _choose(self, candidates: Candidates) -> tuple[ToolSpec, str]:
        static = first_choice(candidates)
        preference, category = candidates.preference, candidates.diagnosis.category
        rank = user_rank(static[0], preference)
        arms = [spec for spec in candidates.tools if user_rank(spec, preference) == rank]
        if static[0].name in (*preference.tools, *preference.prefer) or len(arms) == 1:
            return static
        outcomes = self.store.recent(_alike(category), _REMEMBERED)
        known = {(outcome.tool, outcome.tool_version) for outcome in outcomes}
        if not any((spec.name, spec.version) in known for spec in arms):
            return static
        rng = np.random.default_rng([candidates.seed, zlib.crc32(category.encode())])
        second = self._settings.second_cost * (0.1 if preference.quality_over_speed else 1.0)
        side_px = math.sqrt(candidates.region.area_px)
        draws: list[float] = []
        notes: list[str] = []
        for i, spec in enumerate(arms):
            belief = self._belief(spec, i, outcomes, category, side_px, second)
            draws.append(float(rng.normal(belief.mean, belief.sd)))
            notes.append(f"{spec.name} {belief.mean:.2f} from {belief.weight:.1f}")
        best = arms[int(np.argmax(draws))]
        why = (
            f"{best.name} is taken for {category} by what became of earlier edits "
            f"(expected gain, and from how many: {'; '.join(notes)})"
        )
        return best, why

    def _belief(
        self,
        spec: ToolSpec,
        place: int,
        outcomes: Sequence[ToolOutcome],
        category: str,
        side_px: float,
        second_cost: float,
    ) -> _Belief:
        """Of the mean reward; `outcomes` are newest first, `place` is that in the static order."""
        dollar = self._settings.dollar_cost
        cost = second_cost * spec.latency_s + dollar * spec.cost_usd
        weight = _PRIOR_WEIGHT
        total = weight * (_PRIOR_MEAN - _PRIOR_STEP * place - cost)
        for age, outcome in enumerate(outcomes):
            if (outcome.tool, outcome.tool_version) != (spec.name, spec.version):
                continue
            w = self._settings.discount**age
            if outcome.category != category:
                w *= _OTHER_CATEGORY
            if _size(outcome.side_px) != _size(side_px):
                w *= _OTHER_SIZE
            spent = second_cost * outcome.seconds + dollar * outcome.cost_usd
            weight += w
            total += w * (outcome.improvement - spent)
        return _Belief(
            mean=total / weight, sd=_REWARD_SD / math.sqrt(weight), weight=weight - _PRIOR_WEIGHT
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Belief:
    """Of a tool's mean reward: normal; `weight` is how many outcomes it rests on."""

    mean: float
    sd: float
    weight: float


def _size(side_px: float) -> int:
    return sum(side_px >= limit for limit in _SIZES_PX)


def _alike(category: str) -> tuple[str, ...]:
    """The categories of the same dimension, itself included."""
    row = taxonomy().get(category)
    if row is None:
        return (category,)
    return tuple(name for name, other in taxonomy().items() if other.dimension == row.dimension)
