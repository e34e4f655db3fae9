"""Did an edit make the picture better? The verifier's answer, with every check it made."""

from __future__ import annotations

from dataclasses import dataclass

from retoucher.domain.diagnosis import Evidence


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
        evidence: what asking models for this verdict took (kinds "vlm_usage" and "vlm_reply"), of
            all candidates where several were judged; diagnoses of the round have their own.
    """

    accepted: bool
    reason: str
    score_before: float
    score_after: float
    checks: tuple[Check, ...] = ()
    evidence: tuple[Evidence, ...] = ()

    @property
    def improvement(self) -> float:
        """By how much the score fell, 0 to 1; 0 for an edit that was not accepted."""
        return max(0.0, self.score_before - self.score_after) if self.accepted else 0.0
