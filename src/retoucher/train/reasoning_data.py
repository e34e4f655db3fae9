"""Conversations to learn from, as `retouch data conversations` writes them: sft.jsonl, grpo.jsonl.

Checked whole before anything is trained: every picture is there and inside the folder, all samples
show as many pictures, and of the same sizes (mixed sizes have corrupted prompts unnoticed in some
versions of the libraries).
"""

from __future__ import annotations

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retoucher.domain.taxonomy import UNKNOWN, is_verdict
from retoucher.errors import InputError
from retoucher.train.extras import need
from retoucher.train.reasoning import Stage

_COLUMNS: dict[Stage, tuple[str, ...]] = {
    "sft": ("images", "prompt", "completion"),
    "grpo": ("images", "prompt", "category", "description"),
}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    type: str
    text: str | None = None


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    role: str
    content: list[_Part] = Field(min_length=1)


class Row(BaseModel):
    """One sample.

    Attributes:
        id: of the sample.
        images: paths of its pictures, inside the folder.
        prompt: system and user message; a part of type "image" stands for each picture.
        completion: the reply to learn (SFT).
        category, severity, description: what people said (GRPO); "" where nobody described it.
    """

    model_config = ConfigDict(extra="ignore", strict=True)

    id: str
    images: list[str] = Field(min_length=1)
    prompt: list[_Message] = Field(min_length=1)
    completion: list[_Message] | None = None
    category: str | None = None
    severity: int | None = None
    description: str | None = None


def read_rows(folder: Path, stage: Stage) -> list[Row]:
    """The samples of a stage, checked, with absolute paths of their pictures.

    Raises:
        InputError: a file or picture is missing, or a line is no such sample.
    """
    file = folder / f"{stage}.jsonl"
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{file}: cannot be read; `retouch data conversations` writes it ({error})"
        ) from error
    rows: list[Row] = []
    sizes: list[tuple[int, int]] = []
    for number, line in enumerate(lines, start=1):
        where = f"{file}: line {number}"
        row = _row(line, stage, where)
        pictures = [_inside(folder, name, where) for name in row.images]
        shown = [_size(picture) for picture in pictures]
        if sizes and shown != sizes:
            raise InputError(
                f"{where} shows pictures of {shown} pixels, the first line of {sizes}; all samples "
                "must show the same number of pictures, of the same sizes"
            )
        sizes = shown
        rows.append(row.model_copy(update={"images": [str(picture) for picture in pictures]}))
    if not rows:
        raise InputError(f"{file}: holds no samples")
    return rows


def order(rows: int, count: int, seed: int) -> list[int]:
    """Which sample comes when, for a whole run: every pass over the data in an order of its own.

    A run that goes on needs nothing but its step to find its place in it.

    >>> order(3, 7, seed=0)
    [2, 0, 1, 2, 0, 1, 2]
    """
    passes = -(-count // rows)
    drawn = [np.random.default_rng([seed, turn]).permutation(rows) for turn in range(passes)]
    return np.concatenate(drawn)[:count].tolist()


def as_dataset(rows: list[Row], stage: Stage, places: list[int]) -> Any:
    """A `datasets.Dataset` of the stage's columns, its rows in the order of `places`.

    Pictures are read when a row is used.
    """
    need("datasets", "training a reasoner")
    datasets = import_module("datasets")  # it has no types
    dumped = [row.model_dump(include=set(_COLUMNS[stage])) for row in rows]
    held = datasets.Dataset.from_list(dumped)
    held = held.cast_column("images", datasets.List(datasets.Image(mode="RGB")))
    return held.select(places)


def _row(line: str, stage: Stage, where: str) -> Row:
    try:
        row = Row.model_validate_json(line)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{where}: {place or 'no JSON'}: {first['msg']}") from error
    marks = [part for message in row.prompt for part in message.content if part.type == "image"]
    if len(marks) != len(row.images):
        raise InputError(
            f"{where}: {len(row.images)} pictures, but {len(marks)} places for one in the prompt"
        )
    if stage == "sft" and not row.completion:
        raise InputError(f"{where}: completion is missing")
    if stage == "grpo":
        if row.category is None or not is_verdict(row.category) or row.category == UNKNOWN:
            raise InputError(
                f"{where}: category is one of the taxonomy or no_defect, got "
                f"{json.dumps(row.category)}"
            )
        if row.description is None:
            raise InputError(f"{where}: description is missing")
    return row


def _inside(folder: Path, name: str, where: str) -> Path:
    root = folder.resolve()
    path = (root / name).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise InputError(f"{where}: picture {json.dumps(name)} is not in the folder")
    return path


def _size(path: Path) -> tuple[int, int]:
    """Width and height in pixels, from the file's head."""
    try:
        with Image.open(path) as picture:
            return picture.size
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(f"{path}: is no picture ({error})") from error
