"""The one place that touches diffusers and torch: load a pipeline, put it somewhere, free it."""

from __future__ import annotations

import gc
import importlib
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retoucher.errors import MissingDependencyError, ToolError
from retoucher.tools.diffusers.family import Family
from retoucher.tools.diffusers.settings import Offload, PipelineSettings

_NEXT: dict[Offload, Offload] = {"none": "model", "model": "sequential"}
_LORA_FILE = "pytorch_lora_weights.safetensors"
_HOW_TO_INSTALL = "pip install 'agentic-retoucher[diffusers]'"


@dataclass(slots=True, kw_only=True, eq=False)
class Loaded:
    """A pipeline in memory.

    Attributes:
        pipe: the diffusers pipeline.
        device: where it computes.
        offload: how its weights are kept.
        dtype: of its weights.
        size_bytes: of its weights.
        commit: of the repository it came from; None for a folder.
        movable: False: it is the caller's own, and stays where the caller put it.
        lock: held while it computes: its scheduler remembers the step it is at.
    """

    pipe: Any
    device: str
    offload: Offload
    dtype: str
    size_bytes: int
    commit: str | None = None
    movable: bool = True
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def home(self) -> str:
        """Where most of its weights lie."""
        return self.device if self.offload == "none" else "cpu"

    def step_down(self, note: Callable[[str], None]) -> bool:
        """Keep less on the accelerator; False: there is nothing left to give up.

        Raises:
            ToolError: the pipeline cannot be offloaded.
        """
        following = _NEXT.get(self.offload)
        if following is None or self.device == "cpu" or not self.movable:
            return False
        note(f"out of memory on {self.device}: {following} offload from now on")
        try:
            place(self.pipe, self.device, following)
        except Exception as error:
            raise ToolError(f"{following} offload is not possible: {_one_line(error)}") from error
        self.offload = following
        return True


def library(name: str, how_to_install: str = _HOW_TO_INSTALL) -> Any:
    """An optional module.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingDependencyError(
            f"diffusion tools need {name}: {how_to_install} ({error})"
        ) from error


def load(family: Family, settings: PipelineSettings) -> Loaded:
    """The pipeline of the settings, on the CPU; `settle` puts it where it is to be.

    Raises:
        ToolError: the repository cannot be loaded; the message says what to do.
        MissingDependencyError: diffusers, or what it needs for this, is not installed.
    """
    diffusers = library("diffusers")
    device = resolve_device(settings.device)
    dtype = _dtype_name(settings, family, device)
    options: dict[str, object] = {
        "dtype": getattr(library("torch"), dtype),
        "revision": settings.revision,
        "variant": settings.variant,
        "local_files_only": settings.local_files_only,
        "use_safetensors": True,
        "trust_remote_code": False,
    }
    if settings.quantisation != "none":
        options["quantization_config"] = quantisation(settings, family, dtype)
    if family.pipeline == "StableDiffusionXLInpaintPipeline":
        options["add_watermarker"] = False  # it would change the crop where a package is there
    if getattr(settings, "safety", True) is False:
        options |= {"safety_checker": None, "requires_safety_checker": False}
    if not settings.repository:
        raise ToolError("set repository: a repository on the hub or a folder with a pipeline")
    with _explained(settings, settings.repository), _quiet():
        pipe = getattr(diffusers, family.pipeline).from_pretrained(settings.repository, **options)
    pipe.set_progress_bar_config(disable=True)
    if settings.lora:
        _add_lora(pipe, settings)
    if settings.compile:
        _compile(pipe)
    return Loaded(
        pipe=pipe,
        device=device,
        offload=settings.offload,
        dtype=dtype,
        size_bytes=size_bytes(pipe),
        commit=_commit(pipe),
    )


def settle(loaded: Loaded, note: Callable[[str], None]) -> None:
    """Put the pipeline where its settings say, or as much of it as fits.

    Raises:
        ToolError: not even a layer at a time fits, or it cannot be offloaded.
    """
    if loaded.device == "cpu" and loaded.offload != "none":
        raise ToolError(
            f'offload = "{loaded.offload}" needs an accelerator, but this runs on a CPU'
        )
    while True:
        try:
            place(loaded.pipe, loaded.device, loaded.offload)
            return
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            failure = str(error)
        free_memory()
        following = _NEXT.get(loaded.offload)
        if following is None or loaded.device == "cpu":
            raise ToolError(f"the weights do not fit into the memory of {loaded.device}: {failure}")
        note(f"the weights do not fit on {loaded.device}: {following} offload")
        loaded.offload = following


def place(pipe: Any, device: str, offload: Offload) -> None:
    """Put the weights on the device, or leave them in main memory and bring them when needed."""
    if offload == "model":
        pipe.enable_model_cpu_offload(device=device)
    elif offload == "sequential":
        pipe.enable_sequential_cpu_offload(device=device)
    else:
        pipe.to(device)


def resolve_device(name: str) -> str:
    """A device that is there.

    Raises:
        ToolError: the named one is not.
    """
    torch = library("torch")
    there = [
        kind
        for kind, present in (
            ("cuda", torch.cuda.is_available()),
            ("xpu", hasattr(torch, "xpu") and torch.xpu.is_available()),
            ("mps", torch.backends.mps.is_available()),
        )
        if present
    ]
    if name == "auto":
        return there[0] if there else "cpu"
    kind, _, index = name.partition(":")
    if kind != "cpu" and kind not in there:
        raise ToolError(f'device = "{name}": torch finds no {kind.upper()} device here')
    if index and int(index) >= getattr(torch, kind).device_count():
        raise ToolError(f'device = "{name}": there is no {kind.upper()} device of this number')
    return name


def is_out_of_memory(error: BaseException) -> bool:
    """True where a device or the machine had no memory left."""
    if isinstance(error, MemoryError | library("torch").OutOfMemoryError):
        return True
    said = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in said or "can't allocate memory" in said
    )


def free_memory() -> None:
    """Give back what nothing refers to any more."""
    torch = library("torch")
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        torch.xpu.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def device_memory_bytes(device: str) -> int:
    """All memory of the device."""
    torch = library("torch")
    kind, _, index = device.partition(":")
    if kind in ("cuda", "xpu"):
        return int(getattr(torch, kind).get_device_properties(int(index or 0)).total_memory)
    return int(library("psutil").virtual_memory().total)


def size_bytes(pipe: Any) -> int:
    """Of all weights, each counted once."""
    torch = library("torch")
    seen: dict[int, int] = {}
    for component in pipe.components.values():
        if isinstance(component, torch.nn.Module):
            for tensor in (*component.parameters(), *component.buffers()):
                seen[id(tensor)] = tensor.numel() * tensor.element_size()
    return sum(seen.values())


def _dtype_name(settings: PipelineSettings, family: Family, device: str) -> str:
    if settings.dtype != "auto":
        return settings.dtype
    return "float32" if device == "cpu" else family.half


def quantisation(settings: PipelineSettings, family: Family, dtype: str) -> Any:
    """The `PipelineQuantizationConfig` for the family's large components."""
    library("bitsandbytes", "pip install 'bitsandbytes>=0.48'")
    if settings.quantisation == "8bit":
        kwargs: dict[str, object] = {"load_in_8bit": True}
    else:
        kwargs = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_compute_dtype": getattr(library("torch"), dtype),
        }
    return library("diffusers").PipelineQuantizationConfig(
        quant_backend=f"bitsandbytes_{settings.quantisation}",
        quant_kwargs=kwargs,
        components_to_quantize=list(family.large),
    )


