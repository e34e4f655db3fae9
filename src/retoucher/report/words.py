"""What a person calls the outcomes of a run; the report and the command line say the same."""

from __future__ import annotations

from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.domain.trace import Outcome, StopReason

STOP_WORDS: dict[StopReason, str] = {
    StopReason.CLEAN: "clean: nothing to repair",
    StopReason.CONVERGED: "converged: repaired, and nothing significant is left",
    StopReason.NO_PROGRESS: "no progress: no further repair passed its check",
    StopReason.NOTHING_REPAIRABLE: "nothing repairable: no admissible tool repairs what is left",
    StopReason.ROUND_BUDGET: "round budget used up",
    StopReason.TIME_BUDGET: "time budget used up",
    StopReason.CANCELLED: "cancelled; what was done so far is kept",
    StopReason.FAILED: "an agent failed; what was done so far is kept",
}

OUTCOME_WORDS: dict[Outcome, str] = {
    Outcome.ACCEPTED: "accepted",
    Outcome.ROLLED_BACK: "rolled back",
    Outcome.UNCHANGED: "changed nothing",
    Outcome.FAILED: "failed",
}

SEVERITY_WORDS = ("no defect", "subtle", "clear", "glaring")


def category_words(category: str) -> str:
    """The phrase of a category, "no defect" or "unknown defect"."""
    special = {NO_DEFECT: "no defect", UNKNOWN: "unknown defect"}
    return special.get(category) or taxonomy()[category].phrase


def count_words(count: int, one: str, many: str | None = None) -> str:
    """ "1 region", "2 regions"."""
    return f"{count} {one if count == 1 else many or one + 's'}"
