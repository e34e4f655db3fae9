"""The loss of GRPO (Shao et al. 2024, eq. 3; the paper's L, negated for a minimiser)."""

from __future__ import annotations

import torch
from torch import Tensor


def advantages(rewards_n: Tensor, group: int, eps: float = 1e-4) -> Tensor:
    """A = (r - mean) / (std + eps) within each group of replies to one prompt; 0 where all agree.

    Args:
        rewards_n: (N,), the replies of a group one after the other.
        group: how many replies a group has; divides N.
        eps: keeps a group of equal rewards finite.
    """
    rewards = rewards_n.view(-1, group)  # (N / group, group)
    centred = rewards - rewards.mean(1, keepdim=True)
    return (centred / (rewards.std(1, keepdim=True) + eps)).flatten()  # (N,)


def token_logprobs(logits_btv: Tensor, ids_bt: Tensor) -> Tensor:
    """log pi of each token, (B, T)."""
    picked = logits_btv.gather(2, ids_bt[..., None])[..., 0]  # (B, T)
    return picked - logits_btv.logsumexp(2)


def grpo_loss(
    logprobs_bt: Tensor,
    old_bt: Tensor,
    reference_bt: Tensor,
    advantages_b: Tensor,
    mask_bt: Tensor,
    *,
    clip: float,
    beta: float,
) -> tuple[Tensor, Tensor]:
    """-E[min(r A, clip(r, 1 - eps, 1 + eps) A) - beta KL(pi || pi_ref)], and the mean KL.

    Means are over a reply's tokens, then over replies (TRL's loss type "grpo").

    Args:
        logprobs_bt: log pi of the replies' tokens, with gradient.
        old_bt: of the policy that wrote them.
        reference_bt: of the reference policy.
        advantages_b: one per reply.
        mask_bt: true for a reply's tokens and its end.
        clip: eps.
        beta: weight of the KL divergence, estimated per token as exp(d) - d - 1, d = ref - pi.
    """
    ratio = (logprobs_bt - old_bt).exp()  # (B, T)
    advantage = advantages_b[:, None]  # (B, 1)
    clipped = ratio.clamp(1 - clip, 1 + clip) * advantage  # (B, T)
    gain = torch.minimum(ratio * advantage, clipped)  # (B, T)
    behind = reference_bt - logprobs_bt  # (B, T)
    divergence = behind.exp() - behind - 1  # (B, T)
    weight = mask_bt.to(gain.dtype)  # (B, T)
    length = weight.sum(1).clamp(min=1)  # (B,)
    loss = -(((gain - beta * divergence) * weight).sum(1) / length).mean()
    return loss, ((divergence * weight).sum(1) / length).mean().detach()
