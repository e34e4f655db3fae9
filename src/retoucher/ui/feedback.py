"""From a session to what is kept of it for training, where its user allows that."""

from __future__ import annotations

from pathlib import Path

from retoucher.data.feedback import Feedback, Judged, JudgedRegion, Opinion, keep_feedback
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.trace import Outcome
from retoucher.ui.session import Place, Repaired, Session

_OUTCOMES: dict[Outcome, Judged] = {
    Outcome.ACCEPTED: "accepted",
    Outcome.ROLLED_BACK: "rolled_back",
    Outcome.UNCHANGED: "unchanged",
    Outcome.FAILED: "failed",
}


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
    gone = [repaired.repairs[i].record for i in rejected]
    edits: list[tuple[str, Judged]] = []
    for edit in repaired.result.trace.edits:
        if edit.region_id == place.region.id:
            judged = "rejected" if any(edit is g for g in gone) else _OUTCOMES[edit.outcome]
            edits.append((edit.tool, judged))
    return JudgedRegion(
        box=place.region.box,
        mask_hw=place.region.mask_hw,
        drawn=place.drawn,
        found=_opinion(place.found),
        said=_opinion(place.diagnosis),
        wanted=place.chosen,
        edits=tuple(edits),
    )


def _opinion(said: Diagnosis) -> Opinion:
    return Opinion(category=said.category, severity=said.severity, description=said.description)
