"""A small T5-style prompt encoder: relative positions, RMS norm, no absolute positions."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from retoucher.perception.attention import EncoderLayer, TokenNorm


class CompactTextEncoder(nn.Module):
    """Token ids to contextual tokens.

    Args:
        buckets: size of the vocabulary.
        width: of a token.
        layers, heads: of the transformer.
    """

    def __init__(self, buckets: int, width: int = 96, layers: int = 2, heads: int = 4) -> None:
        super().__init__()
        self.width = width
        self.embedding = nn.Embedding(buckets, width)
        nn.init.normal_(self.embedding.weight, std=0.3)
        self.position = RelativePositionBias(heads)
        self.layers = nn.ModuleList(EncoderLayer(width, heads, 0.1) for _ in range(layers))
        self.norm = TokenNorm(width)

    def forward(self, ids_bt: Tensor, valid_bt: Tensor) -> Tensor:
        """(B, T) int64 ids and bool validity to (B, T, width)."""
        x = self.embedding(ids_bt)
        bias = self.position(ids_bt.shape[1])
        for layer in self.layers:
            x = layer(x, valid_bt, bias)
        return self.norm(x)


class RelativePositionBias(nn.Module):
    """T5's bias by distance, one learned value per head and distance, clipped at `reach`."""

    def __init__(self, heads: int, reach: int = 16) -> None:
        super().__init__()
        self.reach = reach
        self.bias = nn.Embedding(2 * reach + 1, heads)
        nn.init.zeros_(self.bias.weight)

    def forward(self, tokens: int) -> Tensor:
        """(heads, T, T)."""
        place = torch.arange(tokens, device=self.bias.weight.device)
        distance = (place[None, :] - place[:, None]).clamp(-self.reach, self.reach)
        return self.bias(distance + self.reach).permute(2, 0, 1)
