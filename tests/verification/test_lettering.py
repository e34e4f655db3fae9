"""Lettering: what changed beside a line, what is left of removed strokes, what is read joined."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from retoucher.agents import RgbArray, VerifyRequest
from retoucher.domain.diagnosis import Diagnosis, Evidence, Json
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.errors import ConfigError
from retoucher.verification.lettering import LetteringSettings, lettering_checks, surface_checks

H, W = 120, 220
BOX = Box(10, 30, 210, 90)
QUAD: Json = [[20, 45], [200, 45], [200, 75], [20, 75]]
SETTINGS = LetteringSettings()


def evidence(kind: str, **data: Json) -> Evidence:
    return Evidence(kind=kind, data={"quad_xy": QUAD, **data})


def diagnosis(*found: Evidence, category: str = "text_garbled") -> Diagnosis:
    severity = 0 if category == "no_defect" else 2
    return Diagnosis(
        region_id="r1",
        category=category,
        severity=severity,
        description="-",
        confidence=0.9,
        evidence=found,
    )


def sign(text: str = "", frame: bool = False, ink: int = 40) -> RgbArray:
    rgb = np.full((H, W, 3), 190, np.uint8)
    if frame:
        cv2.rectangle(rgb, (12, 34), (208, 86), (60, 60, 60), 3)
    cv2.putText(rgb, text, (24, 70), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (ink,) * 3, 2, cv2.LINE_AA)
    return rgb


def request(before: RgbArray, after: RgbArray, found: Diagnosis, prompt: str = "") -> VerifyRequest:
    return VerifyRequest(
        before_rgb=before,
        after_rgb=after,
        region=Region.from_box(BOX, id="r1"),
        diagnosis=found,
        changed_box=BOX,
        prompt=prompt,
        saliency_before=SaliencyMap.zeros(H, W),
        tool="t",
    )


KNOWN = diagnosis(
    evidence("lettering", read="BAKREY", defect=0.9, confidence=0.9),
    evidence("intended_text", read="BAKREY", intended="BAKERY"),
)
SMEAR = diagnosis(evidence("lettering", read="ggmn", defect=0.9, confidence=0.4))
NOTHING = diagnosis(category="unknown")


def test_a_frame_that_vanishes_with_the_line_is_seen() -> None:
    framed = sign("BAKREY", frame=True)
    kept = surface_checks(request(framed, sign("BAKERY", frame=True), KNOWN), SETTINGS)
    band, rules = surface_checks(request(framed, sign("BAKERY"), KNOWN), SETTINGS)
    assert all(check.passed for check in kept)
    assert not band.passed
    assert "just above and below the line changed" in band.detail
    assert not rules.passed
    assert rules.detail == "only 0% of the frame or rule at the line is still there"


def test_a_frame_that_was_read_as_part_of_the_line_is_seen_too() -> None:
    """The quad reaches beyond the frame: there is no surface left above and below it."""
    wide: Json = [[10, 32], [210, 32], [210, 88], [10, 88]]
    found = diagnosis(
        Evidence(kind="lettering", data={"quad_xy": wide, "read": "BAKREY"}),
        Evidence(
            kind="intended_text", data={"quad_xy": wide, "read": "BAKREY", "intended": "BAKERY"}
        ),
    )
    band, rules = surface_checks(
        request(sign("BAKREY", frame=True), sign("BAKERY"), found), SETTINGS
    )
    assert band.passed
    assert not rules.passed


def test_joined_letters_are_no_frame_and_an_underline_is_a_rule() -> None:
    joined, underlined = sign("BAKREY"), sign("BAKREY")
    cv2.line(joined, (24, 60), (120, 60), (40, 40, 40), 2)
    checks = surface_checks(request(joined, sign("BAKERY"), KNOWN), SETTINGS)
    assert [check.name for check in checks] == ["line_band"]
    cv2.line(underlined, (22, 82), (180, 82), (40, 40, 40), 2)
    _, rules = surface_checks(request(underlined, sign("BAKERY"), KNOWN), SETTINGS)
    assert not rules.passed


def test_letters_too_large_for_their_line_are_seen() -> None:
    large = sign()
    cv2.putText(large, "BAKERY", (16, 88), cv2.FONT_HERSHEY_SIMPLEX, 1.6, (40,) * 3, 4)
    (check,) = surface_checks(request(sign("BAKREY"), large, KNOWN), SETTINGS)
    assert not check.passed


def test_another_line_right_below_is_no_surface() -> None:
    below: Json = [[20, 78], [200, 78], [200, 108], [20, 108]]
    both = diagnosis(
        *KNOWN.evidence,
        Evidence(kind="lettering", data={"quad_xy": below, "read": "CAEF"}),
        Evidence(kind="intended_text", data={"quad_xy": below, "read": "CAEF", "intended": "CAFE"}),
    )
    before, after = sign("BAKREY"), sign("BAKERY")
    for rgb, word in ((before, "CAEF"), (after, "CAFE")):
        cv2.putText(rgb, word, (24, 103), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (40,) * 3, 2)
    (check,) = surface_checks(request(before, after, both), SETTINGS)
    assert check.passed


def test_no_band_where_the_words_are_unknown() -> None:
    assert surface_checks(request(sign("ggmn"), sign(), SMEAR), SETTINGS) == []


def test_reading_nothing_proves_nothing_where_strokes_are_left() -> None:
    before = sign("ggmn")
    (gone,) = lettering_checks(request(before, sign(), SMEAR), NOTHING, SETTINGS)
    assert gone.passed
    (veil,) = lettering_checks(request(before, sign("ggmn", ink=130), SMEAR), NOTHING, SETTINGS)
    assert not veil.passed
    assert "% of the old strokes' contrast is still there" in veil.detail
    half = before.copy()
    half[:, :55] = 190
    (smeared,) = lettering_checks(request(before, half, SMEAR), NOTHING, SETTINGS)
    assert not smeared.passed


def test_strokes_that_now_read_well_may_stay() -> None:
    fine = diagnosis(
        evidence("lettering", read="gamin", defect=0.0, confidence=0.95), category="no_defect"
    )
    assert lettering_checks(request(sign("ggmn"), sign("gamin"), SMEAR), fine, SETTINGS) == []


@pytest.mark.parametrize(
    ("read", "passed"),
    [
        ("electric company", True),
        ("electriccompany", True),
        ("ELECTRICCOMPANY", True),
        ("electrics", False),
        ("electricc ompany", False),
        ("electriccompuny", False),
    ],
)
def test_a_space_that_is_not_read_does_not_matter(read: str, passed: bool) -> None:
    found = diagnosis(
        evidence("lettering", read="electrlc", defect=0.9, confidence=0.9),
        evidence("lettering", read="company", defect=0.0, confidence=0.9),
        evidence("intended_text", read="electrlc", intended="electric"),
        category="text_wrong",
    )
    after = diagnosis(evidence("lettering", read=read), category="no_defect")
    rgb = sign("x")
    (check,) = lettering_checks(request(rgb, rgb, found), after, SETTINGS)
    assert check.passed is passed
    only = replace(found, evidence=found.evidence[::2])
    asked = request(rgb, rgb, only, prompt='a sign "Electric Company"')
    (check,) = lettering_checks(asked, after, SETTINGS)
    assert check.passed is passed


def test_other_defects_have_no_lettering_checks() -> None:
    hand = diagnosis(category="hand_shape")
    rgb = sign()
    assert lettering_checks(request(rgb, rgb, hand), hand, SETTINGS) == []
    assert surface_checks(request(rgb, rgb, hand), SETTINGS) == []


def test_evidence_without_a_usable_place_is_left_out() -> None:
    bad = diagnosis(
        Evidence(kind="lettering", data={"read": "ggmn", "quad_xy": "nonsense"}),
        Evidence(kind="lettering", data={"read": "ggmn"}),
    )
    (check,) = lettering_checks(request(sign("ggmn"), sign(), bad), NOTHING, SETTINGS)
    assert check.passed


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="ink_left"):
        LetteringSettings(ink_left=0.0)
