"""The diagnostician's benchmark counts what it says it counts."""

from __future__ import annotations

import numpy as np
import pytest
from diagnostician import (
    Found,
    Judged,
    NothingRead,
    _judged,
    confusion,
    end_to_end,
    look_for_regions,
    summary,
    without_hands,
)

from retoucher.api import Findings
from retoucher.data.sample import LabelledRegion, Sample
from retoucher.domain.diagnosis import Diagnosis, Evidence
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.reasoning.embedded_model import shipped_diagnostician


def row(truth: str, said: str, best: str = "hand_shape", part: str = "", **other: float) -> Judged:
    severity = 0 if truth == "no_defect" else 2
    return Judged(
        truth=truth,
        part=part,
        severity=severity,
        said=said,
        said_severity=2,
        best=best,
        share=other.get("share", 0.5),
        defect=other.get("defect", 0.5),
    )


def test_a_summary_tells_named_unknown_and_sound_apart() -> None:
    rows = [
        row("hand_shape", "hand_shape"),
        row("hand_shape", "unknown"),
        row("hand_finger_count", "hand_shape"),
        row("face_feature", "no_defect", best="face_feature"),
        row("no_defect", "object_texture"),
        row("no_defect", "no_defect"),
    ]
    found = summary(rows, "face_feature")
    assert (found["defects"], found["clean parts"]) == (4, 2)
    assert found["accuracy, best category"] == 0.75
    assert found["accuracy, as said"] == 0.25
    assert found["dimension accuracy, best"] == 1.0
    assert found["always the set's most frequent"] == 0.5
    assert found["always training's most frequent"] == 0.25
    assert found["right when named"] == 0.5
    assert found["clean called defective"] == 0.5
    assert found["defects called sound"] == 0.25
    line = next(x for x in confusion(rows).splitlines() if x.startswith("| hand_shape"))
    assert [c.strip() for c in line.split("|")][2:5] == ["", "1", ""]


def test_parts_are_told_apart_by_the_probability_of_a_defect() -> None:
    rows = [
        row("hand_shape", "unknown", defect=0.7),
        row("hand_shape", "unknown", defect=0.3),
        row("face_feature", "unknown", defect=0.9),
        row("no_defect", "unknown", part="hand", defect=0.5),
        row("no_defect", "unknown", part="text", defect=0.1),
    ]
    found = summary(rows, None)
    assert found["AUC, defective against clean hands"] == 0.5
    assert found["AUC, defective against clean parts"] == pytest.approx(5 / 6)
    assert "AUC, defective against clean faces" not in found


def test_looks_alone_read_nothing_and_measure_no_hands() -> None:
    assert NothingRead().judge(np.zeros((8, 8, 3), np.uint8), 'a sign "A"').units == ()
    model = shipped_diagnostician()
    assert model.hand_h.any()
    assert not without_hands(model).hand_h.any()


def test_evidence_decides_what_was_likeliest() -> None:
    looks = Evidence(kind="looks", data={"category": "limb_shape", "share": 0.4, "defect": 0.8})
    spoken = Diagnosis(
        region_id="r",
        category="unknown",
        severity=1,
        description="",
        confidence=0.8,
        evidence=(looks,),
    )
    judged = _judged("limb_shape", "", 2, spoken)
    assert (judged.best, judged.share, judged.defect) == ("limb_shape", 0.4, 0.8)


def test_regions_count_where_they_lie() -> None:
    corner = Box(0, 0, 40, 40)
    sample = Sample(
        id="s",
        picture=np.zeros((100, 100, 3), np.uint8),
        width=100,
        height=100,
        regions=(LabelledRegion(box=corner, category="hand_shape", severity=1, description=""),),
    )
    boxes = [Box(20, 20, 60, 60), Box(60, 60, 90, 90), Box(0, 0, 30, 30)]
    said = ["hand_finger_count", "hand_shape", "hand_shape"]

    class Looker:
        def find(self, image: np.ndarray, *, prompt: str) -> Findings:
            regions = tuple(Region.from_box(b, id=str(i)) for i, b in enumerate(boxes))
            diagnoses = tuple(
                Diagnosis(region_id=r.id, category=c, severity=2, description="", confidence=1.0)
                for r, c in zip(regions, said, strict=True)
            )
            return Findings(
                picture=None,  # type: ignore[arg-type]
                prompt=prompt,
                prompt_source="",
                saliency=None,  # type: ignore[arg-type]
                regions=regions,
                diagnoses=diagnoses,
                agents=(),
            )

    found = look_for_regions(Looker(), sample)  # type: ignore[arg-type]
    assert [f.on_mark for f in found] == [True, False, True]
    clean = Sample(id="c", picture=sample.picture, width=100, height=100)
    figures = end_to_end(
        [(sample, found), (clean, [Found(on_mark=False, said="unknown", marks=())])]
    )
    assert figures["on a mark, category right"] == 1
    assert figures["on a mark, dimension right"] == 2
    assert figures["off the marks, category named"] == 1
    assert (figures["clean pictures"], figures["clean pictures with a defect named"]) == (1, 0)


@pytest.mark.parametrize("said", ["hand_shape", "no_defect"])
def test_without_looks_the_diagnosis_itself_counts(said: str) -> None:
    spoken = Diagnosis(
        region_id="r", category=said, severity=2 if said != "no_defect" else 0,
        description="", confidence=0.7,
    )  # fmt: skip
    assert _judged("hand_shape", "", 2, spoken).defect == pytest.approx(
        0.7 if said != "no_defect" else 0.3
    )
