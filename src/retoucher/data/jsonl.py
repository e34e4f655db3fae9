"""JSON and JSON lines with errors that name the file, the record and the field."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import cast

from retoucher.errors import InputError

Record = Mapping[str, object]


def read_text(path: Path) -> str:
    """The file's text.

    Raises:
        InputError: it is missing or not UTF-8.
    """
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from None


def read_json(path: Path) -> object:
    """A JSON file's content.

    Raises:
        InputError: missing, or malformed at a stated line.
    """
    try:
        return cast("object", json.loads(read_text(path)))
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON ({error.msg})") from None


def read_records(path: Path) -> Iterator[tuple[str, Record]]:
    """Objects of a .jsonl file (or of a .json file that holds a list), with their place in it.

    Yields:
        ("labels.jsonl:12", record); blank lines are skipped.

    Raises:
        InputError: a line is no JSON object.
    """
    if path.suffix == ".json":
        content = read_json(path)
        if not isinstance(content, list):
            raise InputError(f"{path}: expected a list of records, got {type(content).__name__}")
        for index, item in enumerate(cast("list[object]", content)):
            where = f"{path}, record {index}"
            yield where, as_record(item, where)
        return
    for number, line in enumerate(read_text(path).split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        try:
            item = cast("object", json.loads(line))
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: not JSON ({error.msg}, column {error.colno})") from None
        yield where, as_record(item, where)


def as_record(value: object, where: str) -> Record:
    """`value` as an object, or an InputError that says where."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: expected an object, got {type(value).__name__}")
    return cast("Record", value)


def get_list(record: Record, key: str, where: str) -> list[object]:
    """`record[key]` as a list; a missing key is an empty list."""
    value = record.get(key, [])
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise InputError(f"{where}: '{key}' must be a list, got {value!r}")
    return list(cast("Sequence[object]", value))


def get_str(record: Record, key: str, where: str, default: str | None = None) -> str:
    """`record[key]` as text; a missing key gives `default`, or an error where there is none."""
    value = record.get(key, default)
    if not isinstance(value, str):
        raise InputError(f"{where}: '{key}' must be text, got {value!r}")
    return value


def get_int(record: Record, key: str, where: str, default: int | None = None) -> int:
    """`record[key]` as a whole number; a missing key gives `default`, or an error."""
    value = record.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise InputError(f"{where}: '{key}' must be a whole number, got {value!r}")
    return int(value)


def get_floats(value: object, what: str, where: str, count: int | None = None) -> list[float]:
    """A list of finite numbers, of `count` of them where given."""
    items = cast("list[object]", value) if isinstance(value, list) else None
    good = items is not None and all(
        isinstance(v, int | float) and not isinstance(v, bool) and abs(v) < 1e9 for v in items
    )
    if items is None or not good or (count is not None and len(items) != count):
        needs = "a list of numbers" if count is None else f"{count} numbers"
        raise InputError(f"{where}: {what} must be {needs}, got {value!r}")
    return [float(cast("float", v)) for v in items]
