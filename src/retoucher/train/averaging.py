"""Averages of weights: along one run (what is evaluated), and over several (what ships)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from retoucher.errors import InputError


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


def mean_weights(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of the weights of runs that started from the same weights (a "model soup").

    Such runs end in one basin of the loss, so that the mean of their weights errs less than each
    (Wortsman et al., arXiv 2203.05482 and 2109.01903); runs of different starts do not.

    Args:
        states: of networks of one shape, at least one. What is not floating point is the first's.

    Raises:
        InputError: the shapes differ.
    """
    first = states[0]
    for state in states[1:]:
        if {k: v.shape for k, v in state.items()} != {k: v.shape for k, v in first.items()}:
            raise InputError("weights of networks of different shapes have no mean")
    return {
        name: torch.stack([s[name].double() for s in states]).mean(0).to(value.dtype)
        if value.dtype.is_floating_point
        else value.clone()
        for name, value in first.items()
    }
