"""The policy: which regions are repaired, by which tool, how, and which of them together.

Paper, section 3.3: for each region the action agent decides bounds, tool and instruction from the
diagnosis, the constraints and the user's preference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import retoucher
from retoucher.agents import PlanRequest, ToolSpec
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.plan import Plan, Preference, Step
from retoucher.domain.region import Region
from retoucher.domain.trace import AgentInfo
from retoucher.planning.admission import Means, objection, reason_to_leave
from retoucher.planning.instructions import word
from retoucher.planning.merging import merge


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Candidates:
    """The admissible tools for one region.

    Attributes:
        region, diagnosis: what is to be repaired.
        tools: at least one, best first by the static order.
        preference: what the user wants.
        seed: of this choice.
    """

    region: Region
    diagnosis: Diagnosis
    tools: tuple[ToolSpec, ...]
    preference: Preference
    seed: int


Chooser = Callable[[Candidates], tuple[ToolSpec, str]]
"""One of the candidates, and why it."""


class StaticPlanner:
    """Takes the first admissible tool by the user's order, then by priority; says why."""

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="planner", name="static", version=retoucher.__version__)

    def plan(self, request: PlanRequest) -> Plan:
        """One step per region, in order. Step i gets the request's seed plus i."""
        return plan_regions(request, first_choice)


def plan_regions(request: PlanRequest, choose: Chooser) -> Plan:
    """One step per region, in order; step i gets the request's seed plus i.

    Time and money that earlier steps of the plan need are not there for later ones.
    """
    means = Means(seconds=request.time_left_s, usd=request.money_left_usd)
    specs = {spec.name: spec for spec in request.tools}
    steps: list[Step] = []
    for i, (region, diagnosis) in enumerate(zip(request.regions, request.diagnoses, strict=True)):
        step = _step(region, diagnosis, request, means, request.seed + i, choose)
        if step.tool is not None:
            means = means.without(specs[step.tool])
        steps.append(step)
    return Plan(steps=merge(steps, request))


def static_order(spec: ToolSpec, preference: Preference) -> tuple[object, ...]:
    """Sort key: the user's order first, then quality (or speed), then the name."""
    best = -spec.priority
    own = (best, spec.latency_s) if preference.quality_over_speed else (spec.latency_s, best)
    return (*user_rank(spec, preference), *own, spec.name)


def user_rank(spec: ToolSpec, preference: Preference) -> tuple[int, int]:
    """Place of the tool in the user's two lists; beyond their ends where it is not named."""
    named = preference.tools, preference.prefer
    ranks = [names.index(spec.name) if spec.name in names else len(names) for names in named]
    return ranks[0], ranks[1]


def first_choice(candidates: Candidates) -> tuple[ToolSpec, str]:
    """The static policy."""
    best, preference = candidates.tools[0], candidates.preference
    if best.name in preference.tools or best.name in preference.prefer:
        why = "preferred"
    elif preference.quality_over_speed:
        why = "the best admissible tool"
    else:
        why = "the fastest admissible tool"
    return best, f"{best.name} is {why} for {candidates.diagnosis.category}"


def _step(
    region: Region,
    diagnosis: Diagnosis,
    request: PlanRequest,
    means: Means,
    seed: int,
    choose: Chooser,
) -> Step:
    preference = request.preference
    left = Step(region_id=region.id, tool=None, instruction="", reason="", seed=seed)
    reason = reason_to_leave(diagnosis, preference)
    if reason is not None:
        return replace(left, reason=reason)
    tried = request.tried.get(region.id, frozenset())
    ruled_out: dict[str, str] = {}
    admissible: list[ToolSpec] = []
    for spec in request.tools:
        against = objection(spec, diagnosis, preference, tried, means)
        if against is None:
            admissible.append(spec)
        else:
            ruled_out[spec.name] = against
    if not admissible:
        said = "; ".join(f"{name} {against}" for name, against in ruled_out.items())
        none = f"no tool can repair this: {said or 'none is installed'}"
        return replace(left, reason=none, ruled_out=ruled_out)
    admissible.sort(key=lambda spec: static_order(spec, preference))
    tool, why = choose(
        Candidates(
            region=region,
            diagnosis=diagnosis,
            tools=tuple(admissible),
            preference=preference,
            seed=seed,
        )
    )
    after = f"; {', '.join(sorted(tried))} did not help before" if tried else ""
    wording = word(diagnosis, request.prompt, tool, preference)
    return Step(
        region_id=region.id,
        tool=tool.name,
        instruction=wording.instruction,
        reason=why + after + (f"; instruction by {wording.by}" if wording.by else ""),
        seed=seed,
        params=wording.params,
        context_factor=wording.context_factor,
        ruled_out=ruled_out,
    )
