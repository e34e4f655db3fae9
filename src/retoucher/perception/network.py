"""The context-aware distortion-saliency network (paper, section 3.1).

image -> pyramid (strides 4, 8, 16, 32)      prompt -> text tokens
                \\                            /
         tokens of stride 32 ++ text tokens -> self-attention fusion
                               |
     narrow top-down decoder, attention refinement at every scale
                               |
             logits at stride 8 or 4 (sigmoid: saliency)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from retoucher.errors import ConfigError
from retoucher.perception.attention import ChannelNorm, EncoderLayer, sinusoidal_grid


class ImageEncoder(Protocol):
    """What the network needs of a trunk: maps at strides 4, 8, 16 and 32, and their widths."""

    channels: tuple[int, int, int, int]

    def __call__(self, image_bchw: Tensor) -> list[Tensor]: ...


class TextEncoder(Protocol):
    """Token ids (B, T) int64 and their validity (B, T) bool to tokens (B, T, width)."""

    width: int

    def __call__(self, ids_bt: Tensor, valid_bt: Tensor) -> Tensor: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkConfig:
    """Shape of the network around its encoders.

    Attributes:
        token_width: of the fused tokens; a multiple of 4 and of `heads`.
        fusion_layers: self-attention layers over image and text tokens.
        decoder_width: channels of the decoder, at every scale.
        decoder_stride: 8 or 4, pixels of the picture per logit.
        refinement: attention refinement on or off (an axis of the paper's ablation).
        text: text branch on or off.
        score_heads: names of whole-picture scores to predict besides the map.
        dropout: in the fusion, while training.
    """

    token_width: int = 192
    fusion_layers: int = 2
    heads: int = 6
    decoder_width: int = 96
    decoder_stride: int = 8
    refinement: bool = True
    text: bool = True
    score_heads: tuple[str, ...] = ()
    dropout: float = 0.1

    def __post_init__(self) -> None:
        if self.token_width % self.heads or self.token_width % 4:
            raise ConfigError("token_width must be a multiple of 4 and of heads")
        if self.decoder_stride not in (4, 8):
            raise ConfigError(f"decoder_stride is 4 or 8, not {self.decoder_stride}")


class Prediction(NamedTuple):
    """`logits_bhw` at the decoder's stride; `scores_bn` in [0, 1], one column per score head."""

    logits_bhw: Tensor
    scores_bn: Tensor


class AttentionRefinement(nn.Module):
    """Gathers context at several scales and lets it gate what a place adds to itself.

    Depthwise filters at growing dilation see the neighbourhood, a mean over the picture sees the
    whole; both decide, per channel and pixel, how much of the gathered evidence to take.
    """

    def __init__(self, width: int, dilations: tuple[int, ...] = (1, 3, 6)) -> None:
        super().__init__()
        self.norm = ChannelNorm(width)
        self.near = nn.ModuleList(
            nn.Conv2d(width, width, 3, padding=d, dilation=d, groups=width) for d in dilations
        )
        self.mix = nn.Conv2d(width * (len(dilations) + 1), 2 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor, valid_b1hw: Tensor) -> Tensor:
        """(B, C, H, W) refined; `valid_b1hw` is 1 on the picture and 0 on padding."""
        seen = self.norm(x) * valid_b1hw
        mean = seen.sum((2, 3), keepdim=True) / valid_b1hw.sum((2, 3), keepdim=True).clamp(min=1)
        scales = [conv(seen) for conv in self.near] + [mean.expand_as(seen)]
        value, gate = self.mix(torch.cat(scales, 1)).chunk(2, 1)
        return x + self.out(functional.gelu(value) * torch.sigmoid(gate))


class DecoderLevel(nn.Module):
    """Brings coarse evidence to the next finer scale."""

    def __init__(self, lateral: int, width: int, refinement: bool) -> None:
        super().__init__()
        self.lateral = nn.Sequential(nn.Conv2d(lateral, width, 1), ChannelNorm(width))
        self.mix = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), ChannelNorm(width), nn.GELU()
        )
        self.refine = AttentionRefinement(width) if refinement else None

    def forward(self, coarse: Tensor, fine: Tensor, valid_b1hw: Tensor) -> Tensor:
        up = functional.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        x = up + self.lateral(fine)
        x = x + self.mix(x * valid_b1hw)
        return x if self.refine is None else self.refine(x, valid_b1hw)


