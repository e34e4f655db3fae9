"""What a user says of a region, over what reasoning said; and the reasoner that says it again.

The loop is not touched: `CorrectedReasoner` wraps the reasoner that found the defects, and answers
for the regions that the user looked at. The verifier keeps its own reasoner, so a repair is still
judged by what is seen, not by what the user wrote.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from retoucher.agents import Reasoner, RgbArray
from retoucher.domain.diagnosis import BY_USER, REPAIR_INSTRUCTION, Diagnosis, Evidence, Json
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT
from retoucher.domain.trace import AgentInfo
from retoucher.errors import InputError

MAX_WORDS_CHARS = 500
"""Of a description, an instruction or a line of lettering."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """What the user changed in a diagnosis; None keeps what reasoning said.

    Attributes:
        category: of the taxonomy, or "no_defect".
        description: what is wrong, in words.
        instruction: what the place should look like, for tools that read words.
        lettering: what each line of lettering should read, in the order of the evidence.
    """

    category: str | None = None
    description: str | None = None
    instruction: str | None = None
    lettering: tuple[str, ...] | None = None

    @property
    def is_empty(self) -> bool:
        return self == Correction()


def lettering_of(diagnosis: Diagnosis) -> tuple[str, ...]:
    """What each line of lettering in a region is thought to have to read, as far as is known."""
    return tuple(
        str(e.data.get("intended") or e.data.get("read") or "")
        for e in diagnosis.evidence
        if e.kind == "lettering"
    )


def corrected(diagnosis: Diagnosis, correction: Correction) -> Diagnosis:
    """The diagnosis with the user's word for it.

    What the user corrects is certain (confidence 1), and of clear severity where reasoning had seen
    nothing.

    Raises:
        InputError: another number of lines than there are lines of lettering.
    """
    if correction.is_empty:
        return diagnosis
    category = correction.category or diagnosis.category
    severity = 0 if category == NO_DEFECT else diagnosis.severity or 2
    evidence = diagnosis.evidence
    if correction.lettering is not None:
        evidence = _relettered(evidence, correction.lettering)
    if correction.instruction:
        make: dict[str, Json] = {"make": correction.instruction, "by": BY_USER}
        others = tuple(e for e in evidence if e.kind != REPAIR_INSTRUCTION)
        evidence = (*others, Evidence(kind=REPAIR_INSTRUCTION, data=make))
    description = correction.description
    return replace(
        diagnosis,
        category=category,
        severity=severity,
        description=diagnosis.description if description is None else description,
        confidence=1.0,
        evidence=evidence,
    )


def _relettered(evidence: Sequence[Evidence], lines: Sequence[str]) -> tuple[Evidence, ...]:
    """Evidence in which the user says what each line of lettering should read."""
    units = [e for e in evidence if e.kind == "lettering"]
    if len(units) != len(lines):
        raise InputError(
            f"{len(units)} lines of lettering were read here, but {len(lines)} were given; "
            "write one line for each"
        )
    others = [e for e in evidence if e.kind not in ("lettering", "intended_text")]
    known: list[Evidence] = []
    wanted: list[Evidence] = []
    for unit, line in zip(units, lines, strict=True):
        read = str(unit.data.get("read") or "")
        intended = line if line and line != read else None
        source = "user" if intended else None
        data = {**unit.data, "intended": intended, "source": source}
        known.append(Evidence(kind="lettering", data=data))
        if intended:
            quad = unit.data.get("quad_xy")
            spot: dict[str, Json] = {"quad_xy": quad, "read": read}
            wanted.append(
                Evidence(
                    kind="intended_text", data={**spot, "intended": intended, "source": "user"}
                )
            )
    return (*known, *wanted, *others)


class CorrectedReasoner:
    """Answers with what the user confirmed or corrected; asks the other reasoner about the rest.

    Args:
        reasoner: for regions that the user has not seen.
        said: the diagnoses of those that he has, by region id.
        edited: ids of those that he changed, for the record.
    """

    def __init__(
        self, reasoner: Reasoner, said: Mapping[str, Diagnosis], edited: Sequence[str] = ()
    ) -> None:
        self._reasoner, self._said, self._edited = reasoner, dict(said), list(edited)

    @property
    def info(self) -> AgentInfo:
        """The other reasoner's, with the regions whose diagnosis is the user's."""
        info = self._reasoner.info
        by_user: dict[str, Json] = {
            "confirmed_by_user": [id for id in self._said if id not in self._edited],
            "edited_by_user": cast("Json", self._edited),
        }
        return replace(info, settings={**info.settings, **by_user})

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        """See `agents.Reasoner`."""
        unseen = [region for region in regions if region.id not in self._said]
        asked = self._reasoner.diagnose(image_rgb, prompt, unseen) if unseen else ()
        answers = {**self._said, **{d.region_id: d for d in asked}}
        return tuple(answers[region.id] for region in regions)
