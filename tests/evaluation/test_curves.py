"""Curves of maps whose curves are known, and what is drawn of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retoucher.evaluation.baselines import quad_map, uniform_map
from retoucher.evaluation.curves import FALSE_RATES, THRESHOLDS, CurveTally, draw_curves
from retoucher.evaluation.metrics import auc_judd
from retoucher.evaluation.perception import evaluate, truth_map
from tests.evaluation.test_perception import FACE, HAND, lit, sample


def test_the_area_of_the_pixel_curve_is_auc_judd() -> None:
    rng = np.random.default_rng(0)
    one = sample("a")
    saliency = (0.3 * truth_map(one) + rng.random((100, 120))).astype(np.float32) / 2
    tally = CurveTally()
    tally.take(one, saliency)
    curve = tally.curves().pixel_true_rate
    area = float(np.trapezoid(curve, FALSE_RATES))
    assert area == pytest.approx(float(auc_judd(saliency, truth_map(one))), abs=0.01)
    assert curve[-1] == 1.0


def test_a_constant_map_ranks_nothing() -> None:
    tally = CurveTally()
    for one in (sample("a"), sample("b", clean=True)):
        tally.take(one, uniform_map(one))
    curves = tally.curves()
    assert float(np.trapezoid(curves.pixel_true_rate, FALSE_RATES)) == pytest.approx(0.5, abs=0.01)
    assert curves.part_false_rate.tolist() == [0.0, 1.0]
    assert curves.part_true_rate.tolist() == [0.0, 1.0]


def test_regions_over_the_threshold() -> None:
    """The mark is lit at 0.9, a sound face at 0.62: above that the face drops out."""
    tally = CurveTally()
    marked, clean = sample("a"), sample("b", clean=True)
    faint = lit(FACE, level=0.62)
    tally.take(marked, np.maximum(lit(HAND), faint))
    tally.take(clean, faint)
    curves = tally.curves()
    low, high = THRESHOLDS.index(0.5), THRESHOLDS.index(0.7)
    assert (curves.recall[low], curves.recall[high]) == (1.0, 1.0)
    assert (curves.precision[low], curves.precision[high]) == (pytest.approx(1 / 3), 1.0)
    assert (curves.touched[low], curves.touched[high]) == (1.0, 0.0)
    assert np.isnan(curves.precision[-1])
    assert curves.recall[-1] == 0.0


def test_curves_and_the_report_agree_at_the_products_threshold() -> None:
    samples = [sample("a"), sample("b", clean=True)]
    tally = CurveTally()
    report = evaluate(samples, lambda _s: lit(HAND, FACE, level=0.45))
    for one in samples:
        tally.take(one, lit(HAND, FACE, level=0.45))
    at = THRESHOLDS.index(0.4)
    assert tally.curves().recall[at] == report.operation.recall
    assert tally.curves().precision[at] == report.operation.precision
    assert tally.curves().touched[at] == report.operation.touched_share


def test_nothing_measured_is_nan_and_not_zero() -> None:
    curves = CurveTally().curves()
    for values in (curves.pixel_true_rate, curves.part_true_rate, curves.recall, curves.touched):
        assert np.isnan(values).all()


def test_a_polygon_is_filled_to_its_pixels() -> None:
    one = sample("a")
    square = np.array([[10, 20], [30, 20], [30, 50], [10, 50]], np.float64)
    drawn = quad_map(one, [square]) > 0.5
    assert drawn[20:50, 10:30].all()
    assert drawn.sum() == pytest.approx(30 * 20, abs=80)


def test_pictures_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="drawing needs matplotlib (extra eval)")
    tally = CurveTally()
    for one in (sample("a"), sample("b", clean=True)):
        tally.take(one, lit(HAND))
    files = draw_curves([("a model", tally.curves())], tmp_path / "out", 0.4)
    assert [f.name for f in files] == ["roc_pixels.png", "roc_parts.png", "regions.png"]
    for file in files:
        with Image.open(file) as drawn:
            assert np.asarray(drawn.convert("L")).std() > 5
    assert len(list((tmp_path / "out").iterdir())) == 3
