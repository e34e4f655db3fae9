"""The five metrics against slow references written from their definitions, and their edge cases."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from retoucher.errors import InputError
from retoucher.evaluation.metrics import (
    KLD_EPS,
    auc_judd,
    auc_judd_trapezoid,
    cc,
    kld,
    measure,
    nss,
    pearson,
    rank_auc,
    sim,
    spearman,
    summarise,
)

Map = NDArray[np.float64]


def slow_auc(s: Map, t: Map) -> float:
    """Every fixated pixel against every other one."""
    positives, negatives = s[t > 0].tolist(), s[t <= 0].tolist()
    wins = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return wins / len(positives) / len(negatives)


def threshold_auc(s: Map, t: Map) -> float:
    """The benchmarks' loop over thresholds at fixated values."""
    s, fixated = s.ravel(), t.ravel() > 0
    points = [(0.0, 0.0)]
    for i, threshold in enumerate(np.sort(s[fixated])[::-1], start=1):
        above = int((s >= threshold).sum())
        points.append(((above - i) / (~fixated).sum(), i / fixated.sum()))
    points.append((1.0, 1.0))
    return sum((x1 - x0) * (y1 + y0) / 2 for (x0, y0), (x1, y1) in pairwise(points))


def slow_rest(s: Map, t: Map) -> tuple[float, float, float, float]:
    n = s.size
    flat_s, flat_t = s.ravel().tolist(), t.ravel().tolist()
    mean_s, mean_t = math.fsum(flat_s) / n, math.fsum(flat_t) / n
    var_s = math.fsum((x - mean_s) ** 2 for x in flat_s) / n
    var_t = math.fsum((x - mean_t) ** 2 for x in flat_t) / n
    fixated = [x for x, y in zip(flat_s, flat_t, strict=True) if y > 0]
    score_nss = math.fsum((x - mean_s) / math.sqrt(var_s) for x in fixated) / len(fixated)
    cov = math.fsum((x - mean_s) * (y - mean_t) for x, y in zip(flat_s, flat_t, strict=True)) / n
    p = [x / math.fsum(flat_s) for x in flat_s]
    q = [y / math.fsum(flat_t) for y in flat_t]
    score_sim = math.fsum(min(a, b) for a, b in zip(p, q, strict=True))
    score_kld = math.fsum(
        b * math.log(KLD_EPS + b / (a + KLD_EPS)) for a, b in zip(p, q, strict=True) if b
    )
    return score_nss, cov / math.sqrt(var_s * var_t), score_sim, score_kld


def maps(seed: int, levels: int = 0) -> tuple[Map, Map]:
    rng = np.random.default_rng(seed)
    s, t = rng.random((9, 13)), rng.random((9, 13)) * (rng.random((9, 13)) < 0.3)
    if levels:
        s = np.round(s * levels) / levels
    t[0, 0] = 0.5
    t[0, 1] = 0.0
    return s, t


@pytest.mark.parametrize("levels", [0, 1, 2, 5])
@pytest.mark.parametrize("seed", range(6))
def test_auc_is_the_mann_whitney_statistic_with_half_credit_for_ties(
    seed: int, levels: int
) -> None:
    s, t = maps(seed, levels)
    assert float(auc_judd(s, t)) == pytest.approx(slow_auc(s, t), abs=1e-12)


@pytest.mark.parametrize("seed", range(6))
def test_the_other_four_follow_their_definitions(seed: int) -> None:
    s, t = maps(seed)
    got = (float(nss(s, t)), float(cc(s, t)), float(sim(s, t)), float(kld(s, t)))
    assert got == pytest.approx(slow_rest(s, t), rel=1e-11)


@pytest.mark.parametrize("seed", range(6))
def test_the_trapezoid_variant_is_the_benchmarks_loop(seed: int) -> None:
    s, t = maps(seed)
    assert auc_judd_trapezoid(s, t) == pytest.approx(threshold_auc(s, t), abs=1e-12)


def test_without_ties_the_trapezoids_add_half_a_fixated_pixel() -> None:
    s, t = maps(1)
    extra = auc_judd_trapezoid(s, t) - float(auc_judd(s, t))
    assert extra == pytest.approx(0.5 / int((t > 0).sum()), rel=1e-9)


def test_jitter_breaks_the_ties_of_a_coarse_map_and_of_nothing_else() -> None:
    s, t = maps(2, levels=2)
    values = [auc_judd_trapezoid(s, t, np.random.default_rng(i)) for i in range(400)]
    exact = float(auc_judd(s, t)) + 0.5 / int((t > 0).sum())
    assert np.std(values) > 0
    assert np.mean(values) == pytest.approx(exact, abs=4 * np.std(values) / 20)
    smooth, truth = maps(3)
    jittered = auc_judd_trapezoid(smooth, truth, np.random.default_rng(0))
    assert jittered == pytest.approx(auc_judd_trapezoid(smooth, truth), abs=1e-3)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 50), st.floats(0, 50))
def test_auc_sees_order_only_and_nss_and_cc_no_affine_change(
    seed: int, gain: float, offset: float
) -> None:
    s, t = maps(seed)
    moved = gain * s + offset
    assert float(auc_judd(moved, t)) == pytest.approx(float(auc_judd(s, t)), abs=1e-9)
    assert float(nss(moved, t)) == pytest.approx(float(nss(s, t)), rel=1e-6, abs=1e-9)
    assert float(cc(moved, t)) == pytest.approx(float(cc(s, t)), rel=1e-6, abs=1e-9)


