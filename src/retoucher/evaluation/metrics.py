"""Saliency metrics, exact and in float64, with every edge case decided.

Conventions of all functions here:

- A predicted map and its ground truth have one shape (..., H, W); leading axes are a batch, and a
  batch gives one figure per picture, a single map a float64 scalar array of shape ().
- Ground truth is continuous and not negative; *fixated* pixels are those with truth > 0
  (RichHF's protocol).
- A figure that does not exist is NaN, never a guess: every metric when the truth is empty, AUC also
  when every pixel is fixated. `summarise` counts and leaves them out, and says so.
- A constant prediction ranks nothing and explains nothing: AUC 0.5, NSS 0, CC 0; SIM and KLD treat
  an all-zero map as the uniform one. A constant, not empty truth has CC 0.
- Maps need not be in [0, 1], but must be finite; SIM and KLD need them not to be negative.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retoucher.errors import InputError

Floats = NDArray[np.float64]

KLD_EPS = 2.2204e-16
"""The saliency benchmarks' epsilon; KLD of a map with hard zeros depends on it, so name it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaliencyScores:
    """The five metrics of one picture or the means over several; NaN where undefined."""

    auc_judd: float
    nss: float
    cc: float
    sim: float
    kld: float

    def as_dict(self) -> dict[str, float]:
        """In the paper's order."""
        return {k: getattr(self, k) for k in ("auc_judd", "nss", "cc", "sim", "kld")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Means over the pictures for which the metrics exist.

    Attributes:
        scores: the means.
        pictures: how many pictures the means are over.
        undefined: pictures left out, because their truth is empty (or, for AUC, full).
    """

    scores: SaliencyScores
    pictures: int
    undefined: int


def auc_judd(saliency: NDArray[Any], truth: NDArray[Any]) -> Floats:
    """Area under the ROC curve of telling fixated pixels from all others.

    The exact Mann-Whitney statistic: the chance that a fixated pixel is more salient than another,
    ties counting half. O(N log N).
    """
    s, t = _pair(saliency, truth)
    pixels = s.shape[-1] * s.shape[-2]
    maps, fixated = s.reshape(-1, pixels), t.reshape(-1, pixels) > 0
    out = [rank_auc(p[f], p[~f]) for p, f in zip(maps, fixated, strict=True)]
    return np.asarray(out, np.float64).reshape(s.shape[:-2])


def rank_auc(positives: NDArray[Any], negatives: NDArray[Any]) -> float:
    """Chance that a positive exceeds a negative, ties half; NaN when either is empty."""
    if positives.size == 0 or negatives.size == 0:
        return float("nan")
    ordered = np.sort(negatives, axis=None)
    sought = np.sort(positives, axis=None)
    below = np.searchsorted(ordered, sought, "left").sum(dtype=np.float64)
    not_above = np.searchsorted(ordered, sought, "right").sum(dtype=np.float64)
    return float((below + not_above) / 2 / positives.size / negatives.size)


def pearson(x_n: NDArray[Any], y_n: NDArray[Any]) -> float:
    """Linear correlation (PLCC) of two rows of numbers; NaN when either is constant or shorter
    than 2."""
    x, y = (np.asarray(v, np.float64) for v in (x_n, y_n))
    if x.size < 2 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def spearman(x_n: NDArray[Any], y_n: NDArray[Any]) -> float:
    """Rank correlation (SRCC), equal values sharing their mean rank; NaN as `pearson`."""
    return pearson(_mean_ranks(x_n), _mean_ranks(y_n))


def _mean_ranks(x_n: NDArray[Any]) -> Floats:
    _, which, counts = np.unique(x_n, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]


def auc_judd_trapezoid(
    saliency_hw: NDArray[Any], truth_hw: NDArray[Any], jitter: np.random.Generator | None = None
) -> float:
    """AUC-Judd as the benchmarks' published code computes it, for comparison with it.

    Thresholds stand at the fixated values only and are joined by trapezoids, which adds
    1 / (2 * fixated pixels) to the exact area when there are no ties. With `jitter`, noise of up to
    1e-7 of the map's range breaks ties first, as that code does; without it, ties are ordered as
    they fall.
    """
    s, t = _pair(saliency_hw, truth_hw)
    s = s.reshape(-1)
    fixated = t.reshape(-1) > 0
    n1, n0 = int(fixated.sum()), int((~fixated).sum())
    if n1 == 0 or n0 == 0:
        return float("nan")
    if jitter is not None:
        s = s + jitter.random(s.size) * max(float(np.ptp(s)), 1.0) * 1e-7
    thresholds = np.sort(s[fixated])[::-1]
    ordered = np.sort(s)
    above = s.size - np.searchsorted(ordered, thresholds, "left")
    rank = np.arange(1, n1 + 1)
    true_rate = np.concatenate(([0.0], rank / n1, [1.0]))
    false_rate = np.concatenate(([0.0], (above - rank) / n0, [1.0]))
    return float(np.trapezoid(true_rate, false_rate))


def nss(saliency: NDArray[Any], truth: NDArray[Any]) -> Floats:
    """Mean over fixated pixels of the prediction, standardised by its population deviation."""
    s, t = _pair(saliency, truth)
    fixated = t > 0
    count = fixated.sum((-2, -1))
    centred, deviation = _standard(s)
    total = np.where(fixated, centred, 0.0).sum((-2, -1))
    score = _divide(total, deviation * np.maximum(count, 1))
    return np.where(count > 0, score, np.nan)


def cc(saliency: NDArray[Any], truth: NDArray[Any]) -> Floats:
    """Pearson correlation of the two maps."""
    s, t = _pair(saliency, truth)
    (a, sd_a), (b, sd_b) = _standard(s), _standard(t)
    score = _divide((a * b).mean((-2, -1)), sd_a * sd_b)
    return np.where((t > 0).any((-2, -1)), score, np.nan)


def sim(saliency: NDArray[Any], truth: NDArray[Any]) -> Floats:
    """Shared mass of the two maps, each normalised to sum 1."""
    s, t = _pair(saliency, truth)
    p, q = _distribution(s), _distribution(t)
    return np.where((t > 0).any((-2, -1)), np.minimum(p, q).sum((-2, -1)), np.nan)


def kld(saliency: NDArray[Any], truth: NDArray[Any], eps: float = KLD_EPS) -> Floats:
    """sum q log(eps + q / (p + eps)), q the truth and p the prediction, each of sum 1."""
    s, t = _pair(saliency, truth)
    p, q = _distribution(s), _distribution(t)
    terms = np.where(q > 0, q * np.log(eps + q / (p + eps)), 0.0)
    return np.where((t > 0).any((-2, -1)), terms.sum((-2, -1)), np.nan)


def measure(saliency_hw: NDArray[Any], truth_hw: NDArray[Any]) -> SaliencyScores:
    """All five metrics of one picture."""
    if saliency_hw.ndim != 2:
        raise InputError(f"one map has shape (H, W), got {saliency_hw.shape}")
    return SaliencyScores(
        auc_judd=float(auc_judd(saliency_hw, truth_hw)),
        nss=float(nss(saliency_hw, truth_hw)),
        cc=float(cc(saliency_hw, truth_hw)),
        sim=float(sim(saliency_hw, truth_hw)),
        kld=float(kld(saliency_hw, truth_hw)),
    )


def summarise(scores: Iterable[SaliencyScores]) -> Summary:
    """Means over pictures whose five metrics all exist, and how many had to be left out."""
    rows = [list(s.as_dict().values()) for s in scores]
    table = np.asarray(rows, np.float64).reshape(-1, 5)
    defined = ~np.isnan(table).any(1)
    means = table[defined].mean(0) if defined.any() else np.full(5, np.nan)
    names = ("auc_judd", "nss", "cc", "sim", "kld")
    named: Mapping[str, float] = dict(zip(names, map(float, means), strict=True))
    return Summary(
        scores=SaliencyScores(**named),
        pictures=int(defined.sum()),
        undefined=int((~defined).sum()),
    )


def _pair(saliency: NDArray[Any], truth: NDArray[Any]) -> tuple[Floats, Floats]:
    s, t = np.asarray(saliency, np.float64), np.asarray(truth, np.float64)
    if s.shape != t.shape or s.ndim < 2 or s.shape[-1] * s.shape[-2] == 0:
        raise InputError(
            f"prediction and truth must have one shape (..., H, W): got {s.shape} and {t.shape}"
        )
    if not (np.isfinite(s).all() and np.isfinite(t).all()):
        raise InputError("maps must be finite")
    if t.min() < 0:
        raise InputError("a ground-truth map is not negative")
    return s, t


def _standard(x: Floats) -> tuple[Floats, Floats]:
    """Centred maps and their population deviation, exactly 0 for a constant map."""
    centred = x - x.mean((-2, -1), keepdims=True)
    deviation = np.sqrt((centred**2).mean((-2, -1)))
    constant = x.max((-2, -1)) == x.min((-2, -1))
    return centred, np.where(constant, 0.0, deviation)


def _distribution(x: Floats) -> Floats:
    if x.min() < 0:
        raise InputError("SIM and KLD need maps that are not negative")
    total = x.sum((-2, -1), keepdims=True)
    uniform = np.full_like(x, 1.0 / (x.shape[-1] * x.shape[-2]))
    return np.where(total > 0, x / np.where(total > 0, total, 1.0), uniform)


def _divide(a: Floats, b: Floats) -> Floats:
    """a / b, and 0 where b is 0."""
    return np.where(b > 0, a / np.where(b > 0, b, 1.0), 0.0)
