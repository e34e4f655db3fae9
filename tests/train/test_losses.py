"""The paper's loss against a float64 reference, its gradients, and half precision."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from retoucher.errors import ConfigError  # noqa: E402
from retoucher.train.losses import (  # noqa: E402
    KLD_EPS,
    LossSettings,
    Parts,
    Scores,
    kld_term,
    mse_term,
    part_terms,
    perception_loss,
    pixel_cross_entropy,
    saliency_loss,
    score_term,
)


def example(seed: int = 0, empty: tuple[int, ...] = (), dtype: torch.dtype = torch.float64):
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, 5, 7, generator=rng, dtype=torch.float64) * 2
    truth = torch.rand(3, 5, 7, generator=rng, dtype=torch.float64)
    truth = truth * (torch.rand(3, 5, 7, generator=rng, dtype=torch.float64) < 0.4)
    for i in empty:
        truth[i] = 0
    valid = torch.ones(3, 5, 7, dtype=torch.float64)
    valid[1, :, 4:] = 0
    valid[2, 3:] = 0
    truth = truth * valid
    return logits.to(dtype), truth.to(dtype), valid.to(dtype)


def reference(logits: np.ndarray, truth: np.ndarray, valid: np.ndarray) -> tuple[float, float]:
    """MSE and KLD picture by picture, pixel by pixel."""
    mses, klds = [], []
    for z, t, v in zip(logits, truth, valid, strict=True):
        cells = [
            (1 / (1 + math.exp(-a)), b)
            for a, b, c in zip(z.ravel(), t.ravel(), v.ravel(), strict=True)
            if c
        ]
        mses.append(sum((s - b) ** 2 for s, b in cells) / len(cells))
        mass_s, mass_t = sum(s for s, _ in cells), sum(b for _, b in cells)
        if mass_t:
            pairs = [(s / mass_s, b / mass_t) for s, b in cells]
            klds.append(sum(q * math.log(KLD_EPS + q / (p + KLD_EPS)) for p, q in pairs))
    return sum(mses) / len(mses), (sum(klds) / len(klds) if klds else 0.0)


@pytest.mark.parametrize("empty", [(), (1,), (0, 2), (0, 1, 2)])
@pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
def test_the_papers_loss(alpha: float, empty: tuple[int, ...]) -> None:
    logits, truth, valid = example(3, empty)
    mse, kld = reference(logits.numpy(), truth.numpy(), valid.numpy())
    loss, got_mse, got_kld = saliency_loss(logits, truth, valid, alpha)
    assert float(got_mse) == pytest.approx(mse, rel=1e-12)
    assert float(got_kld) == pytest.approx(kld, rel=1e-10)
    assert float(loss) == pytest.approx(alpha * mse + (1 - alpha) * kld, rel=1e-10)


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
def test_gradients(alpha: float) -> None:
    logits, truth, valid = example(1, (2,))
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda z: saliency_loss(z, truth, valid, alpha)[0], logits)


def test_gradients_of_our_terms() -> None:
    logits, truth, valid = example(2)
    logits.requires_grad_()
    parts = some_parts()
    assert torch.autograd.gradcheck(lambda z: pixel_cross_entropy(z, truth, valid), logits)
    assert torch.autograd.gradcheck(lambda z: part_terms(z, parts)[0], logits)
    assert torch.autograd.gradcheck(lambda z: part_terms(z, parts)[1], logits)


def some_parts() -> Parts:
    cover = torch.zeros(4, 5, 7, dtype=torch.float64)
    cover[0, 0:2, 0:2] = 1
    cover[1, 2:4, 1:4] = 0.5
    cover[2, 1:3, 0:3] = 1
    cover[3, 0:2, 2:6] = 1
    return Parts(torch.tensor([0, 0, 1, 2]), cover, torch.tensor([True, False, False, True]))


def test_gradient_is_zero_and_finite_where_every_truth_is_empty() -> None:
    logits, truth, valid = example(0, (0, 1, 2))
    logits.requires_grad_()
    saliency_loss(logits, truth, valid, 0.0)[0].backward()
    assert logits.grad is not None
    assert torch.count_nonzero(logits.grad) == 0


@pytest.mark.parametrize("scale", [1.0, 20.0, 1000.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_stable_in_low_precision(dtype: torch.dtype, scale: float) -> None:
    logits, truth, valid = example(4, (0,))
    low = (logits * scale).clamp(-60000, 60000).to(dtype).requires_grad_()
    loss, _, _ = saliency_loss(low, truth.to(dtype), valid.to(dtype), 0.5)
    loss.backward()
    wide = saliency_loss(low.detach().double(), truth.to(dtype).double(), valid, 0.5)[0]
    assert loss.dtype == torch.float32
    assert float(loss.detach()) == pytest.approx(float(wide), rel=1e-4)
    assert low.grad is not None
    assert bool(torch.isfinite(low.grad).all())


def test_padding_changes_nothing() -> None:
    logits, truth, valid = example(5)
    padded = [torch.nn.functional.pad(x, (0, 3, 0, 2)) for x in (logits, truth, valid)]
    padded[0] = torch.where(padded[2] > 0, padded[0], torch.full_like(padded[0], 9.0))
    settings = LossSettings(bce=1.0)
    none = Parts(torch.zeros(0, dtype=torch.int64), torch.zeros(0, 5, 7), torch.zeros(0).bool())
    wide = none._replace(cover_nhw=torch.zeros(0, 7, 10))
    here = perception_loss(logits, truth, valid, none, settings)
    there = perception_loss(*padded, wide, settings)
    for a, b in zip(here, there, strict=True):
        assert float(a) == pytest.approx(float(b), rel=1e-12)


def test_kld_does_not_depend_on_the_scale_of_either_map_but_mse_does() -> None:
    logits, truth, valid = example(6)
    s = torch.sigmoid(logits)
    assert float(kld_term(s, truth, valid)) == pytest.approx(
        float(kld_term(0.1 * s, 0.7 * truth, valid)), rel=1e-9
    )
    assert float(mse_term(s, truth, valid)) != pytest.approx(float(mse_term(0.1 * s, truth, valid)))


def test_kld_is_not_symmetric_and_truth_is_the_reference() -> None:
    valid = torch.ones(1, 1, 2)
    s, t = torch.tensor([[[0.9, 0.1]]]), torch.tensor([[[0.5, 0.5]]])
    assert float(kld_term(s, t, valid)) == pytest.approx(
        0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1), rel=1e-5
    )


def test_ranking_prefers_defective_parts_above_clean_ones() -> None:
    parts = some_parts()
    right, wrong = torch.full((3, 5, 7), -2.0), torch.full((3, 5, 7), -2.0)
    right[0, 0:2, 0:2] = 2.0
    wrong[0, 2:4, 1:4] = 2.0
    assert float(part_terms(right, parts)[1]) < math.log(2) < float(part_terms(wrong, parts)[1])
    flat = torch.zeros(3, 5, 7)
    assert float(part_terms(flat, parts)[1]) == pytest.approx(math.log(2), rel=1e-5)
    assert float(part_terms(flat, parts)[0]) == pytest.approx(math.log(2), rel=1e-5)


def test_parts_of_one_side_only_rank_nothing() -> None:
    parts = some_parts()
    only_bad = parts._replace(defective_n=torch.ones(4, dtype=torch.bool))
    part, rank = part_terms(torch.zeros(3, 5, 7), only_bad)
    assert float(rank) == 0.0
    assert float(part) > 0


def test_defaults_are_the_papers_loss_alone() -> None:
    logits, truth, valid = example(7)
    terms = perception_loss(logits, truth, valid, some_parts(), LossSettings(alpha=0.4))
    assert float(terms.total) == pytest.approx(float(saliency_loss(logits, truth, valid, 0.4)[0]))


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match="alpha"):
        LossSettings(alpha=1.2)
    with pytest.raises(ConfigError, match="negative"):
        LossSettings(rank=-1.0)


def test_scores_that_are_not_known_cost_nothing() -> None:
    predicted = torch.tensor([[0.2, 0.9], [0.5, 0.5]], requires_grad=True)
    truth = torch.tensor([[0.6, math.nan], [math.nan, 0.4]])
    loss = score_term(Scores(predicted, truth))
    assert float(loss.detach()) == pytest.approx((0.4**2 + 0.1**2) / 2)
    loss.backward()
    assert predicted.grad is not None
    assert torch.allclose(predicted.grad, torch.tensor([[-0.4, 0.0], [0.0, 0.1]]))
    nothing = score_term(Scores(predicted.detach(), torch.full((2, 2), math.nan)))
    assert float(nothing) == 0.0


def test_scores_join_the_sum_by_their_weight() -> None:
    logits, truth, valid = example(7)
    scores = Scores(torch.tensor([[0.5]]), torch.tensor([[1.0]]))
    without = perception_loss(logits, truth, valid, some_parts(), LossSettings())
    weighted = perception_loss(logits, truth, valid, some_parts(), LossSettings(score=2.0), scores)
    assert float(weighted.score) == pytest.approx(0.25)
    assert float(weighted.total) == pytest.approx(float(without.total) + 0.5)
