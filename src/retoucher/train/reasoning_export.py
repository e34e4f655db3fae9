"""A trained adapter as a folder that others can load, with a card; and merged into its base."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import retoucher
from retoucher.errors import ConfigError, InputError, OutputError
from retoucher.reasoning.transformers_loading import (
    TransformersSettings,
    load_model,
    load_processor,
    local_copy,
)
from retoucher.train.reasoning import ReasoningRecipe, Stage

CONFIG, WEIGHTS, CARD = "adapter_config.json", "adapter_model.safetensors", "README.md"
VIEW = "reasoner.toml"
"""Settings by which a trained model is asked; `retouch data conversations` writes them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where an adapter comes from.

    Attributes:
        stage, recipe: how it was trained.
        samples: it learned from.
        commit: of the base model, where it came from the hub.
    """

    stage: Stage
    recipe: ReasoningRecipe
    samples: int
    commit: str | None


def export_adapter(saved: Path, folder: Path, origin: Origin) -> None:
    """Moves what the trainer saved to `folder`: weights and peft's settings, with a card and the
    data's settings by which the model must be asked.

    Args:
        saved: what the trainer wrote; removed.
        folder: appears whole; one that is there is replaced.
        origin: for the card, and for peft's settings, which name the base model by it.

    Raises:
        InputError: the trainer wrote no adapter.
    """
    if not (saved / WEIGHTS).is_file():
        raise InputError(f"{saved}: the trainer wrote no {WEIGHTS}")
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    config = json.loads((saved / CONFIG).read_text("utf-8"))
    config["base_model_name_or_path"] = origin.recipe.model.name
    config["revision"] = origin.commit or origin.recipe.model.revision
    config["inference_mode"] = True
    (part / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", "utf-8")
    shutil.copyfile(saved / WEIGHTS, part / WEIGHTS)
    (part / CARD).write_text(card(origin), "utf-8")
    view = Path(origin.recipe.data) / VIEW
    if view.is_file():
        shutil.copyfile(view, part / VIEW)
    if folder.exists():
        shutil.rmtree(folder)
    part.rename(folder)
    shutil.rmtree(saved)


def merge_adapter(
    adapter: Path,
    out: Path,
    *,
    base: str | None = None,
    make_processor: Callable[[TransformersSettings], Any] = load_processor,
) -> None:
    """Writes the base model with the adapter's weights added to its own, and its processor.

    For servers that take no adapters. Rounded to the base's own number format, so its replies can
    differ in a late digit from those of base and adapter apart.

    Args:
        adapter: folder of an adapter.
        out: folder to write; must not exist yet.
        base: hub name or folder of the base model; None: the one that the adapter names.
        make_processor: gives the model's processor.

    Raises:
        InputError: the folder holds no adapter.
        OutputError: `out` is there already.
        MissingDependencyError, ConfigError: as `load_model`.
    """
    try:
        config = json.loads((adapter / CONFIG).read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{adapter}: holds no adapter ({error})") from error
    if out.exists():
        raise OutputError(f"{out}: is there already; name a new folder")
    settings = local_copy(
        TransformersSettings(
            model=base or str(config["base_model_name_or_path"]),
            revision=None if base else config.get("revision"),
            adapter=str(adapter),
            device="cpu",
        )
    )
    try:
        merged = load_model(settings).merge_and_unload(safe_merge=True)
    except ValueError as error:
        raise ConfigError(f"{adapter}: cannot be merged ({error})") from error
    part = out.with_name(f".{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    merged.save_pretrained(part)
    make_processor(settings).save_pretrained(part)
    if (adapter / CARD).is_file():
        shutil.copyfile(adapter / CARD, part / CARD)
    part.rename(out)


def card(origin: Origin) -> str:
    """The README of an adapter: what it is, how it was made, how to use it; no figures of quality,
    as nobody has measured it yet.
    """
    recipe = origin.recipe
    model, lora = recipe.model, recipe.lora
    revision = origin.commit or model.revision or "not pinned"
    stage = recipe.sft if origin.stage == "sft" else recipe.grpo.run
    return f"""---
base_model: {json.dumps(model.name)}
library_name: peft
pipeline_tag: image-text-to-text
tags: [lora, {origin.stage}, trl, agentic-retoucher]
---

# Diagnoses of local defects in generated pictures

A LoRA adapter (rank {lora.rank}, alpha {lora.alpha}) with which the model names the category, the
severity and a description of a marked region, or says that nothing is wrong there.

| | |
|---|---|
| base model | {model.name} |
| revision | {revision} |
| stage | {_how(origin)} |
| data | {recipe.data}, {origin.samples} samples |
| steps | {stage.steps}, seed {recipe.seed} |
| made by | agentic-retoucher {retoucher.__version__} |

The whole recipe is recipe.toml in the run's folder. To be filled in before it is passed on: the
data's licence, the licence of the base model, and measured figures (`retouch eval reasoning`); none
have been measured by the training.

## Use

    retouch find PICTURE --reasoner transformers --config THIS_FOLDER/{VIEW} \
        --set options.reasoner.transformers.adapter=THIS_FOLDER

or served: `vllm serve {model.name} --enable-lora --max-lora-rank {lora.rank} --lora-modules
retoucher=THIS_FOLDER`, and then the reasoner `openai` with the model `retoucher`. `{VIEW}` says
how it must be asked: as it was trained.
"""


def _how(origin: Origin) -> str:
    if origin.stage == "sft":
        return "SFT"
    grpo = origin.recipe.grpo
    return f"GRPO (beta {grpo.beta}, groups of {grpo.group_size}) from {grpo.start}"
