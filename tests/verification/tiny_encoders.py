"""Dual encoders of the real classes with tiny random weights, saved as on the hub."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    SiglipConfig,
    SiglipModel,
    T5Config,
    T5Model,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

SIDE_PX = 32
_SMALL = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}


def save_clip(folder: Path) -> Path:
    tokenizer = _tokenizer()
    config = CLIPConfig(
        text_config={
            **_SMALL,
            "vocab_size": len(tokenizer),
            "max_position_embeddings": 20,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config={**_SMALL, "image_size": SIDE_PX, "patch_size": 8},
        projection_dim=8,
    )
    torch.manual_seed(1)
    size: Any = {"height": SIDE_PX, "width": SIDE_PX}
    pictures = CLIPImageProcessorPil(size=size, do_center_crop=False)
    return _save(folder, CLIPModel(config), tokenizer, pictures)


def save_siglip(folder: Path) -> Path:
    tokenizer = _tokenizer()
    config = SiglipConfig(
        text_config={**_SMALL, "vocab_size": len(tokenizer), "max_position_embeddings": 20},
        vision_config={**_SMALL, "image_size": SIDE_PX, "patch_size": 8},
    )
    torch.manual_seed(2)
    size: Any = {"height": SIDE_PX, "width": SIDE_PX}
    return _save(folder, SiglipModel(config), tokenizer, SiglipImageProcessorPil(size=size))


def save_words_only(folder: Path) -> Path:
    """A model that knows no pictures, in a folder that is whole otherwise."""
    model = T5Model(T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=1))
    pictures = CLIPImageProcessorPil()
    return _save(folder, model, _tokenizer(), pictures)


def _tokenizer() -> CLIPTokenizer:
    letters = sorted(ByteLevel.alphabet())
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{c}</w>" for c in letters)]
    vocab = {token: i for i, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=[], model_max_length=77)


def _save(folder: Path, model: Any, tokenizer: Any, pictures: Any) -> Path:
    model.eval().save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    pictures.save_pretrained(folder)
    return folder
