"""The verifier keeps what is better and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from retoucher.agents import RgbArray, VerifyRequest
from retoucher.domain.diagnosis import Diagnosis, Evidence
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo
from retoucher.domain.verdict import Verdict
from retoucher.testing import ScriptedPerceiver, ScriptedReasoner, saliency_of_boxes
from retoucher.verification.improvement import ImprovementVerifier, VerifySettings

H, W = 60, 80
BOX, ELSEWHERE = Box(20, 20, 50, 40), Box(60, 5, 75, 15)
WRONG = Diagnosis(
    region_id="r1",
    category="text_wrong",
    severity=2,
    description="-",
    confidence=0.9,
    evidence=(
        Evidence(kind="lettering", data={"read": "OPNE"}),
        Evidence(kind="intended_text", data={"read": "OPNE", "intended": "Open"}),
    ),
)
FINE = replace(WRONG, category="no_defect", severity=0, evidence=())


class OneAnswer:
    """A reasoner that always says the same."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        self.diagnosis = diagnosis

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="reasoner", name="one", version="0")

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        return tuple(replace(self.diagnosis, region_id=region.id) for region in regions)


def reading(text: str) -> Diagnosis:
    return replace(FINE, evidence=(Evidence(kind="lettering", data={"read": text}),))


def smooth() -> RgbArray:
    return np.full((H, W, 3), 120, np.uint8)


def judge(
    after: SaliencyMap,
    then: Diagnosis,
    *,
    before: SaliencyMap | None = None,
    diagnosis: Diagnosis = WRONG,
    after_rgb: RgbArray | None = None,
) -> Verdict:
    verifier = ImprovementVerifier(
        ScriptedPerceiver([after]), OneAnswer(then), threshold=0.4, settings=VerifySettings()
    )
    return verifier.verify(asked(after_rgb, before=before, diagnosis=diagnosis))


def asked(
    after_rgb: RgbArray | None,
    *,
    before: SaliencyMap | None = None,
    diagnosis: Diagnosis = WRONG,
) -> VerifyRequest:
    edited = smooth()
    edited[BOX.slices] = 122
    return VerifyRequest(
        before_rgb=smooth(),
        after_rgb=edited if after_rgb is None else after_rgb,
        region=Region.from_box(BOX, id="r1"),
        diagnosis=diagnosis,
        changed_box=BOX,
        prompt="",
        saliency_before=before or saliency_of_boxes(H, W, [BOX]),
        tool="t",
    )


def test_a_real_repair_is_kept() -> None:
    verdict = judge(SaliencyMap.zeros(H, W), reading("OPEN!"))
    assert verdict.accepted
    assert verdict.reason == "text_wrong is gone"
    assert verdict.score_before == pytest.approx(0.9)
    assert verdict.score_after == 0.0
    assert all(check.passed for check in verdict.checks)


@pytest.mark.parametrize("read", ["OPNE", "OPE", "OPENS", "RE-OPENED", ""])
def test_other_words_than_intended_are_rolled_back(read: str) -> None:
    verdict = judge(SaliencyMap.zeros(H, W), reading(read))
    assert not verdict.accepted
    assert "it should read 'Open'" in verdict.reason


def test_old_words_that_still_stand_are_rolled_back() -> None:
    was = Evidence(kind="intended_text", data={"read": "nrg OPNE", "intended": "Open"})
    diagnosis = replace(WRONG, evidence=(was,))
    verdict = judge(SaliencyMap.zeros(H, W), reading("nrg OPEN"), diagnosis=diagnosis)
    assert not verdict.accepted
    assert "'nrg' of the old lettering is still there" in verdict.reason


def test_saliency_must_fall_by_the_margin() -> None:
    verdict = judge(saliency_of_boxes(H, W, [BOX], 0.85), reading("OPEN"))
    assert not verdict.accepted
    assert "saliency" in verdict.reason


def test_a_new_defect_elsewhere_is_rolled_back() -> None:
    verdict = judge(saliency_of_boxes(H, W, [ELSEWHERE]), reading("OPEN"))
    assert not verdict.accepted
    assert "newly stand out" in verdict.reason


def test_an_old_defect_elsewhere_does_not_count_against_an_edit() -> None:
    before = saliency_of_boxes(H, W, [BOX, ELSEWHERE])
    verdict = judge(saliency_of_boxes(H, W, [ELSEWHERE]), reading("OPEN"), before=before)
    assert verdict.accepted


def test_the_diagnosis_must_be_gone_or_milder() -> None:
    same = replace(WRONG, evidence=reading("OPEN").evidence)
    assert not judge(SaliencyMap.zeros(H, W), same).accepted
    assert judge(SaliencyMap.zeros(H, W), replace(same, severity=1)).accepted


