"""What a diffusion tool can be told: which weights, where they run, and how the picture is made."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

from retoucher.domain.diagnosis import Json
from retoucher.errors import ConfigError, ToolError

Offload = Literal["none", "model", "sequential"]
_DEVICE = re.compile(r"auto|cpu|mps|(cuda|xpu)(:\d+)?")
_RANGES: Mapping[str, tuple[float, float]] = {
    "steps": (1, 1000),
    "guidance": (0.0, 100.0),
    "true_cfg": (0.0, 100.0),
    "strength": (0.0, 1.0),
    "lora_scale": (-10.0, 10.0),
    "max_tokens": (1, 4096),
    "min_side_px": (1, 8192),
    "max_side_px": (16, 8192),
    "memory_budget_gb": (0.0, 1e6),
}
_PER_EDIT = frozenset({"steps", "guidance", "true_cfg", "strength", "negative_prompt"})
"""What the params of a request may say."""

S = TypeVar("S", bound="PipelineSettings")


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineSettings:
    """Common to all families.

    Attributes:
        repository: of the weights: a repository on the hub, or a folder. Weights are read from
            safetensors files only, and code that a repository brings is never run.
        licence: of the weights, for `preference.licences`; None: that of the default repository,
            "unknown" for another one.
        revision: branch, tag or commit of the repository; None: its main branch.
        variant: weight files with this in their names, like "fp16"; None: the plain ones.
        local_files_only: never download; what is missing is an error. False: fetch it from the hub.
        dtype: "auto" is half precision (the family's) on an accelerator and float32 on a CPU.
        device: "auto" (the first of CUDA, XPU, MPS and CPU that is there), "cuda", "cuda:1", "cpu".
        offload: keep in the accelerator's memory everything ("none"), the part at work ("model")
            or its current layer only ("sequential", slow). Where memory runs out, the next one is
            taken.
        quantisation: "8bit" or "4bit" (NF4) weights of the large parts, by bitsandbytes.
        compile: torch.compile for the denoiser's repeated blocks: minutes at first, then faster.
        lora: repository or folder of a LoRA, like a few-step one; "": none.
        lora_weight: its file, which must be a .safetensors file; None: the name diffusers gives,
            "pytorch_lora_weights.safetensors".
        lora_scale: its weight.
        memory_budget_gb: loaded pipelines of all tools on this device together; those not used for
            longest go. None: nine tenths of the device's memory.
        min_side_px, max_side_px: limits of the crop's sides at working size.
        steps: of denoising.

    Raises:
        ConfigError: on a value out of range.
    """

    repository: str = ""
    licence: str | None = None
    revision: str | None = None
    variant: str | None = None
    local_files_only: bool = True
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    device: str = "auto"
    offload: Offload = "none"
    quantisation: Literal["none", "8bit", "4bit"] = "none"
    compile: bool = False
    lora: str = ""
    lora_weight: str | None = None
    lora_scale: float = 1.0
    memory_budget_gb: float | None = None
    min_side_px: int = 512
    max_side_px: int = 1024
    steps: int = 50

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name in _RANGES and value is not None:
                low, high = _RANGES[field.name]
                if not low <= value <= high:
                    raise ConfigError(
                        f"{field.name} must lie between {low} and {high}, got {value}"
                    )
        if not _DEVICE.fullmatch(self.device):
            raise ConfigError(
                f'device is "auto", "cpu", "mps", "cuda", "xpu" or one like "cuda:1", got'
                f" {self.device!r}"
            )
        if self.min_side_px > self.max_side_px:
            raise ConfigError(
                f"min_side_px ({self.min_side_px}) must not exceed max_side_px ({self.max_side_px})"
            )
        if self.lora_weight and not self.lora:
            raise ConfigError("lora_weight needs lora: the repository or folder that holds it")
        if self.lora_weight and not self.lora_weight.endswith(".safetensors"):
            raise ConfigError(
                f"lora_weight must be a .safetensors file, got {self.lora_weight!r}: other formats"
                " can run code when they are read"
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class InpaintingSettings(PipelineSettings):
    """See `PipelineSettings`; for pipelines that repaint a mask.

    Attributes:
        guidance: classifier-free (or distilled) guidance: how closely the words are followed.
        strength: share of the old picture that is given up; None: as the plan says, or else the
            pipeline's own default.
    """

    guidance: float = 7.5
    strength: float | None = None


def with_params(settings: S, params: Mapping[str, Json]) -> S:
    """The settings with what the request's params say.

    Steps and guidance of the params count instead of the settings'. A strength of the settings is
    the user's, and stays; negative prompts are joined. Params that are not this tool's are ignored:
    a planner writes them for all tools alike.

    Raises:
        ToolError: a param has another type than the setting, or is out of range.
    """
    hints = get_type_hints(type(settings))
    known = _PER_EDIT & {field.name for field in fields(settings)}
    values: dict[str, object] = {}
    for name in sorted(known & set(params)):
        try:
            values[name] = TypeAdapter[object](hints[name]).validate_python(
                params[name], strict=True
            )
        except ValidationError as error:
            said = error.errors()[0]["msg"]
            raise ToolError(f"params: {name}: {said}, got {params[name]!r}") from error
    try:
        told = replace(settings, **cast("dict[str, Any]", values))
    except ConfigError as error:
        raise ToolError(f"params: {error}") from error
    own: dict[str, object] = {name: getattr(settings, name) for name in values}
    kept: dict[str, object] = {}
    if own.get("strength") is not None:
        kept["strength"] = own["strength"]
    if "negative_prompt" in values:
        both = values["negative_prompt"], own["negative_prompt"]
        words = (str(part or "").strip(" ,") for part in both)
        kept["negative_prompt"] = ", ".join(filter(None, words))
    return replace(told, **cast("dict[str, Any]", kept))


def strength_note(settings: PipelineSettings, params: Mapping[str, Json]) -> str | None:
    """For the trace: whose strength counts, where settings and plan name different ones."""
    own, asked = getattr(settings, "strength", None), params.get("strength")
    if own is None or asked is None or asked == own:
        return None
    return f"strength {own:g} by the tool's settings; the plan asked for {asked}"
