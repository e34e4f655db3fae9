import numpy as np

from retoucher.agents import PlanRequest
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Preference
from retoucher.domain.region import Region
from retoucher.lettering.judge import Judgement, LetteringJudge
from retoucher.planning.policy import StaticPlanner
from retoucher.reasoning.lettering_evidence import LetteringEvidence
from retoucher.tools.lettering import LetteringTool
from tests.lettering.pictures import sign

PROMPT = 'a sign that says "Fresh Coffee"'
REGIONS = [
    Region.from_box(Box(50, 50, 600, 135), id="r1"),
    Region.from_box(Box(4, 4, 30, 30), id="r2"),
]


def model_says(*categories: str) -> list[Diagnosis]:
    return [
        Diagnosis(
            region_id=region.id,
            category=category,
            severity=0 if category == "no_defect" else 2,
            description="in the model's words",
            confidence=0.9,
        )
        for region, category in zip(REGIONS, categories, strict=True)
    ]


def test_the_letter_tool_gets_what_it_needs_beside_the_models_words() -> None:
    image = sign("FRESH COFEE")
    added = LetteringEvidence().added(
        model_says("text_wrong", "object_texture"), image, PROMPT, REGIONS
    )
    first, second = added
    assert (first.category, first.description) == ("text_wrong", "in the model's words")
    assert {e.kind for e in first.evidence} == {"lettering", "intended_text"}
    intended = next(e.data for e in first.evidence if e.kind == "intended_text")
    assert (intended["read"], intended["intended"]) == ("COFEE", "COFFEE")
    assert second.evidence == ()
    tool = LetteringTool()
    request = PlanRequest(
        regions=REGIONS, diagnoses=added, prompt=PROMPT, preference=Preference(), tools=[tool.spec],
        tried={}, seed=0,
    )  # fmt: skip
    assert StaticPlanner().plan(request).steps[0].tool == "lettering"


def test_intended_words_are_no_argument_against_another_defect() -> None:
    """They would keep fills away from a torn sign; the reading itself stays, for the verifier."""
    image = sign("FRESH COFEE")
    for category in ("object_structure", "no_defect"):
        added = LetteringEvidence().added(model_says(category, "unknown"), image, PROMPT, REGIONS)
        assert {e.kind for e in added[0].evidence} == {"lettering"}


def test_nothing_is_read_without_regions() -> None:
    class NeverAsked(LetteringJudge):
        def judge(self, image_rgb: np.ndarray, prompt: str) -> Judgement:
            raise AssertionError

    assert LetteringEvidence(NeverAsked()).added([], sign("X"), "", []) == ()
