"""From a model's reply to verdicts per mark. What is not plainly there is not understood.

Tolerant in form, strict in content: fences, prose, quotes, other spellings and numbers as strings
are read; a verdict that is missing something, contradicts itself or another one of the same mark
counts as no verdict, and the problem is named.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from pydantic import ValidationError

from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.reasoning.lenient_json import JsonObject, Value, complete_objects
from retoucher.reasoning.reply import (
    MAX_DESCRIPTION_CHARS,
    MAX_INSTRUCTION_CHARS,
    RegionReply,
)

Field = Literal["mark", "description", "category", "severity", "confidence"]

_NAMES: dict[Field, tuple[str, ...]] = {
    "mark": ("mark", "marknumber", "markid", "id", "region", "regionid", "number", "index"),
    "description": ("description", "desc", "explanation", "reason", "why"),
    "category": ("category", "defectcategory", "defecttype", "defect", "type", "class", "label"),
    "severity": ("severity", "severitylevel", "level", "degree"),
    "confidence": ("confidence", "conf", "probability", "certainty", "score"),
}
"""Names of a field, its own first; another name counts only where its own is absent."""

_FINE = ("none", "no", "ok", "okay", "fine", "clean", "normal", "nothing", "no_issue", "no_problem",
         "no_error", "no_distortion", "no_artifact", "no_artefact", "not_defective", "correct",
         "no_defects", "nodefect")  # fmt: skip
_UNSURE = (
    "unsure",
    "uncertain",
    "unclear",
    "not_sure",
    "cannot_tell",
    "cant_tell",
    "unknown_defect",
)
_SEVERITIES: dict[str, int] = {
    **dict.fromkeys(("none", "nothing_wrong"), 0),
    **dict.fromkeys(("subtle", "mild", "minor", "low", "slight"), 1),
    **dict.fromkeys(("clear", "moderate", "medium"), 2),
    **dict.fromkeys(("glaring", "severe", "high", "major"), 3),
}
_MARK = re.compile(r"(?:mark|region|no\.?|number)?\s*#?\s*(\d{1,4})", re.IGNORECASE)
_THINKING, _THOUGHT = "<think>", "</think>"
_MAX_QUOTED_CHARS = 40
_MAX_PROBLEMS = 8


class _Problem(Exception):
    """Why an entry is no verdict; the message is ours, with the model's words as a JSON string."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Understood:
    """What a reply says.

    Attributes:
        verdicts: by mark; only marks that were asked for.
        problems: what could not be understood, in our words.
        instructions: by mark, what the place should look like ("make"), where a verdict says it in
            words: one printable line of at most `MAX_INSTRUCTION_CHARS`.
    """

    verdicts: Mapping[int, RegionReply]
    problems: tuple[str, ...]
    instructions: Mapping[int, str]


def understand(text: str, marks: Sequence[int]) -> Understood:
    """The verdicts that a reply plainly contains.

    Marks of which the reply says two different things get none. Where the reply numbers its
    entries differently (a mark that was not asked for, while an asked one is missing), no entry
    can be trusted to mean what its number says, and none is taken.

    Args:
        text: the reply, as it came.
        marks: numbers that were asked for.
    """
    verdicts: dict[int, RegionReply] = {}
    instructions: dict[int, set[str]] = {}
    problems: list[str] = []
    conflicting: set[int] = set()
    strange: set[int] = set()
    entries = [o for o in complete_objects(_without_thinking(text)) if _is_entry(o)]
    for entry in entries:
        try:
            mark = _mark(entry, lone=marks[0] if len(entries) == len(marks) == 1 else None)
            if mark not in marks:
                strange.add(mark)
                raise _Problem(f"mark {mark} was not asked for")
            try:
                verdict = _verdict(entry, mark)
            except _Problem as problem:
                conflicting.add(mark)  # a second, sound entry would leave it open which one holds
                raise _Problem(f"mark {mark}: {problem}") from problem
            if verdicts.setdefault(mark, verdict) != verdict:
                conflicting.add(mark)
                raise _Problem(f"mark {mark} has two different verdicts")
            instructions.setdefault(mark, set()).update(_instructions(entry))
        except _Problem as problem:
            problems.append(str(problem))
    for mark in conflicting:
        verdicts.pop(mark, None)
    missing = [mark for mark in marks if mark not in verdicts and mark not in conflicting]
    if strange and missing:
        verdicts.clear()
    if missing:
        problems.append(f"no verdict for mark {', '.join(map(str, missing))}")
    return Understood(
        verdicts=verdicts,
        problems=tuple(dict.fromkeys(problems))[:_MAX_PROBLEMS],
        instructions={
            mark: said.pop()
            for mark, said in instructions.items()
            if mark in verdicts and len(said) == 1
        },
    )


def category_of(words: str) -> str | None:
    """The category that these words name, or None.

    Case, spaces and punctuation do not matter; the taxonomy's phrases, a leading dimension and one
    wrong letter in a longer word are understood.
    """
    name = _folded(words)
    known = _category_names()
    if name in known:
        return known[name]
    close = {known[other] for other in known if _one_letter_off(name, other)}
    return close.pop() if len(close) == 1 else None


