"""Checkpoints of a run: whole or not there at all, and never unpickled as code."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch

from retoucher.errors import InputError


def save_checkpoint(state: dict[str, Any], file: Path) -> None:
    """Writes beside the file, then renames: a crash leaves the old checkpoint."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    with part.open("wb") as stream:
        torch.save(state, stream)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(file)


def load_checkpoint(file: Path) -> dict[str, Any]:
    """What `save_checkpoint` wrote: tensors and plain values only.

    Raises:
        InputError: the file is missing or not a checkpoint.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(f"{file}: no such checkpoint") from None
    except Exception as error:
        raise InputError(f"{file}: cannot be read as a checkpoint ({error})") from error
