"""From a session to what is kept of it for training, where its user allows that."""

from __future__ import annotations

from pathlib import Path

from retoucher.data.feedback import (
    Feedback,
    JudgedRegion,
    judged_edits,
    keep_feedback,
    opinion_of,
)
from retoucher.ui.session import Place, Repaired, Session


def keep(session: Session, folder: Path) -> None:
    """Keep the session's picture, places and judged edits; again after every later judgement.

    Raises:
        OutputError: the folder cannot be written.
    """
    repaired = session.repaired
    assert repaired is not None
    result = session.result()
    feedback = Feedback(
        id=session.feedback_id,
        picture_rgb=result.picture.image_rgb,
        result_rgb=result.image_rgb if result.changed else None,
        prompt=result.trace.prompt,
        software=result.trace.software,
        created_at=result.trace.created_at,
        regions=tuple(_judged(place, repaired, session.rejected) for place in session.places),
    )
    keep_feedback(feedback, folder)


def _judged(place: Place, repaired: Repaired, rejected: frozenset[int]) -> JudgedRegion:
    edits = [e for e in repaired.result.trace.edits if e.region_id == place.region.id]
    return JudgedRegion(
        box=place.region.box,
        mask_hw=place.region.mask_hw,
        drawn=place.drawn,
        found=opinion_of(place.found),
        said=opinion_of(place.diagnosis),
        wanted=place.chosen,
        edits=judged_edits(edits, [repaired.repairs[i].record for i in rejected]),
    )