class DistortionSaliencyNet(nn.Module):
    """Where a generated picture looks distorted, given the picture and its prompt.

    Args:
        image: trunk; see `ImageEncoder`.
        text: prompt encoder, or None when `config.text` is False.
        config: the rest of the shape.
    """

    def __init__(
        self, image: ImageEncoder, text: TextEncoder | None, config: NetworkConfig
    ) -> None:
        super().__init__()
        if (text is not None) != config.text:
            raise ConfigError("a text encoder is needed exactly when config.text is true")
        self.config = config
        self.image = image
        self.text = text
        width, narrow = config.token_width, config.decoder_width
        c4, c8, c16, c32 = image.channels
        self.to_tokens = nn.Conv2d(c32, width, 1)
        self.text_to_tokens = None if text is None else nn.Linear(text.width, width)
        self.fusion = nn.ModuleList(
            EncoderLayer(width, config.heads, config.dropout) for _ in range(config.fusion_layers)
        )
        self.from_tokens = nn.Sequential(ChannelNorm(width), nn.Conv2d(width, narrow, 1))
        laterals = (c16, c8) if config.decoder_stride == 8 else (c16, c8, c4)
        self.decoder = nn.ModuleList(
            DecoderLevel(lateral, narrow, config.refinement) for lateral in laterals
        )
        self.head = nn.Sequential(
            ChannelNorm(narrow),
            nn.Conv2d(narrow, narrow // 2, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(narrow // 2, 1, 1),
        )
        self.scores = nn.Linear(width, len(config.score_heads)) if config.score_heads else None

    @property
    def head_bias(self) -> Tensor:
        """Bias of the logits; its sigmoid is the saliency the network starts from."""
        last = self.head[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        return last.bias

    def encode_text(self, ids_bt: Tensor, valid_bt: Tensor) -> Tensor:
        """Text tokens (B, T, token_width); depends on the prompt alone, so it can be cached."""
        if self.text is None or self.text_to_tokens is None:
            raise ConfigError("this network has no text branch")
        return self.text_to_tokens(self.text(ids_bt, valid_bt))

    def forward(
        self,
        image_bchw: Tensor,
        valid_bhw: Tensor,
        text_btc: Tensor | None = None,
        text_valid_bt: Tensor | None = None,
    ) -> Prediction:
        """Logits of saliency, and scores.

        Args:
            image_bchw: float (B, 3, H, W), sides multiples of 32, values in [-1, 1], 0 on padding.
            valid_bhw: float (B, H, W), 1 on the picture, 0 on padding.
            text_btc: from `encode_text`; None: no prompt.
            text_valid_bt: bool (B, T), which text tokens count.
        """
        finest, fused = self.features(image_bchw, valid_bhw, text_btc, text_valid_bt)
        return self.read_out(finest, fused, valid_bhw)

    def features(
        self,
        image_bchw: Tensor,
        valid_bhw: Tensor,
        text_btc: Tensor | None = None,
        text_valid_bt: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """What the prediction is read from; the arguments are those of `forward`.

        Returns:
            The decoder's finest map (B, decoder_width, H/stride, W/stride) and the fused tokens
            (B, token_width, H/32, W/32).
        """
        maps = self.image(image_bchw)
        coarse = self.to_tokens(maps[3])
        fused = self._fuse(coarse, _at_stride(valid_bhw, 32), text_btc, text_valid_bt)
        x = self.from_tokens(fused)
        for level, fine, stride in zip(self.decoder, maps[2::-1], (16, 8, 4), strict=False):
            x = level(x, fine, _at_stride(valid_bhw, stride))
        return x, fused

    def read_out(self, finest: Tensor, fused: Tensor, valid_bhw: Tensor) -> Prediction:
        """The prediction from `features`."""
        return Prediction(self.head(finest).squeeze(1), self._score(fused, valid_bhw))

    def _fuse(
        self, coarse: Tensor, valid: Tensor, text: Tensor | None, text_valid: Tensor | None
    ) -> Tensor:
        b, c, h, w = coarse.shape
        grid = sinusoidal_grid(h, w, c).to(coarse)
        tokens = (coarse + grid).flatten(2).transpose(1, 2)
        seen = valid.flatten(1) > 0
        if text is not None and text_valid is not None:
            tokens = torch.cat((tokens, text), 1)
            seen = torch.cat((seen, text_valid), 1)
        for layer in self.fusion:
            tokens = layer(tokens, seen)
        return tokens[:, : h * w].transpose(1, 2).reshape(b, c, h, w)

    def _score(self, fused: Tensor, valid_bhw: Tensor) -> Tensor:
        if self.scores is None:
            return fused.new_zeros((fused.shape[0], 0))
        valid = _at_stride(valid_bhw, 32)
        mean = (fused * valid).sum((2, 3)) / valid.sum((2, 3)).clamp(min=1)
        return torch.sigmoid(self.scores(mean))


def _at_stride(valid_bhw: Tensor, stride: int) -> Tensor:
    """(B, 1, H/stride, W/stride): 1 where any pixel of the cell belongs to the picture."""
    return functional.max_pool2d(valid_bhw.unsqueeze(1), stride)
