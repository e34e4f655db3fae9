"""Losses of the perception network. All compute in float32 (or the input's float64) inside.

`saliency_loss` is the paper's. The others are ours, against two failures it leaves open: a map that
collapses to zero, and a map that marks every hand because hands are often wrong. They are settings
and stay off in preset `paper`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from retoucher.errors import ConfigError

KLD_EPS = 2.2204e-16


@dataclass(frozen=True, slots=True, kw_only=True)
class LossSettings:
    """Weights of the terms; the defaults are the paper's loss alone.

    Attributes:
        alpha: share of MSE against KLD in the paper's loss, 0 to 1 (open in the paper).
        saliency: weight of that loss.
        bce: weight of pixelwise binary cross-entropy.
        part: weight of cross-entropy on the mean saliency of each labelled part.
        rank: weight of the pairwise ranking of defective over clean parts of a batch.
        score: weight of the squared error of whole-picture scores, for a network with score heads.
    """

    alpha: float = 0.5
    saliency: float = 1.0
    bce: float = 0.0
    part: float = 0.0
    rank: float = 0.0
    score: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.alpha <= 1.0:
            raise ConfigError(f"alpha lies in [0, 1], got {self.alpha}")
        if min(self.saliency, self.bce, self.part, self.rank, self.score) < 0:
            raise ConfigError("weights of losses are not negative")


class Parts(NamedTuple):
    """Labelled parts of a batch, N of them.

    `picture_n` int64 says in which picture, `cover_nhw` float how much of each cell of the map the
    part's box covers, `defective_n` bool whether it is a defect.
    """

    picture_n: Tensor
    cover_nhw: Tensor
    defective_n: Tensor


class Scores(NamedTuple):
    """Whole-picture scores of a batch, (B, N) each: predicted, and true with NaN where unknown."""

    predicted_bn: Tensor
    truth_bn: Tensor


class LossTerms(NamedTuple):
    """The weighted sum to minimise, and what it is made of (detached)."""

    total: Tensor
    mse: Tensor
    kld: Tensor
    bce: Tensor
    part: Tensor
    rank: Tensor
    score: Tensor


def mse_term(saliency_bhw: Tensor, truth_bhw: Tensor, valid_bhw: Tensor) -> Tensor:
    """Mean over the batch of each picture's mean squared error on its valid cells."""
    s, t, v = (_wide(x) for x in (saliency_bhw, truth_bhw, valid_bhw))
    per_picture = ((s - t).square() * v).sum((1, 2)) / v.sum((1, 2)).clamp(min=1)  # (B,)
    return per_picture.mean()


def kld_term(
    saliency_bhw: Tensor, truth_bhw: Tensor, valid_bhw: Tensor, eps: float = KLD_EPS
) -> Tensor:
    """sum q log(eps + q / (p + eps)), p and q the maps normalised to sum 1 on the valid cells.

    The mean over pictures whose truth is not empty; exactly 0, with zero gradient, when all are.
    """
    s, t, v = (_wide(x) for x in (saliency_bhw, truth_bhw, valid_bhw))
    s, t = s * v, t * v
    mass = t.sum((1, 2), keepdim=True)  # (B, 1, 1)
    present = (mass > 0).to(s.dtype)
    q = t / torch.where(mass > 0, mass, torch.ones_like(mass))  # (B, H, W)
    p = s / s.sum((1, 2), keepdim=True).clamp(min=torch.finfo(s.dtype).tiny)
    divergence = (q * torch.log(eps + q / (p + eps))).sum((1, 2))  # (B,)
    weight = present[:, 0, 0]
    return (divergence * weight).sum() / weight.sum().clamp(min=1)


def saliency_loss(
    logits_bhw: Tensor, truth_bhw: Tensor, valid_bhw: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor]:
    """L_sal = alpha * MSE + (1 - alpha) * KLD (paper, section 3.1), and its two terms."""
    saliency = torch.sigmoid(_wide(logits_bhw))
    mse = mse_term(saliency, truth_bhw, valid_bhw)
    kld = kld_term(saliency, truth_bhw, valid_bhw)
    return alpha * mse + (1 - alpha) * kld, mse, kld


def pixel_cross_entropy(logits_bhw: Tensor, truth_bhw: Tensor, valid_bhw: Tensor) -> Tensor:
    """Mean cross-entropy over all valid cells of the batch; soft truth is allowed."""
    z, t, v = (_wide(x) for x in (logits_bhw, truth_bhw, valid_bhw))
    cells = functional.binary_cross_entropy_with_logits(z, t, reduction="none")
    return (cells * v).sum() / v.sum().clamp(min=1)


def part_terms(logits_bhw: Tensor, parts: Parts) -> tuple[Tensor, Tensor]:
    """Does the mean saliency of a part say whether the part is defective?

    Returns:
        Cross-entropy of the mean saliency against the label, and the ranking loss
        softplus(logit(clean) - logit(defective)) over all pairs of the batch, a smooth bound of
        1 - AUC. Each is 0 where there is nothing to compare.
    """
    z = _wide(logits_bhw)
    zero = z.sum() * 0
    if parts.picture_n.numel() == 0:
        return zero, zero
    cover = parts.cover_nhw.to(z.dtype)  # (N, H, W)
    area = cover.sum((1, 2)).clamp(min=1e-6)
    saliency = torch.sigmoid(z)[parts.picture_n]  # (N, H, W)
    mean = ((saliency * cover).sum((1, 2)) / area).clamp(1e-4, 1 - 1e-4)  # (N,)
    part = functional.binary_cross_entropy(mean, parts.defective_n.to(z.dtype))
    logit = torch.logit(mean)
    bad, good = logit[parts.defective_n], logit[~parts.defective_n]
    if bad.numel() == 0 or good.numel() == 0:
        return part, zero
    return part, functional.softplus(good[None, :] - bad[:, None]).mean()


def score_term(scores: Scores) -> Tensor:
    """Mean squared error over the known scores (RAHF's loss of its score heads); 0 without any."""
    predicted, truth = _wide(scores.predicted_bn), _wide(scores.truth_bn)
    known = ~truth.isnan()
    errors = torch.where(known, predicted - truth.nan_to_num(), predicted * 0).square()
    return errors.sum() / known.sum().clamp(min=1)


def perception_loss(
    logits_bhw: Tensor,
    truth_bhw: Tensor,
    valid_bhw: Tensor,
    parts: Parts,
    settings: LossSettings,
    scores: Scores | None = None,
) -> LossTerms:
    """All terms, weighted by the settings.

    Args:
        logits_bhw: of the network, any float type.
        truth_bhw: soft saliency target in [0, 1], same shape.
        valid_bhw: 1 on the picture, 0 on padding, same shape.
        parts: labelled parts; may be empty.
        settings: weights.
        scores: of the score heads; None: the network has none.
    """
    base, mse, kld = saliency_loss(logits_bhw, truth_bhw, valid_bhw, settings.alpha)
    bce = pixel_cross_entropy(logits_bhw, truth_bhw, valid_bhw)
    part, rank = part_terms(logits_bhw, parts)
    total = settings.saliency * base + settings.bce * bce
    total = total + settings.part * part + settings.rank * rank
    score = torch.zeros_like(part) if scores is None else score_term(scores)
    total = total + settings.score * score
    terms = (x.detach() for x in (mse, kld, bce, part, rank, score))
    return LossTerms(total, *terms)


def _wide(x: Tensor) -> Tensor:
    """At least float32: half precision cannot hold KLD's eps, nor sums over a picture."""
    return x if x.dtype == torch.float64 else x.float()
