"""Ask a vision-language model about the regions of a round, and make diagnoses of what it says.

Paper, section 3.2: D_i = reason(I, P, M_i). Every back end does the same here; it brings only the
function that gets an answer for a conversation.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from retoucher.domain.diagnosis import (
    REPAIR_INSTRUCTION,
    VLM_REPLY,
    VLM_USAGE,
    Diagnosis,
    Evidence,
    Json,
)
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN
from retoucher.errors import InputError
from retoucher.reasoning.conversation import Conversation, Question, questions, repair_question
from retoucher.reasoning.parsing import understand
from retoucher.reasoning.reply import RegionReply
from retoucher.reasoning.views import ViewSettings

RgbArray = NDArray[np.uint8]
Finish: TypeAlias = Literal["stop", "length", "refused", "other"]

MAX_RAW_CHARS = 4000
"""So much of a reply that was not understood is kept in the trace."""
MAX_NAME_CHARS = 80
"""So much of the name by which a model says who it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back for one conversation.

    Attributes:
        text: the reply's words, "" where there are none.
        finish: "length": cut off at the token limit; "refused": by the model or a filter.
        note: the refusal's words, or what a server says beside the text.
        model: as the back end names what answered.
        form: how a reply's form was asked for: "json_schema", "json_object", "text", ...
        prompt_tokens, completion_tokens: None where the back end does not count.
        latency_s: from asking to the end of the answer, retries included.
        cost_usd: None where it is not known.
    """

    text: str
    finish: Finish = "stop"
    note: str = ""
    model: str = ""
    form: str = "text"
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency_s: float = 0.0
    cost_usd: float | None = None


Ask: TypeAlias = Callable[[Sequence[Conversation]], Sequence[Answer]]
"""One answer per conversation, in their order. Raises a `RetoucherError` where none can be had."""


@runtime_checkable
class Asks(Protocol):
    """A reasoner that puts conversations to a model, and so can be asked other things, too."""

    def ask(self, conversations: Sequence[Conversation]) -> Sequence[Answer]:
        """See `Ask`."""
        ...


@dataclass(slots=True, eq=False)
class _Case:
    """A question with all that became of it."""

    question: Question
    answers: list[Answer]
    verdicts: dict[int, RegionReply]
    problems: list[str]
    instructions: dict[int, Evidence]

    @property
    def missing(self) -> tuple[int, ...]:
        return tuple(mark for mark in self.question.marks if mark not in self.verdicts)

    def take(self, answer: Answer, marks: Sequence[int]) -> None:
        """Verdicts of `marks` out of an answer."""
        self.answers.append(answer)
        if answer.finish == "refused":
            self.problems.append(f"the model refused: {one_line(answer.note)}".rstrip(": "))
            return
        understood = understand(answer.text, marks)
        self.verdicts.update(understood.verdicts)
        for mark, make in understood.instructions.items():
            words: dict[str, Json] = {
                "make": make,
                "by": f"the model {one_line(answer.model, MAX_NAME_CHARS)}",
            }
            self.instructions[mark] = Evidence(kind=REPAIR_INSTRUCTION, data=words)
        self.problems.extend(understood.problems)
        if answer.finish == "length" and self.missing:
            self.problems.append("the answer was cut off at the token limit")


def diagnose_by(
    ask: Ask,
    image_rgb: RgbArray,
    prompt: str,
    regions: Sequence[Region],
    settings: ViewSettings,
    *,
    write_instructions: bool = False,
) -> tuple[Diagnosis, ...]:
    """One diagnosis per region, in their order.

    A region of which the replies say nothing that can be understood, after one request to answer
    again, is "unknown", with the raw replies as evidence of kind "vlm_reply". What the answers
    cost stands in evidence of kind "vlm_usage" of the first region that was asked about with them.

    Args:
        ask: the back end.
        image_rgb: uint8 (H, W, 3).
        prompt: "" when unknown.
        regions: of the picture; without any, nothing is asked.
        settings: what is shown.
        write_instructions: also ask what to make of each defect; what a reply says of that is
            evidence of kind "repair_instruction": its words ("make") and the model ("by").

    Raises:
        InputError: the picture is no such array, or a region lies outside of it.
        RetoucherError: the back end gives no answer.
    """
    if not regions:
        return ()
    _check(image_rgb, regions)
    asked = questions(image_rgb, prompt, regions, settings, instructions=write_instructions)
    cases = [_Case(question, [], {}, [], {}) for question in asked]
    for case, answer in zip(cases, _asked(ask, [c.question for c in cases]), strict=True):
        case.take(answer, case.question.marks)
    again = [case for case in cases if case.missing and case.answers[0].finish != "refused"]
    repairs = [
        repair_question(
            c.question,
            c.answers[0].text,
            c.missing,
            c.problems,
            instructions=write_instructions,
        )
        for c in again
    ]
    for case, repair, answer in zip(again, repairs, _asked(ask, repairs), strict=True):
        case.take(answer, repair.marks)
    if not write_instructions:
        for case in cases:
            case.instructions.clear()  # nobody asked for them
    diagnoses = [d for case in cases for d in _diagnoses(case, regions)]
    return tuple(diagnoses)


def _check(image_rgb: RgbArray, regions: Sequence[Region]) -> None:
    if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
        got = f"{image_rgb.dtype} {image_rgb.shape}"
        raise InputError(f"expected a picture of uint8 (H, W, 3), got {got}")
    height, width = image_rgb.shape[:2]
    for region in regions:
        if region.box.clip(height, width) != region.box:
            raise InputError(
                f"region {region.id} at {region.box.as_xyxy()} reaches outside the picture of "
                f"{width}x{height} pixels"
            )


def _asked(ask: Ask, asked: Sequence[Question]) -> Sequence[Answer]:
    return ask([question.conversation for question in asked]) if asked else ()


def _diagnoses(case: _Case, regions: Sequence[Region]) -> list[Diagnosis]:
    out: list[Diagnosis] = []
    for mark, index in zip(case.question.marks, case.question.regions, strict=True):
        evidence = (_usage(case.answers),) if mark == case.question.marks[0] else ()
        verdict = case.verdicts.get(mark)
        region_id = regions[index].id
        if verdict is None:
            out.append(_not_understood(region_id, case, evidence))
            continue
        unknown = verdict.category == UNKNOWN
        if verdict.category not in (UNKNOWN, NO_DEFECT) and mark in case.instructions:
            evidence = (*evidence, case.instructions[mark])
        out.append(
            Diagnosis(
                region_id=region_id,
                category=verdict.category,
                severity=max(1, verdict.severity) if unknown else verdict.severity,
                description=verdict.description,
                confidence=verdict.confidence,
                evidence=evidence,
            )
        )
    return out


def _not_understood(region_id: str, case: _Case, evidence: tuple[Evidence, ...]) -> Diagnosis:
    refused = case.answers[-1].finish == "refused"
    raw: list[Json] = [(a.text or a.note)[:MAX_RAW_CHARS] for a in case.answers]
    kept = Evidence(
        kind=VLM_REPLY,
        data={
            "replies": raw,
            "finish": [a.finish for a in case.answers],
            "problems": list[Json](dict.fromkeys(case.problems)),
        },
    )
    return Diagnosis(
        region_id=region_id,
        category=UNKNOWN,
        severity=1,
        description="The model refused to judge this place."
        if refused
        else "The model's answer about this place could not be understood.",
        confidence=0.0,
        evidence=(*evidence, kept),
    )


def _usage(answers: Sequence[Answer]) -> Evidence:
    """What the answers of one question took, all together; None where it was not counted."""
    return Evidence(
        kind=VLM_USAGE,
        data={
            "model": answers[0].model,
            "form": answers[-1].form,
            "requests": len(answers),
            "prompt_tokens": _total([a.prompt_tokens for a in answers]),
            "completion_tokens": _total([a.completion_tokens for a in answers]),
            "cost_usd": _total([a.cost_usd for a in answers]),
            "latency_s": round(sum(a.latency_s for a in answers), 3),
        },
    )


def _total(counts: Sequence[int | None] | Sequence[float | None]) -> int | float | None:
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def one_line(text: str, limit: int = 300) -> str:
    """Words from outside inside an error message: one printable line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
