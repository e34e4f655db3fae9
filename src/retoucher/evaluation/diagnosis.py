"""Figures on diagnoses: how often the category is right, and how far a probability is true."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from retoucher.domain.taxonomy import taxonomy


def dimension(category: str) -> str:
    """The taxonomy's dimension of a category; "no_defect" and "unknown" are their own."""
    known = taxonomy().get(category)
    return known.dimension if known else category


def accuracy(truth: Sequence[str], said: Sequence[str]) -> float:
    """Share of equal pairs; NaN without any.

    >>> accuracy(["hand_shape", "limb_count"], ["hand_shape", "hand_shape"])
    0.5
    """
    pairs = list(zip(truth, said, strict=True))
    return sum(t == s for t, s in pairs) / len(pairs) if pairs else float("nan")


def macro_f1(truth: Sequence[str], said: Sequence[str]) -> float:
    """Mean F1 over the categories that occur in the truth; NaN without any.

    >>> macro_f1(["a", "a", "b"], ["a", "b", "b"])  # 2/3 and 2/3
    0.6666666666666666
    """
    scores: list[float] = []
    for name in sorted(set(truth)):
        hit = sum(t == s == name for t, s in zip(truth, said, strict=True))
        scores.append(2 * hit / (truth.count(name) + said.count(name)))
    return float(np.mean(scores)) if scores else float("nan")


def expected_calibration_error(
    probability: Sequence[float], right: Sequence[bool], bins: int = 10
) -> float:
    """Mean gap between probability and share of right ones, over equally wide bins (Guo 2017).

    >>> expected_calibration_error([0.9, 0.9, 0.1], [True, False, False])  # gaps 0.4 and 0.1
    0.3
    """
    p, y = np.array(probability, np.float64), np.array(right, np.float64)
    if not p.size:
        return float("nan")
    cell = np.minimum((p * bins).astype(int), bins - 1)
    sums = (np.bincount(cell, v, minlength=bins) for v in (p, y))
    return round(float(np.abs(np.subtract(*sums)).sum()) / p.size, 12)