def test_where_reasoning_cannot_judge_perception_alone_decides() -> None:
    unknown = replace(WRONG, category="unknown", evidence=())
    verdict = judge(SaliencyMap.zeros(H, W), unknown, diagnosis=unknown)
    assert verdict.accepted
    assert verdict.reason == "the region's saliency fell: 0.90 to 0.00"


def test_where_neither_can_judge_nothing_is_kept() -> None:
    unknown = replace(WRONG, category="unknown", evidence=())
    nothing = SaliencyMap.zeros(H, W)
    for known in (unknown, replace(unknown, category="hand_shape")):
        verdict = judge(nothing, unknown, before=nothing, diagnosis=known)
        assert not verdict.accepted
        assert "neither perception nor reasoning can tell" in verdict.reason


def test_a_defect_that_only_moved_inside_the_region_counts_in_full() -> None:
    left, right = Box(20, 20, 30, 40), Box(40, 20, 50, 40)
    before, after = saliency_of_boxes(H, W, [left]), saliency_of_boxes(H, W, [right])
    verdict = judge(after, reading("OPEN"), before=before)
    assert not verdict.accepted
    assert verdict.score_after == pytest.approx(0.9)


def test_a_small_fall_of_a_high_score_is_not_enough() -> None:
    assert not judge(saliency_of_boxes(H, W, [BOX], 0.7), reading("OPEN")).accepted
    assert judge(saliency_of_boxes(H, W, [BOX], 0.5), reading("OPEN")).accepted


def test_an_edit_that_the_pixels_rule_out_is_not_looked_at() -> None:
    edited = smooth()
    edited[BOX.slices] = 220
    perceiver = ScriptedPerceiver([SaliencyMap.zeros(H, W)])
    verifier = ImprovementVerifier(
        perceiver, OneAnswer(FINE), threshold=0.4, settings=VerifySettings()
    )
    verdict = verifier.verify(asked(edited))
    assert not verdict.accepted
    assert verdict.score_after == verdict.score_before
    assert perceiver.calls == []


def test_judges_that_did_not_find_the_defect_look_at_the_picture_before_once() -> None:
    """What others saw (nothing, here) does not count; candidates share the look before."""
    perceiver = ScriptedPerceiver(
        [saliency_of_boxes(H, W, [BOX]), SaliencyMap.zeros(H, W), SaliencyMap.zeros(H, W)]
    )
    hand = replace(WRONG, category="hand_shape", evidence=())
    reasoner = ScriptedReasoner([("hand_shape", 3), ("no_defect", 0)])
    verifier = ImprovementVerifier(
        perceiver, reasoner, threshold=0.4, settings=VerifySettings(), found_by_others=True
    )
    first = asked(None, before=SaliencyMap.zeros(H, W), diagnosis=hand)
    for request in (first, replace(first, after_rgb=first.after_rgb.copy())):
        verdict = verifier.verify(request)
        assert verdict.accepted
        assert verdict.score_before == pytest.approx(0.9)
        assert verdict.reason == "hand_shape is gone"
    assert len(perceiver.calls) == 3
    assert verifier.info.settings["found_by_others"] is True


def test_a_visible_seam_is_rolled_back() -> None:
    edited = smooth()
    edited[BOX.slices] = 220
    verdict = judge(SaliencyMap.zeros(H, W), reading("OPEN"), after_rgb=edited)
    assert not verdict.accepted
    assert "seam" in verdict.reason


def test_where_perception_saw_nothing_saliency_must_not_rise() -> None:
    nothing = SaliencyMap.zeros(H, W)
    assert judge(nothing, reading("OPEN"), before=nothing).accepted
    risen = saliency_of_boxes(H, W, [BOX], 0.05)
    assert not judge(risen, reading("OPEN"), before=nothing).accepted


def test_what_asking_for_a_verdict_took_stands_in_it() -> None:
    usage = Evidence(kind="vlm_usage", data={"requests": 1, "prompt_tokens": 70})
    raw = Evidence(kind="vlm_reply", data={"replies": ["?"]})
    said = replace(FINE, evidence=(usage, Evidence(kind="looks", data={}), raw))
    judged = judge(SaliencyMap.zeros(H, W), said, diagnosis=replace(WRONG, evidence=()))
    assert judged.evidence == (usage, raw)
    others = ImprovementVerifier(
        ScriptedPerceiver([saliency_of_boxes(H, W, [BOX]), SaliencyMap.zeros(H, W)]),
        OneAnswer(replace(WRONG, evidence=(usage,))),
        threshold=0.4,
        settings=VerifySettings(),
        found_by_others=True,
    )
    request = asked(None)
    # Judges of their own look at the picture before the edit once, for all candidates.
    assert [others.verify(request).evidence for _ in range(2)] == [(usage, usage), (usage,)]


def test_what_the_pixels_rule_out_is_asked_nobody() -> None:
    spoiled = smooth()
    spoiled[BOX.slices] = 250
    assert judge(SaliencyMap.zeros(H, W), FINE, after_rgb=spoiled).evidence == ()
