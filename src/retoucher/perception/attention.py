"""Small transformer parts that export to ONNX as they are."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


class ChannelNorm(nn.Module):
    """Root-mean-square norm over channels at each pixel; independent of the picture's size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x_bchw: Tensor) -> Tensor:
        mean_square = x_bchw.square().mean(1, keepdim=True)
        return x_bchw * torch.rsqrt(mean_square + 1e-5) * self.scale


class TokenNorm(nn.Module):
    """Root-mean-square norm over the last axis (nn.RMSNorm, which ONNX export does not know)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x_btc: Tensor) -> Tensor:
        return x_btc * torch.rsqrt(x_btc.square().mean(-1, keepdim=True) + 1e-6) * self.weight


class SelfAttention(nn.Module):
    """Multi-head self-attention; tokens that are not valid are never looked at."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, x_btc: Tensor, valid_bt: Tensor, bias_htt: Tensor | None = None) -> Tensor:
        """`bias_htt` (heads, T, T) is added to the scores (T5's relative positions)."""
        b, t, c = x_btc.shape
        qkv = self.qkv(x_btc).reshape(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv[0], qkv[1], qkv[2]
        scores = (q * (c // self.heads) ** -0.5) @ k.transpose(-1, -2)
        if bias_htt is not None:
            scores = scores + bias_htt
        scores = scores.masked_fill(~valid_bt[:, None, None, :], torch.finfo(scores.dtype).min)
        mixed = scores.softmax(-1) @ v
        return self.out(mixed.transpose(1, 2).reshape(b, t, c))


class EncoderLayer(nn.Module):
    """Pre-norm transformer layer."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm_attention = TokenNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm_mlp = TokenNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x_btc: Tensor, valid_bt: Tensor, bias_htt: Tensor | None = None) -> Tensor:
        x = x_btc + self.dropout(self.attention(self.norm_attention(x_btc), valid_bt, bias_htt))
        return x + self.dropout(self.mlp(self.norm_mlp(x)))


def sinusoidal_grid(height: int, width: int, channels: int) -> Tensor:
    """Fixed positions (1, channels, height, width): half the channels for y, half for x."""
    quarter = channels // 4
    steps = torch.arange(quarter, dtype=torch.float32)
    frequency = torch.exp(-math.log(100.0) * steps / quarter)
    y = torch.arange(height, dtype=torch.float32)[None, :, None] * frequency[:, None, None]
    x = torch.arange(width, dtype=torch.float32)[None, None, :] * frequency[:, None, None]
    rows = torch.cat((y.sin(), y.cos())).expand(-1, height, width)
    columns = torch.cat((x.sin(), x.cos())).expand(-1, height, width)
    return torch.cat((rows, columns)).unsqueeze(0)
