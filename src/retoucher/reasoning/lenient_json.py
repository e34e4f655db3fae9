"""Complete objects out of text that is meant to be JSON, however it is wrapped or written.

One pass over the text, no recursion. What is not closed (a reply that was cut off) does not count;
nothing is ever completed or guessed.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, field
from typing import TypeAlias

Value: TypeAlias = "None | bool | int | float | str | list[Value] | JsonObject"

MAX_CHARS = 100_000
"""A longer text is read up to here, as if it had been cut off."""
MAX_DEPTH = 24
MAX_ERRORS = 200
"""After so many syntax errors the rest is not read: it is no JSON, and must not cost time."""

# A quote closes a string only where a delimiter follows: so apostrophes and quotation marks that
# were not escaped stay part of it, and well-formed JSON is read as it is.
_ENDS = r"\s*(?:[,:}\]]|$)"
_TOKEN = re.compile(
    r"(?P<space>[\s,;]+|//[^\n]*)"
    r"|(?P<mark>[{}\[\]:])"
    rf'|"(?P<double>(?:[^"\\]|\\.|"(?!{_ENDS})){{0,8000}})"(?={_ENDS})'
    rf"|'(?P<single>(?:[^'\\]|\\.|'(?!{_ENDS})){{0,8000}})'(?={_ENDS})"
    r"|“(?P<curly>[^”]{0,8000})”"
    r"|(?P<number>[-+]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][-+]?\d{1,4})?(?![\w.%/]))"
    r"|(?P<word>[^\s,;:{}\[\]\"'“]+)",
    re.DOTALL,
)
_NO_KEY = re.compile(r"[{}\[\]:\"\n]|.{65}")
_START = re.compile(r"[{\[]")
_ESCAPE = re.compile(r"\\.", re.DOTALL)
_WORDS: dict[str, None | bool | float] = {
    **dict.fromkeys(("null", "None", "undefined"), None),
    **dict.fromkeys(("true", "True"), True),
    **dict.fromkeys(("false", "False"), False),
    **dict.fromkeys(("NaN", "nan", "Infinity", "-Infinity", "inf", "-inf"), math.nan),
}


@dataclass(slots=True, eq=False)
class JsonObject:
    """An object with its pairs as written, also when a key stands twice.

    `key` is the name under which it stands in its parent; None: in a list, or at the top.
    """

    pairs: list[tuple[str, Value]] = field(default_factory=list["tuple[str, Value]"])
    key: str | None = None


@dataclass(slots=True, eq=False)
class _Open:
    """An object or list that is not closed yet; for an object, the key that waits for its value."""

    value: JsonObject | list[Value]
    key: str | None = None
    colon: bool = False


class _SyntaxError(Exception):
    pass


def complete_objects(text: str) -> list[JsonObject]:
    """Every closed object in the text, inner before outer, in the order in which they close.

    Objects are found in prose, code fences and lists; single quotes, bare words, line comments,
    trailing or missing commas and unescaped quotes are understood. After a syntax error what is
    open is dropped, and reading goes on at the next bracket.
    """
    text = text[:MAX_CHARS]
    found: list[JsonObject] = []
    stack: list[_Open] = []
    at, errors = 0, 0
    while at < len(text) and errors < MAX_ERRORS:
        if not stack:
            start = _START.search(text, at)
            if start is None:
                break
            at = start.start()
        token = _TOKEN.match(text, at)
        try:
            if token is None:
                at += 1
                raise _SyntaxError
            at = token.end()
            _take(token, stack, found)
        except _SyntaxError:
            stack.clear()
            errors += 1
    return found


def _take(token: re.Match[str], stack: list[_Open], found: list[JsonObject]) -> None:
    """One token; raises `_SyntaxError` where it cannot stand."""
    kind = token.lastgroup
    content = token.group(kind or 0)
    if kind == "space":
        return
    if kind == "number":
        _put(stack[-1], _number(content))
    elif kind == "word":
        _put(stack[-1], _WORDS.get(content, content))
    elif kind != "mark":
        _put(stack[-1], _unescaped(content))
    elif content in "{[":
        _open(stack, is_object=content == "{")
    elif content in "}]":
        _close(stack, found, is_object=content == "}")
    elif stack[-1].key is None or stack[-1].colon:
        raise _SyntaxError
    else:
        stack[-1].colon = True


def _open(stack: list[_Open], *, is_object: bool) -> None:
    parent = stack[-1] if stack else None
    misplaced = parent and isinstance(parent.value, JsonObject) and not parent.colon
    if misplaced or len(stack) >= MAX_DEPTH:
        raise _SyntaxError
    key = parent.key if parent else None
    stack.append(_Open(JsonObject(key=key) if is_object else []))


def _close(stack: list[_Open], found: list[JsonObject], *, is_object: bool) -> None:
    top = stack.pop()
    if isinstance(top.value, JsonObject) != is_object or top.key is not None:
        raise _SyntaxError  # the wrong bracket, or a key without a value
    if isinstance(top.value, JsonObject):
        found.append(top.value)
    if stack:
        _put(stack[-1], top.value)


def _put(top: _Open, value: Value) -> None:
    """A value, or the next key, into the innermost open object or list."""
    if isinstance(top.value, list):
        top.value.append(value)
    elif top.key is None:
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise _SyntaxError
        if _NO_KEY.search(str(value)):
            raise _SyntaxError  # a quote is missing, and this is a piece of what stands around
        top.key = str(value)
    elif not top.colon:
        raise _SyntaxError
    else:
        top.value.pairs.append((top.key, value))
        top.key, top.colon = None, False


def _number(content: str) -> int | float:
    try:
        return int(content)
    except ValueError:
        value = float(content)
        return value if math.isfinite(value) else math.nan


def _unescaped(content: str) -> str:
    """Escapes resolved as JSON has them; left as written where they are no JSON."""
    if "\\" not in content:
        return content
    plain = _ESCAPE.sub(lambda m: "'" if m[0] == "\\'" else m[0], content)
    inner = re.sub(r'(?<!\\)((?:\\\\)*)"', r'\1\\"', plain)
    try:
        return str(json.loads(f'"{inner}"', strict=False))
    except ValueError:
        return content
