"""The model that learns: its base with the frozen weights, its adapter, and what guards both."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from peft import LoraConfig, PeftModel
from torch import Tensor

from retoucher.errors import ConfigError, InputError
from retoucher.reasoning.transformers_loading import (
    TransformersSettings,
    commit_of,
    load_model,
    local_copy,
)
from retoucher.train.reasoning import LoraSettings, ReasoningRecipe

POLICY, REFERENCE = "default", "ref"
"""Names of the adapter that learns, and of TRL's frozen copy of it as it started."""

ADAPTER_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A base model, loaded.

    Attributes:
        model: on its device.
        settings: with the folder that it was loaded from.
        commit: of the hub, where it came from there.
    """

    model: Any
    settings: TransformersSettings
    commit: str | None


def load_base(recipe: ReasoningRecipe) -> Base:
    """The recipe's base model, on this process's device, with a guard of its picture tokens.

    Raises:
        MissingDependencyError, ConfigError: as `load_model`.
    """
    wanted = recipe.model
    settings = local_copy(
        TransformersSettings(
            model=wanted.name,
            revision=wanted.revision,
            local_files_only=wanted.local_files_only,
            device=_device(recipe.device),
            dtype=wanted.dtype,
            load_in_4bit=wanted.load_in_4bit,
            attention=wanted.attention,
        )
    )
    model = load_model(settings)
    guard_image_tokens(model)
    return Base(model=model, settings=settings, commit=commit_of(settings))


def lora_config(settings: LoraSettings) -> LoraConfig:
    """peft's settings of a new adapter."""
    return LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=settings.layers,
        task_type="CAUSAL_LM",
    )


def with_trained_adapter(model: Any, folder: Path) -> Any:
    """The model with a saved adapter that goes on learning.

    Raises:
        InputError: the folder holds none.
        ConfigError: it does not fit.
    """
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise InputError(
            f"{folder}: holds no {ADAPTER_WEIGHTS}; run `retouch train sft` to its end first, or "
            'set grpo.start to an adapter\'s folder or "base"'
        )
    try:
        return cast("Any", PeftModel).from_pretrained(model, str(folder), is_trainable=True)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{folder}: the adapter does not fit the model ({error})") from error


def check_reference(model: Any) -> None:
    """Makes sure that the reference policy is the model as it starts, adapter included.

    TRL (1.16: `GRPOTrainer.__init__`) freezes a copy of a given adapter for that. Without the copy
    it would take the model with its adapter switched off, the base.

    Raises:
        ConfigError: it is not so.
    """
    weights = dict(model.named_parameters())
    frozen = {name: value for name, value in weights.items() if f".{REFERENCE}." in name}
    for name, value in frozen.items():
        own = weights[name.replace(f".{REFERENCE}.", f".{POLICY}.")]
        if value.requires_grad or not torch.equal(value.to(own.dtype), own):
            frozen = {}
            break
    if not frozen:
        raise ConfigError(
            "the reference policy is not the adapter that GRPO starts from; install the extra "
            "train's version of trl"
        )


def guard_image_tokens(model: Any) -> None:
    """Has every forward pass with pictures checked by `check_image_tokens`.

    Only models of the Qwen-VL family say how many tokens a picture takes; others are left alone.
    """
    config = model.config
    token = getattr(config, "image_token_id", None)
    merge = getattr(getattr(config, "vision_config", None), "spatial_merge_size", None)
    if token is None or merge is None:
        return

    def check(_module: Any, _args: Any, inputs: dict[str, Any]) -> None:
        ids, grids = inputs.get("input_ids"), inputs.get("image_grid_thw")
        if ids is not None and grids is not None and inputs.get("pixel_values") is not None:
            check_image_tokens(ids, grids, token=token, merge=merge)

    model.model.register_forward_pre_hook(check, with_kwargs=True)


def check_image_tokens(input_ids: Tensor, grids: Tensor, *, token: int, merge: int) -> None:
    """Every row holds exactly the tokens of its own pictures.

    Args:
        input_ids: (rows, length).
        grids: (pictures, 3): frames, patches down, patches across; as many pictures for each row.
        token: stands for a piece of a picture.
        merge: so many patches down and across make one token.

    Raises:
        InputError: it does not.
    """
    rows = input_ids.shape[0]
    found = cast("list[int]", cast("Any", input_ids == token).sum(1).tolist())
    if grids.shape[0] % rows:
        raise InputError(f"{grids.shape[0]} pictures came to the model in {rows} prompts")
    per_picture = cast("Any", grids.prod(1) // merge**2)  # (pictures,)
    wanted = cast("list[int]", per_picture.view(rows, -1).sum(1).tolist())
    if found != wanted:
        raise InputError(
            f"prompts with {found} picture tokens came to the model with pictures of {wanted}"
        )


def _device(wanted: str) -> str:
    """This process's own GPU, where there are several processes."""
    if wanted == "auto" and torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return wanted
