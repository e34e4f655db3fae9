"""Domain data to plain JSON and back, driven by the dataclasses' own annotations."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from retoucher.domain import rle
from retoucher.domain.diagnosis import Json
from retoucher.domain.geometry import Box
from retoucher.domain.trace import SCHEMA_VERSION, Trace

T = TypeVar("T")


def to_json(value: object) -> Json:
    """Plain JSON of a domain object: boxes as [x0, y0, x1, y1], masks as COCO RLE, sets sorted.

    Raises:
        TypeError: on a value that has no JSON form.
    """
    if value is None or isinstance(value, bool | int | float | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Box):
        return list(value.as_xyxy())
    if isinstance(value, np.ndarray):
        array = cast("np.ndarray[Any, np.dtype[np.bool_]]", value)
        if array.dtype != np.bool_:
            raise TypeError(f"only masks are recorded as arrays, got {array.dtype}")
        return cast("Json", rle.encode(array))
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_json(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_json(v) for k, v in cast("Mapping[object, object]", value).items()}
    if isinstance(value, frozenset | set):
        return [to_json(v) for v in sorted(cast("frozenset[str]", value))]
    if isinstance(value, Sequence):
        return [to_json(v) for v in cast("Sequence[object]", value)]
    raise TypeError(f"{type(value).__name__} has no JSON form")


def from_json(cls: type[T], data: object) -> T:
    """The inverse of `to_json` for an annotated domain type.

    Raises:
        ValueError: on an unknown field, a missing one without a default, or a value of the wrong
            shape, naming the field.
    """
    return cast("T", _decode(cls, data, cls.__name__))


def trace_to_json(trace: Trace) -> dict[str, Json]:
    """The trace file's content."""
    return cast("dict[str, Json]", to_json(trace))


def trace_from_json(data: Mapping[str, object]) -> Trace:
    """Read a trace written by this or a compatible version.

    Raises:
        ValueError: on another schema version or a malformed record.
    """
    version = data.get("schema_version")
    if version != SCHEMA_VERSION:
        raise ValueError(
            f"trace schema version {version!r} cannot be read by this version, "
            f"which reads {SCHEMA_VERSION}"
        )
    return from_json(Trace, data)


def _decode(hint: Any, data: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if data is None and type(None) in args:
            return None
        return _decode(next(a for a in args if a is not type(None)), data, where)
    if hint is Box:
        return Box.from_xyxy(_list(data, where))
    if isinstance(hint, type) and is_dataclass(hint):
        return _decode_dataclass(hint, data, where)
    if isinstance(hint, type) and issubclass(hint, Enum):
        return hint(data)
    if origin in (tuple, frozenset):
        items = (_decode(args[0], v, f"{where}[{i}]") for i, v in enumerate(_list(data, where)))
        return cast("type", origin)(items)
    if origin is Mapping:
        if not isinstance(data, Mapping):
            raise ValueError(f"{where}: expected an object, got {type(data).__name__}")
        return dict(cast("Mapping[str, Any]", data))
    if origin is np.ndarray:
        if not isinstance(data, Mapping):
            raise ValueError(f"{where}: expected an RLE mask, got {type(data).__name__}")
        return rle.decode(cast("Mapping[str, object]", data))
    return _scalar(hint, data, where)


def _scalar(hint: Any, data: Any, where: str) -> Any:
    if hint is float and isinstance(data, int | float) and not isinstance(data, bool):
        return float(data)
    if hint in (int, str, bool) and type(data) is hint:
        return data
    raise ValueError(f"{where}: expected {getattr(hint, '__name__', hint)}, got {data!r}")


def _list(data: Any, where: str) -> list[Any]:
    if not isinstance(data, list):
        raise ValueError(f"{where}: expected a list, got {type(data).__name__}")
    return cast("list[Any]", data)


def _decode_dataclass(cls: type[Any], data: Any, where: str) -> Any:
    if not isinstance(data, Mapping):
        raise ValueError(f"{where}: expected an object, got {type(data).__name__}")
    record = cast("Mapping[str, Any]", data)
    hints = get_type_hints(cls)
    names = {f.name for f in fields(cls)}
    if unknown := sorted(set(record) - names):
        raise ValueError(f"{where}: unknown fields {', '.join(unknown)}")
    needed = {f.name for f in fields(cls) if f.default is MISSING and f.default_factory is MISSING}
    if missing := sorted(needed - set(record)):
        raise ValueError(f"{where}: missing fields {', '.join(missing)}")
    given = names & set(record)  # a field with a default may be younger than the file
    return cls(**{name: _decode(hints[name], record[name], f"{where}.{name}") for name in given})
