"""What reasoning says of a region: D_i of the paper, with its evidence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from retoucher.domain.taxonomy import NO_DEFECT, is_verdict

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"


REPAIR_INSTRUCTION = "repair_instruction"
"""Kind of evidence: what the place should look like, as a reasoner or the user says it: {"make":
words, "by": who}; who is `BY_USER`, or begins with "the model"."""
BY_USER = "the user"
VLM_USAGE = "vlm_usage"
"""Kind of evidence: what the answers of a vision-language model took."""
VLM_REPLY = "vlm_reply"
"""Kind of evidence: its raw words, where they could not be understood."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One measured fact behind a diagnosis. `kind` names the measurement, `data` holds plain JSON.

    Kind "lettering", one per text line: see `retoucher.lettering`.
    """

    kind: str
    data: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """Category, severity and words for one region.

    Attributes:
        region_id: the region it speaks of.
        category: a category of the taxonomy, "no_defect" or "unknown".
        severity: 0 for no_defect, else 1 subtle, 2 clear, 3 glaring.
        description: what part, what is wrong, why it contradicts its context; one sentence.
        confidence: 0 to 1.
        evidence: what was measured; a description never claims more than this.

    Raises:
        ValueError: on an unknown category, or a severity or confidence out of range.
    """

    region_id: str
    category: str
    severity: int
    description: str
    confidence: float
    evidence: tuple[Evidence, ...] = field(default=())

    def __post_init__(self) -> None:
        if not is_verdict(self.category):
            raise ValueError(f"unknown defect category {self.category!r}")
        allowed = (0,) if self.category == NO_DEFECT else (1, 2, 3)
        if self.severity not in allowed:
            raise ValueError(f"severity of {self.category} is one of {allowed}: {self.severity}")
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"confidence must lie in [0, 1], got {self.confidence}")

    @property
    def is_defect(self) -> bool:
        return self.category != NO_DEFECT
