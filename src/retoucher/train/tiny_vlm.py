"""A Qwen2.5-VL of a few hundred thousand random weights, made in code, and a few samples for it.

For trials of the machinery where no weights can be had: everything but the size, the weights and
the vocabulary is transformers' own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from PIL import Image
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
)
from transformers.models.qwen2_5_vl.processing_qwen2_5_vl import Qwen2_5_VLProcessor
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin

from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.imaging import atomic
from retoucher.reasoning.conversation import questions, system_text
from retoucher.reasoning.reply import RegionReply, reply_text
from retoucher.reasoning.transformers_loading import TransformersSettings
from retoucher.reasoning.views import RgbArray, ViewSettings
from retoucher.train.conversations import prompt_record
from retoucher.train.reasoning import ReasoningRecipe

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
)
CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""Qwen2.5-VL's, without its branch for video."""

TINY_VIEW = ViewSettings(pictures="crop", crop_side_px=56)
"""How the tiny samples are shown."""

REGION = Box(16, 16, 40, 40)
"""Where the mark is in every tiny picture, (x0, y0, x1, y1) in pixels."""

_Sample = tuple[tuple[int, int, int], str, Literal[0, 1, 2, 3], str]
_SAMPLES: tuple[_Sample, ...] = (
    ((200, 30, 30), "hand_finger_count", 2, "The red hand has six fingers where five belong."),
    ((30, 30, 200), "text_garbled", 3, "The blue sign shows letters of no alphabet."),
    ((30, 160, 30), "no_defect", 0, "The green leaf looks right."),
    ((220, 200, 40), "object_structure", 1, "The yellow chair stands on three legs."),
)
"""Colour of the marked part, and what people would say of it: category, severity, words."""

_CONFIDENCE = 0.9


class PictureProcessor(Qwen2_5_VLProcessor):
    """Qwen2.5-VL's processor for pictures and text: transformers' own also wants one for video,
    which needs torchvision. All that is called here is transformers' code."""

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: Any = None
    ) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        cast("Any", ProcessorMixin).__init__(
            self, image_processor, tokenizer, chat_template=chat_template
        )


def tiny_recipe(recipe: ReasoningRecipe) -> ReasoningRecipe:
    """The recipe with the tiny model, samples and word vectors, which are made where missing."""
    folder = Path(recipe.out) / "tiny"
    model, data, vectors = folder / "model", folder / "data", folder / "words.txt"
    if not vectors.is_file():  # written last
        save_tiny(model, build_processor(build_tokenizer([], _phrases(), size=300)))
        _write_samples(data)
        _write_vectors(vectors)
    rewards = replace(recipe.grpo.rewards, encoder=str(vectors))
    return replace(
        recipe,
        data=str(data),
        model=replace(recipe.model, name=str(model), revision=None, local_files_only=True),
        grpo=replace(recipe.grpo, rewards=rewards),
    )


def load_tiny_processor(settings: TransformersSettings) -> PictureProcessor:
    """The processor of a tiny model's folder."""
    return cast("Any", PictureProcessor).from_pretrained(settings.model)


def tiny_picture(number: int) -> RgbArray:
    """The picture of sample `number`, uint8 (56, 56, 3): a part on a ground of half its colour."""
    picture = np.empty((56, 56, 3), np.uint8)
    picture[:] = np.array(_SAMPLES[number][0], np.uint8) // 2
    picture[REGION.y0 : REGION.y1, REGION.x0 : REGION.x1] = _SAMPLES[number][0]
    return picture


def build_tokenizer(
    texts: Sequence[str], whole: Sequence[str] = (), size: int = 2000
) -> PreTrainedTokenizerFast:
    """Byte-level BPE.

    Args:
        texts: from which merges are learned.
        whole: texts that become one token each.
        size: of the learned vocabulary.
    """
    tokenizer = cast("Any", Tokenizer)(models.BPE())
    tokenizer.pre_tokenizer = cast("Any", pre_tokenizers).ByteLevel(add_prefix_space=False)
    tokenizer.decoder = cast("Any", decoders).ByteLevel()
    trainer = cast("Any", trainers).BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=cast("Any", pre_tokenizers).ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(list(texts), trainer)
    tokenizer.add_tokens([cast("Any", AddedToken)(text, normalized=False) for text in whole])
    return cast("Any", PreTrainedTokenizerFast)(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=list(SPECIAL),
    )


