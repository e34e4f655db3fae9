"""Frozen settings dataclasses from nested tables, as TOML gives them; what is wrong is named."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

from retoucher.errors import ConfigError

T = TypeVar("T")


def read_table(path: str | Path) -> dict[str, Any]:
    """The table in a TOML file.

    Raises:
        ConfigError: the file cannot be read or is no TOML.
    """
    try:
        return tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read settings {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def from_table(kind: type[T], table: Mapping[str, object], where: str) -> T:
    """A settings dataclass, with the dataclasses inside it; what the table does not name keeps its
    default.

    Args:
        kind: a dataclass whose annotations pydantic can check.
        table: values by field name; a nested dataclass is a nested table.
        where: named in errors, such as the file.

    Raises:
        ConfigError: an unknown key (the nearest known one is named), or a value of the wrong type
            or out of range.
    """
    hints = get_type_hints(kind)
    names = [f.name for f in fields(cast(Any, kind))]
    values: dict[str, object] = {}
    for key, value in table.items():
        place = f"{where}: {key}"
        if key not in names:
            raise ConfigError(f"{place} is no setting{nearest(key, names)}")
        hint = hints[key]
        if is_dataclass(hint):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{place} must be a table of settings, got {value!r}")
            group = cast(type[object], hint)
            values[key] = from_table(group, cast(Mapping[str, object], value), place)
        else:
            values[key] = _checked(hint, value, place)
    try:
        return kind(**values)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from error


def nearest(name: str, known: list[str]) -> str:
    """The end of a message about an unknown name: the likeliest known one, or all of them."""
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known) or 'none'}"


def _checked(hint: Any, value: object, place: str) -> object:
    """The value in the setting's type; whole numbers pass as floats, lists as tuples or sets."""
    try:
        return TypeAdapter(hint).validate_json(_as_json(value), strict=True)
    except ValidationError as error:
        raise ConfigError(f"{place}: {error.errors()[0]['msg']}, got {value!r}") from error


def _as_json(value: object) -> bytes:
    return TypeAdapter(object).dump_json(value)