def test_a_perfect_map_and_its_reverse() -> None:
    _, t = maps(4)
    perfect = measure(t, t)
    assert perfect.auc_judd == 1.0
    assert perfect.cc == pytest.approx(1.0)
    assert perfect.sim == pytest.approx(1.0)
    assert perfect.kld == pytest.approx(0.0, abs=1e-12)
    assert float(auc_judd(-(t > 0).astype(float), t)) == 0.0


def test_empty_truth_has_no_figure() -> None:
    s, t = maps(0)
    assert all(math.isnan(v) for v in measure(s, np.zeros_like(t)).as_dict().values())


def test_full_truth_has_no_auc_but_the_rest() -> None:
    s, t = maps(0)
    scores = measure(s, t + 1)
    assert math.isnan(scores.auc_judd)
    assert scores.nss == pytest.approx(0.0, abs=1e-12)
    assert 0 < scores.sim < 1


@pytest.mark.parametrize("level", [0.0, 0.1, 0.7])
def test_a_constant_prediction_explains_nothing(level: float) -> None:
    _, t = maps(0)
    scores = measure(np.full_like(t, level), t)
    uniform = np.full(t.size, 1 / t.size)
    q = t.ravel() / t.sum()
    assert (scores.auc_judd, scores.nss, scores.cc) == (0.5, 0.0, 0.0)
    assert scores.sim == pytest.approx(np.minimum(uniform, q).sum())
    assert scores.kld == pytest.approx((q[q > 0] * np.log(q[q > 0] * t.size)).sum())


def test_constant_truth_has_no_correlation() -> None:
    s, _ = maps(0)
    assert float(cc(s, np.full_like(s, 0.3))) == 0.0


def test_hard_zeros_make_kld_depend_on_its_epsilon() -> None:
    t = np.zeros((4, 4))
    t[0, 0] = 1
    miss = np.zeros((4, 4))
    miss[3, 3] = 1
    assert float(kld(miss, t)) == pytest.approx(math.log(1 / KLD_EPS))
    assert float(kld(miss, t, eps=1e-6)) == pytest.approx(math.log(1e6))


def test_a_batch_is_its_pictures_one_by_one() -> None:
    pairs = [maps(i) for i in range(6)]
    s = np.stack([p for p, _ in pairs]).reshape(2, 3, 9, 13)
    t = np.stack([q for _, q in pairs]).reshape(2, 3, 9, 13)
    for metric in (auc_judd, nss, cc, sim, kld):
        single = [float(metric(p, q)) for p, q in pairs]
        assert metric(s, t).ravel().tolist() == pytest.approx(single, rel=1e-12)


def test_a_nearly_constant_large_map_keeps_its_precision() -> None:
    rng = np.random.default_rng(0)
    base = rng.random((64, 64))
    t = (rng.random((64, 64)) < 0.1).astype(float)
    shifted = (1e6 + base).astype(np.float64)
    assert float(nss(shifted, t)) == pytest.approx(float(nss(base, t)), rel=1e-6)


def test_half_precision_maps_are_measured_in_double() -> None:
    s, t = maps(5)
    half = s.astype(np.float16)
    assert measure(half, t) == measure(half.astype(np.float64), t)


def test_summary_leaves_undefined_pictures_out_and_counts_them() -> None:
    s, t = maps(0)
    defined = measure(s, t)
    summary = summarise([defined, measure(s, np.zeros_like(t)), defined])
    assert (summary.pictures, summary.undefined) == (2, 1)
    assert summary.scores == defined
    nothing = summarise([])
    assert (nothing.pictures, nothing.undefined) == (0, 0)
    assert math.isnan(nothing.scores.nss)


def test_rank_auc_needs_both_sides() -> None:
    assert math.isnan(rank_auc(np.array([]), np.array([1.0])))
    assert math.isnan(rank_auc(np.array([1.0]), np.array([])))
    assert rank_auc(np.array([2.0, 1.0]), np.array([1.0])) == 0.75


def test_bad_input_is_refused() -> None:
    s, t = maps(0)
    with pytest.raises(InputError, match="one shape"):
        auc_judd(s, t[:-1])
    with pytest.raises(InputError, match="finite"):
        nss(np.where(s > 0.5, np.nan, s), t)
    with pytest.raises(InputError, match="not negative"):
        cc(s, -t)
    with pytest.raises(InputError, match="not negative"):
        sim(s - 2, t)
    with pytest.raises(InputError, match=r"\(H, W\)"):
        measure(s[None], t[None])


def test_correlations_against_their_definitions() -> None:
    x = np.array([1.0, 2.0, 2.0, 4.0])
    assert pearson(x, 3 * x - 1) == pytest.approx(1.0)
    assert pearson(x, -x) == pytest.approx(-1.0)
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: the covariance by hand.
    assert spearman(x, np.array([0.0, 1.0, 10.0, 100.0])) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)
    assert math.isnan(spearman(x, np.ones(4)))
    assert math.isnan(pearson(x[:1], x[:1]))
