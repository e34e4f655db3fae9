"""The compact network as a Hugging Face hub model: safetensors, never a pickle."""

from __future__ import annotations

from typing import Any

from huggingface_hub import PyTorchModelHubMixin

from retoucher.perception.compact import build_compact, compact_config
from retoucher.perception.network import DistortionSaliencyNet


class CompactSaliencyNet(
    DistortionSaliencyNet,
    PyTorchModelHubMixin,
    library_name="agentic-retoucher",
    license="apache-2.0",
    tags=["image-quality", "saliency"],
):
    """`from_pretrained(name or folder, revision=..., local_files_only=...)` and `push_to_hub`.

    The arguments are those of `CompactConfig`, as plain values, so that config.json holds them.
    """

    def __init__(
        self, *, trunk: str, network: dict[str, Any], tokenizer: dict[str, Any], text_width: int
    ) -> None:
        config = compact_config(
            {
                "trunk": trunk,
                "network": network,
                "tokenizer": tokenizer,
                "text_width": text_width,
            }
        )
        built = build_compact(config)
        super().__init__(built.image, built.text, config.network)
