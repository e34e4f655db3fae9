"""Fitting the classifier of the reasoner `embedded`: heads, temperatures, the operating point.

The recipe recipes/diagnostician.py collects the examples. Heads are fitted on training pictures;
how far they are believed is chosen on held-out ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from retoucher.agents import FloatArray
from retoucher.domain.taxonomy import NO_DEFECT, taxonomy
from retoucher.evaluation.diagnosis import expected_calibration_error
from retoucher.reasoning.embedded_hands import HAND_FEATURES
from retoucher.reasoning.embedded_model import (
    Diagnostician,
    OperatingPoint,
    softmax,
    standardised,
)

L2 = 0.01
HAND_WEIGHTS = tuple(i / 4 for i in range(13))
"""How much a measured hand may count beside the looks; 0: not at all."""
SUBTLE_WEIGHT = 0.4
"""Of regions of severity 1, the least certain labels."""
RARE_EXPONENT = -0.3
"""A category weighs as its number of examples to this power."""
CLEAN_NAMED = 0.1
"""At most so many held-out clean parts are called defective at the operating point, in each source
by itself: where a generator's pictures are mostly wrong, its right hands and faces are as right as
another's."""
MIN_CLEAN_PARTS = 10
"""A source with fewer held-out clean parts has no say of its own."""
DEFECTS_SOUND = 0.10
"""At most so many held-out defects are called sound."""
NAMED_RIGHT = 0.7
"""So many of the held-out defects that are named are named right, where that can be reached."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """One place of a picture.

    Attributes:
        category: of the taxonomy, or no_defect.
        severity: 1 to 3, 0 for no_defect.
        kind: "marked", "jittered", "proposed" or "elsewhere".
        source: of its picture.
        held_out: its picture is.
        part: dimension of the defect, or kind of the clean part; "" where nothing is marked.
        features_d: see `zoom_features`.
        hand_h: see `hand_features`; measured on hands, and on everything in held-out pictures.
    """

    category: str
    severity: int
    kind: str
    source: str
    held_out: bool
    part: str
    features_d: FloatArray
    hand_h: FloatArray


def linear(x: FloatArray, y: NDArray[np.int64], w: FloatArray, classes: int) -> FloatArray:
    """Weighted multinomial logistic regression with L2 (not on the bias); (classes, D + 1)."""
    inputs, target, weight = (torch.as_tensor(a) for a in (x, y, w))
    beta = torch.zeros(classes, x.shape[1], requires_grad=True)
    optimiser = cast("Any", torch.optim.LBFGS([beta], max_iter=150, line_search_fn="strong_wolfe"))

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        each = torch.nn.functional.cross_entropy(inputs @ beta.T, target, reduction="none")
        total = (each * weight).sum() / weight.sum() + L2 * beta[:, :-1].square().sum()
        cast("Any", total).backward()
        return total

    optimiser.step(loss)
    return beta.detach().numpy()


def temperature(logits: NDArray[np.floating], y: NDArray[np.int64]) -> float:
    """The temperature of the least cross-entropy, from a grid of ratios of 2%."""
    grid = np.exp(np.arange(-70, 90) * 0.02)
    losses = [
        -float(np.log(np.maximum(softmax(logits / t)[np.arange(len(y)), y], 1e-9)).mean())
        for t in grid
    ]
    return float(grid[int(np.argmin(losses))])


def two_class(logit: NDArray[np.floating]) -> NDArray[np.floating]:
    """Logits of (no, yes)."""
    return np.stack([np.zeros_like(logit), logit], 1)


def share(flags: NDArray[np.bool_]) -> str:
    """How many are true, as text; "none" of none."""
    return f"{flags.mean():.3f}" if flags.size else "none"


def fit_hands(examples: Sequence[Example]) -> FloatArray:
    """Log-odds of a defect from a measured hand, both kinds as likely before; (HAND_FEATURES,).

    The first feature is 1 where a hand was found and so serves as the bias. All 0 where there are
    no hands of both kinds to learn from.
    """
    hands = [e for e in examples if e.part == "hand" and not e.held_out and e.hand_h[0] > 0]
    bad = np.array([e.category != NO_DEFECT for e in hands])
    if bad.all() or not bad.any():
        return np.zeros(HAND_FEATURES, np.float32)
    h = np.stack([e.hand_h[1:] for e in hands])
    mean, scale = h.mean(0), h.std(0) + 1e-3
    share_bad = float(bad.mean())
    balance = {True: 0.5 / share_bad, False: 0.5 / (1.0 - share_bad)}
    weights = [
        balance[e.category != NO_DEFECT] * (SUBTLE_WEIGHT if e.severity == 1 else 1.0)
        for e in hands
    ]
    x = standardised(h, mean, scale).astype(np.float32)
    both = linear(x, bad.astype(np.int64), np.array(weights, np.float32), 2)
    beta = both[1] - both[0]
    slopes = beta[:-1] / scale
    return np.array([beta[-1] - slopes @ mean, *slopes], np.float32)


def fit(
    examples: Sequence[Example],
    network_sha256: str,
    hand_sha256: str,
    report: Callable[[str], None],
) -> Diagnostician:
    """Heads on the training pictures, temperatures and operating point on those held out."""
    features = np.stack([e.features_d for e in examples])
    category = np.array([e.category for e in examples])
    severity = np.array([e.severity for e in examples])
    held = np.array([e.held_out for e in examples])
    bad = category != NO_DEFECT
    mean, scale = features[~held].mean(0), features[~held].std(0) + 1e-3
    x = standardised(features, mean, scale).astype(np.float32)
    names = list(taxonomy())
    index = np.array([names.index(c) if c != NO_DEFECT else 0 for c in category], np.int64)
    sure = np.array([SUBTLE_WEIGHT if s == 1 else 1.0 for s in severity], np.float32)
    train, train_bad = ~held, ~held & bad
    counts = np.bincount(index[train_bad], minlength=len(names))
    rare = np.array([max(counts[i], 1) ** RARE_EXPONENT for i in index], np.float32)
    both = linear(x[train], bad[train].astype(np.int64), sure[train], 2)
    categories = linear(x[train_bad], index[train_bad], (sure * rare)[train_bad], len(names))
    severities = linear(
        x[train_bad],
        severity[train_bad].astype(np.int64) - 1,
        np.ones(int(train_bad.sum()), np.float32),
        3,
    )
    model = Diagnostician(
        mean_d=mean,
        scale_d=scale,
        defect_d1=both[1] - both[0],
        category_kd1=categories,
        severity_3d1=severities,
        hand_h=fit_hands(examples),
        temperatures=(1.0, 1.0, 1.0),
        point=OperatingPoint(defect=0.5, sound=0.5, category=0.0),
        network=network_sha256,
        hand_network=hand_sha256,
        digest="",
    )
    judged = held & ((severity >= 2) | ~bad)
    source = np.array([e.source if e.kind == "marked" else "" for e in examples])
    hands = np.stack([e.hand_h for e in examples])
    held_x = HeldOut(
        x=x[judged],
        hands=hands[judged],
        index=index[judged],
        severity=severity[judged],
        source=source[judged],
    )
    return calibrated(model, held_x, report)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """Standardised features of held-out places and what they are.

    Attributes:
        x: float32 (N, D + 1).
        hands: float32 (N, HAND_FEATURES).
        index: of the category, where there is a defect.
        severity: 2 or 3, 0 for a clean place.
        source: of the picture, for marked places; "" for others.
    """

    x: FloatArray
    hands: FloatArray
    index: NDArray[np.int64]
    severity: NDArray[np.int64]
    source: NDArray[np.str_]


def calibrated(model: Diagnostician, held: HeldOut, report: Callable[[str], None]) -> Diagnostician:
    """The model with temperatures, the hands' weight and operating point chosen on these places."""
    x, index, severity = held.x, held.index, held.severity
    bad = severity > 0
    defect, kinds = x @ model.defect_d1, x[bad] @ model.category_kd1.T
    levels = x[bad] @ model.severity_3d1.T
    temperatures = (
        temperature(two_class(defect), bad.astype(np.int64)),
        temperature(kinds, index[bad]),
        temperature(levels, severity[bad] - 1),
    )
    shares = softmax(kinds / temperatures[1])
    hit = shares.argmax(1) == index[bad]
    guesses = softmax(x @ model.category_kd1.T / temperatures[1])
    told = guesses[:, of_hands()].sum(1) * (held.hands @ model.hand_h)
    weight = hand_weight(defect / temperatures[0], told, bad, report)
    p = softmax(two_class(defect / temperatures[0] + weight * told))[:, 1]
    point = operating_point(p, guesses, held)
    named = (p >= point.defect) & (guesses.max(1) >= point.category)
    report(
        f"held out: {bad.sum()} defects of severity >= 2, {(~bad).sum()} clean places; "
        f"category right {share(hit)}; severity right "
        f"{share(levels.argmax(1) == severity[bad] - 1)}; temperatures "
        + ", ".join(f"{t:.2f}" for t in temperatures)
    )
    sound = p <= point.sound
    ece = expected_calibration_error(p.tolist(), bad.tolist())
    kinds_ece = expected_calibration_error(shares.max(1).tolist(), hit.tolist())
    report(
        f"ECE: defect {ece:.3f}, category {kinds_ece:.3f}; at {point}: {share(named[bad])} of "
        f"the defects named, {share(hit[named[bad]])} of these right, {share(named[~bad])} of the "
        f"clean places named; called sound: {share(sound[bad])} of the defects, "
        f"{share(sound[~bad])} of the clean places"
    )
    return replace(
        model,
        hand_h=(weight * model.hand_h).astype(np.float32),
        temperatures=temperatures,
        point=point,
    )


