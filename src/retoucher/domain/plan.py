"""What is to be done about each region: a tool and its instruction, or nothing, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from retoucher.domain.diagnosis import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Preference:
    """What the user wants of a run. Empty collections mean "no restriction".

    Attributes:
        only: repair these categories only.
        skip: never repair these categories.
        tools: use these tools only, in this order of preference.
        avoid: never use these tools.
        min_severity: leave milder defects alone (1 to 3).
        min_confidence: leave diagnoses less sure than this alone (0 to 1).
        repair_unknown: also repair regions that reasoning could not name.
        offline: never use a tool that touches the network.
    """

    only: frozenset[str] = frozenset()
    skip: frozenset[str] = frozenset()
    tools: tuple[str, ...] = ()
    avoid: frozenset[str] = frozenset()
    min_severity: int = 1
    min_confidence: float = 0.6
    repair_unknown: bool = False
    offline: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One region's part of a plan.

    Attributes:
        region_id: the region.
        tool: the tool's name, or None to leave the region alone.
        instruction: what the place should look like, in words ("" when left alone).
        reason: why this tool, or why nothing.
        seed: seed of this edit.
        params: the tool's own settings, plain JSON.
    """

    region_id: str
    tool: str | None
    instruction: str
    reason: str
    seed: int = 0
    params: Mapping[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One step per region, in the order of the regions."""

    steps: tuple[Step, ...]

    @property
    def actionable(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.tool is not None)