def _add_lora(pipe: Any, settings: PipelineSettings) -> None:
    library("peft")
    if not hasattr(pipe, "load_lora_weights"):
        raise ToolError(f"{type(pipe).__name__} takes no LoRA; leave lora empty")
    if Path(settings.lora).is_file():
        raise ToolError("lora is a repository or a folder; name the file in lora_weight")
    with _explained(settings, settings.lora), _quiet():
        pipe.load_lora_weights(
            settings.lora,
            weight_name=settings.lora_weight or _LORA_FILE,
            adapter_name="retouch",
            use_safetensors=True,
            local_files_only=settings.local_files_only,
        )
        pipe.set_adapters(["retouch"], [settings.lora_scale])


def _compile(pipe: Any) -> None:
    """Regional compilation; dynamic, as every crop has another size."""
    denoiser = getattr(pipe, "transformer", None) or getattr(pipe, "unet", None)
    if denoiser is None:
        raise ToolError(f"{type(pipe).__name__} has no denoiser to compile; set compile = false")
    denoiser.compile_repeated_blocks(dynamic=True)


@contextmanager
def _explained(settings: PipelineSettings, source: str) -> Generator[None]:
    """Turn what loading raises into one line that says what to do."""
    try:
        yield
    except ImportError as error:
        raise MissingDependencyError(
            f"{source} needs a package that is not installed: {_one_line(error)}"
        ) from error
    except Exception as error:
        if is_out_of_memory(error):
            raise ToolError(f"{source} does not fit into memory: {_one_line(error)}") from error
        advice = ""
        if settings.local_files_only and not Path(source).exists():
            advice = (
                f"; if it is not on this machine yet, run `hf download {source}`"
                " or set local_files_only = false"
            )
        raise ToolError(f"cannot load {source}: {_one_line(error)}{advice}") from error


@contextmanager
def _quiet() -> Generator[None]:
    """No progress bars while weights are read: the caller shows progress."""
    talkers = (library("diffusers").utils.logging, library("transformers").utils.logging)
    silenced = [talker for talker in talkers if talker.is_progress_bar_enabled()]
    for talker in silenced:
        talker.disable_progress_bar()
    try:
        yield
    finally:
        for talker in silenced:
            talker.enable_progress_bar()


def _commit(pipe: Any) -> str | None:
    """From the hub's cache: .../snapshots/<commit>."""
    path = Path(str(pipe.config.get("_name_or_path", "")))
    for parent in (path, *path.parents):
        if parent.parent.name == "snapshots":
            return parent.name
    return None


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:300]}" if text else type(error).__name__
