"""The questions of a round, put into words and pictures; prompts.toml holds the words."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from retoucher.domain.region import Region
from retoucher.domain.taxonomy import taxonomy
from retoucher.reasoning.views import ViewSettings, context_crop, marked_picture

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
    """A conversation that asks about some marks; mark n is the round's nth region."""

    conversation: Conversation
    marks: tuple[int, ...]


def questions(
    image_rgb: RgbArray, prompt: str, regions: Sequence[Region], settings: ViewSettings
) -> tuple[Question, ...]:
    """The requests of one round, `regions_per_request` regions each, in the regions' order.

    All share the system text, the marked picture and the prompt as their beginning.

    Args:
        image_rgb: uint8 (H, W, 3).
        prompt: "" when unknown; the first `MAX_PROMPT_CHARS` are shown.
        regions: at least one.
        settings: sizes and margin.
    """
    words = _words()
    whole = marked_picture(image_rgb, [region.box for region in regions], settings)
    marks = tuple(range(1, len(regions) + 1))
    beginning: tuple[Part, ...] = (
        words["picture"].format(
            width=whole.shape[1],
            height=whole.shape[0],
            count=len(marks),
            marks="marks" if len(marks) > 1 else "mark",
        ),
        whole,
        _made_from(prompt),
    )
    out: list[Question] = []
    for start in range(0, len(marks), settings.regions_per_request):
        asked = marks[start : start + settings.regions_per_request]
        parts: list[Part] = [*beginning]
        for number, mark in enumerate(asked, start=2):
            parts.append(words["crop"].format(number=number, mark=mark))
            parts.append(context_crop(image_rgb, regions[mark - 1].box, settings))
        parts.append(words["question"].format(marks=named(asked)))
        conversation = Conversation(
            system=system_text(), turns=(Turn(role="user", parts=tuple(parts)),)
        )
        out.append(Question(conversation=conversation, marks=asked))
    return tuple(out)


def repair_question(
    question: Question, reply: str, marks: Sequence[int], problems: Sequence[str]
) -> Question:
    """The same conversation with the reply and a request to answer again for some marks.

    Args:
        question: what was asked.
        reply: what came; shown to the model again as its own words.
        marks: those without a verdict.
        problems: why, in our words.
    """
    text = _words()["repair"].format(marks=named(marks), problems="; ".join(problems))
    turns = (
        *question.conversation.turns,
        Turn(role="assistant", parts=(_escaped(reply[:MAX_REPLY_CHARS]) or "(no text)",)),
        Turn(role="user", parts=(text,)),
    )
    conversation = Conversation(system=question.conversation.system, turns=turns)
    return Question(conversation=conversation, marks=tuple(marks))


@cache
def system_text() -> str:
    """What the model is to do, with the taxonomy; the same for every request."""
    lines = [f"- {c.name}: {c.phrase}" for c in taxonomy().values()]
    return _words()["system"].format(categories="\n".join(lines))


def quoted_data(text: str) -> str:
    """Words from outside as a JSON string that can end neither its fence nor its message.

    Line ends are escaped, so no line of it is a fence. < and > are written as escapes, so that no
    chat template's control token can stand in it.
    """
    return _escaped(json.dumps(text, ensure_ascii=False))


def named(marks: Sequence[int]) -> str:
    """ "mark 3", or "marks 1, 2 and 5"."""
    numbers = [str(mark) for mark in marks]
    if len(numbers) == 1:
        return f"mark {numbers[0]}"
    return f"marks {', '.join(numbers[:-1])} and {numbers[-1]}"


def _escaped(text: str) -> str:
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
