"""Models of the Hugging Face hub, or in folders: where they are, what they are, where they run.

Weights are read from safetensors files only, and what is loaded is a folder: nothing else asks the
network. What needs torch imports it when it is called.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from retoucher.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    import torch

DEVICE = re.compile(r"auto|cpu|mps|cuda(:\d+)?")
"""What `torch_device` understands."""

MODEL_FILES = ("*.safetensors", "*.json", "*.txt", "*.jinja", "*.model")


def local_folder(
    name: str, revision: str | None, *, offline: bool, files: Sequence[str] = MODEL_FILES
) -> Path:
    """A folder as it is, or the hub's snapshot of the files that match.

    Args:
        name: of a folder, or of the hub's repository.
        revision: commit, tag or branch of the repository; None: its main branch.
        offline: never download; what is missing is an error.
        files: patterns of the files that are fetched.

    Raises:
        MissingDependencyError: the hub's client is not installed.
        ConfigError: it is not there.
    """
    if Path(name).is_dir():
        return Path(name)
    try:
        snapshot_download = import_module("huggingface_hub").snapshot_download
    except ImportError as error:
        raise MissingDependencyError(
            f"{name!r} needs torch and transformers: pip install 'agentic-retoucher[vlm]'"
        ) from error
    try:
        return Path(
            snapshot_download(
                name, revision=revision, allow_patterns=list(files), local_files_only=offline
            )
        )
    except (OSError, ValueError) as error:
        raise not_loaded("model or adapter", name, error) from error


def weight_digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every weight file in the folder, by name; the hub's cache names files by it."""
    out: dict[str, str] = {}
    for path in sorted(folder.glob("*.safetensors")):
        blob = path.resolve().name
        if not re.fullmatch(r"[0-9a-f]{64}", blob):
            with path.open("rb") as file:
                blob = hashlib.file_digest(file, "sha256").hexdigest()
        out[path.name] = f"sha256:{blob}"
    return out


def commit_of(folder: Path) -> str | None:
    """The hub's commit that a folder of its cache belongs to; None for any other folder."""
    return folder.name if re.fullmatch(r"[0-9a-f]{40}", folder.name) else None


def torch_device(name: str) -> torch.device:
    """The device; "auto" is the first of CUDA, MPS and CPU that is there.

    Raises:
        ConfigError: it is not there.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    device = torch.device(name)
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device.type, True):
        raise ConfigError(f'device {name!r} is not available here; use device = "auto"')
    return device


def not_loaded(what: str, name: str, error: Exception) -> ConfigError:
    """The library's error in one printable line."""
    said = " ".join("".join(c if c.isprintable() else " " for c in str(error)).split())[:300]
    return ConfigError(f"cannot load the {what} {name!r}: {said}")
