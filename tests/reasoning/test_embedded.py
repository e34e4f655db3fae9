"""The embedded reasoner: lettering first, looks second, and words for what was measured only."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources

import numpy as np
import pytest
from PIL import Image

from retoucher.agents import Reasoner
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import taxonomy
from retoucher.errors import PluginError
from retoucher.lettering.judge import LetteringJudge
from retoucher.lettering.reading import TextReader
from retoucher.reasoning.embedded import EmbeddedReasoner
from retoucher.reasoning.embedded_model import (
    Diagnostician,
    OperatingPoint,
    shipped_diagnostician,
)
from tests.lettering.pictures import sign

PROMPT = 'a sign that says "Fresh Coffee"'
FIRST_LINE = Box(50, 50, 600, 135)
EMPTY = Box(60, 260, 580, 370)


@pytest.fixture(scope="module")
def judge() -> LetteringJudge:
    return LetteringJudge(TextReader())


@pytest.fixture(scope="module")
def reasoner(judge: LetteringJudge) -> EmbeddedReasoner:
    return EmbeddedReasoner(judge)


def convinced(defect: float, shares: dict[str, float]) -> Diagnostician:
    """The shipped classifier's file, but of one opinion whatever it sees."""
    shipped = shipped_diagnostician()
    names, width = list(taxonomy()), shipped.mean_d.size + 1
    category = np.zeros((len(names), width), np.float32)
    rest = (1 - sum(shares.values())) / (len(names) - len(shares))
    category[:, -1] = [np.log(max(shares.get(n, rest), 1e-9)) for n in names]
    defect_d1, severity = np.zeros(width, np.float32), np.zeros((3, width), np.float32)
    defect_d1[-1] = np.log(defect / (1 - defect))
    severity[2, -1] = 1.0
    return replace(
        shipped,
        defect_d1=defect_d1,
        category_kd1=category,
        severity_3d1=severity,
        temperatures=(1.0, 1.0, 1.0),
        point=OperatingPoint(defect=0.6, sound=0.2, category=0.5),
    )


def one(reasoner: EmbeddedReasoner, image: np.ndarray, prompt: str, box: Box) -> Diagnosis:
    (diagnosis,) = reasoner.diagnose(image, prompt, [Region.from_box(box, id="r7")])
    assert diagnosis.region_id == "r7"
    return diagnosis


def test_it_is_a_reasoner(reasoner: EmbeddedReasoner) -> None:
    assert isinstance(reasoner, Reasoner)
    assert (reasoner.info.role, reasoner.info.name) == ("reasoner", "embedded")
    used = {"saliency.onnx", "diagnostician.npz", "palm_detection.onnx", "hand_landmarks.onnx"}
    assert used <= set(reasoner.info.weights)
    assert "defect_from" in reasoner.info.settings


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


@pytest.mark.parametrize(
    ("defect", "shares", "category", "severity", "confidence"),
    [
        (0.9, {"hand_shape": 0.7}, "hand_shape", 3, 0.63),
        (0.9, {"hand_shape": 0.4, "limb_shape": 0.3}, "unknown", 1, 0.9),
        (0.4, {"hand_shape": 0.9}, "unknown", 1, 0.4),
        (0.1, {"hand_shape": 0.9}, "no_defect", 0, 0.9),
        (0.9, {"text_wrong": 0.6}, "text_garbled", 3, 0.57),
    ],
)
def test_without_lettering_looks_decide_at_the_operating_point(
    judge: LetteringJudge,
    defect: float,
    shares: dict[str, float],
    category: str,
    severity: int,
    confidence: float,
) -> None:
    reasoner = EmbeddedReasoner(judge, diagnostician=convinced(defect, shares))
    found = one(reasoner, sign("FRESH COFEE"), PROMPT, EMPTY)
    assert (found.category, found.severity) == (category, severity)
    assert found.confidence == pytest.approx(confidence, abs=0.01)
    assert [e.kind for e in found.evidence] == [*["looks"] * 3, "saliency", "geometry"]
    assert found.evidence[0].data["defect"] == pytest.approx(defect, abs=1e-3)
    assert found.evidence[4].data["width_px"] == EMPTY.width
    json.dumps([dict(e.data) for e in found.evidence])


