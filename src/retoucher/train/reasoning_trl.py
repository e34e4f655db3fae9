"""TRL's settings and trainers of the two stages, made from a recipe."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from retoucher.errors import ConfigError
from retoucher.evaluation.wording import sentence_encoder, word_vector_encoder
from retoucher.train.reasoning import (
    FROM_BASE,
    FROM_SFT,
    ReasoningRecipe,
    RewardSettings,
    StageSettings,
)
from retoucher.train.reasoning_data import Row, as_dataset, order
from retoucher.train.reasoning_model import (
    Base,
    check_reference,
    lora_config,
    with_trained_adapter,
)
from retoucher.train.rewards import (
    Encode,
    category_reward,
    description_reward,
    format_reward,
    invention_penalty,
)

Reward = Callable[..., list[float]]
"""As TRL calls it: completions and the samples' other columns, by name."""


def sft_config(recipe: ReasoningRecipe, folder: Path) -> SFTConfig:
    """Cross-entropy on the reply alone; nothing is cut off, as that would cut pictures."""
    return SFTConfig(
        **_common(recipe, recipe.sft, folder),
        max_length=None,
        completion_only_loss=True,
        packing=False,
        train_sampling_strategy="sequential",
    )


def grpo_config(recipe: ReasoningRecipe, folder: Path) -> GRPOConfig:
    """The paper's objective: clipped ratio, group advantages, KL to the reference.

    Raises:
        ConfigError: replies do not make whole groups.
    """
    grpo = recipe.grpo
    rewards, vllm = grpo.rewards, grpo.vllm
    try:
        return GRPOConfig(
            **_common(recipe, grpo.run, folder),
            loss_type="grpo",
            beta=grpo.beta,
            epsilon=grpo.epsilon,
            num_generations=grpo.group_size,
            num_iterations=grpo.iterations,
            temperature=grpo.temperature,
            top_p=grpo.top_p,
            max_completion_length=grpo.max_reply_tokens,
            reward_weights=[getattr(rewards, name) for name in _REWARDS],
            multi_objective_aggregation=_COMBINE[rewards.combine],
            scale_rewards=rewards.scale,
            disable_dropout=True,
            shuffle_dataset=False,
            use_vllm=vllm.use,
            vllm_mode=vllm.mode,
            vllm_server_base_url=vllm.server,
            vllm_gpu_memory_utilization=vllm.memory_share,
            vllm_tensor_parallel_size=vllm.tensor_parallel,
            vllm_max_model_length=vllm.max_tokens,
        )
    except ValueError as error:
        raise ConfigError(
            f"grpo: batch x accumulate x processes must be a multiple of group_size ({error})"
        ) from error


def sft_trainer(
    recipe: ReasoningRecipe, args: SFTConfig, rows: list[Row], base: Base, processor: Any
) -> SFTTrainer:
    """A trainer of a new adapter; sample i of the run is row i of its dataset."""
    run = recipe.sft
    count = run.steps * run.accumulate * run.batch * cast("Any", args).world_size
    places = order(len(rows), count, recipe.seed)
    return SFTTrainer(
        model=base.model,
        args=args,
        train_dataset=as_dataset(rows, "sft", places),
        processing_class=processor,
        peft_config=lora_config(recipe.lora),
    )


def grpo_trainer(
    recipe: ReasoningRecipe, args: GRPOConfig, rows: list[Row], base: Base, processor: Any
) -> GRPOTrainer:
    """A trainer of the SFT adapter (or a new one) whose reference policy is the model as it starts.

    Raises:
        InputError, ConfigError: the adapter is missing or does not fit.
    """
    grpo = recipe.grpo
    # Each generation asks `questions` questions and serves `iterations` steps.
    questions = cast("int", args.generation_batch_size) // grpo.group_size
    places = order(len(rows), -(-grpo.run.steps // grpo.iterations) * questions, recipe.seed)
    new = grpo.start == FROM_BASE
    model = base.model if new else with_trained_adapter(base.model, start_folder(recipe))
    rewards = trl_rewards(grpo.rewards, encoder(grpo.rewards.encoder))
    trainer = GRPOTrainer(
        model=model,
        args=args,
        reward_funcs=cast("Any", rewards),
        train_dataset=as_dataset(rows, "grpo", places),
        processing_class=processor,
        peft_config=lora_config(recipe.lora) if new else None,
    )
    if not new:
        check_reference(model)
    return trainer


def start_folder(recipe: ReasoningRecipe) -> Path:
    """The adapter that GRPO starts from."""
    start = recipe.grpo.start
    return Path(recipe.out) / "sft" / "adapter" if start == FROM_SFT else Path(start)


def encoder(name: str) -> Encode:
    """Sentences to vectors: a text file of word vectors, or a model of sentence-transformers.

    Raises:
        MissingDependencyError, ConfigError: it cannot be loaded.
    """
    file = Path(name)
    return (word_vector_encoder(file) if file.is_file() else sentence_encoder(name)).encode


def trl_rewards(settings: RewardSettings, encode: Encode) -> list[Reward]:
    """The rewards in the order of their weights, as TRL calls them; it logs each by its name.

    TRL hands every column of a sample to every reward, and things of its own.
    """

    def format(completions: Sequence[Any], **_: Any) -> list[float]:
        return format_reward(reply_texts(completions))

    def category(completions: Sequence[Any], category: Sequence[str], **_: Any) -> list[float]:
        credit = settings.dimension_credit
        return category_reward(reply_texts(completions), category, dimension_credit=credit)

    def description(
        completions: Sequence[Any], description: Sequence[str], **_: Any
    ) -> list[float]:
        return description_reward(reply_texts(completions), description, encode=encode)

    def invention(completions: Sequence[Any], category: Sequence[str], **_: Any) -> list[float]:
        return invention_penalty(reply_texts(completions), category)

    by_name: dict[str, Reward] = {
        "format": format,
        "category": category,
        "description": description,
        "invention": invention,
    }
    return [by_name[name] for name in _REWARDS]


def reply_texts(completions: Sequence[Any]) -> list[str]:
    """The text of TRL's completions, each a list of one message.

    >>> reply_texts([[{"role": "assistant", "content": "a"}]])
    ['a']
    >>> reply_texts([[{"role": "assistant", "content": [{"type": "text", "text": "b"}]}]])
    ['b']
    """
    texts: list[str] = []
    for message in (completion[0] for completion in completions):
        content = message["content"]
        texts.append(content if isinstance(content, str) else "".join(p["text"] for p in content))
    return texts


_REWARDS = ("format", "category", "description", "invention")
_COMBINE = {"sum": "sum_then_normalize", "per_reward": "normalize_then_sum"}


def _common(recipe: ReasoningRecipe, run: StageSettings, folder: Path) -> dict[str, Any]:
    """What both stages tell transformers' trainer."""
    return {
        "output_dir": str(folder),
        "max_steps": run.steps,
        "per_device_train_batch_size": run.batch,
        "gradient_accumulation_steps": run.accumulate,
        "learning_rate": run.rate,
        "warmup_steps": run.warmup,
        "lr_scheduler_type": run.schedule,
        "weight_decay": run.weight_decay,
        "max_grad_norm": run.clip,
        "logging_steps": run.log_every,
        "save_strategy": "steps",
        "save_steps": run.save_every,
        "save_total_limit": run.keep,
        "seed": recipe.seed,
        "use_cpu": recipe.device == "cpu",
        "bf16": recipe.model.dtype == "bfloat16",
        "activation_checkpointing": recipe.gradient_checkpointing,
        "remove_unused_columns": False,
        "disable_tqdm": True,
        "report_to": "none",
    }
