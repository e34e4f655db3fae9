"""What is to be done about each region: a tool and its instruction, or nothing, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from retoucher.domain.diagnosis import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What the user wants of a run. Empty collections, and None, mean "no restriction".

    Attributes:
        only: repair these categories only.
        skip: never repair these categories.
        tools: use these tools only, in this order of preference.
        prefer: take these tools first, in this order; the others stay as they are.
        avoid: never use these tools.
        licences: use only tools under these licences (of model or method, SPDX where there is one).
        max_memory_gb: never use a tool that needs more.
        max_edit_s: never use a tool that takes longer for one edit.
        max_cost_usd: spend no more than this on one picture.
        quality_over_speed: of admissible tools take the best; False: the fastest.
        keep_identity: repaint faces gently and ask for the same person.
        min_severity: leave milder defects alone (1 to 3).
        min_confidence: leave diagnoses less sure than this alone (0 to 1).
        repair_unknown: also repair regions that reasoning could not name.
        offline: never use a tool that touches the network.

    Raises:
        ValueError: on a value out of range, or a tool that is both preferred and avoided.
    """

    only: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()
    tools: tuple[str, ...] = ()
    prefer: tuple[str, ...] = ()
    avoid: frozenset[str] = frozenset()
    licences: frozenset[str] = frozenset()
    max_memory_gb: float | None = None
    max_edit_s: float | None = None
    max_cost_usd: float | None = None
    quality_over_speed: bool = True
    keep_identity: bool = True
    min_severity: int = 1
    min_confidence: float = 0.6
    repair_unknown: bool = False
    offline: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.min_severity <= 3:
            raise ValueError(f"min_severity is 1, 2 or 3, got {self.min_severity}")
        if not 0.0 <= self.min_confidence <= 1.0:
            raise ValueError(f"min_confidence lies in [0, 1], got {self.min_confidence}")
        for name in ("max_memory_gb", "max_edit_s", "max_cost_usd"):
            value = getattr(self, name)
            if value is not None and not value >= 0.0:
                raise ValueError(f"{name} must be at least 0, got {value}")
        if both := sorted({*self.tools, *self.prefer} & self.avoid):
            raise ValueError(f"both preferred and avoided: {', '.join(both)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One region's part of a plan.

    Attributes:
        region_id: the region.
        tool: the tool's name, or None to leave the region alone.
        instruction: what the place should look like, in words ("" when left alone).
        reason: why this tool, or why nothing.
        seed: seed of this edit.
        params: for the tool, plain JSON. What a planner writes, for tools that read a prompt:
            "negative_prompt" (words), and for mask-guided ones "strength" (0 to 1: share of the
            old picture that is given up). Tools may know others ("steps", "guidance"); a tool
            ignores what it does not know.
        serves: further regions of the round that this one edit repairs; their own steps say so.
        context_factor: crop side over region side; None: the tool's.
        ruled_out: by what each other tool that could be used was ruled out.

    Raises:
        ValueError: a context factor below 1, or further regions without a tool.
    """

    region_id: str
    tool: str | None
    instruction: str
    reason: str
    seed: int = 0
    params: Mapping[str, Json] = field(default_factory=dict[str, Json])
    serves: tuple[str, ...] = ()
    context_factor: float | None = None
    ruled_out: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        if self.context_factor is not None and not self.context_factor >= 1.0:
            raise ValueError(f"context_factor must be at least 1, got {self.context_factor}")
        if self.serves and self.tool is None:
            raise ValueError(f"{self.region_id}: a step without a tool serves no other region")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One step per region, in the order of the regions."""

    steps: tuple[Step, ...]

    @property
    def actionable(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.tool is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolOutcome:
    """What became of one edit: what a planner can learn from.

    Attributes:
        category: of the diagnosis.
        side_px: geometric mean side of the region, in picture pixels.
        tool, tool_version: which made it.
        accepted: verification kept it.
        improvement: by how much the region's defect score fell, 0 to 1; 0 where it was not kept.
        seconds: of edit and verification.
        cost_usd: money spent on it, about.

    Raises:
        ValueError: on a value out of range.
    """

    category: str
    side_px: float
    tool: str
    tool_version: str
    accepted: bool
    improvement: float
    seconds: float
    cost_usd: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.improvement <= 1.0:
            raise ValueError(f"improvement lies in [0, 1], got {self.improvement}")
        if not (self.side_px > 0 and self.seconds >= 0 and self.cost_usd >= 0):
            raise ValueError("side_px > 0, seconds >= 0 and cost_usd >= 0 are needed")
