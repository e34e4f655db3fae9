from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from retoucher.data.sample import LabelledRegion, Sample
from retoucher.data.targets import saliency_target
from retoucher.data.transform import crop_sample, mirror_sample, resize_sample
from retoucher.domain.geometry import Box
from tests.data.scenes import drawn_sample


def labelled() -> Sample:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 20:60] = True
    regions = (
        LabelledRegion(box=Box(100, 100, 180, 160), category="hand_shape", mask_hw=mask),
        LabelledRegion(box=Box(220, 60, 300, 150), category="face_feature", severity=3),
    )
    return replace(drawn_sample(), regions=regions)


def test_picture_and_target_go_through_the_same_crop() -> None:
    whole, window = labelled(), Box(90, 50, 330, 210)
    cut = crop_sample(whole, window)
    np.testing.assert_array_equal(cut.load_rgb(), whole.load_rgb()[window.slices])
    difference = np.abs(saliency_target(cut) - saliency_target(whole)[window.slices])
    assert difference.max() < 1e-5
    assert len(cut.regions) == 2


def test_a_resized_crop_keeps_its_labels_in_place() -> None:
    whole, window = labelled(), Box(90, 50, 330, 210)
    cut = crop_sample(whole, window, (480, 320))
    assert cut.load_rgb().shape == (320, 480, 3)
    large = saliency_target(cut)
    expected = saliency_target(whole)[window.slices]
    np.testing.assert_allclose(large[::2, ::2].mean(), expected.mean(), rtol=0.05)
    face = next(p for p in cut.clean_parts if p.points_xy is not None and p.part == "face")
    original = whole.clean_parts[1]
    assert face.points_xy is not None
    assert original.points_xy is not None
    np.testing.assert_allclose(face.points_xy, (original.points_xy - (90, 50)) * 2)


def test_a_region_that_is_mostly_cut_away_is_dropped() -> None:
    cut = crop_sample(labelled(), Box(0, 0, 125, 420))
    assert not cut.regions
    kept = crop_sample(labelled(), Box(0, 0, 125, 420), min_visible_share=0.05)
    assert [r.category for r in kept.regions] == ["hand_shape"]
    assert kept.regions[0].box.x1 == 125


def test_a_window_outside_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="not inside"):
        crop_sample(labelled(), Box(0, 0, 600, 100))


def test_mirroring_twice_changes_nothing() -> None:
    whole = labelled()
    once = mirror_sample(whole)
    target = saliency_target(once)
    assert np.abs(target - saliency_target(whole)[:, ::-1]).max() < 1e-5
    twice = mirror_sample(once)
    np.testing.assert_array_equal(twice.load_rgb(), whole.load_rgb())
    for a, b in zip(twice.clean_parts, whole.clean_parts, strict=True):
        assert a.box == b.box
        if b.points_xy is not None:
            assert a.points_xy is not None
            np.testing.assert_allclose(a.points_xy, b.points_xy, atol=1e-3)


def test_a_saliency_map_of_its_own_size_is_cut_alike() -> None:
    heat = np.zeros((42, 52), np.float32)
    heat[10:20, 30:40] = 1
    whole = replace(drawn_sample(), saliency_hw=heat)
    window = Box(250, 50, 450, 250)
    cut = crop_sample(whole, window, (200, 200))
    assert cut.saliency_hw is not None
    assert np.abs(cut.saliency_hw - saliency_target(whole)[window.slices]).mean() < 0.02
    assert resize_sample(whole, (260, 210)).load_rgb().shape == (210, 260, 3)
