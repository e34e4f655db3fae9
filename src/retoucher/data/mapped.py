"""Data sets of JSON records whose field names are configuration: GenBlemish-27K and its like.

A field map is a TOML file; `genblemish.toml` beside this module is the default and explains every
key. Only what a data set really calls its fields goes there, never into code.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from importlib import resources
from pathlib import Path
from typing import cast

import cv2
import numpy as np

from retoucher.data.coco import decode_segmentation
from retoucher.data.jsonl import Record, as_record, get_floats, get_list, read_records, read_text
from retoucher.data.ours import box_in_picture
from retoucher.data.sample import BoolArray, LabelledRegion, Sample, picture_size_wh
from retoucher.domain.geometry import Box
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.errors import ConfigError, InputError

BOX_FORMATS = ("xyxy", "xywh", "cxcywh")
BOX_UNITS = ("pixel", "unit", "per_mille")


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldMap:
    """What a data set calls its fields. A dotted name ("image.path") goes into nested objects.

    Attributes:
        source: name of the data set, kept in every sample.
        records: file of the records, .jsonl or .json, below the data set's folder.
        pictures: folder of the pictures, below the data set's folder.
        picture, id, prompt, regions: fields of a record; `id` "" takes the picture's name.
        box, mask, category, severity, description: fields of a region; "" where there is none.
        box_format: xyxy, xywh (corner) or cxcywh (centre).
        box_unit: pixel, unit (0 to 1) or per_mille (0 to 1000).
        categories: the data set's category names to ours.
        severities: the data set's severity values (as text) to 1, 2 or 3.
        default_severity: where a region states none.
    """

    source: str
    records: str
    picture: str
    regions: str
    pictures: str = ""
    id: str = ""
    prompt: str = ""
    box: str = ""
    mask: str = ""
    category: str = ""
    severity: str = ""
    description: str = ""
    box_format: str = "xyxy"
    box_unit: str = "pixel"
    categories: Mapping[str, str] = field(default_factory=dict[str, str])
    severities: Mapping[str, int] = field(default_factory=dict[str, int])
    default_severity: int = 2

    def __post_init__(self) -> None:
        if self.box_format not in BOX_FORMATS:
            raise ConfigError(f"box_format must be one of {BOX_FORMATS}, got {self.box_format!r}")
        if self.box_unit not in BOX_UNITS:
            raise ConfigError(f"box_unit must be one of {BOX_UNITS}, got {self.box_unit!r}")
        if not self.box and not self.mask:
            raise ConfigError("a field map needs 'box' or 'mask'")
        known = {*taxonomy(), UNKNOWN}
        wrong = sorted(set(self.categories.values()) - known)
        if wrong:
            raise ConfigError(
                f"categories map to {', '.join(wrong)}; known: {', '.join(taxonomy())}"
            )


def load_field_map(path: Path | None = None) -> FieldMap:
    """A field map from a TOML file; None: the one for GenBlemish-27K.

    Raises:
        ConfigError: it has an unknown or lacks a needed key, or a value is out of range.
    """
    if path is None:
        text = (resources.files("retoucher.data") / "genblemish.toml").read_text("utf-8")
    else:
        text = read_text(path)
    name = path or "genblemish.toml"
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from None
    known = {f.name for f in fields(FieldMap)}
    if unknown := sorted(set(table) - known):
        raise ConfigError(
            f"{name}: unknown keys {', '.join(unknown)}; known: {', '.join(sorted(known))}"
        )
    try:
        return FieldMap(**table)
    except TypeError as error:
        raise ConfigError(f"{name}: {error}") from None


def read_mapped(folder: Path, names: FieldMap | None = None) -> list[Sample]:
    """Samples of a data set whose fields `names` tells; None: GenBlemish-27K.

    Raises:
        InputError: a record lacks a field or holds a value that does not fit, with its number.
    """
    names = names or load_field_map()
    samples: list[Sample] = []
    for where, record in read_records(folder / names.records):
        file = _text(record, names.picture, where)
        path = _below(folder / names.pictures, file, where)
        width, height = picture_size_wh(path)
        rows = get_list({"regions": _get(record, names.regions)}, "regions", where)
        regions = [
            _region(as_record(row, where), names, height, width, folder, f"{where}, region {i}")
            for i, row in enumerate(rows)
        ]
        samples.append(
            Sample(
                id=_text(record, names.id, where) if names.id else Path(file).stem,
                picture=path,
                width=width,
                height=height,
                prompt=_text(record, names.prompt, where) if names.prompt else "",
                regions=tuple(regions),
                source=names.source,
            )
        )
    return samples


def _region(
    record: Record, names: FieldMap, height: int, width: int, folder: Path, where: str
) -> LabelledRegion:
    category = UNKNOWN
    if names.category:
        word = str(_get(record, names.category))
        category = names.categories.get(word, word)
        if category not in taxonomy() and category != UNKNOWN:
            raise InputError(f"{where}: category {word!r} is not in the field map's 'categories'")
    severity = names.default_severity
    if names.severity:
        value = str(_get(record, names.severity))
        severity = names.severities.get(value, int(value) if value.isdigit() else 0)
        if severity not in (1, 2, 3):
            raise InputError(f"{where}: severity {value!r} is not in the field map's 'severities'")
    words = _text(record, names.description, where) if names.description else ""
    mask = None
    if names.mask and (value := _get(record, names.mask)):
        mask = _mask(value, height, width, folder, where)
    if mask is not None:
        return LabelledRegion.from_mask(
            mask, category=category, severity=severity, description=words
        )
    if not names.box:
        raise InputError(f"{where}: '{names.mask}' is empty, and there is no box")
    box = _box(_get(record, names.box), names, height, width, where)
    return LabelledRegion(box=box, category=category, severity=severity, description=words)


def _mask(value: object, height: int, width: int, folder: Path, where: str) -> BoolArray | None:
    """A mask file (white is the defect), polygons or RLE."""
    if not isinstance(value, str):
        return decode_segmentation(value, height, width, where)
    path = _below(folder, value, where)
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise InputError(f"{where}: {path} cannot be read as a mask")
    if grey.shape != (height, width):
        raise InputError(
            f"{where}: {path} is {grey.shape[1]}x{grey.shape[0]}, not {width}x{height}"
        )
    mask = grey > 127
    return mask if bool(np.any(mask)) else None


def _box(value: object, names: FieldMap, height: int, width: int, where: str) -> Box:
    a, b, c, d = get_floats(value, f"'{names.box}'", where, 4)
    if names.box_unit != "pixel":
        scale = 1.0 if names.box_unit == "unit" else 1000.0
        a, c = a * width / scale, c * width / scale
        b, d = b * height / scale, d * height / scale
    if names.box_format == "xywh":
        c, d = a + c, b + d
    elif names.box_format == "cxcywh":
        a, b, c, d = a - c / 2, b - d / 2, a + c / 2, b + d / 2
    return box_in_picture((a, b, c, d), height, width, where)


def _get(record: Record, dotted: str) -> object:
    value = cast("object", record)
    for key in dotted.split("."):
        if not isinstance(value, Mapping):
            return None
        value = cast("Mapping[str, object]", value).get(key)
    return value


def _text(record: Record, dotted: str, where: str) -> str:
    value = _get(record, dotted)
    if not isinstance(value, str | int):
        raise InputError(f"{where}: '{dotted}' must be text, got {value!r}")
    return str(value)


def _below(folder: Path, file: str, where: str) -> Path:
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{where}: {file!r} points out of {folder}")
    return path
