"""Settings of a run from TOML: frozen dataclasses in, unknown keys and wrong types rejected."""

from __future__ import annotations

import difflib
import tomllib
import types
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from retoucher.errors import ConfigError

T = TypeVar("T")


def read_settings(file: Path, kind: type[T]) -> T:
    """The settings in a TOML file.

    Raises:
        ConfigError: the file is missing or no TOML, or a key or value is not one of `kind`.
    """
    try:
        table = tomllib.loads(file.read_text("utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: {error}") from None
    return from_table(table, kind, str(file))


def from_table(table: dict[str, Any], kind: type[T], where: str) -> T:
    """A dataclass, with the dataclasses inside it, from nested tables."""
    assert is_dataclass(kind)
    hints = get_type_hints(kind)
    known = [f.name for f in fields(kind)]
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, 1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"
            raise ConfigError(f"{where}: unknown setting {key!r}{hint}")
        values[key] = _value(value, hints[key], f"{where}: {key}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{where}: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from None


def _value(value: Any, hint: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        hint = next(a for a in get_args(hint) if a is not type(None))
        origin = get_origin(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        if not isinstance(value, dict):
            raise ConfigError(f"{where}: expected a table")
        return from_table(cast("dict[str, Any]", value), hint, where)
    if origin is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where}: expected a list")
        items, args = cast("list[Any]", value), get_args(hint)
        kinds = [args[0]] * len(items) if args[-1] is Ellipsis else list(args)
        if len(kinds) != len(items):
            raise ConfigError(f"{where}: expected {len(kinds)} values, got {len(items)}")
        return tuple(_value(v, k, where) for v, k in zip(items, kinds, strict=True))
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(hint, type) and (not isinstance(value, hint) or type(value) is bool is not hint):
        raise ConfigError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value
