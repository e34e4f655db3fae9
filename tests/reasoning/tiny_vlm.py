"""A Qwen2.5-VL of a few thousand weights, built in code, with the real image and text processing.

transformers' own Qwen2_5_VLProcessor also wants a video processor, which needs torchvision.
`PictureProcessor` is that class without it: everything that is called here is transformers' code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin

from retoucher.reasoning.conversation import Conversation, system_text
from retoucher.reasoning.reply import RegionReply, reply_text
from retoucher.reasoning.transformers_vlm import chat_inputs

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
# The chat template of Qwen2.5-VL, without its branch for video.
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class PictureProcessor(Qwen2_5_VLProcessor):
    """Qwen2.5-VL's processor for pictures and text."""

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None
    ) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)


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


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE whose merges come from the system text, so that requests stay short."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2000,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([system_text()], trainer)
    tokenizer.add_tokens([AddedToken(REPLY, normalized=False)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL),
    )


def build_processor() -> PictureProcessor:
    images = Qwen2VLImageProcessorPil(size={"shortest_edge": 28 * 28, "longest_edge": 112 * 112})
    return PictureProcessor(images, build_tokenizer(), chat_template=CHAT_TEMPLATE)


def build_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLForConditionalGeneration:
    """Random weights from a fixed seed."""
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 8192,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [2, 3, 3],
            },
            "pad_token_id": ids["<|endoftext|>"],
            "eos_token_id": ids["<|im_end|>"],
            "bos_token_id": None,
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "out_hidden_size": 64,
            "fullatt_block_indexes": [1],
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config).eval()
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    return model


def save_tiny(folder: Path) -> Path:
    """Model and processor in a folder, as from the hub."""
    processor = build_processor()
    build_model(processor.tokenizer).save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


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
