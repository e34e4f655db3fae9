from collections.abc import Sequence

import numpy as np
import pytest

from retoucher.agents import RgbArray
from retoucher.data.sample import CleanPart, LabelledRegion, Sample
from retoucher.domain.diagnosis import Diagnosis, Evidence
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.trace import AgentInfo
from retoucher.evaluation.reasoning import Judged, judge_samples, report
from retoucher.evaluation.reasoning_tables import markdown, markdown_all
from retoucher.evaluation.wording import Encoder

INFO = AgentInfo(role="reasoner", name="double", version="0", settings={"model": "m-1"})


class ByPlace:
    """Answers by the left edge of the region's box."""

    info = INFO

    def __init__(self, verdicts: dict[int, tuple[str, float]]) -> None:
        self.verdicts = verdicts
        self.asked: list[tuple[str, int]] = []

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        self.asked.append((prompt, len(regions)))
        return tuple(said(r.id, *self.verdicts[r.box.x0]) for r in regions)


def said(region_id: str, category: str, confidence: float = 0.5) -> Diagnosis:
    return Diagnosis(
        region_id=region_id,
        category=category,
        severity=0 if category == "no_defect" else 2,
        description=f"a {category}",
        confidence=confidence,
        evidence=(
            Evidence(kind="vlm_usage", data={"requests": 1, "prompt_tokens": 10, "cost_usd": None}),
        ),
    )


SAMPLE = Sample(
    id="p1",
    picture=np.zeros((50, 100, 3), np.uint8),
    width=100,
    height=50,
    prompt="a hand",
    regions=(
        LabelledRegion(box=Box(0, 0, 9, 9), category="hand_shape", severity=2, description="bent"),
        LabelledRegion(box=Box(10, 0, 19, 9), category="hand_finger_count", severity=3),
        LabelledRegion(box=Box(20, 0, 29, 9), category="face_feature", severity=1),
    ),
    clean_parts=(
        CleanPart(box=Box(30, 0, 39, 9), part="hand"),
        CleanPart(box=Box(95, 40, 120, 60), part="face"),
        CleanPart(box=Box(200, 0, 210, 9), part="face"),
    ),
)
VERDICTS = {
    0: ("hand_shape", 0.9),
    10: ("hand_shape", 0.9),
    20: ("face_feature", 0.9),
    30: ("no_defect", 0.8),
    95: ("limb_count", 0.7),
}


def test_what_is_put_to_the_reasoner() -> None:
    reasoner = ByPlace(VERDICTS)
    judged = judge_samples([SAMPLE], reasoner)
    assert reasoner.asked == [("a hand", 4)], "mild regions and what lies outside are left out"
    assert [(j.truth, j.diagnosis.category) for j in judged] == [
        ("hand_shape", "hand_shape"),
        ("hand_finger_count", "hand_shape"),
        ("no_defect", "no_defect"),
        ("no_defect", "limb_count"),
    ]
    judge_samples([SAMPLE], reasoner, min_severity=1, clean_parts=False, prompts=False)
    assert reasoner.asked[1] == ("", 3)


def test_figures() -> None:
    figures = report(judge_samples([SAMPLE], ByPlace(VERDICTS)), INFO)
    assert (figures.places, figures.defects) == (4, 2)
    assert (figures.accuracy, figures.defect_accuracy, figures.dimension_accuracy) == (0.5, 0.5, 1)
    assert (figures.majority, figures.uniform) == (0.5, 1 / 13)
    assert figures.clean_called_defective == 0.5
    assert figures.unknown == 0
    fine = figures.categories["no_defect"]
    assert (fine.precision, fine.recall, fine.marked, fine.said) == (1.0, 0.5, 2, 1)
    shape = figures.categories["hand_shape"]
    assert (shape.precision, shape.recall, shape.f1) == (0.5, 1.0, pytest.approx(2 / 3))
    assert figures.confusion == {
        "hand_finger_count": {"hand_shape": 1},
        "hand_shape": {"hand_shape": 1},
        "no_defect": {"limb_count": 1, "no_defect": 1},
    }
    assert figures.usage == {"requests": 4.0, "prompt_tokens": 40.0}, "an unknown cost is no cost"
    assert figures.wording is None


def test_unknown_is_wrong_but_no_false_alarm() -> None:
    judged = [
        Judged(sample="p", truth="no_defect", truth_words="", diagnosis=said("r1", "unknown")),
        Judged(sample="p", truth="hand_shape", truth_words="", diagnosis=said("r2", "unknown")),
    ]
    figures = report(judged, INFO)
    assert (figures.accuracy, figures.unknown, figures.clean_called_defective) == (0, 1, 0)
    assert np.isnan(figures.calibration)


def test_words_are_compared_where_people_described_a_defect() -> None:
    seen: list[Sequence[str]] = []

    def encode(sentences: Sequence[str]) -> np.ndarray:
        seen.append(sentences)
        return np.array([[len(s), 1.0] for s in sentences], np.float32)

    encoder = Encoder(name="by length", encode=encode)
    figures = report(judge_samples([SAMPLE], ByPlace(VERDICTS)), INFO, encoders=[encoder])
    assert seen == [["bent"], ["a hand_shape"]]
    assert figures.wording is not None
    assert figures.wording.pairs == 1
    assert figures.wording.cosine["by length"] == pytest.approx(
        (4 * 12 + 1) / np.sqrt((16 + 1) * (144 + 1))
    )
    table = markdown([("double", figures)])
    assert "double (m-1)" in table
    assert "cosine, by length" in table
    assert "| hand_finger_count | 1 | 0 | - | 0.0% | 0.0000 |" in markdown_all([("d", figures)])