def build_processor(tokenizer: PreTrainedTokenizerFast) -> PictureProcessor:
    """For pictures of up to 112 x 112 pixels."""
    size = {"shortest_edge": 28 * 28, "longest_edge": 112 * 112}
    images = cast("Any", Qwen2VLImageProcessorPil)(size=size)
    return PictureProcessor(images, tokenizer, chat_template=CHAT_TEMPLATE)


def build_model(tokenizer: PreTrainedTokenizerFast) -> Qwen2_5_VLForConditionalGeneration:
    """Random weights from a fixed seed."""
    ids = {token: cast("int", tokenizer.convert_tokens_to_ids(token)) for token in SPECIAL}
    config = cast("Any", Qwen2_5_VLConfig)(
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
    with cast("Any", torch.random).fork_rng(devices=[]):
        cast("Any", torch).manual_seed(0)
        model = cast("Any", Qwen2_5_VLForConditionalGeneration)(config).eval()
    # At the usual scale so narrow a model can prefer no word clearly, whatever it learns.
    model.lm_head.weight.data *= 25.0
    model.generation_config.eos_token_id = ids["<|im_end|>"]
    model.generation_config.pad_token_id = ids["<|endoftext|>"]
    return model


def save_tiny(folder: Path, processor: PictureProcessor) -> Path:
    """Model and processor in a folder, as from the hub."""
    whole = cast("Any", processor)
    cast("Any", build_model(whole.tokenizer)).save_pretrained(folder)
    whole.save_pretrained(folder)
    return folder


def _reply(sample: _Sample) -> str:
    _, category, severity, words = sample
    reply = RegionReply(
        mark=1, description=words, category=category, severity=severity, confidence=_CONFIDENCE
    )
    return reply_text([reply])


def _phrases() -> list[str]:
    """Lines of the question and pieces of the replies, each to be one token: so short a request
    can be learned and answered in seconds."""
    lines = system_text(TINY_VIEW.pictures).splitlines()
    pieces = ['{"regions": [{"mark": 1, "description": "', '", "category": "', '", "severity": ']
    pieces += [f', "confidence": {_CONFIDENCE}}}]}}']
    words = [text for _, category, _, text in _SAMPLES for text in (category, text)]
    return [*(line for line in lines if len(line) > 20), *pieces, *words]


def _write_samples(folder: Path) -> None:
    """sft.jsonl, grpo.jsonl and pictures, as `retouch data conversations` writes them."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    taught: list[dict[str, object]] = []
    asked: list[dict[str, object]] = []
    for number, sample in enumerate(_SAMPLES):
        region = Region.from_box(REGION, id=str(number))
        (question,) = questions(tiny_picture(number), "", [region], TINY_VIEW)
        (picture,) = [p for p in question.conversation.turns[0].parts if not isinstance(p, str)]
        name = f"images/{number}.png"
        Image.fromarray(picture).save(folder / name)
        prompt = prompt_record(question.conversation)
        row: dict[str, object] = {"id": str(number), "images": [name], "prompt": prompt}
        answer = {"role": "assistant", "content": [{"type": "text", "text": _reply(sample)}]}
        taught.append({**row, "completion": [answer]})
        truth = {"category": sample[1], "severity": sample[2], "description": sample[3]}
        asked.append({**row, **truth})
    for name, rows in (("sft.jsonl", taught), ("grpo.jsonl", asked)):
        atomic.write_bytes(folder / name, "".join(json.dumps(r) + "\n" for r in rows).encode())


def _write_vectors(file: Path) -> None:
    """A random vector for every word of the descriptions, in GloVe's text format."""
    words = sorted({word.strip(".").lower() for *_, text in _SAMPLES for word in text.split()})
    rows = np.random.default_rng(0).normal(size=(len(words), 16))
    lines = [
        f"{word} {' '.join(f'{x:.4f}' for x in row)}" for word, row in zip(words, rows, strict=True)
    ]
    atomic.write_bytes(file, ("\n".join(lines) + "\n").encode())
