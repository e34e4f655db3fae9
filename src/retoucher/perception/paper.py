"""Preset `paper`: any Hugging Face ViT and T5 encoder, by name or folder (extra `torch`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from retoucher.errors import ConfigError
from retoucher.perception.network import DistortionSaliencyNet, NetworkConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class PaperConfig:
    """The paper's encoders, where to find them, and the network around them.

    Attributes:
        image_model, text_model: hub names or local folders.
        image_revision, text_revision: commits on the hub; a run that matters pins them.
        local_files_only: never touch the network.
        network: shape of fusion and decoder; stride 4, as in the paper's relatives.
    """

    image_model: str = "google/vit-large-patch16-384"
    text_model: str = "google-t5/t5-base"
    image_revision: str | None = None
    text_revision: str | None = None
    local_files_only: bool = False
    network: NetworkConfig = field(
        default_factory=lambda: NetworkConfig(
            token_width=768, heads=12, decoder_width=128, decoder_stride=4
        )
    )


class VitPyramid(nn.Module):
    """A plain ViT with patches of 16 as a trunk with maps at strides 4, 8, 16 and 32.

    Positions are interpolated, so any size that is a multiple of 32 will do. Finer maps are
    upsampled from the patches, as in ViTDet's simple pyramid, at `narrow` channels.
    """

    def __init__(self, vit: nn.Module, narrow: int = 128) -> None:
        super().__init__()
        config = cast("Any", vit).config
        if config.patch_size != 16:
            raise ConfigError(
                f"the ViT needs patches of 16 pixels, this one has {config.patch_size}"
            )
        self.vit = vit
        width = int(config.hidden_size)
        self.fine = nn.ModuleList(nn.Conv2d(width, narrow, 1) for _ in range(2))
        self.channels: tuple[int, int, int, int] = (narrow, narrow, width, width)

    def forward(self, image_bchw: Tensor) -> list[Tensor]:
        """Maps at strides 4, 8, 16 and 32 of (B, 3, H, W) in [-1, 1]."""
        h, w = image_bchw.shape[2] // 16, image_bchw.shape[3] // 16
        seen = self.vit(pixel_values=image_bchw, interpolate_pos_encoding=True)
        tokens = seen.last_hidden_state[:, -h * w :]
        patches = tokens.transpose(1, 2).reshape(tokens.shape[0], -1, h, w)
        up4, up8 = (
            functional.interpolate(
                conv(patches), scale_factor=s, mode="bilinear", align_corners=False
            )
            for conv, s in zip(self.fine, (4.0, 2.0), strict=True)
        )
        return [up4, up8, patches, functional.max_pool2d(patches, 2)]


class T5Prompt(nn.Module):
    """A T5 encoder as the network's prompt encoder."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.width = int(cast("Any", encoder).config.d_model)

    def forward(self, ids_bt: Tensor, valid_bt: Tensor) -> Tensor:
        """(B, T) ids and validity to (B, T, d_model)."""
        return self.encoder(input_ids=ids_bt, attention_mask=valid_bt.long()).last_hidden_state


def build_paper(config: PaperConfig) -> DistortionSaliencyNet:
    """The network on pretrained encoders, safetensors only; fusion and decoder are random.

    Raises:
        ConfigError: an encoder cannot be had, or does not fit.
    """
    from transformers import T5EncoderModel, ViTModel

    vit = _pretrained(ViTModel, config.image_model, config.image_revision, config.local_files_only)
    text = None
    if config.network.text:
        text = T5Prompt(
            _pretrained(
                T5EncoderModel, config.text_model, config.text_revision, config.local_files_only
            )
        )
    net = DistortionSaliencyNet(VitPyramid(vit), text, config.network)
    torch.nn.init.constant_(net.head_bias, -2.0)
    return net


def _pretrained(kind: Any, name: str, revision: str | None, local_files_only: bool) -> nn.Module:
    options: dict[str, Any] = {"use_safetensors": True, "local_files_only": local_files_only}
    if revision is not None:
        options["revision"] = revision
    if kind.__name__ == "ViTModel":
        options["add_pooling_layer"] = False
    try:
        return cast("nn.Module", kind.from_pretrained(name, **options))
    except OSError as error:
        raise ConfigError(
            f"{name}: cannot be loaded; give a hub name or a folder ({error})"
        ) from None
