"""Settings of the reasoner's two training stages, SFT and GRPO (paper: LoRA rank 64, alpha 32)."""

from __future__ import annotations

from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Literal

from retoucher.errors import ConfigError
from retoucher.tables import from_table, nearest, read_table

Stage = Literal["sft", "grpo"]
PRESETS = ("paper", "single-gpu", "smoke")
"""Recipes that come with the package; anything else is a file."""

FROM_SFT, FROM_BASE = "sft", "base"
"""Where GRPO starts: the adapter that this recipe's SFT made, or no adapter. Else a folder."""

LANGUAGE_LAYERS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSettings:
    """The model that learns.

    Attributes:
        name: hub name or folder of an image-text-to-text model.
        revision: commit, tag or branch; pin a commit to get the same model again.
        local_files_only: never download.
        dtype: of its frozen weights; the adapter learns in float32 (with 4 bits: in bfloat16).
        load_in_4bit: QLoRA: frozen weights as NF4 by bitsandbytes; needs a CUDA device.
        attention: transformers' `attn_implementation`; None: its choice.
    """

    name: str = "Qwen/Qwen2.5-VL-7B-Instruct"
    revision: str | None = None
    local_files_only: bool = False
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    load_in_4bit: bool = False
    attention: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """The adapter.

    Attributes:
        rank, alpha: the paper's 64 and 32.
        dropout: in its layers during SFT; GRPO runs without, so that policy and reference differ
            by their weights alone.
        layers: regular expression that the whole name of an adapted layer matches. The default
            leaves the picture encoder alone, as servers load such adapters without more ado.
    """

    rank: int = 64
    alpha: int = 32
    dropout: float = 0.0
    layers: str = LANGUAGE_LAYERS

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha < 1 or not 0.0 <= self.dropout < 1.0:
            raise ValueError("rank and alpha are at least 1, dropout lies in [0, 1)")


