"""Collects, from a run's events, the pixels that a report shows and a trace does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from retoucher.domain.events import EditJudged, Event, Perceived
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import Outcome, Trace

RgbArray = NDArray[np.uint8]

CONTEXT = 0.35
"""A crop shows this share of the box's longer side around the box, so that a seam can be seen."""

MIN_CONTEXT_PX = 12


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Crop:
    """A place before an edit and, where something was composited, with it.

    Attributes:
        before_rgb, after_rgb: uint8 (h, w, 3); after_rgb is None when nothing was composited.
        inner_box: the box that the edit may have changed, in the crop's pixels.
    """

    before_rgb: RgbArray
    after_rgb: RgbArray | None
    inner_box: Box


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PictureReport:
    """What the report says of one picture.

    Attributes:
        name: the picture's file name, or what to call it.
        trace: the run's record.
        before_rgb, after_rgb: uint8 (H, W, 3), the input and the result.
        maps: distortion saliency by round index.
        places: crop of each region as it was found, by (round index, region id).
        attempts: crops of each edit, by (round index, region id), in the order of the edits.
        notes: what there is to know of the written file.
    """

    name: str
    trace: Trace
    before_rgb: RgbArray
    after_rgb: RgbArray
    maps: dict[int, SaliencyMap]
    places: dict[tuple[int, str], Crop]
    attempts: dict[tuple[int, str], list[Crop]]
    notes: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True, eq=False)
class Recorder:
    """Give every event of one run to `see`, then ask for the `report`.

    Attributes:
        before_rgb: the input, uint8 (H, W, 3), as the loop works on it.
    """

    before_rgb: RgbArray
    _current: RgbArray = field(init=False)
    _maps: dict[int, SaliencyMap] = field(default_factory=dict[int, SaliencyMap])
    _places: dict[tuple[int, str], Crop] = field(default_factory=dict[tuple[int, str], Crop])
    _attempts: dict[tuple[int, str], list[Crop]] = field(
        default_factory=dict[tuple[int, str], list[Crop]]
    )

    def __post_init__(self) -> None:
        self._current = self.before_rgb

    def see(self, event: Event) -> None:
        """Keep what the event shows."""
        if isinstance(event, Perceived):
            self._maps[event.index] = event.saliency
            for region in event.regions:
                self._places[event.index, region.id] = self._place(region)
        elif isinstance(event, EditJudged):
            self._judge(event)

    def report(self, name: str, trace: Trace, notes: Sequence[str] = ()) -> PictureReport:
        """What was seen, with the run's own record and notes on the written file."""
        return PictureReport(
            name=name,
            trace=trace,
            before_rgb=self.before_rgb,
            after_rgb=self._current,
            maps=self._maps,
            places=self._places,
            attempts=self._attempts,
            notes=tuple(notes),
        )

    def _place(self, region: Region) -> Crop:
        outer, inner = self._around(region.box)
        return Crop(before_rgb=self._current[outer.slices].copy(), after_rgb=None, inner_box=inner)

    def _judge(self, event: EditJudged) -> None:
        box, key = event.record.box, (event.index, event.record.region_id)
        attempts = self._attempts.setdefault(key, [])
        if box is None or event.after_rgb is None:
            attempts.append(self._places[key])
            return
        outer, inner = self._around(box)
        before = self._current[outer.slices].copy()
        after = before.copy()
        after[inner.slices] = event.after_rgb
        attempts.append(Crop(before_rgb=before, after_rgb=after, inner_box=inner))
        if event.record.outcome is Outcome.ACCEPTED:
            self._current = self._current.copy()
            self._current[box.slices] = event.after_rgb

    def _around(self, box: Box) -> tuple[Box, Box]:
        """The crop to show, in the picture's pixels, and the box inside it, in the crop's."""
        height, width = self._current.shape[:2]
        margin = max(MIN_CONTEXT_PX, round(CONTEXT * max(box.width, box.height)))
        seen = box.clip(height, width)
        assert seen is not None  # regions and edits lie inside the picture
        outer = seen.expand(margin).clip(height, width)
        assert outer is not None
        return outer, seen.shift(-outer.x0, -outer.y0)
