"""Did an edit make the picture better? The verifier's answer, with every check it made."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One comparison of before and after. `passed` False means that the edit must go."""

    name: str
    passed: bool
    before: float | None
    after: float | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Accepted or rolled back.

    Attributes:
        accepted: keep the edit.
        reason: one sentence a person understands.
        score_before, score_after: the region's defect score, 0 to 1, before and after the edit.
        checks: everything that was compared, in order.
    """

    accepted: bool
    reason: str
    score_before: float
    score_after: float
    checks: tuple[Check, ...] = ()

    @property
    def improvement(self) -> float:
        """By how much the score fell, 0 to 1; 0 for an edit that was not accepted."""
        return max(0.0, self.score_before - self.score_after) if self.accepted else 0.0
