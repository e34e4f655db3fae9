import json

import numpy as np
import pytest

from retoucher.agents import Reasoner
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.lettering.reading import TextReader
from retoucher.reasoning.embedded import EmbeddedReasoner
from tests.lettering.pictures import sign

PROMPT = 'a sign that says "Fresh Coffee"'
FIRST_LINE = Box(50, 50, 600, 135)


@pytest.fixture(scope="module")
def reasoner() -> EmbeddedReasoner:
    return EmbeddedReasoner(TextReader())


def one(reasoner: EmbeddedReasoner, image: np.ndarray, prompt: str, box: Box) -> Diagnosis:
    (diagnosis,) = reasoner.diagnose(image, prompt, [Region.from_box(box, id="r7")])
    assert diagnosis.region_id == "r7"
    return diagnosis


def test_it_is_a_reasoner(reasoner: EmbeddedReasoner) -> None:
    assert isinstance(reasoner, Reasoner)
    assert (reasoner.info.role, reasoner.info.name) == ("reasoner", "embedded")


def test_a_wrong_word_is_named_with_its_evidence(reasoner: EmbeddedReasoner) -> None:
    image = sign("FRESH COFEE")
    found = one(reasoner, image, PROMPT, FIRST_LINE)
    assert found.category == "text_wrong"
    assert found.severity in (2, 3)
    assert found.confidence >= 0.5
    for piece in ('"COFEE"', '"COFFEE"', "the prompt asks for", "at the top"):
        assert piece in found.description
    kinds = [e.kind for e in found.evidence]
    assert kinds.count("intended_text") == 1
    wrong = next(e.data for e in found.evidence if e.data.get("intended"))
    assert set(wrong) == {
        *("quad_xy", "read", "confidence", "defect", "intended", "source", "asked")
    }
    assert wrong["asked"] == ["Fresh Coffee"]
    intended = next(e.data for e in found.evidence if e.kind == "intended_text")
    assert intended["quad_xy"] == wrong["quad_xy"]
    assert (intended["read"], intended["intended"], intended["source"]) == (
        "COFEE",
        "COFFEE",
        "prompt",
    )
    json.dumps([dict(e.data) for e in found.evidence])


def test_right_lettering_overrules_perception(reasoner: EmbeddedReasoner) -> None:
    found = one(reasoner, sign("FRESH COFFEE"), PROMPT, FIRST_LINE)
    assert (found.category, found.severity) == ("no_defect", 0)
    assert '"FRESH COFFEE"' in found.description
    assert found.confidence > 0.7
    assert [e.kind for e in found.evidence] == ["lettering"]


def test_without_lettering_nothing_is_claimed(reasoner: EmbeddedReasoner) -> None:
    found = one(reasoner, sign("FRESH COFEE"), PROMPT, Box(100, 250, 300, 350))
    assert found.category == "unknown"
    assert found.evidence == ()
    assert found.confidence == 0.0


def test_each_region_gets_the_lettering_inside_its_mask(reasoner: EmbeddedReasoner) -> None:
    image = sign("FRESH COFEE", "open daily")
    mask = np.zeros(image.shape[:2], bool)
    mask[140:230, 50:600] = True
    regions = [
        Region.from_mask(mask, id="below", score=0.5),
        Region.from_box(FIRST_LINE, id="above"),
        Region.from_box(Box(0, 0, 20, 20), id="nothing"),
    ]
    found = reasoner.diagnose(image, PROMPT, regions)
    assert [d.region_id for d in found] == ["below", "above", "nothing"]
    assert [d.category for d in found] == ["no_defect", "text_wrong", "unknown"]


def test_a_small_box_inside_large_letters_is_enough(reasoner: EmbeddedReasoner) -> None:
    image = sign("POLLICE", size_px=120)
    found = one(reasoner, image, "", Box(150, 80, 260, 140))
    assert found.category == "text_wrong"
    assert "instead of the word" in found.description


def test_no_regions_no_reading() -> None:
    assert EmbeddedReasoner().diagnose(np.zeros((4, 4, 3), np.uint8), "", []) == ()