def clean_words(words: str, limit: int = MAX_DESCRIPTION_CHARS) -> str:
    """One line of printable characters, at most `limit` long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in words).split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _verdict(entry: JsonObject, mark: int) -> RegionReply:
    words = _value(entry, "description")
    description = clean_words(words) if isinstance(words, str) else ""
    category = _category(_value(entry, "category"))
    if not description:
        raise _Problem("description is empty")
    fields = {
        "mark": mark,
        "description": description,
        "category": category,
        "severity": _severity(_value(entry, "severity")),
        "confidence": _confidence(_value(entry, "confidence")),
    }
    try:
        return RegionReply.model_validate(fields)
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise _Problem(reason) from error


def _instructions(entry: JsonObject) -> set[str]:
    """What the entry says under "make", in words; anything else there is nothing."""
    said = [value for key, value in entry.pairs if _squeezed(key) == "make"]
    words = {clean_words(v, MAX_INSTRUCTION_CHARS) for v in said if isinstance(v, str)}
    return words - {""}


def _without_thinking(text: str) -> str:
    """Without the thinking that a reply begins with; drafts of the answer stand in it."""
    if not text.lstrip().startswith(_THINKING):
        return text
    return text.partition(_THOUGHT)[2]


def _is_entry(entry: JsonObject) -> bool:
    """It speaks of a mark: names a category, or at least describes something with a number."""
    return _has(entry, "category") or (_has(entry, "mark") and _has(entry, "description"))


def _has(entry: JsonObject, field: Field) -> bool:
    return any(_squeezed(key) in _NAMES[field] for key, _ in entry.pairs)


def _value(entry: JsonObject, field: Field) -> Value:
    """The field's value; under its own name where that is there, else under another one."""
    names = _NAMES[field]
    own = [value for key, value in entry.pairs if _squeezed(key) == names[0]]
    values = own or [value for key, value in entry.pairs if _squeezed(key) in names[1:]]
    if not values:
        raise _Problem(f"{field} is missing")
    if any(not _same(value, values[0]) for value in values[1:]):
        raise _Problem(f"{field} is given twice, differently")
    return values[0]


def _mark(entry: JsonObject, lone: int | None) -> int:
    """The entry's mark: its own field, the key it stands under, or the only one asked for."""
    if _has(entry, "mark"):
        value = _value(entry, "mark")
    elif entry.key is not None and _MARK.fullmatch(entry.key.strip()):
        value = entry.key
    elif lone is not None:
        return lone
    else:
        raise _Problem("an entry does not name its mark")
    if isinstance(value, str) and (match := _MARK.fullmatch(value.strip())):
        return int(match[1])
    number = _number(value)
    if number is None or not number.is_integer():
        raise _Problem(f"{_quoted(value)} is no mark")
    return int(number)


def _category(value: Value) -> str:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    category = category_of(value) if isinstance(value, str) else None
    if category is None:
        raise _Problem(f"{_quoted(value)} is none of the categories")
    return category


def _severity(value: Value) -> int:
    number = _number(value)
    if isinstance(value, str) and number is None:
        number = _SEVERITIES.get(_folded(value))
    if number not in (0, 1, 2, 3):
        raise _Problem(f"severity {_quoted(value)} is none of 0, 1, 2, 3")
    return int(number)


def _confidence(value: Value) -> float:
    percent = isinstance(value, str) and value.strip().endswith("%")
    number = _number(value.strip().rstrip("%")) if isinstance(value, str) else _number(value)
    if number is not None and percent:
        number /= 100
    if number is None or not 0.0 <= number <= 1.0:
        raise _Problem(f"confidence {_quoted(value)} is not between 0.0 and 1.0")
    return number


def _number(value: Value) -> float | None:
    """A finite number, also one written as a string; None where it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _same(a: Value, b: Value) -> bool:
    return type(a) is type(b) and not isinstance(a, JsonObject) and a == b


@cache
def _category_names() -> dict[str, str]:
    """Categories by every folded name that means one."""
    names = {NO_DEFECT: NO_DEFECT, UNKNOWN: UNKNOWN}
    names |= dict.fromkeys(_FINE, NO_DEFECT) | dict.fromkeys(_UNSURE, UNKNOWN)
    for category in taxonomy().values():
        names[category.name] = category.name
        names[_folded(category.phrase)] = category.name
        names[f"{category.dimension}_{category.name}"] = category.name
    return names


def _folded(words: str) -> str:
    """ "Hand / Finger-Count" and "HandFingerCount" as hand_finger_count."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", unicodedata.normalize("NFKC", words[:200]))
    return re.sub(r"[^a-z0-9]+", "_", split.replace("'", "").casefold()).strip("_")


def _squeezed(key: str) -> str:
    return _folded(key).replace("_", "")


def _one_letter_off(name: str, other: str) -> bool:
    """The same words, one of them (of four letters or more) with a single slip."""
    left, right = name.split("_"), other.split("_")
    if len(left) != len(right) or other in (NO_DEFECT, *_FINE):
        return False
    pairs = [(a, b) for a, b in zip(left, right, strict=True) if a != b]
    return len(pairs) == 1 and len(pairs[0][1]) >= 4 and _slip(*pairs[0])


def _slip(a: str, b: str) -> bool:
    """One letter replaced, missing or too many, or two neighbours swapped."""
    if abs(len(a) - len(b)) > 1:
        return False
    i = 0
    while i < min(len(a), len(b)) and a[i] == b[i]:
        i += 1
    if len(a) == len(b):
        swapped = a[i + 1 : i + 2] + a[i : i + 1] + a[i + 2 :]
        return a[i + 1 :] == b[i + 1 :] or swapped == b[i:]
    longer, shorter = (a, b) if len(a) > len(b) else (b, a)
    return longer[i + 1 :] == shorter[i:]


def _quoted(value: Value) -> str:
    """A value of the reply inside a sentence of ours: a short JSON string, nothing else."""
    if isinstance(value, JsonObject | list):
        return "a list or object"
    text = clean_words(str(value))[:_MAX_QUOTED_CHARS]
    return json.dumps(text, ensure_ascii=False)
