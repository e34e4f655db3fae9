"""Where a run computes: this process on the CPU, or wherever `accelerate launch` has put it.

On several processes each learns from batches of its own (process r of n draws batch n * step + r),
and gradients are averaged, so n processes see n times as many pictures a step. What the run writes
is written by the first process alone.
"""

from __future__ import annotations

import os
from datetime import timedelta
from importlib import import_module
from typing import Any, Protocol, cast

import torch
from torch import Tensor, nn

from retoucher.errors import ConfigError
from retoucher.train.extras import need

DEVICES = ("cpu", "auto")


class Placement(Protocol):
    """What training asks of the place where it runs.

    Attributes:
        device: of the network and the batches.
        processes, rank: how many learn together, and which of them this is.
    """

    device: torch.device
    processes: int
    rank: int

    def prepare(self, net: nn.Module) -> nn.Module:
        """The network that computes gradients which all processes agree on."""
        ...

    def backward(self, loss: Tensor) -> None:
        """Gradients of the loss, averaged over the processes."""
        ...

    def agreed(self, value: float) -> float:
        """The first process's value, in every process."""
        ...


class OneCpu:
    """This process on the CPU; needs nothing but torch."""

    def __init__(self) -> None:
        self.device, self.processes, self.rank = torch.device("cpu"), 1, 0

    def prepare(self, net: nn.Module) -> nn.Module:
        """See `Placement`."""
        return net

    def backward(self, loss: Tensor) -> None:
        """See `Placement`."""
        cast("Any", loss).backward()

    def agreed(self, value: float) -> float:
        """See `Placement`."""
        return value


class Accelerated:
    """One CPU to many GPUs, through Hugging Face Accelerate.

    Args:
        amp: bfloat16 on a GPU. Half precision of the narrower kind would need a loss scale, whose
            state would have to be resumed too.

    Raises:
        MissingDependencyError: accelerate is not installed.
        ConfigError: the GPU has no bfloat16.
    """

    def __init__(self, *, amp: bool) -> None:
        need("accelerate", "device = 'auto'")
        accelerate: Any = import_module("accelerate")  # it has no types

        # One process validates while the others wait: far longer than a step, so a long timeout.
        told = os.environ.get("ACCELERATE_USE_CPU", "false").lower() in ("true", "1", "yes")
        cpu = told or not torch.accelerator.is_available()
        state = accelerate.PartialState(cpu=cpu, timeout=timedelta(hours=6))
        on_gpu = state.device.type == "cuda"
        if amp and on_gpu and not torch.cuda.is_bf16_supported(including_emulation=False):
            raise ConfigError("this GPU has no bfloat16; set schedule.amp = false")
        precision = "bf16" if amp and on_gpu else "no"
        self._accelerator: Any = accelerate.Accelerator(cpu=cpu, mixed_precision=precision)
        self.device: torch.device = self._accelerator.device
        self.processes = int(self._accelerator.num_processes)
        self.rank = int(self._accelerator.process_index)
        launched = _launched()
        if launched != self.processes:
            raise ConfigError(
                f"{launched} processes were launched, but Accelerate runs {self.processes} here"
            )

    def prepare(self, net: nn.Module) -> nn.Module:
        """See `Placement`."""
        return self._accelerator.prepare_model(net)

    def backward(self, loss: Tensor) -> None:
        """See `Placement`."""
        self._accelerator.backward(loss)

    def agreed(self, value: float) -> float:
        """See `Placement`."""
        if self.processes == 1:
            return value
        held = torch.tensor([value], dtype=torch.float64, device=self.device)
        torch.distributed.broadcast(held, src=0)
        return float(held)


def placement(device: str, *, amp: bool) -> Placement:
    """The place that a setting names.

    Args:
        device: "cpu": this process; "auto": what Accelerate finds (one GPU or none where it was not
            told otherwise by `accelerate launch`).
        amp: see `Accelerated`.

    Raises:
        ConfigError: another name, or several processes that would all do the same.
        MissingDependencyError: "auto" without accelerate.
    """
    if device == "auto":
        return Accelerated(amp=amp)
    if device != "cpu":
        raise ConfigError(
            f"device is 'cpu' or 'auto', got {device!r}; CUDA_VISIBLE_DEVICES chooses among GPUs"
        )
    if _launched() > 1:
        raise ConfigError("several processes were launched: they need device = 'auto'")
    return OneCpu()


def _launched() -> int:
    """How many processes a launcher says there are."""
    return int(os.environ.get("WORLD_SIZE", "1"))