@dataclass(frozen=True, slots=True, kw_only=True)
class StageSettings:
    """What both stages are told.

    Attributes:
        steps: of the optimiser.
        batch: sequences per forward pass and process.
        accumulate: forward passes per step.
        rate: peak learning rate.
        warmup: steps until it is reached.
        schedule: its shape afterwards.
        weight_decay, clip: decay, and the largest norm of a gradient.
        log_every, save_every: steps.
        keep: checkpoints; the older ones are deleted. At least 2, so that one is always whole.
    """

    steps: int = 1000
    batch: int = 1
    accumulate: int = 8
    rate: float = 1e-5
    warmup: int = 0
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    weight_decay: float = 0.0
    clip: float = 1.0
    log_every: int = 1
    save_every: int = 100
    keep: int = 2

    def __post_init__(self) -> None:
        counts = (self.steps, self.batch, self.accumulate, self.log_every, self.save_every)
        if min(counts) < 1 or self.keep < 2 or self.warmup < 0:
            raise ValueError(
                "steps, batch, accumulate, log_every and save_every are at least 1, keep at least "
                "2, warmup at least 0"
            )
        if self.rate <= 0 or self.weight_decay < 0 or self.clip <= 0:
            raise ValueError("rate and clip are positive, weight_decay is not negative")


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardSettings:
    """What a reply earns (see `retoucher.train.rewards`) and how the parts are put together.

    Attributes:
        format, category, description, invention: weights; 0 leaves a part out of the sum, though
            it is logged. EditRefiner's 0.2, 0.4, 0.4; the paper gives none.
        dimension_credit: for another category of the right dimension.
        encoder: sentences to vectors: a model of sentence-transformers (hub name or folder), or a
            text file of word vectors (GloVe, word2vec).
        combine: "sum": the weighted sum, then compared within its group; "per_reward": each part
            compared within its group, then summed (GDPO).
        scale: by whose spread advantages are divided: the group's (the paper), the batch's, none.
    """

    format: float = 0.2
    category: float = 0.4
    description: float = 0.4
    invention: float = 0.4
    dimension_credit: float = 0.0
    encoder: str = "sentence-transformers/all-MiniLM-L6-v2"
    combine: Literal["sum", "per_reward"] = "sum"
    scale: Literal["group", "batch", "none"] = "group"

    def __post_init__(self) -> None:
        weights = (self.format, self.category, self.description, self.invention)
        if min(weights) < 0 or max(weights) == 0 or not 0.0 <= self.dimension_credit <= 1.0:
            raise ValueError(
                "weights are not negative and one is positive; dimension_credit lies in [0, 1]"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmSettings:
    """Replies generated by vLLM instead of transformers; passed to TRL as they are.

    Attributes:
        use: off: transformers generates.
        mode: "colocate": on the training GPUs; "server": a `trl vllm-serve` elsewhere.
        server: its address, for mode "server".
        memory_share: of a GPU's memory, for mode "colocate".
        tensor_parallel: GPUs per copy, for mode "colocate".
        max_tokens: of prompt, pictures and reply; None: the model's own limit.
    """

    use: bool = False
    mode: Literal["colocate", "server"] = "colocate"
    server: str | None = None
    memory_share: float = 0.3
    tensor_parallel: int = 1
    max_tokens: int | None = None

    def __post_init__(self) -> None:
        if self.use and self.mode == "server" and not self.server:
            raise ValueError('mode = "server" needs the address, such as "http://127.0.0.1:8000"')
        if not 0.0 < self.memory_share < 1.0 or self.tensor_parallel < 1:
            raise ValueError("memory_share lies in (0, 1), tensor_parallel is at least 1")


@dataclass(frozen=True, slots=True, kw_only=True)
class GrpoSettings:
    """GRPO (paper: clipped ratio, advantages within the group, KL to the reference policy).

    Attributes:
        run: see its class; `batch` counts replies.
        start: "sft": the adapter of this recipe's SFT; "base": a new adapter; else the folder of
            one. The model as it starts is the reference policy, throughout.
        group_size: replies per question.
        beta: weight of the KL term; positive.
        epsilon: of the clipped ratio.
        iterations: steps on the same replies (mu).
        temperature, top_p: of the sampled replies.
        max_reply_tokens: longer replies are cut.
        rewards, vllm: see their classes.
    """

    run: StageSettings = field(default_factory=StageSettings)
    start: str = FROM_SFT
    group_size: int = 8
    beta: float = 0.04
    epsilon: float = 0.2
    iterations: int = 1
    temperature: float = 1.0
    top_p: float = 1.0
    max_reply_tokens: int = 256
    rewards: RewardSettings = field(default_factory=RewardSettings)
    vllm: VllmSettings = field(default_factory=VllmSettings)

    def __post_init__(self) -> None:
        if self.group_size < 2 or self.iterations < 1 or self.max_reply_tokens < 1:
            raise ValueError("group_size is at least 2, iterations and max_reply_tokens at least 1")
        if self.beta <= 0 or self.epsilon <= 0:
            raise ValueError("beta and epsilon are positive")
        if self.temperature <= 0 or not 0.0 < self.top_p <= 1.0:
            raise ValueError("temperature is positive, top_p lies in (0, 1]")
        if self.run.save_every % self.iterations:
            raise ValueError(
                f"run.save_every ({self.run.save_every}) must be a multiple of iterations "
                f"({self.iterations}): replies in use are not part of a checkpoint"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningRecipe:
    """Both stages of one training.

    Attributes:
        out: folder; each stage has one of its own inside.
        data: folder that `retouch data conversations` wrote.
        seed: decides all randomness.
        threads: of the CPU.
        device: "auto": the GPU where there is one; "cpu".
        tensorboard: also logs for TensorBoard.
        gradient_checkpointing: computes activations twice, to save memory.
        tiny: makes a random model, pictures and word vectors in OUT/tiny, and uses them instead of
            `model.name`, `data` and the rewards' `encoder`: a trial of the machinery.
        model, lora, sft, grpo: see their classes.
    """

    out: str
    data: str = ""
    seed: int = 0
    threads: int = 1
    device: Literal["auto", "cpu"] = "auto"
    tensorboard: bool = False
    gradient_checkpointing: bool = True
    tiny: bool = False
    model: ModelSettings = field(default_factory=ModelSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    sft: StageSettings = field(default_factory=StageSettings)
    grpo: GrpoSettings = field(default_factory=GrpoSettings)

    def __post_init__(self) -> None:
        if not self.data and not self.tiny:
            raise ValueError("data is missing: the folder that `retouch data conversations` wrote")
        if self.threads < 1:
            raise ValueError(f"threads is at least 1, got {self.threads}")
        if self.model.load_in_4bit and (self.device == "cpu" or self.model.dtype != "bfloat16"):
            raise ValueError('load_in_4bit needs device = "auto" and dtype = "bfloat16"')


def recipe_file(source: str | Path) -> Path:
    """The TOML file of a preset, or the file itself.

    Raises:
        ConfigError: neither a file nor a preset.
    """
    if Path(source).is_file():
        return Path(source)
    if str(source) in PRESETS:
        return (
            Path(str(resources.files("retoucher.train"))) / "presets" / f"reasoning_{source}.toml"
        )
    raise ConfigError(f"{source} is no file and no preset{nearest(str(source), list(PRESETS))}")


def read_reasoning_recipe(file: Path) -> ReasoningRecipe:
    """The recipe in a TOML file.

    Raises:
        ConfigError: the file is missing or no TOML, or a setting is unknown or wrong.
    """
    return from_table(ReasoningRecipe, read_table(file), str(file))
