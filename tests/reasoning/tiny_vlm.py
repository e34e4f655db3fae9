"""The tiny random Qwen2.5-VL of `retoucher.train.tiny_vlm`, with a reply it can be made to give."""

from __future__ import annotations

from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import Qwen2_5_VLForConditionalGeneration

from retoucher.reasoning.conversation import Conversation, system_text
from retoucher.reasoning.reply import RegionReply, reply_text
from retoucher.reasoning.transformers_vlm import chat_inputs
from retoucher.train import tiny_vlm
from retoucher.train.tiny_vlm import PictureProcessor

REPLY = reply_text(
    [
        RegionReply(
            mark=1,
            description="The hand has six fingers where five belong",
            category="hand_finger_count",
            severity=3,
            confidence=0.9,
        )
    ]
)
"""A whole reply, which is one word of the tiny model's vocabulary."""


def build_processor() -> PictureProcessor:
    """Its merges come from the system text, so that requests stay short."""
    return tiny_vlm.build_processor(tiny_vlm.build_tokenizer([system_text()], [REPLY]))


def save_tiny(folder: Path) -> Path:
    """Model and processor in a folder, as from the hub."""
    return tiny_vlm.save_tiny(folder, build_processor())


def save_adapter(folder: Path, model_folder: Path, conversation: Conversation) -> Path:
    """A LoRA adapter of peft with which the tiny model answers `REPLY` to this conversation.

    Rank 2 on the output layer, written down instead of trained: the hidden state after the
    question leads to the reply, the one after the reply to the end of the turn.
    """
    processor = load_saved_processor(model_folder)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder).eval()
    ids = processor.tokenizer.convert_tokens_to_ids([REPLY, "<|im_end|>"])
    inputs = chat_inputs(processor, [conversation])
    with torch.no_grad():
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([[ids[0]]])], 1)
        for name, fill in (("attention_mask", 1), ("mm_token_type_ids", 0)):
            inputs[name] = torch.cat([inputs[name], torch.full((1, 1), fill)], 1)
        states = model.model(**inputs).last_hidden_state[0, -2:]
    adapted = get_peft_model(model, LoraConfig(r=2, lora_alpha=2, target_modules=["lm_head"]))
    layer = adapted.base_model.model.lm_head
    with torch.no_grad():
        layer.lora_A["default"].weight.copy_(torch.linalg.pinv(states).T)
        layer.lora_B["default"].weight.zero_()
        for column, token in enumerate(ids):
            layer.lora_B["default"].weight[token, column] = 100.0
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


def load_saved_processor(folder: str | Path) -> PictureProcessor:
    """What `AutoProcessor` gives where torchvision is installed."""
    return PictureProcessor.from_pretrained(folder)


def save_merged(folder: Path, model_folder: Path, adapter_folder: Path) -> Path:
    """The tiny model with the adapter's weights added to its own, and the processor."""
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(model_folder)
    merged = PeftModel.from_pretrained(model, adapter_folder).merge_and_unload()
    merged.save_pretrained(folder)
    load_saved_processor(model_folder).save_pretrained(folder)
    return folder
