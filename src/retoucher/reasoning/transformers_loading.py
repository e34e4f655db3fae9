"""Loading a vision-language model with transformers: settings, model, processor, LoRA adapter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from retoucher.errors import ConfigError, MissingDependencyError
from retoucher.reasoning.asking import one_line
from retoucher.reasoning.vlm import VlmSettings
from retoucher.vision import hub
from retoucher.vision.hub import local_folder, not_loaded, torch_device

if TYPE_CHECKING:
    import torch

_ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformersSettings(VlmSettings):
    """Which model, where it runs, and how it answers; see `VlmSettings`.

    Attributes:
        model: hub name or folder of any image-text-to-text model whose chat template takes
            pictures (Qwen2.5-VL, Qwen3-VL, ...). Weights are safetensors only.
        revision: commit, tag or branch of the hub's model; pin a commit to get the same model
            again.
        adapter, adapter_revision: LoRA adapter of peft, hub name or folder; None: none.
        local_files_only: never download; what is missing is an error.
        device: "auto" (the first of cuda, mps, cpu that is there), "cpu", "cuda", "cuda:1", "mps".
        dtype: "auto": as the weights are stored.
        load_in_4bit: NF4 by bitsandbytes; needs a CUDA device.
        max_memory_gb: of the device; layers beyond it go to the CPU's memory (accelerate).
        attention: transformers' `attn_implementation` ("sdpa", "flash_attention_2"); None: its
            choice.
        batch_size: requests that are generated together.
        max_new_tokens: of one reply.
        temperature: 0: greedy.
        seed: of the sampling.

    Raises:
        ValueError: on a value out of range.
    """

    model: str = "Qwen/Qwen2.5-VL-7B-Instruct"
    revision: str | None = None
    adapter: str | None = None
    adapter_revision: str | None = None
    local_files_only: bool = False
    device: str = "auto"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    load_in_4bit: bool = False
    max_memory_gb: float | None = None
    attention: str | None = None
    batch_size: int = 1
    max_new_tokens: int = 1024
    temperature: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not hub.DEVICE.fullmatch(self.device):
            raise ValueError(f"device must be auto, cpu, mps, cuda or cuda:N, got {self.device!r}")
        if self.batch_size < 1 or self.max_new_tokens < 1 or not 0.0 <= self.temperature <= 5.0:
            raise ValueError(
                "batch_size and max_new_tokens must be at least 1 and temperature between 0 and 5"
            )
        if self.max_memory_gb is not None and not self.max_memory_gb > 0:
            raise ValueError(f"max_memory_gb must be positive, got {self.max_memory_gb}")


def local_copy(settings: TransformersSettings) -> TransformersSettings:
    """The same settings with folders for model and adapter, downloaded where that is allowed.

    Everything else is loaded from these folders, so nothing else asks the network: transformers
    would look for adapters there even when told to use local files only.

    Raises:
        MissingDependencyError: torch or transformers is missing.
        ConfigError: the model or adapter is not there.
    """
    offline = settings.local_files_only
    model = local_folder(settings.model, settings.revision, offline=offline)
    adapter = None
    if settings.adapter is not None:
        folder = local_folder(
            settings.adapter, settings.adapter_revision, offline=offline, files=_ADAPTER_FILES
        )
        adapter = str(folder)
    return replace(settings, model=str(model), adapter=adapter)


def load_model(settings: TransformersSettings) -> Any:
    """The model with its adapter, in evaluation mode, on its device.

    Args:
        settings: with folders, see `local_copy`.

    Raises:
        MissingDependencyError: torch, transformers, peft, accelerate or bitsandbytes is missing.
        ConfigError: the model or adapter cannot be loaded, or the device is not there.
    """
    try:
        import torch
        from transformers import AutoModelForImageTextToText
    except ImportError as error:
        raise _needs_extra("torch and transformers") from error
    device = torch_device(settings.device)
    options = _placement(settings, device)
    try:
        model = cast(Any, AutoModelForImageTextToText).from_pretrained(
            settings.model,
            dtype=settings.dtype if settings.dtype == "auto" else getattr(torch, settings.dtype),
            attn_implementation=settings.attention,
            local_files_only=True,
            use_safetensors=True,
            **options,
        )
    except (OSError, ValueError) as error:
        raise not_loaded("model", settings.model, error) from error
    if "device_map" not in options:
        model = model.to(device)
    if settings.adapter is not None:
        model = _with_adapter(model, Path(settings.adapter))
    return model.eval()


def load_processor(settings: TransformersSettings) -> Any:
    """The model's own processor: chat template, tokenizer and image processor.

    Args:
        settings: with folders, see `local_copy`.

    Raises:
        MissingDependencyError: transformers, or torchvision where the processor needs it.
        ConfigError: it is not there.
    """
    try:
        from transformers import AutoProcessor
    except ImportError as error:
        raise _needs_extra("torch and transformers") from error
    try:
        return cast(Any, AutoProcessor).from_pretrained(settings.model, local_files_only=True)
    except ImportError as error:
        raise _needs_extra(f"what its processor needs ({one_line(str(error))})") from error
    except (OSError, ValueError) as error:
        raise not_loaded("processor", settings.model, error) from error


def weight_digests(settings: TransformersSettings) -> dict[str, str]:
    """SHA-256 of every weight file in the folders, by name."""
    digests = hub.weight_digests(Path(settings.model))
    if settings.adapter is not None:
        adapter = hub.weight_digests(Path(settings.adapter))
        digests |= {f"adapter/{name}": digest for name, digest in adapter.items()}
    return digests


def commit_of(settings: TransformersSettings) -> str | None:
    """The hub's commit that a folder of its cache belongs to; None for any other folder."""
    return hub.commit_of(Path(settings.model))


def _placement(settings: TransformersSettings, device: torch.device) -> dict[str, Any]:
    """Arguments of `from_pretrained` that say where the weights go and how they are stored."""
    options: dict[str, Any] = {}
    if settings.load_in_4bit:
        options["quantization_config"] = _four_bit(device)
    if settings.max_memory_gb is not None or settings.load_in_4bit:
        _require("accelerate")
        options["device_map"] = {"": device}
    if settings.max_memory_gb is not None and device.type != "cpu":
        options["device_map"] = "auto"
        place = device.index or 0 if device.type == "cuda" else device.type
        options["max_memory"] = {place: int(settings.max_memory_gb * 1e9), "cpu": 1 << 50}
    return options


def _four_bit(device: torch.device) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    if device.type != "cuda":
        raise ConfigError(f"load_in_4bit needs a CUDA device, not {device.type}; set it to false")
    _require("bitsandbytes")
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _with_adapter(model: Any, folder: Path) -> Any:
    _require("peft")
    from peft import PeftModel

    if not (folder / _ADAPTER_FILES[1]).is_file():
        raise ConfigError(
            f"adapter {folder} has no adapter_model.safetensors (pickled weights are not loaded)"
        )
    try:
        return cast(Any, PeftModel).from_pretrained(model, str(folder))
    except (OSError, ValueError, RuntimeError) as error:
        raise not_loaded("adapter", str(folder), error) from error


def _require(module: str) -> None:
    from importlib.util import find_spec

    if find_spec(module) is None:
        raise _needs_extra(module)


def _needs_extra(what: str) -> MissingDependencyError:
    return MissingDependencyError(
        f"the reasoner transformers needs {what}: pip install 'agentic-retoucher[vlm]'"
    )
