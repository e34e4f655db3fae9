"""COCO run-length encoding of masks, column-major, as pycocotools writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypedDict, cast

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]


class Rle(TypedDict):
    """A mask of `size` [height, width]; `counts` is the compressed string."""

    size: list[int]
    counts: str


def encode(mask_hw: BoolArray) -> Rle:
    """Encode a bool mask (H, W) as COCO's compressed RLE."""
    if mask_hw.ndim != 2:
        raise ValueError(f"a mask has shape (H, W), got {mask_hw.shape}")
    height, width = mask_hw.shape
    flat = np.concatenate([[False], mask_hw.ravel(order="F"), [False]]).astype(np.int8)
    edges = np.flatnonzero(np.diff(flat))
    runs = np.diff(np.concatenate([[0], edges, [mask_hw.size]])).tolist()
    if len(runs) > 1 and runs[-1] == 0:
        runs.pop()
    return Rle(size=[height, width], counts=_pack(runs))


def decode(rle: Mapping[str, object]) -> BoolArray:
    """Decode COCO RLE, compressed (counts: str) or not (counts: list of int), to bool (H, W).

    Raises:
        ValueError: if the record is malformed or does not fill its size.
    """
    size, counts = rle.get("size"), rle.get("counts")
    shape = _whole_numbers(size)
    if shape is None or len(shape) != 2 or min(shape) < 0:
        raise ValueError(f"RLE needs 'size': [height, width], got {size!r}")
    height, width = shape
    if isinstance(counts, str | bytes):
        runs = _unpack(counts if isinstance(counts, str) else counts.decode("ascii", "replace"))
    else:
        listed = _whole_numbers(counts)
        if listed is None:
            raise ValueError("RLE needs 'counts': a string or a list of integers")
        runs = listed
    if min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"RLE runs do not fill {height} x {width} pixels")
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape((height, width), order="F")


def _whole_numbers(value: object) -> list[int] | None:
    """A JSON list of integers, or None where it is something else."""
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        return None
    items = cast(Sequence[object], value)
    numbers = [v for v in items if isinstance(v, int) and not isinstance(v, bool)]
    return numbers if len(numbers) == len(items) else None


def _pack(runs: list[int]) -> str:
    """Six bits a character from 48 on; after the third run, the difference to two runs before."""
    out: list[str] = []
    for i, run in enumerate(runs):
        x = run - runs[i - 2] if i > 2 else run
        more = True
        while more:
            c = x & 0x1F
            x >>= 5
            more = x != (-1 if c & 0x10 else 0)
            out.append(chr((c | (0x20 if more else 0)) + 48))
    return "".join(out)


def _unpack(counts: str) -> list[int]:
    runs: list[int] = []
    i = 0
    while i < len(counts):
        x, shift, more = 0, 0, True
        while more:
            if i >= len(counts):
                raise ValueError("RLE counts end in the middle of a number")
            c = ord(counts[i]) - 48
            if not 0 <= c < 64:
                raise ValueError(f"RLE counts hold an invalid character {counts[i]!r}")
            x |= (c & 0x1F) << shift
            more = bool(c & 0x20)
            i, shift = i + 1, shift + 5
            if not more and c & 0x10:
                x |= -1 << shift
        runs.append(x + runs[-2] if len(runs) > 2 else x)
    return runs
