"""The reasoner `transformers`: a vision-language model on this machine (Qwen2.5-VL and others)."""

from __future__ import annotations

import copy
import inspect
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

from PIL import Image

from retoucher.domain.diagnosis import Json
from retoucher.errors import PluginError
from retoucher.reasoning.asking import Answer
from retoucher.reasoning.conversation import Conversation
from retoucher.reasoning.transformers_loading import (
    TransformersSettings,
    commit_of,
    load_model,
    load_processor,
    local_copy,
    weight_digests,
)
from retoucher.reasoning.vlm import VlmReasoner


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Loaded:
    model: Any
    processor: Any
    weights: dict[str, str]
    commit: str | None


class TransformersReasoner(VlmReasoner[TransformersSettings]):
    """Diagnoses by a vision-language model that runs here; it is loaded at first use.

    Args:
        settings: which one.
        make_processor: gives the model's processor from settings with folders; the default is its
            own.
        clock: in seconds, for the latency in the trace.
    """

    settings_type = TransformersSettings
    name = "transformers"

    def __init__(
        self,
        settings: TransformersSettings | None = None,
        make_processor: Callable[[TransformersSettings], Any] = load_processor,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        super().__init__(settings, clock)
        self._make_processor = make_processor
        self._loaded: _Loaded | None = None

    def _weights(self) -> dict[str, str]:
        return self._loaded.weights if self._loaded else {}

    def _device(self) -> str:
        return str(self._loaded.model.device) if self._loaded else self._settings.device

    def _told(self) -> dict[str, Json]:
        if self._loaded is None:
            return {}
        architecture = str(self._loaded.model.config.architectures[0])
        return {"architecture": architecture, "commit": self._loaded.commit}

    def _ready(self) -> _Loaded:
        if self._loaded is None:
            settings = local_copy(self._settings)
            processor = self._make_processor(settings)
            processor.tokenizer.padding_side = "left"  # what is generated follows the last token
            self._loaded = _Loaded(
                model=load_model(settings),
                processor=processor,
                weights=weight_digests(settings),
                commit=commit_of(settings),
            )
        return self._loaded

    def ask(self, conversations: Sequence[Conversation]) -> list[Answer]:
        """One answer per conversation, in their order.

        Raises:
            MissingDependencyError, ConfigError: as `local_copy`, `load_model`, `load_processor`.
            PluginError: the device has too little memory.
        """
        loaded, size = self._ready(), self._settings.batch_size
        answers: list[Answer] = []
        for start in range(0, len(conversations), size):
            answers += self._generate(loaded, conversations[start : start + size])
        return answers

    def _generate(self, loaded: _Loaded, batch: Sequence[Conversation]) -> list[Answer]:
        """Answers of one batch; each is charged an equal share of its time."""
        import torch

        began = self._clock()
        model, processor, settings = loaded.model, loaded.processor, self._settings
        device = model.device
        forked = [device] if device.type == "cuda" else []
        try:
            inputs = chat_inputs(processor, batch).to(device)
            with torch.inference_mode(), cast(Any, torch.random).fork_rng(forked):
                cast(Any, torch).manual_seed(settings.seed)
                output = model.generate(**inputs, generation_config=_generation(model, settings))
        except torch.OutOfMemoryError as error:
            raise PluginError(
                f"{settings.model} does not fit on {device}: lower view.regions_per_request, "
                "view.picture_side_px or batch_size, or set load_in_4bit"
            ) from error
        new = output[:, inputs["input_ids"].shape[1] :].tolist()
        prompts = inputs["attention_mask"].sum(1).tolist()
        latency_s = (self._clock() - began) / len(batch)
        ends = _end_tokens(model)
        return [
            _answer(processor, tokens, ends, settings, prompt_tokens, latency_s)
            for tokens, prompt_tokens in zip(new, prompts, strict=True)
        ]


def chat_inputs(processor: Any, batch: Sequence[Conversation]) -> Any:
    """Tensors of a batch: tokens padded on the left, and the pictures.

    Where transformers can, control tokens in words from outside are read as plain text.
    """
    options: dict[str, Any] = {"processor_kwargs": {"padding": True}}
    if "sanitize_control_tokens" in inspect.signature(processor.apply_chat_template).parameters:
        options["sanitize_control_tokens"] = True
    return processor.apply_chat_template(
        [_messages(conversation) for conversation in batch],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
        **options,
    )


def _messages(conversation: Conversation) -> list[dict[str, Any]]:
    """The chat template's messages: typed parts, pictures as PIL images."""
    turns = [("system", (conversation.system,))]
    turns += [(turn.role, turn.parts) for turn in conversation.turns]
    return [
        {
            "role": role,
            "content": [
                {"type": "text", "text": part}
                if isinstance(part, str)
                else {"type": "image", "image": Image.fromarray(part)}
                for part in parts
            ],
        }
        for role, parts in turns
    ]


def _generation(model: Any, settings: TransformersSettings) -> Any:
    """The model's own generation settings with ours in their place."""
    config = copy.deepcopy(model.generation_config)
    sample = settings.temperature > 0
    config.update(
        do_sample=sample,
        temperature=settings.temperature if sample else None,
        top_p=config.top_p if sample else None,
        top_k=config.top_k if sample else None,
        max_new_tokens=settings.max_new_tokens,
        max_length=None,
    )
    return config


def _end_tokens(model: Any) -> frozenset[int]:
    ends = model.generation_config.eos_token_id
    return frozenset([ends] if isinstance(ends, int) else ends or ())


def _answer(
    processor: Any,
    tokens: list[int],
    ends: frozenset[int],
    settings: TransformersSettings,
    prompt_tokens: int,
    latency_s: float,
) -> Answer:
    count = next((i + 1 for i, token in enumerate(tokens) if token in ends), len(tokens))
    cut = count == len(tokens) and (not tokens or tokens[-1] not in ends)
    adapter = f" + {settings.adapter}" if settings.adapter else ""
    return Answer(
        text=processor.tokenizer.decode(tokens[:count], skip_special_tokens=True),
        finish="length" if cut else "stop",
        model=settings.model + adapter,
        prompt_tokens=int(prompt_tokens),
        completion_tokens=count,
        latency_s=latency_s,
    )
