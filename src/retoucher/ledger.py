"""What a run remembers between its edits: what did not work where, and what is left to spend."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from retoucher.domain.plan import ToolOutcome
from retoucher.domain.region import Region
from retoucher.domain.trace import EditRecord, Outcome
from retoucher.repair import Place

SAME_PLACE_OVERLAP = 0.5
"""Regions of two rounds that share this much of the smaller one are the same place."""


class Ledger:
    """The books of one run.

    Args:
        clock: seconds, only ever growing.
        time_budget_s, cost_budget_usd: of the whole run; None: no limit.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        time_budget_s: float | None,
        cost_budget_usd: float | None,
    ) -> None:
        self._clock, self._started = clock, clock()
        self._time_budget_s, self._cost_budget_usd = time_budget_s, cost_budget_usd
        self._spent_usd = 0.0
        self._refused: list[tuple[Region, str]] = []
        self._apart: list[Region] = []
        self.repaired: list[Region] = []

    def enter(self, place: Place, record: EditRecord) -> None:
        """Remember what became of an edit."""
        self._spent_usd += record.cost_usd
        if record.outcome is Outcome.ACCEPTED:
            self.repaired += place.members
        elif len(place.members) > 1:
            self._apart += place.members
        else:
            self._refused.append((place.region, record.tool))

    def tried(self, region: Region) -> frozenset[str]:
        """Tools whose edit of this place was not kept."""
        return frozenset(tool for place, tool in self._refused if _same(place, region))

    def apart(self, regions: Sequence[Region]) -> frozenset[str]:
        """Ids of those whose common repair with a neighbour was not kept."""
        return frozenset(r.id for r in regions if any(_same(r, other) for other in self._apart))

    @property
    def seconds_left(self) -> float | None:
        """Of the time budget; None: no limit."""
        if self._time_budget_s is None:
            return None
        return max(0.0, self._time_budget_s - (self._clock() - self._started))

    @property
    def usd_left(self) -> float | None:
        """Of the money; None: no limit."""
        if self._cost_budget_usd is None:
            return None
        return max(0.0, self._cost_budget_usd - self._spent_usd)


def tool_outcome(place: Place, record: EditRecord, tool_version: str) -> ToolOutcome:
    """What a planner can learn from an edit."""
    return ToolOutcome(
        category=place.diagnosis.category,
        side_px=math.sqrt(place.region.area_px),
        tool=record.tool,
        tool_version=tool_version,
        accepted=record.outcome is Outcome.ACCEPTED,
        improvement=record.verdict.improvement if record.verdict else 0.0,
        seconds=record.seconds,
        cost_usd=record.cost_usd,
    )


def _same(a: Region, b: Region) -> bool:
    return a.overlap(b) >= SAME_PLACE_OVERLAP
