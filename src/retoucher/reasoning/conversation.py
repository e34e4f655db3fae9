"""The questions of a round, put into words and pictures; prompts.toml holds the words."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from retoucher.domain.region import Region
from retoucher.domain.taxonomy import taxonomy
from retoucher.reasoning.views import Pictures, ViewSettings, context_crop, marked_picture

RgbArray = NDArray[np.uint8]
Part: TypeAlias = str | RgbArray
"""A piece of a message: words, or a picture, uint8 (h, w, 3)."""

MAX_PROMPT_CHARS = 4000
MAX_REPLY_CHARS = 8000
"""So much of a reply is shown again when it is asked for once more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Turn:
    """What one side says."""

    role: Literal["user", "assistant"]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Conversation:
    """Everything a model is given at once."""

    system: str
    turns: tuple[Turn, ...]

    def texts(self) -> list[str]:
        """All its words, in order."""
        words = [p for turn in self.turns for p in turn.parts if isinstance(p, str)]
        return [self.system, *words]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """A conversation that asks about some marks.

    Attributes:
        conversation: what is said.
        marks: the marks' numbers.
        regions: for each mark, the index of its region in the round.
    """

    conversation: Conversation
    marks: tuple[int, ...]
    regions: tuple[int, ...]


def questions(
    image_rgb: RgbArray,
    prompt: str,
    regions: Sequence[Region],
    settings: ViewSettings,
    *,
    instructions: bool = False,
) -> tuple[Question, ...]:
    """The requests of one round, in the regions' order.

    Where `pictures` is "round", all share the system text, the marked picture and the prompt as
    their beginning, and mark n is the nth region. Else every request is about one region, as if
    it were the round's only one.

    Args:
        image_rgb: uint8 (H, W, 3).
        prompt: "" when unknown; the first `MAX_PROMPT_CHARS` are shown.
        regions: at least one.
        settings: what is shown, sizes and margin.
        instructions: also ask what to make of each defect.
    """
    system = system_text(settings.pictures, instructions=instructions)
    if settings.pictures == "round":
        beginning = (*_whole_picture(image_rgb, regions, settings), _made_from(prompt))
        step, indices = settings.regions_per_request, range(len(regions))
        return tuple(
            _question(image_rgb, regions, indices[i : i + step], system, beginning, settings)
            for i in range(0, len(regions), step)
        )
    out: list[Question] = []
    for index, region in enumerate(regions):
        whole = _whole_picture(image_rgb, [region], settings) if settings.pictures == "both" else ()
        beginning = (*whole, _made_from(prompt))
        alone = _question(image_rgb, [region], (0,), system, beginning, settings)
        out.append(replace(alone, regions=(index,)))
    return tuple(out)


def _whole_picture(
    image_rgb: RgbArray, regions: Sequence[Region], settings: ViewSettings
) -> tuple[Part, Part]:
    """The marked picture, after a line about it."""
    whole = marked_picture(image_rgb, [region.box for region in regions], settings)
    line = _words()["picture"].format(
        width=whole.shape[1],
        height=whole.shape[0],
        count=len(regions),
        marks="marks" if len(regions) > 1 else "mark",
    )
    return line, whole


def _question(
    image_rgb: RgbArray,
    regions: Sequence[Region],
    asked: Sequence[int],
    system: str,
    beginning: Sequence[Part],
    settings: ViewSettings,
) -> Question:
    """The request about the regions at the indices `asked`; region i is mark i + 1."""
    words = _words()
    marks = tuple(index + 1 for index in asked)
    shown = sum(not isinstance(part, str) for part in beginning)
    parts: list[Part] = [*beginning]
    for number, index in enumerate(asked, start=shown + 1):
        parts.append(words["crop"].format(number=number, mark=index + 1))
        parts.append(context_crop(image_rgb, regions[index].box, settings))
    parts.append(words["question"].format(marks=named(marks)))
    conversation = Conversation(system=system, turns=(Turn(role="user", parts=tuple(parts)),))
    return Question(conversation=conversation, marks=marks, regions=tuple(asked))


def repair_question(
    question: Question,
    reply: str,
    marks: Sequence[int],
    problems: Sequence[str],
    *,
    instructions: bool = False,
) -> Question:
    """The same conversation with the reply and a request to answer again for some marks.

    Args:
        question: what was asked.
        reply: what came; shown to the model again as its own words.
        marks: those without a verdict.
        problems: why, in our words.
        instructions: as `questions`.
    """
    words = _words()
    text = words["repair"].format(
        marks=named(marks),
        problems="; ".join(problems),
        make=words["make_form"] if instructions else "",
    )
    turns = (
        *question.conversation.turns,
        Turn(role="assistant", parts=(escaped(reply[:MAX_REPLY_CHARS]) or "(no text)",)),
        Turn(role="user", parts=(text,)),
    )
    conversation = Conversation(system=question.conversation.system, turns=turns)
    of = dict(zip(question.marks, question.regions, strict=True))
    return Question(
        conversation=conversation, marks=tuple(marks), regions=tuple(of[mark] for mark in marks)
    )


@cache
def system_text(pictures: Pictures = "round", *, instructions: bool = False) -> str:
    """What the model is to do, with the taxonomy; the same for every request."""
    lines = [f"- {c.name}: {c.phrase}" for c in taxonomy().values()]
    words = _words()
    return words["system"].format(
        seen=words[f"seen_{pictures}"],
        make="\n" + words["make"] if instructions else "",
        categories="\n".join(lines),
        make_form=words["make_form"] if instructions else "",
    )


def quoted_data(text: str) -> str:
    """Words from outside as a JSON string that can end neither its fence nor its message.

    Line ends are escaped, so no line of it is a fence. < and > are written as escapes, so that no
    chat template's control token can stand in it.
    """
    return escaped(json.dumps(text, ensure_ascii=False))


def named(marks: Sequence[int]) -> str:
    """ "mark 3", or "marks 1, 2 and 5"."""
    numbers = [str(mark) for mark in marks]
    if len(numbers) == 1:
        return f"mark {numbers[0]}"
    return f"marks {', '.join(numbers[:-1])} and {numbers[-1]}"


def escaped(text: str) -> str:
    """< and > as JSON's escapes: in a JSON string the same letters, yet no control token."""
    return text.replace("<", "\\u003c").replace(">", "\\u003e")


def _made_from(prompt: str) -> str:
    text = "".join(c if c.isprintable() or c in "\n\t" else " " for c in prompt).strip()
    if not text:
        return _words()["made_from_nothing"]
    return _words()["made_from"].format(prompt_json=quoted_data(text[:MAX_PROMPT_CHARS]))


@cache
def _words() -> dict[str, str]:
    text = (resources.files("retoucher.reasoning") / "prompts.toml").read_text("utf-8")
    return {name: str(words).strip() for name, words in tomllib.loads(text).items()}
