"""What a reviewer says of a batch's repairs: the file that the review page saves.

For example

    {"schema_version": 1, "pictures": [{"file": "a.png", "run": "9f86d081884c7d65",
      "places": [{"id": "1.r1", "verdict": "reject"}],
      "missed": [{"category": "hand_shape", "outline_xy": [[10, 20], [40, 20], [25, 50]]}]}]}
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.errors import InputError
from retoucher.tables import nearest

SCHEMA_VERSION = 1

Verdict = Literal["accept", "reject", "defect", "no_defect"]
"""Of a repaired place: "accept" keeps the repair, "reject" takes it back (the defect is real). Of
one that was left: "defect", it is one. Of both: "no_defect", nothing is wrong in the input."""

_Number = Annotated[float, Field(allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known(category: str) -> str:
    if category != UNKNOWN and category not in taxonomy():
        raise ValueError(f"unknown category {category!r}{nearest(category, [*taxonomy()])}")
    return category


class Decision(_Strict):
    """Of one place; `category` and `description` None: as they were."""

    id: str
    verdict: Verdict
    category: str | None = None
    description: str | None = Field(default=None, max_length=500)

    @field_validator("category")
    @classmethod
    def _category(cls, value: str | None) -> str | None:
        return None if value is None else _known(value)


class Missed(_Strict):
    """A defect that was not found, with its outline in pixels of the upright picture."""

    category: str
    description: str = Field(default="", max_length=500)
    outline_xy: list[tuple[_Number, _Number]] = Field(min_length=3, max_length=10_000)

    @field_validator("category")
    @classmethod
    def _category(cls, value: str) -> str:
        return _known(value)


class PictureDecisions(_Strict):
    """Of one picture; `run` names the run that was looked at."""

    file: str
    run: str
    places: tuple[Decision, ...] = ()
    missed: tuple[Missed, ...] = ()


class Decisions(_Strict):
    """A file of decisions."""

    schema_version: Literal[1] = SCHEMA_VERSION
    pictures: tuple[PictureDecisions, ...]


def read_decisions(path: Path) -> tuple[PictureDecisions, ...]:
    """The decisions of a file, one entry a picture.

    Raises:
        InputError: it cannot be read, or is not what the review page saves.
    """
    try:
        pictures = Decisions.model_validate_json(path.read_bytes()).pictures
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{path}: {place or 'JSON'}: {first['msg']}") from error
    names = [picture.file for picture in pictures]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InputError(f"{path}: {twice} is named twice")
    return pictures