def of_hands() -> list[int]:
    """Places of the hand's categories among all."""
    return [i for i, c in enumerate(taxonomy().values()) if c.dimension == "hand"]


def hand_weight(
    defect: NDArray[np.floating],
    told: NDArray[np.floating],
    bad: NDArray[np.bool_],
    report: Callable[[str], None],
) -> float:
    """Of `HAND_WEIGHTS`, the one of the least cross-entropy.

    Args:
        defect: logits of a defect by the looks, (N,).
        told: what the measured hands add at weight 1.
        bad: there is a defect.
        report: gets a line.
    """
    right = bad.astype(np.int64)
    losses = [
        -float(np.log(softmax(two_class(defect + w * told))[np.arange(len(bad)), right]).mean())
        for w in HAND_WEIGHTS
    ]
    best = int(np.argmin(losses))
    report(
        f"measured hands count {HAND_WEIGHTS[best]}: cross-entropy {losses[0]:.4f} without them, "
        f"{losses[best]:.4f} with them"
    )
    return HAND_WEIGHTS[best]


def operating_point(
    p: NDArray[np.float64], shares: NDArray[np.float64], held: HeldOut
) -> OperatingPoint:
    """As the constants of this file ask: few clean parts named, few defects called sound.

    Args:
        p: probability of a defect, (N,).
        shares: of the categories, (N, K).
        held: what the places are.
    """
    bad = held.severity > 0
    best, top = shares.argmax(1), shares.max(1)
    category = 0.0
    for step in range(80):
        named = bad & (top >= step / 100)
        category = step / 100
        if not named.any() or (best == held.index)[named].mean() >= NAMED_RIGHT:
            break
    defect = 0.5
    for source in np.unique(held.source):
        parts = ~bad & (held.source == source)
        if source == "" or parts.sum() < MIN_CLEAN_PARTS:
            continue
        rivals = np.sort(p[parts & (top >= category)])[::-1]
        allowed = int(CLEAN_NAMED * parts.sum())
        if allowed < len(rivals):
            defect = max(defect, float(rivals[allowed]) + 1e-4)
    sound = float(np.quantile(p[bad], DEFECTS_SOUND)) if bad.any() else 0.5
    return OperatingPoint(defect=min(defect, 1.0), sound=min(sound, defect, 0.5), category=category)
