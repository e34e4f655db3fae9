"""Generation parameters as AUTOMATIC1111 and Forge write them ("infotext").

Lines of the prompt, lines of `Negative prompt: ...`, then one line of `Key: value, Key: value`,
where values that hold a comma, a colon or a line break are JSON strings. A last line with fewer
than three pairs belongs to the prompt.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

NEGATIVE = "Negative prompt:"
MIN_PAIRS = 3
MAX_CHARS = 2_000_000
MAX_LINE_CHARS = 200_000
"""Longer texts are not looked into; a longer last line holds no pairs."""

_BLANK = " \t\r\n\0"  # not str.strip's set: that would cut into UTF-8 read as Latin-1
# Keys are bounded, so that a long line without any colon costs linear time.
_PAIR = re.compile(r'(?<!\w)(\w[\w \-/]{1,99}):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


@dataclass(frozen=True, slots=True, kw_only=True)
class Infotext:
    """A parsed text; `pairs` is empty where there is no line of pairs."""

    prompt: str
    negative: str
    pairs: Mapping[str, str]


def quote(value: str) -> str:
    """A value as it stands in the line of pairs; always ASCII, which any text chunk can hold."""
    if any(mark in value for mark in ',:\n"\r') or value != value.strip() or not value.isascii():
        return json.dumps(value)
    return value


def unquote(value: str) -> str:
    """The inverse of `quote`; a value that is no JSON string comes back as it is."""
    if len(value) >= 2 and value[0] == value[-1] == '"':
        try:
            loaded: object = json.loads(value)
        except ValueError:
            return value
        return loaded if isinstance(loaded, str) else value
    return value


def _split(text: str) -> tuple[list[str], str]:
    """Lines of prompt and negative prompt, and the line of pairs ("" where there is none)."""
    lines = text.strip(_BLANK).split("\n")
    if len(lines[-1]) > MAX_LINE_CHARS or len(_PAIR.findall(lines[-1])) < MIN_PAIRS:
        return lines, ""
    return lines[:-1], lines[-1]


def parse(text: str) -> Infotext | None:
    """Read an infotext. A text without pairs is all prompt; None where it is empty or JSON."""
    if not text.strip() or len(text) > MAX_CHARS or is_json(text):
        return None
    lines, last = _split(text)
    prompt: list[str] = []
    negative: list[str] = []
    current = prompt
    for raw in lines:
        line = raw.strip()
        if line.startswith(NEGATIVE):
            current = negative
            line = line[len(NEGATIVE) :].strip()
        current.append(line)
    pairs = {key.strip(): unquote(value.strip()) for key, value in _PAIR.findall(last)}
    return Infotext(
        prompt="\n".join(prompt).strip(), negative="\n".join(negative).strip(), pairs=pairs
    )


def is_json(text: str) -> bool:
    """True for texts that are a JSON object or list, as SwarmUI and Fooocus write."""
    start = text.lstrip()[:1]
    if start not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def with_pair(text: str, key: str, value: str) -> str | None:
    """The text with one pair more (or replaced) in its last line; all else stays byte for byte.

    None where the text has no line of pairs: there is then no safe place.
    """
    if len(text) > MAX_CHARS or is_json(text):
        return None
    body = text.rstrip(_BLANK)
    tail = text[len(body) :]
    _, last = _split(body)
    if not last:
        return None
    pair = f"{key}: {quote(value)}"
    head = body[: len(body) - len(last)]
    for match in _PAIR.finditer(last):
        if match.group(1).strip() == key:
            comma = "," if match.group(0).endswith(",") else ""
            last = last[: match.start(1)] + pair + comma + last[match.end() :]
            return head + last + tail
    joint = " " if last.endswith(",") else ", "
    return head + last + joint + pair + tail
