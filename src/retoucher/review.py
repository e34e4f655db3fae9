"""Accepting and rejecting repairs after a run: what is rejected gets its original bytes back."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retoucher import recording
from retoucher.agents import RgbArray
from retoucher.api import Result
from retoucher.domain.events import EditJudged
from retoucher.domain.trace import EditRecord, LeftRegion, Outcome, Round
from retoucher.domain.verdict import Verdict

REJECTED = "rejected by the user"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repair:
    """An accepted edit with its pixels.

    Attributes:
        round_index: from 1.
        record: of the trace.
        before_rgb, after_rgb: uint8 (h, w, 3), inside `record.box`.
    """

    round_index: int
    record: EditRecord
    before_rgb: RgbArray
    after_rgb: RgbArray

    @classmethod
    def of(cls, event: EditJudged) -> Repair | None:
        """The accepted edit of an event, or None."""
        if event.record.outcome is not Outcome.ACCEPTED:
            return None
        assert event.before_rgb is not None
        assert event.after_rgb is not None
        return cls(
            round_index=event.index,
            record=event.record,
            before_rgb=event.before_rgb,
            after_rgb=event.after_rgb,
        )

    @property
    def changed_hw(self) -> NDArray[np.bool_]:
        """Which pixels of the box differ, bool (h, w)."""
        return (self.before_rgb != self.after_rgb).any(axis=2)

    def stands_on(self, other: Repair) -> bool:
        """It changed pixels that the other, earlier one had changed."""
        mine, theirs = self.record.box, other.record.box
        assert mine is not None
        assert theirs is not None
        common = mine.intersection(theirs)
        if common is None:
            return False
        here = self.changed_hw[common.shift(-mine.x0, -mine.y0).slices]
        there = other.changed_hw[common.shift(-theirs.x0, -theirs.y0).slices]
        return bool((here & there).any())


def fallen(repairs: Sequence[Repair], rejected: Collection[int]) -> frozenset[int]:
    """What has to go with the rejected repairs: later ones that stand on them, too.

    Args:
        repairs: in the order in which they were made.
        rejected: indices into them.
    """
    gone: set[int] = set(rejected)
    for i, repair in enumerate(repairs):
        if any(j in gone and repair.stands_on(repairs[j]) for j in range(i)):
            gone.add(i)
    return frozenset(gone)


def settle(result: Result, repairs: Sequence[Repair], rejected: Collection[int]) -> Result:
    """The result without the rejected repairs: every pixel that they changed is the input's again.

    The trace says of each that the user rejected it, and lists its place among what is left.

    Args:
        result: of the run.
        repairs: all accepted edits, in order.
        rejected: indices into them, closed under `fallen`.
    """
    if not rejected:
        return result
    original = result.picture.image_rgb
    image = original.copy()
    for i, repair in enumerate(repairs):
        if i not in rejected:
            box, changed = repair.record.box, repair.changed_hw
            assert box is not None
            image[box.slices][changed] = repair.after_rgb[changed]
    gone = [repairs[i].record for i in sorted(rejected)]
    changed = len(gone) < len(repairs)
    image.flags.writeable = False
    trace = result.trace
    return replace(
        result,
        image_rgb=image if changed else original,
        changed=changed,
        trace=replace(
            trace,
            rounds=tuple(_without(rnd, gone) for rnd in trace.rounds),
            left=(*trace.left, *_left(trace.rounds, gone)),
            output_sha256=recording.pixels_sha256(image)
            if changed
            else trace.picture.pixels_sha256,
        ),
    )


def _without(rnd: Round, gone: Sequence[EditRecord]) -> Round:
    edits = tuple(_rejected(e) if any(e is g for g in gone) else e for e in rnd.edits)
    return replace(rnd, edits=edits)


def _rejected(edit: EditRecord) -> EditRecord:
    verdict: Verdict | None = edit.verdict
    assert verdict is not None  # it was accepted by one
    return replace(
        edit,
        outcome=Outcome.ROLLED_BACK,
        verdict=replace(verdict, accepted=False, reason=f"{REJECTED}; before: {verdict.reason}"),
    )


def _left(rounds: Sequence[Round], gone: Sequence[EditRecord]) -> tuple[LeftRegion, ...]:
    return tuple(
        LeftRegion(
            box=region.box,
            category=diagnosis.category,
            description=diagnosis.description,
            reason=f"{edit.tool} was {REJECTED}",
        )
        for rnd in rounds
        for edit in rnd.edits
        if any(edit is g for g in gone)
        for region, diagnosis in zip(rnd.regions, rnd.diagnoses, strict=True)
        if region.id in _served(rnd, edit)
    )


def _served(rnd: Round, edit: EditRecord) -> set[str]:
    """Ids of the regions that an edit was to repair."""
    steps = (step for step in rnd.steps if step.region_id == edit.region_id)
    return {edit.region_id, *(id for step in steps for id in step.serves)}
