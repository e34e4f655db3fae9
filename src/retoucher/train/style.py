"""MixStyle (Zhou et al., ICLR 2021): early features of one picture wear another's statistics.

Mean and spread of early channels carry the look of a generator more than what it shows. Mixing them
within a batch trains the rest of the network on looks that no generator has.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class MixStyle(nn.Module):
    """Mixes statistics with chance `chance` per batch while training; nothing otherwise."""

    def __init__(self, chance: float, concentration: float = 0.3) -> None:
        super().__init__()
        self.chance = chance
        self.concentration = concentration

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W), restyled."""
        if not self.training or x.shape[0] < 2 or float(torch.rand(())) >= self.chance:
            return x
        mean = x.mean((2, 3), keepdim=True).detach()
        spread = (x.var((2, 3), keepdim=True) + 1e-5).sqrt().detach()
        other = torch.randperm(x.shape[0])
        beta = torch.distributions.Beta(self.concentration, self.concentration)
        share = beta.sample((x.shape[0], 1, 1, 1)).to(x)
        mixed_mean = share * mean + (1 - share) * mean[other]
        mixed_spread = share * spread + (1 - share) * spread[other]
        return (x - mean) / spread * mixed_spread + mixed_mean


def mix_styles(levels: nn.ModuleList, count: int, chance: float) -> None:
    """Adds MixStyle after the first `count` levels of a trunk, by hooks: no weight is renamed."""
    mixer = MixStyle(chance)

    def restyle(module: nn.Module, _inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        return mixer.train(module.training)(output)

    for level in list(levels)[:count]:
        level.register_forward_hook(restyle)
