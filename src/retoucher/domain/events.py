"""What the loop tells while it runs. Every shell is a consumer of this stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.plan import Step
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import EditRecord, Round, StopReason

RgbArray = NDArray[np.uint8]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoundStarted:
    """Round `index` of at most `limit` begins."""

    index: int
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Perceived:
    """The saliency map of this round and the candidate regions in it."""

    index: int
    saliency: SaliencyMap
    regions: tuple[Region, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Diagnosed:
    """One diagnosis per region, in the regions' order."""

    index: int
    diagnoses: tuple[Diagnosis, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Planned:
    """One step per region, in the regions' order."""

    index: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EditStarted:
    """A tool begins its work on a region."""

    index: int
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EditJudged:
    """An edit was accepted, rolled back, found to change nothing, or failed.

    `before_rgb` and `after_rgb` are the pixels inside `record.box` without and with the edit, also
    when it was rolled back; both None when nothing was composited.
    """

    index: int
    record: EditRecord
    before_rgb: RgbArray | None
    after_rgb: RgbArray | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoundFinished:
    """The record of the round, and the picture as it now is, uint8 (H, W, 3)."""

    round: Round
    image_rgb: RgbArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stopped:
    """The last event of every run, cancelled ones too; `error` says what failed, if anything."""

    reason: StopReason
    rounds: tuple[Round, ...]
    image_rgb: RgbArray
    error: str | None = None


Event = (
    RoundStarted
    | Perceived
    | Diagnosed
    | Planned
    | EditStarted
    | EditJudged
    | RoundFinished
    | Stopped
)
