from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retoucher import recording
from retoucher.domain.events import EditJudged
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.trace import Outcome
from retoucher.imaging.files import read_picture
from retoucher.review import REJECTED, Repair, fallen, settle
from tests.ui.magenta import retoucher, wall

A, B, C = Box(20, 20, 60, 60), Box(120, 40, 160, 90), Box(220, 150, 260, 200)


def run(*boxes: Box, regions: list[Region] | None = None):
    repairs: list[Repair] = []

    def see(event) -> None:
        if isinstance(event, EditJudged) and (repair := Repair.of(event)):
            repairs.append(repair)

    picture = read_picture(wall(*boxes))
    result = retoucher().fix(picture, regions=regions, on_event=see)
    return result, repairs


@pytest.fixture(scope="module")
def three():
    result, repairs = run(A, B, C)
    assert len(repairs) == 3
    return result, repairs


@settings(max_examples=8, deadline=None)
@given(rejected=st.sets(st.integers(0, 2)))
def test_a_rejected_place_gets_its_original_bytes_and_the_others_keep_theirs(three, rejected):
    result, repairs = three
    settled = settle(result, repairs, fallen(repairs, rejected))
    before, after = result.picture.image_rgb, result.image_rgb
    for i, repair in enumerate(repairs):
        box = repair.record.box
        wanted = before if i in rejected else after
        assert np.array_equal(settled.image_rgb[box.slices], wanted[box.slices])
    outside = np.ones(before.shape[:2], bool)
    for repair in repairs:
        outside[repair.record.box.slices] = False
    assert np.array_equal(settled.image_rgb[outside], before[outside])
    assert settled.changed == (len(rejected) < 3)
    assert len(settled.trace.accepted) == 3 - len(rejected)
    assert settled.trace.output_sha256 == recording.pixels_sha256(settled.image_rgb)


def test_the_record_says_that_the_user_rejected_it(three):
    result, repairs = three
    trace = settle(result, repairs, {1}).trace
    (edit,) = [e for e in trace.edits if e.region_id == repairs[1].record.region_id]
    assert edit.outcome is Outcome.ROLLED_BACK
    assert edit.verdict.reason.startswith(REJECTED)
    assert not edit.verdict.accepted
    assert [left.reason for left in trace.left] == [f"fill was {REJECTED}"]
    kept = recording.file_record(trace)["edits"]
    assert len(kept) == 2


def test_rejecting_everything_saves_a_copy_of_the_file(three, tmp_path):
    result, repairs = three
    settled = settle(result, repairs, {0, 1, 2})
    settled.save(tmp_path / "out.png")
    assert (tmp_path / "out.png").read_bytes() == wall(A, B, C)


def test_rejecting_nothing_is_the_result_itself(three):
    result, repairs = three
    assert settle(result, repairs, ()) is result


def test_a_repair_on_top_of_a_rejected_one_goes_with_it():
    under = Region.from_box(Box(20, 20, 80, 80), id="m1")
    over = Region.from_box(Box(60, 60, 120, 120), id="m2")
    far = Region.from_box(Box(200, 150, 260, 200), id="m3")
    result, repairs = run(
        Box(30, 30, 110, 110), Box(210, 160, 240, 190), regions=[under, over, far]
    )
    ids = [r.record.region_id for r in repairs]
    if ids[:2] != ["m1", "m2"]:
        pytest.fail(f"expected both to be repaired, got {ids}")
    assert fallen(repairs, {0}) == {0, 1}
    assert fallen(repairs, {1}) == {1}
    settled = settle(result, repairs, fallen(repairs, {0}))
    for repair in repairs[:2]:
        box = repair.record.box
        assert np.array_equal(settled.image_rgb[box.slices], result.picture.image_rgb[box.slices])