def test_lettering_that_is_right_is_not_overruled_by_looks(judge: LetteringJudge) -> None:
    garbled = EmbeddedReasoner(judge, diagnostician=convinced(0.99, {"text_garbled": 0.95}))
    image = sign("FRESH COFFEE")
    assert one(garbled, image, PROMPT, FIRST_LINE).category == "no_defect"
    # In a region of which it fills little, looks may find something else, but no text defect.
    wide = Box(0, 0, 640, 384)
    assert one(garbled, image, PROMPT, wide).category == "no_defect"
    object_ = EmbeddedReasoner(judge, diagnostician=convinced(0.99, {"object_structure": 0.9}))
    found = one(object_, image, PROMPT, wide)
    assert found.category == "object_structure"
    assert found.evidence[0].kind == "lettering"
    assert one(object_, image, PROMPT, FIRST_LINE).category == "no_defect"


def test_a_lettering_defect_keeps_its_evidence_whatever_it_looks_like(
    judge: LetteringJudge,
) -> None:
    sound = EmbeddedReasoner(judge, diagnostician=convinced(0.01, {"hand_shape": 0.9}))
    for box in (FIRST_LINE, Box(0, 0, 640, 384)):
        found = one(sound, sign("FRESH COFEE"), PROMPT, box)
        assert found.category == "text_wrong"
        assert "intended_text" in [e.kind for e in found.evidence]


@pytest.mark.parametrize("which", ["network", "hand_network"])
def test_a_classifier_for_another_network_is_refused(judge: LetteringJudge, which: str) -> None:
    other = replace(shipped_diagnostician(), **{which: "0" * 64})
    with pytest.raises(PluginError, match="another saliency or hand network"):
        one(EmbeddedReasoner(judge, diagnostician=other), sign("A"), "", EMPTY)


def test_a_hand_is_measured_where_it_looks_like_one(judge: LetteringJudge) -> None:
    with (resources.files("retoucher") / "demo" / "portrait.jpg").open("rb") as file:
        portrait = np.asarray(Image.open(file).convert("RGB"))
    place = Box(335, 290, 400, 425)
    hand_h = np.array([-1.0, 0.0, 0.0, 0.0], np.float32)
    says = convinced(0.5, {"hand_shape": 0.8})
    (found,) = EmbeddedReasoner(judge, diagnostician=replace(says, hand_h=hand_h)).diagnose(
        portrait, "", [Region.from_box(place, id="r1")]
    )
    (measured,) = [e.data for e in found.evidence if e.kind == "hand"]
    presence = float(str(measured["presence"]))
    assert f"{presence:.0%}" in found.description
    looks = next(e.data for e in found.evidence if e.kind == "looks")
    share = sum(v for n, v in says.opinion(says.mean_d).categories.items() if "hand" in n)
    assert looks["defect"] == pytest.approx(1 / (1 + np.exp(share)), abs=1e-3)
    other = EmbeddedReasoner(judge, diagnostician=convinced(0.5, {"object_structure": 0.95}))
    found = one(other, portrait, "", place)
    assert "hand" not in [e.kind for e in found.evidence]
    assert "hand network" not in found.description


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
    assert [d.category for d in found][:2] == ["no_defect", "text_wrong"]
    assert [e.kind for e in found[2].evidence][-2:] == ["saliency", "geometry"]


def test_a_small_box_inside_large_letters_is_enough(reasoner: EmbeddedReasoner) -> None:
    image = sign("POLLICE", size_px=120)
    found = one(reasoner, image, "", Box(150, 80, 260, 140))
    assert found.category == "text_wrong"
    assert "instead of the word" in found.description


def test_no_regions_no_reading() -> None:
    assert EmbeddedReasoner().diagnose(np.zeros((4, 4, 3), np.uint8), "", []) == ()
