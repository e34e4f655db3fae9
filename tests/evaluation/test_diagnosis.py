"""Figures on diagnoses, against cases worked out by hand."""

from __future__ import annotations

import math

import pytest

from retoucher.evaluation.diagnosis import (
    accuracy,
    dimension,
    expected_calibration_error,
    macro_f1,
)


def test_accuracy_and_dimension() -> None:
    truth, said = (
        ["hand_shape", "limb_count", "text_wrong"],
        ["hand_finger_count", "limb_count", "unknown"],
    )
    assert accuracy(truth, said) == pytest.approx(1 / 3)
    assert accuracy([*map(dimension, truth)], [*map(dimension, said)]) == pytest.approx(2 / 3)
    assert dimension("no_defect") == "no_defect"
    assert math.isnan(accuracy([], []))
    with pytest.raises(ValueError, match="zip"):
        accuracy(["a"], [])


def test_macro_f1_weighs_every_true_category_alike() -> None:
    # a: 8 of 8 found, 1 false -> 16/17; b: never said -> 0; c is no truth and only costs precision.
    truth, said = ["a"] * 8 + ["b"] * 2, ["a"] * 9 + ["c"]
    assert macro_f1(truth, said) == pytest.approx((16 / 17 + 0) / 2)
    assert math.isnan(macro_f1([], []))


def test_calibration_error_is_the_mean_gap_by_bins() -> None:
    # Bin 0.2: two of 0.25, one right: gap 0.25; last bin: 1.0 right, 0.95 wrong: gap |0.975 - 0.5|.
    found = expected_calibration_error([0.25, 0.25, 1.0, 0.95], [True, False, True, False])
    assert found == pytest.approx((2 * 0.25 + 2 * 0.475) / 4)
    assert expected_calibration_error([0.0, 1.0], [False, True]) == 0.0
    assert math.isnan(expected_calibration_error([], []))
