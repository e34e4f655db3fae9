import math

import numpy as np
import pytest
from lettering_score import (
    character_error_rate,
    detection,
    ink_left,
    plain,
    quad_mask,
    rectified,
    surroundings_changed,
    unit_fate,
    wilson,
)
from lettering_set import Sample, Unit

from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region


def _square(x0, y0, x1, y1):
    return ((x0, y0), (x1, y0), (x1, y1), (x0, y1))


def _unit(kind, quad, intended="BAKERY"):
    return Unit(
        kind=kind, drawn="BAKREY", intended=intended, quad_xy=quad,
        wrong_quads_xy=() if kind == "clean" else (quad,), wrong_words=(), cap_px=20.0,
        family="Any", name=False,
    )  # fmt: skip


def _sample(*units):
    return Sample(
        id="s", split="dev", file="s.png", twin="t.png", prompt="", prompt_kind="empty",
        background="generated/x", look="generated", units=units,
    )  # fmt: skip


def _region(box, name="r1"):
    return Region.from_box(Box(*box), id=name)


def _diagnosis(category="text_wrong", name="r1"):
    return Diagnosis(
        region_id=name, category=category, severity=0 if category == "no_defect" else 2,
        description="", confidence=0.9,
    )  # fmt: skip


WRONG = _unit("misspelled", _square(10, 10, 50, 20))
CLEAN = _unit("clean", _square(10, 40, 50, 50))


@pytest.mark.parametrize(
    ("box", "found", "right", "false"),
    [
        ((10, 10, 51, 21), "text_wrong", 1, 0),
        ((10, 10, 32, 21), "text_wrong", 1, 0),  # a little more than half of it
        ((10, 10, 26, 21), None, 1, 0),  # on it, but too little to call it found
        ((60, 60, 80, 70), None, 0, 1),
        ((0, 0, 100, 100), "text_wrong", 1, 0),  # the whole picture does cover it
    ],
)
def test_detection_by_coverage(box, found, right, false):
    seen = detection(_sample(WRONG, CLEAN), [_region(box)], [_diagnosis()], (100, 100))
    assert (seen.found[0], seen.right, seen.false) == (found, right, false)


def test_a_clean_unit_is_flagged_only_by_a_wrong_region():
    hit = detection(_sample(WRONG, CLEAN), [_region((8, 38, 52, 52))], [_diagnosis()], (100, 100))
    assert hit.flagged == (False, True)
    fine = detection(
        _sample(WRONG, CLEAN), [_region((8, 38, 52, 52))], [_diagnosis("no_defect")], (100, 100)
    )
    assert fine.flagged == (False, False)
    assert fine.false == 0


def test_two_regions_may_cover_a_unit_together():
    regions = [_region((10, 10, 24, 21), "r1"), _region((34, 10, 51, 21), "r2")]
    diagnoses = [_diagnosis("text_wrong", "r1"), _diagnosis("text_garbled", "r2")]
    seen = detection(_sample(WRONG), regions, diagnoses, (100, 100))
    assert seen.found == ("text_garbled",)


@pytest.mark.parametrize(
    ("read", "intended", "rate"),
    [
        ("Bakery", "BAKERY", 0.0),
        ("bak-ery!", "Bakery", 0.0),
        ("BAKREY", "BAKERY", 2 / 6),
        ("", "BAKERY", 1.0),
        ("BAKEERY", "BAKERY", 1 / 6),
        ("abcdefghijkl", "xyz", 4.0),
    ],
)
def test_character_error_rate(read, intended, rate):
    assert character_error_rate(read, intended) == pytest.approx(rate)


def test_plain_drops_case_space_and_marks():
    assert plain("Est. 1897 & Sons") == "est1897sons"


def test_wilson_against_published_values():
    # Newcombe 1998, table I: 81/263 and 0/20, method 3.
    p, low, high = wilson(81, 263)
    assert (round(p, 4), round(low, 4), round(high, 4)) == (0.3080, 0.2553, 0.3662)
    assert [round(v, 4) for v in wilson(0, 20)] == [0.0, 0.0, 0.1611]
    assert all(math.isnan(v) for v in wilson(0, 0))


@pytest.mark.parametrize(
    ("facts", "fate"),
    [
        ((True, False, False, True, "BAKERY", 0.9, 1.0), "repaired"),
        ((True, False, True, True, "BAKEY", 0.9, 1.0), "changed, still wrong"),
        ((True, False, False, True, "", 0.0, 0.1), "removed"),
        ((True, False, False, True, "xv qw", 0.2, 0.1), "removed"),
        ((True, False, False, True, "", 0.0, 0.6), "changed, still wrong"),
        ((True, True, True, False, "BAKREY", 0.9, 1.0), "rolled back"),
        ((True, True, False, False, "BAKREY", 0.9, 1.0), "tool failed"),
        ((True, False, False, False, "BAKREY", 0.9, 1.0), "left"),
        ((False, False, False, False, "BAKERY", 0.9, 1.0), "missed"),
    ],
)
def test_fate(facts, fate):
    found, failed, rolled_back, accepted, read, confidence, left = facts
    assert fate == unit_fate(
        WRONG,
        found=found,
        failed=failed,
        rolled_back=rolled_back,
        accepted=accepted,
        read=read,
        confidence=confidence,
        ink_left=left,
    )


def test_rectified_shows_the_line_upright():
    image = np.zeros((100, 100, 3), np.uint8)
    quad = ((80.0, 10.0), (80.0, 90.0), (60.0, 90.0), (60.0, 10.0))  # written downwards
    image[10:90, 60:80] = 255
    image[10:30, 60:80] = (255, 0, 0)  # its first letters
    strip = rectified(image, _unit("clean", quad), 64)
    assert strip.shape[0] == 64
    assert strip.shape[1] > 64
    row = strip[32]
    inked = np.flatnonzero(row[:, 0] > 128)
    assert row[inked[0] + 2, 2] < 64  # begins red
    assert row[inked[-1] - 2, 2] > 192  # ends white


def _page(ink=None, stripe=None):
    page = np.full((100, 100, 3), 200, np.uint8)
    if ink is not None:
        page[12:18, 12:48:4] = ink
    if stripe is not None:
        page[stripe] = 40
    return page


def test_ink_left_is_the_share_that_still_stands_out():
    assert ink_left(_page(20), _page(20), WRONG) == pytest.approx(1.0)
    assert ink_left(_page(20), _page(), WRONG) == pytest.approx(0.0, abs=0.01)
    assert ink_left(_page(20), _page(110), WRONG) == pytest.approx(0.5, abs=0.05)


def test_surroundings_lie_above_and_below_the_line():
    nothing = np.zeros((100, 100), bool)

    def share(stripe, others=nothing):
        return surroundings_changed(_page(), _page(stripe=stripe), WRONG, others)

    assert surroundings_changed(_page(20), _page(90), WRONG, nothing) == 0.0  # its own ink
    below = slice(22, 24)
    assert 0.1 < share(below) < 0.4
    assert share((slice(10, 20), slice(52, 54))) == 0.0  # beside it
    assert share(slice(40, 42)) == 0.0  # too far away
    assert share(below, ~nothing) == 0.0


def test_quad_mask_counts_pixels():
    mask = quad_mask([_square(10, 10, 19, 14)], (30, 30))
    assert mask.sum() == 10 * 5
