from __future__ import annotations

import numpy as np
import pytest

from retoucher.domain.diagnosis import Diagnosis, Evidence
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.errors import InputError
from retoucher.testing import ScriptedReasoner
from retoucher.ui.corrections import CorrectedReasoner, Correction, corrected, lettering_of

QUAD = [[0.0, 0.0], [9.0, 0.0], [9.0, 4.0], [0.0, 4.0]]


def lettering(read: str, intended: str | None = None) -> Evidence:
    data = {"quad_xy": QUAD, "read": read, "intended": intended, "source": None, "defect": 0.9}
    return Evidence(kind="lettering", data=data)


def garbled(*evidence: Evidence) -> Diagnosis:
    return Diagnosis(
        region_id="r1",
        category="text_garbled",
        severity=3,
        description="as seen",
        confidence=0.7,
        evidence=evidence,
    )


def test_no_correction_is_the_same_diagnosis() -> None:
    said = garbled(lettering("XQZ"))
    assert corrected(said, Correction()) is said


def test_the_users_words_are_certain_and_the_rest_stays() -> None:
    said = corrected(garbled(), Correction(category="hand_shape", description="a thumb too many"))
    assert (said.category, said.description) == ("hand_shape", "a thumb too many")
    assert (said.severity, said.confidence, said.region_id) == (3, 1.0, "r1")


def test_a_defect_that_reasoning_did_not_see_is_clear_and_no_defect_has_no_severity() -> None:
    fine = Diagnosis(
        region_id="r1", category="no_defect", severity=0, description="", confidence=0.9
    )
    assert corrected(fine, Correction(category="limb_count")).severity == 2
    assert corrected(garbled(), Correction(category="no_defect")).severity == 0


def test_what_lettering_should_read_becomes_evidence_for_the_tool() -> None:
    said = garbled(lettering("OPXN"), lettering("DAILY"))
    assert lettering_of(said) == ("OPXN", "DAILY")
    new = corrected(said, Correction(lettering=("OPEN", "DAILY")))
    wanted = [e.data for e in new.evidence if e.kind == "intended_text"]
    assert wanted == [{"quad_xy": QUAD, "read": "OPXN", "intended": "OPEN", "source": "user"}]
    assert lettering_of(new) == ("OPEN", "DAILY")


def test_a_user_can_take_an_intended_text_back() -> None:
    known = Evidence(kind="intended_text", data={"quad_xy": QUAD, "read": "A", "intended": "B"})
    said = garbled(lettering("A", "B"), known)
    new = corrected(said, Correction(lettering=("A",)))
    assert [e.kind for e in new.evidence] == ["lettering"]
    assert new.evidence[0].data["intended"] is None


def test_another_number_of_lines_is_refused() -> None:
    with pytest.raises(InputError, match="1 lines of lettering were read here, but 2 were given"):
        corrected(garbled(lettering("A")), Correction(lettering=("A", "B")))


def test_an_instruction_reaches_the_planners_words() -> None:
    from retoucher.agents import ToolSpec
    from retoucher.domain.plan import Preference
    from retoucher.planning.instructions import word

    said = corrected(garbled(), Correction(category="hand_shape", instruction="a closed fist"))
    spec = ToolSpec(name="t", version="1", kind="mask", summary="s", uses_prompt=True)
    assert word(said, "", spec, Preference()).instruction.startswith("a closed fist")


def test_the_wrapped_reasoner_is_asked_only_about_what_the_user_has_not_seen() -> None:
    inner = ScriptedReasoner([("face_feature", 1)])
    said = garbled()
    wrapped = CorrectedReasoner(inner, {"r1": said}, edited=["r1"])
    regions = [Region.from_box(Box(0, 0, 4, 4), id=id) for id in ("r2", "r1")]
    answers = wrapped.diagnose(np.zeros((8, 8, 3), np.uint8), "", regions)
    assert [a.region_id for a in answers] == ["r2", "r1"]
    assert answers[1] is said
    assert answers[0].category == "face_feature"
    assert [[r.id for r in call] for call in inner.calls] == [["r2"]]
    assert wrapped.diagnose(np.zeros((8, 8, 3), np.uint8), "", regions[1:]) == (said,)
    assert len(inner.calls) == 1
    assert wrapped.info.settings["edited_by_user"] == ["r1"]
    assert wrapped.info.name == inner.info.name
