"""What clients send and get, as OpenAPI shows it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from retoucher.batch.items import BoxXyxy
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.serve.work import MEDIA_TYPES, Kind, Work

EXAMPLE_IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAIAAACQkWg2AAAAGUlEQVR42mOsqKhgIA"
    "UwMZAIRjWMahg6GgB//AGIMoiFLAAAAABJRU5ErkJggg=="
)
"""A plain picture of 16 x 16 pixels."""

State = Literal["queued", "running", "done", "failed", "cancelled"]
OutputFormat = Literal["PNG", "JPEG", "WEBP", "TIFF", "AVIF", "BMP", "GIF"]
assert set(OutputFormat.__args__) == set(MEDIA_TYPES)


class Region(BaseModel):
    """A place to look at, in pixels of the upright picture; x1 and y1 are exclusive."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    box_xyxy: BoxXyxy = Field(examples=[[40, 20, 120, 60]])

    @field_validator("box_xyxy")
    @classmethod
    def _ordered(cls, box: BoxXyxy) -> BoxXyxy:
        if not (box[0] < box[2] and box[1] < box[3]):
            raise ValueError("needs x0 < x1 and y0 < y1")
        if max(map(abs, box)) > 1e6:
            raise ValueError("lies outside any picture")
        return box


class FindOptions(BaseModel):
    """How to look."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    prompt: str | None = Field(
        default=None,
        max_length=20_000,
        description="What the picture should show; left out: what its own metadata says.",
        examples=['photo of a shop, sign that says "BAKERY"'],
    )
    regions: list[Region] | None = Field(
        default=None, min_length=1, max_length=100, description="Look only here."
    )

    def work(self, kind: Kind, image: bytes) -> Work:
        """The job for a worker."""
        boxes = None if self.regions is None else tuple(r.box_xyxy for r in self.regions)
        return Work(kind=kind, image=image, prompt=self.prompt, boxes=boxes)


class FixOptions(FindOptions):
    """How to repair."""

    rounds: int | None = Field(default=None, ge=1, le=20, description="Rounds at most.")
    seed: int | None = Field(
        default=None, ge=0, lt=2**31, description="Same seed and picture, same bytes."
    )
    time_budget_s: float | None = Field(
        default=None, gt=0, le=86_400, description="Stop after so long, keep what is done."
    )
    only: list[str] = Field(
        default=[],
        max_length=50,
        description="Repair only these categories, or dimensions of the taxonomy.",
        examples=[["text"]],
    )
    skip: list[str] = Field(default=[], max_length=50, description="Never repair these.")
    output_format: OutputFormat | None = Field(
        default=None, description="Of the result; left out: the picture's own."
    )

    @field_validator("only", "skip")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        found: dict[str, None] = {}
        for name in names:
            members = [c.name for c in taxonomy().values() if name in (c.name, c.dimension)]
            if not members and name != UNKNOWN:
                raise ValueError(f"{name[:80]!r} is no category and no dimension")
            found |= dict.fromkeys(members or [name])
        return list(found)

    def work(self, kind: Kind, image: bytes) -> Work:
        """The job for a worker."""
        boxes = None if self.regions is None else tuple(r.box_xyxy for r in self.regions)
        return Work(
            kind=kind,
            image=image,
            prompt=self.prompt,
            boxes=boxes,
            rounds=self.rounds,
            seed=self.seed,
            time_budget_s=self.time_budget_s,
            only=tuple(self.only),
            skip=tuple(self.skip),
            output_format=self.output_format,
        )


class _WithImage(BaseModel):
    image: str = Field(
        description="The picture's file as a data URL (base64). Addresses are never fetched.",
        pattern=r"^data:image/[A-Za-z0-9.+-]+;base64,",
        examples=[EXAMPLE_IMAGE],
    )


class FindBody(FindOptions, _WithImage):
    """Find, as JSON."""


class FixBody(FixOptions, _WithImage):
    """Fix, as JSON."""


class JobView(BaseModel):
    """A job as clients see it."""

    id: str = Field(examples=["m0r3x8bQ2bV1cJ8mYt5wq0Zk"])
    kind: Kind
    state: State
    error: str | None = Field(default=None, description="Why it failed.")
    result: dict[str, Any] | None = Field(
        default=None,
        description="What was found and done, as one line of `retouch find --json` or "
        "`retouch fix --json`.",
    )
    image_url: str | None = Field(default=None, description="The repaired picture's file.")
    trace_url: str | None = Field(default=None, description="The full record, JSON.")
    events_url: str = Field(description="Progress, as server-sent events.")
    expires_at: float | None = Field(
        default=None, description="Unix time from which a finished job may be forgotten."
    )


class Problem(BaseModel):
    """Why a request was not done."""

    detail: str


class Health(BaseModel):
    """Whether the service can work."""

    status: Literal["ok", "starting", "broken"]
    version: str
    workers: int
    ready: int
    queued: int
    running: int
    detail: str | None = None

    @model_validator(mode="after")
    def _explained(self) -> Health:
        if self.status == "broken" and not self.detail:
            raise ValueError("broken needs a detail")
        return self
