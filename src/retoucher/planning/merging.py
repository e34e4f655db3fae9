"""One edit for neighbours: two halves of one defect need not be repainted one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from retoucher.agents import PlanRequest, ToolSpec
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Step

MOST_GAP = 0.35
"""Neighbours: the gap between their boxes over the mean side of the smaller one, at most."""
MOST_WASTE = 1.6
"""The common box covers at most this many times what the boxes cover."""


def merge(steps: Sequence[Step], request: PlanRequest) -> tuple[Step, ...]:
    """Let one edit serve neighbours of the same category and tool.

    Only for tools that read a prompt: they repaint a place as a whole, and each edit costs. Regions
    that were tried before, or that `request.apart` names, are repaired by themselves, so that a
    common edit that was not kept is followed by single ones.
    """
    specs = {spec.name: spec for spec in request.tools}
    leader = list(range(len(steps)))
    bounds = [region.box for region in request.regions]
    for i, step in enumerate(steps):
        if leader[i] != i or not _can_join(step, request, specs):
            continue
        for j in range(i + 1, len(steps)):
            other = steps[j]
            alike = (
                leader[j] == j
                and other.tool == step.tool
                and request.diagnoses[i].category == request.diagnoses[j].category
                and _can_join(other, request, specs)
            )
            if alike and _near(bounds[i], bounds[j]):
                leader[j] = i
                bounds[i] = bounds[i].union(bounds[j])
    return tuple(_joined(i, steps, leader) for i in range(len(steps)))


def _can_join(step: Step, request: PlanRequest, specs: dict[str, ToolSpec]) -> bool:
    return (
        step.tool is not None
        and specs[step.tool].uses_prompt
        and step.region_id not in request.apart
        and not request.tried.get(step.region_id)
    )


def _near(a: Box, b: Box) -> bool:
    gap_x = max(a.x0, b.x0) - min(a.x1, b.x1)
    gap_y = max(a.y0, b.y0) - min(a.y1, b.y1)
    gap = math.hypot(max(0, gap_x), max(0, gap_y))
    side = math.sqrt(min(a.area_px, b.area_px))
    common = a.intersection(b)
    covered = a.area_px + b.area_px - (common.area_px if common else 0)
    return gap <= MOST_GAP * side and a.union(b).area_px <= MOST_WASTE * covered


def _joined(i: int, steps: Sequence[Step], leader: Sequence[int]) -> Step:
    step = steps[i]
    if leader[i] != i:
        first = steps[leader[i]]
        return replace(
            step,
            tool=None,
            instruction="",
            reason=f"repaired together with {first.region_id}",
            params={},
            context_factor=None,
        )
    others = [steps[j] for j in range(len(steps)) if leader[j] == i and j != i]
    if not others:
        return step
    served = tuple(other.region_id for other in others)
    words = list(dict.fromkeys([step.instruction, *(other.instruction for other in others)]))
    return replace(
        step,
        instruction=", and ".join(words),
        reason=f"{step.reason}; one edit also serves {', '.join(served)}",
        serves=served,
    )
