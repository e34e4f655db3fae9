from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from retoucher.data.sample import LabelledRegion
from retoucher.data.synthetic.augment import NO_AUGMENT, AugmentSettings, augment
from retoucher.data.synthetic.benign import BENIGN, benign_edit
from retoucher.data.synthetic.make import (
    SyntheticSettings,
    make_benign,
    make_pair,
    make_sample,
    possible_categories,
)
from retoucher.data.synthetic.words import SIGN_WORDS, misspelled
from retoucher.domain.geometry import Box
from retoucher.domain.taxonomy import taxonomy
from retoucher.errors import InputError
from tests.data.scenes import FACE, HAND, drawn_rgb, drawn_sample

PLAIN = SyntheticSettings(augment=NO_AUGMENT, other_edits=0, twin_edit=0, max_defects=1)


@pytest.mark.parametrize("category", list(taxonomy()))
def test_a_pair_differs_in_its_defect_only(category: str) -> None:
    sample = drawn_sample()
    for seed in range(3):
        pair = make_pair(np.random.default_rng(seed), sample, category, PLAIN)
        assert pair is not None
        (region,) = pair.defect.regions
        assert region.category == category
        assert region.mask_hw is not None
        assert region.description
        assert pair.defect.prompt == pair.twin.prompt
        assert not pair.twin.regions
        before, after = pair.twin.load_rgb(), pair.defect.load_rgb()
        far = np.ones(before.shape[:2], np.uint8)
        inside = np.zeros(before.shape[:2], np.uint8)
        inside[region.box.slices] = region.mask_hw
        far[cv2.dilate(inside, np.ones((3, 3), np.uint8), iterations=40) > 0] = 0
        change = np.abs(before.astype(int) - after).max(axis=2)
        assert change[far > 0].max(initial=0) <= 12
        assert change[inside > 0].mean() > 4


def test_same_state_same_pair_and_another_state_another() -> None:
    sample = drawn_sample()
    a, b, c = (make_pair(np.random.default_rng(s), sample) for s in (4, 4, 5))
    assert a is not None
    assert b is not None
    assert c is not None
    np.testing.assert_array_equal(a.defect.load_rgb(), b.defect.load_rgb())
    np.testing.assert_array_equal(a.twin.load_rgb(), b.twin.load_rgb())
    assert a.defect.id == b.defect.id
    assert not np.array_equal(a.defect.load_rgb(), c.defect.load_rgb())


def test_a_spoiled_part_is_clean_in_the_twin_only() -> None:
    pair = make_pair(np.random.default_rng(0), drawn_sample(), "hand_shape", PLAIN)
    assert pair is not None
    assert HAND in [p.box for p in pair.twin.clean_parts]
    assert HAND not in [p.box for p in pair.defect.clean_parts]
    assert FACE in [p.box for p in pair.defect.clean_parts]


def test_regions_that_were_there_stay_in_both() -> None:
    old = LabelledRegion(box=Box(480, 380, 510, 410), category="unknown")
    pair = make_pair(
        np.random.default_rng(0), replace(drawn_sample(), regions=(old,)), settings=PLAIN
    )
    assert pair is not None
    assert pair.twin.regions == (old,)
    assert pair.defect.regions[0] is old
    assert len(pair.defect.regions) == 2


def test_several_defects_do_not_overlap() -> None:
    settings = replace(PLAIN, extra_defect=1.0, max_defects=4)
    pair = make_pair(np.random.default_rng(3), drawn_sample(), settings=settings)
    assert pair is not None
    boxes = [r.box for r in pair.defect.regions]
    assert len(boxes) >= 3
    assert len(pair.generators) == len(boxes)


def test_a_twin_may_carry_the_defects_border() -> None:
    edited = replace(PLAIN, twin_edit=1.0)
    sample = drawn_sample()
    pair = make_pair(np.random.default_rng(2), sample, "hand_shape", edited)
    assert pair is not None
    change = np.abs(pair.twin.load_rgb().astype(int) - sample.load_rgb()).max(axis=2)
    inside = np.zeros(change.shape, bool)
    inside[pair.defect.regions[0].box.slices] = True
    assert (change[inside] > 0).mean() > 0.2
    spoiled = np.abs(pair.defect.load_rgb().astype(int) - sample.load_rgb()).max(axis=2)
    assert change[inside].mean() < spoiled[inside].mean()


def test_nothing_to_spoil_is_none_and_a_wrong_category_an_error() -> None:
    flat = np.full((120, 36, 3), 128, np.uint8)
    empty = replace(drawn_sample(), picture=flat, width=36, height=120, clean_parts=())
    assert possible_categories(empty) == ()
    assert make_pair(np.random.default_rng(0), empty) is None
    assert make_sample(np.random.default_rng(0), drawn_sample(), "hand_shape") is not None
    with pytest.raises(InputError, match="unknown category 'paw'"):
        make_pair(np.random.default_rng(0), drawn_sample(), "paw")


def test_harmless_edits_add_no_label() -> None:
    sample = drawn_sample()
    edited = make_benign(np.random.default_rng(1), sample, PLAIN)
    assert edited.regions == ()
    assert edited.clean_parts == sample.clean_parts
    assert not np.array_equal(edited.load_rgb(), sample.load_rgb())


@pytest.mark.parametrize("edit", BENIGN, ids=[b.__name__ for b in BENIGN])
def test_a_harmless_edit_keeps_every_edge_where_it_was(edit) -> None:
    crop = drawn_rgb()[FACE.slices].astype(np.float32)
    grey = cv2.GaussianBlur(crop.mean(axis=2), (0, 0), 4)
    for seed in range(6):
        out = edit(np.random.default_rng(seed), crop)
        assert out.shape == crop.shape
        assert out.dtype == np.float32
        assert not np.array_equal(out, crop)
        after = cv2.GaussianBlur(out.mean(axis=2), (0, 0), 4)
        assert np.corrcoef(grey.ravel(), after.ravel())[0, 1] > 0.93


def test_a_harmless_edit_stays_inside_its_border() -> None:
    crop = drawn_rgb()[HAND.slices].astype(np.float32)
    border = np.zeros(crop.shape[:2], np.float32)
    border[40:80, 30:60] = 1
    out = benign_edit(np.random.default_rng(0), crop, border)
    np.testing.assert_array_equal(out[border == 0], crop[border == 0])
    assert np.abs(out - crop)[border == 1].mean() > 0.1


def test_global_changes_depend_on_the_seed_alone() -> None:
    rgb = drawn_rgb()
    settings = AugmentSettings()
    np.testing.assert_array_equal(augment(3, rgb, settings), augment(3, rgb, settings))
    assert not np.array_equal(augment(3, rgb, settings), augment(4, rgb, settings))
    np.testing.assert_array_equal(augment(3, rgb, NO_AUGMENT), rgb)
    other = rgb.copy()
    other[:50] = 0
    noisy = AugmentSettings(noise=1, jpeg=0, resize=0, blur=0, colour=0, grey=0, sharpen=0)
    a, b = augment(7, rgb, noisy), augment(7, other, noisy)
    np.testing.assert_array_equal(a[50:], b[50:])


def test_a_misspelling_is_never_the_word() -> None:
    rng = np.random.default_rng(0)
    for word in SIGN_WORDS:
        wrong = misspelled(rng, word)
        assert wrong != word
        assert abs(len(wrong) - len(word)) <= 3


def test_unknown_categories_in_the_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown categories paw"):
        SyntheticSettings(category_weights={"paw": 1.0})
