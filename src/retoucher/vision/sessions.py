"""ONNX graphs on the CPU, each checked against the digest that goes with it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any, Protocol, cast

from numpy.typing import NDArray

from retoucher.errors import PluginError


class Session(Protocol):
    """The part of onnxruntime.InferenceSession that is used."""

    def run(
        self, output_names: list[str] | None, input_feed: dict[str, NDArray[Any]]
    ) -> list[NDArray[Any]]: ...

    def get_outputs(self) -> list[Any]: ...


def cpu_threads(asked: int | None) -> int:
    """How many threads to use: as asked, as OMP_NUM_THREADS says, or as many as there are.

    ONNX Runtime does not read the variable that tells all other libraries.
    """
    return asked or int(os.environ.get("OMP_NUM_THREADS", "0")) or os.cpu_count() or 1


def open_session(file: Path, sha256: str | None, named_by: str, threads: int) -> Session:
    """A session for a graph.

    Args:
        file: the graph.
        sha256: that it must have.
        named_by: name of the file that says so, for the error.
        threads: of the CPU.

    Raises:
        PluginError: the file is missing or another.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise PluginError(f"{file}: the weights are missing") from None
    if hashlib.sha256(data).hexdigest() != sha256:
        raise PluginError(f"{file}: not the file that {named_by} names; install the package anew")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return cast("Session", session)
