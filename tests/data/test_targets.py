from __future__ import annotations

import cv2
import numpy as np
import pytest

from retoucher.data.sample import LabelledRegion, Sample
from retoucher.data.targets import TargetSettings, saliency_target
from retoucher.domain.geometry import Box


def sample(*regions: LabelledRegion, width: int = 200, height: int = 120) -> Sample:
    picture = np.zeros((height, width, 3), np.uint8)
    return Sample(id="a", picture=picture, width=width, height=height, regions=regions)


def box(*xyxy: int, severity: int = 2) -> LabelledRegion:
    return LabelledRegion(box=Box(*xyxy), category="hand_shape", severity=severity)


def test_nothing_marked_is_zero_everywhere() -> None:
    target = saliency_target(sample())
    assert target.shape == (120, 200)
    assert target.dtype == np.float32
    assert not target.any()


@pytest.mark.parametrize("severity", [1, 2, 3])
def test_the_peak_is_the_weight_of_the_severity(severity: int) -> None:
    weights = (0.3, 0.7, 0.9)
    settings = TargetSettings(severity_weights=weights)
    target = saliency_target(sample(box(40, 30, 120, 80, severity=severity)), settings=settings)
    assert target.max() == pytest.approx(weights[severity - 1], abs=1e-5)
    assert np.unravel_index(target.argmax(), target.shape)[0] in range(30, 80)


def test_a_box_is_full_at_its_middle_and_fades_at_its_corners() -> None:
    target = saliency_target(sample(box(40, 30, 120, 80)))
    middle, corner, edge = target[55, 80], target[31, 41], target[55, 41]
    assert middle == pytest.approx(0.8, abs=0.02)
    assert corner < edge < 0.75 * middle
    assert target[55, 150] < 0.01


def test_a_mask_marks_its_own_shape() -> None:
    mask = np.zeros((50, 80), bool)
    mask[:, :30] = True
    region = LabelledRegion(box=Box(40, 30, 120, 80), category="unknown", mask_hw=mask)
    target = saliency_target(sample(region))
    assert target[55, 55] > 0.7
    assert target[55, 105] < 0.05


def test_overlapping_marks_join_by_maximum_in_any_order() -> None:
    a, b = box(20, 20, 100, 90, severity=1), box(60, 40, 160, 100, severity=3)
    both, swapped = saliency_target(sample(a, b)), saliency_target(sample(b, a))
    single = np.maximum(saliency_target(sample(a)), saliency_target(sample(b)))
    np.testing.assert_array_equal(both, single)
    np.testing.assert_array_equal(both, swapped)


def test_a_small_map_is_the_large_one_reduced() -> None:
    mask = np.zeros((50, 80), bool)
    mask[10:40, 20:70] = True
    masked = LabelledRegion(box=Box(100, 60, 180, 110), category="unknown", mask_hw=mask)
    whole = sample(box(10, 10, 80, 60), masked)
    small = saliency_target(whole, (30, 50))
    reduced = cv2.resize(saliency_target(whole), (50, 30), interpolation=cv2.INTER_AREA)
    assert np.abs(small - reduced).max() < 0.17
    assert np.abs(small - reduced).mean() < 0.01
    assert small.sum() == pytest.approx(reduced.sum(), rel=0.06)


def test_a_speck_still_marks_one_pixel_of_a_coarse_map() -> None:
    target = saliency_target(sample(box(101, 61, 103, 63)), (15, 25))
    assert target.max() == pytest.approx(0.8, abs=1e-5)
    assert np.unravel_index(target.argmax(), target.shape) == (7, 12)


def test_boxes_at_the_border_and_outside_do_no_harm() -> None:
    target = saliency_target(sample(box(-20, -10, 30, 40), box(195, 100, 240, 160)))
    assert target.max() <= 0.8 + 1e-5
    assert target[0, 0] > 0.3
    assert not saliency_target(sample(box(400, 400, 420, 420))).any()


def test_a_ground_truth_map_is_resampled_and_joined() -> None:
    heat = np.zeros((6, 10), np.float32)
    heat[0, 0] = 1.0
    whole = sample(box(120, 60, 180, 110))
    whole = Sample(
        id="a",
        picture=whole.picture,
        width=200,
        height=120,
        regions=whole.regions,
        saliency_hw=heat,
    )
    target = saliency_target(whole)
    assert target[0, 0] == 1.0
    assert target[85, 150] > 0.7
    assert target[60, 100] < 0.05
