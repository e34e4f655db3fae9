"""The static policy: a tool by category, capability and the user's preference.

Paper, section 3.3: for each region the action agent decides tool and instruction from the
diagnosis, the constraints and the user's preference.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources

import retoucher
from retoucher.agents import PlanRequest, ToolSpec
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.plan import Plan, Preference, Step
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.domain.trace import AgentInfo


class StaticPlanner:
    """Takes the first admissible tool by the user's order, then by priority; says why."""

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="planner", name="static", version=retoucher.__version__)

    def plan(self, request: PlanRequest) -> Plan:
        """One step per region, in order. Step i gets the request's seed plus i."""
        pairs = zip(request.regions, request.diagnoses, strict=True)
        return Plan(
            steps=tuple(
                _step(diagnosis, request, request.tried.get(region.id, frozenset()), i)
                for i, (region, diagnosis) in enumerate(pairs)
            )
        )


def _step(diagnosis: Diagnosis, request: PlanRequest, tried: frozenset[str], i: int) -> Step:
    tool, reason = None, _reason_to_leave(diagnosis, request.preference)
    if reason is None:
        tool, reason = _choose(diagnosis, request.tools, request.preference, tried)
    return Step(
        region_id=diagnosis.region_id,
        tool=tool,
        instruction=_instruction(diagnosis) if tool else "",
        reason=reason,
        seed=request.seed + i,
    )


def _reason_to_leave(diagnosis: Diagnosis, preference: Preference) -> str | None:
    """Why nothing should be done about this diagnosis, or None where something should."""
    category = diagnosis.category
    if not diagnosis.is_defect:
        return "nothing is wrong here"
    if category == UNKNOWN and not preference.repair_unknown:
        return "it is not known what is wrong here"
    if category in preference.skip:
        return f"{category} is skipped by preference"
    if preference.only and category not in preference.only:
        return f"only {', '.join(sorted(preference.only))} is repaired by preference"
    if diagnosis.severity < preference.min_severity:
        return f"severity {diagnosis.severity} is below {preference.min_severity}"
    if diagnosis.confidence < preference.min_confidence:
        return f"confidence {diagnosis.confidence:.2f} is below {preference.min_confidence:.2f}"
    return None


def _choose(
    diagnosis: Diagnosis,
    tools: Sequence[ToolSpec],
    preference: Preference,
    tried: frozenset[str],
) -> tuple[str | None, str]:
    """The tool to take and why, or None and what ruled out each tool that could have served."""
    admissible: list[ToolSpec] = []
    ruled_out: list[str] = []
    for spec in tools:
        objection = _objection(spec, diagnosis, preference, tried)
        if objection is None:
            admissible.append(spec)
        else:
            ruled_out.append(f"{spec.name} {objection}")
    if not admissible:
        return None, "no tool can repair this: " + ("; ".join(ruled_out) or "none is installed")
    order = {name: rank for rank, name in enumerate(preference.tools)}
    best = min(admissible, key=lambda s: (order.get(s.name, len(order)), -s.priority, s.name))
    why = "preferred" if best.name in order else "the best admissible tool"
    after = f"; {', '.join(sorted(tried))} did not help before" if tried else ""
    return best.name, f"{best.name} is {why} for {diagnosis.category}{after}"


def _objection(
    spec: ToolSpec, diagnosis: Diagnosis, preference: Preference, tried: frozenset[str]
) -> str | None:
    """What keeps this tool from repairing this defect, or None."""
    named = spec.name in preference.tools
    kinds = {evidence.kind for evidence in diagnosis.evidence}
    if preference.tools and not named:
        return "was not asked for"
    if spec.name in preference.avoid:
        return "is avoided by preference"
    if spec.name in tried:
        return "was tried here and not kept"
    if spec.network and preference.offline:
        return "needs the network"
    if spec.categories and diagnosis.category not in spec.categories and not named:
        return f"is not made for {diagnosis.category}"
    if missing := sorted(spec.requires_evidence - kinds):
        return f"needs to know the {' and '.join(m.replace('_', ' ') for m in missing)}"
    if not named and (known := sorted(spec.excluded_by_evidence & kinds)):
        return f"would remove what is known: {', '.join(k.replace('_', ' ') for k in known)}"
    return None


def _instruction(diagnosis: Diagnosis) -> str:
    templates = _templates()
    rows = {**templates["default"], **templates.get(diagnosis.category, {})}
    words = [str(e.data["intended"]) for e in diagnosis.evidence if e.kind == "intended_text"]
    if words and "with_intended" in rows:
        return rows["with_intended"].format(intended=" ".join(words))
    category = taxonomy().get(diagnosis.category)
    return rows["repair"].format(phrase=category.phrase if category else "defect")


@cache
def _templates() -> dict[str, dict[str, str]]:
    text = (resources.files("retoucher.planning") / "instructions.toml").read_text("utf-8")
    return tomllib.loads(text)
