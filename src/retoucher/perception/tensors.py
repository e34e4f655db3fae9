"""numpy to torch, typed at the one place where torch's own types say too little."""

from __future__ import annotations

from typing import Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor


def to_tensor(array: NDArray[Any]) -> Tensor:
    """A tensor over the same memory."""
    return cast("Tensor", cast("Any", torch).from_numpy(array))
