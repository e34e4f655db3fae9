"""Exponential moving average of weights: the network that is evaluated and shipped."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class WeightAverage:
    """Follows a network; early steps count less long, so that the start is soon forgotten."""

    def __init__(self, net: nn.Module, decay: float) -> None:
        self.decay = decay
        self.state: dict[str, Tensor] = {k: v.clone() for k, v in net.state_dict().items()}

    @torch.no_grad()
    def follow(self, net: nn.Module, step: int) -> None:
        """Takes in the weights after step number `step`, counted from 1."""
        decay = min(self.decay, step / (step + 10))
        for name, value in net.state_dict().items():
            if value.dtype.is_floating_point:
                self.state[name].lerp_(value, 1 - decay)
            else:
                self.state[name].copy_(value)
