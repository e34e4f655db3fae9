"""EfficientNet-Lite trunk: the ImageNet-initialised stem of the `compact` preset.

Layer for layer the network of Tan et al. in its "Lite" form (no squeeze-and-excite, ReLU6), with
TensorFlow's asymmetric padding, so that published weights fit. Batch norm is folded into the
convolutions: pictures here come in small batches of unlike sources, whose statistics would only
disturb, and a third of the time is saved.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from retoucher.errors import ConfigError

_BN_EPS = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A run of blocks; only the first one changes stride and width."""

    repeats: int
    kernel: int
    stride: int
    expand: int
    channels: int


def _stages(repeats: tuple[int, ...], channels: tuple[int, ...]) -> tuple[Stage, ...]:
    shape = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))
    return tuple(
        Stage(repeats=r, kernel=k, stride=s, expand=e, channels=c)
        for r, c, (k, s, e) in zip(repeats, channels, shape, strict=True)
    )


VARIANTS: Mapping[str, tuple[Stage, ...]] = {
    "lite0": _stages((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
    "lite2": _stages((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352)),
    "tiny": _stages((1, 1, 1, 1, 1, 1, 1), (8, 8, 8, 8, 16, 16, 16)),
}
"""`tiny` is for tests; the others have published ImageNet weights."""


class SameConv(nn.Sequential):
    """Convolution padded as TensorFlow's "same" pads inputs whose sides `stride` divides."""

    def __init__(
        self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
    ) -> None:
        total = max(kernel - stride, 0)
        low = total // 2
        even = total == 2 * low
        conv = nn.Conv2d(inputs, outputs, kernel, stride, low if even else 0, groups=groups)
        pad = nn.Identity() if even else nn.ZeroPad2d((low, total - low, low, total - low))
        super().__init__(pad, conv)


class InvertedResidual(nn.Module):
    """Expand, filter each channel, project; a shortcut where the shape allows."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expand: int) -> None:
        super().__init__()
        hidden = inputs * expand
        layers: list[nn.Module] = []
        if expand != 1:
            layers += [SameConv(inputs, hidden, 1), nn.ReLU6(inplace=True)]
        layers += [SameConv(hidden, hidden, kernel, stride, hidden), nn.ReLU6(inplace=True)]
        layers += [SameConv(hidden, outputs, 1)]
        self.layers = nn.Sequential(*layers)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out = self.layers(x)
        return x + out if self.shortcut else out


class EfficientNetLite(nn.Module):
    """Features of a picture at strides 4, 8, 16 and 32.

    Attributes:
        channels: of the four maps.
        levels: the blocks between two maps; `freeze` counts them.
    """

    def __init__(self, variant: str = "lite0") -> None:
        super().__init__()
        if variant not in VARIANTS:
            raise ConfigError(f"no EfficientNet-Lite {variant!r}; there are: {', '.join(VARIANTS)}")
        self.stem = nn.Sequential(SameConv(3, 32, 3, 2), nn.ReLU6(inplace=True))
        width = 32
        stages: list[nn.Module] = []
        for stage in VARIANTS[variant]:
            blocks: list[nn.Module] = []
            for i in range(stage.repeats):
                stride = stage.stride if i == 0 else 1
                blocks.append(
                    InvertedResidual(width, stage.channels, stage.kernel, stride, stage.expand)
                )
                width = stage.channels
            stages.append(nn.Sequential(*blocks))
        joined = (stages[:2], stages[2:3], stages[3:5], stages[5:])
        self.levels = nn.ModuleList(nn.Sequential(*level) for level in joined)
        sizes = [stage.channels for stage in VARIANTS[variant]]
        self.channels: tuple[int, int, int, int] = (sizes[1], sizes[2], sizes[4], sizes[6])

    def forward(self, image_bchw: Tensor) -> list[Tensor]:
        """Maps (B, C, H/4, W/4) ... (B, C, H/32, W/32) of (B, 3, H, W) in [-1, 1].

        Height and width are multiples of 32.
        """
        x = self.stem(image_bchw)
        maps: list[Tensor] = []
        for level in self.levels:
            x = level(x)
            maps.append(x)
        return maps

    def freeze(self, levels: int) -> None:
        """Stops the stem and the first `levels` levels from learning."""
        for module in (self.stem, *list(self.levels)[:levels]):
            module.requires_grad_(False)


def adopt_imagenet_weights(trunk: EfficientNetLite, published: Mapping[str, Tensor]) -> None:
    """Folds published weights into the trunk, layer by layer in their order.

    Args:
        trunk: gets the weights.
        published: convolution, then scale, shift, mean and variance of its norm, and so on; what
            follows the trunk (the classifier) is left out.

    Raises:
        ConfigError: the file belongs to another network.
    """
    tensors = [v.float() for k, v in published.items() if not k.endswith("num_batches_tracked")]
    convolutions = [m for m in trunk.modules() if isinstance(m, nn.Conv2d)]
    if len(tensors) < 5 * len(convolutions):
        raise ConfigError("these weights have too few tensors for this EfficientNet-Lite")
    with torch.no_grad():
        for i, conv in enumerate(convolutions):
            kernel, scale, shift, mean, variance = tensors[5 * i : 5 * i + 5]
            if kernel.shape != conv.weight.shape or conv.bias is None:
                raise ConfigError(
                    f"layer {i} is {tuple(kernel.shape)}, expected {tuple(conv.weight.shape)}; "
                    "the weights are of another EfficientNet-Lite"
                )
            gain = scale / torch.sqrt(variance + _BN_EPS)
            conv.weight.copy_(kernel * gain[:, None, None, None])
            conv.bias.copy_(shift - mean * gain)
