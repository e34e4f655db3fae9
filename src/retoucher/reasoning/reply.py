"""The reply that a vision-language model is asked for: pydantic model, JSON schema, text."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Annotated, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.config import JsonDict

from retoucher.domain.diagnosis import Json
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, is_verdict, taxonomy

MAX_DESCRIPTION_CHARS = 400
MAX_INSTRUCTION_CHARS = 240
SCHEMA_NAME = "diagnoses"


def _name_the_categories(schema: JsonDict) -> None:
    schema["enum"] = [*taxonomy(), NO_DEFECT, UNKNOWN]


class RegionReply(BaseModel):
    """What a model says of one mark.

    Attributes:
        mark: number of the mark in the picture.
        description: one sentence; asked for first, so that the words come before the verdict.
        category: of the taxonomy, "no_defect" or "unknown".
        severity: 0 for no_defect, 1 to 3 for a defect; of "unknown" it means nothing.
        confidence: 0 to 1.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    mark: int = Field(description="number of the mark")
    description: Annotated[str, Field(description="which part, what is wrong, why")]
    category: Annotated[str, Field(json_schema_extra=_name_the_categories)]
    severity: Literal[0, 1, 2, 3]
    confidence: Annotated[float, Field(description="0.0 to 1.0", allow_inf_nan=False)]

    @model_validator(mode="after")
    def _belongs_together(self) -> RegionReply:
        if not is_verdict(self.category):
            raise ValueError(f"category {self.category!r} is none of the names")
        if self.category != UNKNOWN and (self.category == NO_DEFECT) != (self.severity == 0):
            raise ValueError(f"severity {self.severity} does not go with {self.category}")
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError("confidence must lie between 0 and 1")
        if not 0 < len(self.description) <= MAX_DESCRIPTION_CHARS:
            raise ValueError("description is missing")
        return self


def reply_schema(*, instructions: bool = False) -> dict[str, Json]:
    """JSON schema of a whole reply, as constrained decoding takes it.

    With `instructions` every entry has a further field, "make": what the place should look like.
    It is no part of the verdict (`RegionReply`), and a verdict without it is whole.

    Fit for OpenAI's strict mode (every property required, no others allowed), without references
    and without keywords that some servers do not know: ranges are checked here, not there.
    """
    item = cast("dict[str, Json]", RegionReply.model_json_schema())
    properties = cast("dict[str, dict[str, Json]]", item["properties"])
    plain: dict[str, Json] = {
        name: {key: value for key, value in field.items() if key != "title"}
        for name, field in properties.items()
    }
    if instructions:
        plain["make"] = {"type": "string", "description": "what the place should look like"}
    entry: dict[str, Json] = {
        "type": "object",
        "properties": plain,
        "required": list(plain),
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {"regions": {"type": "array", "items": entry}},
        "required": ["regions"],
        "additionalProperties": False,
    }


def reply_text(entries: Iterable[RegionReply]) -> str:
    """The canonical reply: what training teaches and a perfect model answers."""
    return json.dumps({"regions": [entry.model_dump() for entry in entries]}, ensure_ascii=False)
