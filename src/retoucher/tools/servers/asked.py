"""What a plan asks of a generative tool: its `EditRequest.params`, checked, and its words."""

from __future__ import annotations

from functools import cache

import numpy as np

from retoucher.agents import BoolArray, EditRequest
from retoucher.domain.taxonomy import taxonomy
from retoucher.errors import ToolError


@cache
def all_but_text() -> frozenset[str]:
    """Categories that mask-guided diffusion is good at; it does not spell (paper, section 3.3)."""
    return frozenset(name for name, row in taxonomy().items() if row.dimension != "text")


def text(request: EditRequest, name: str, default: str) -> str:
    """A text of the params.

    Raises:
        ToolError: it is something else.
    """
    value = request.params.get(name, default)
    if not isinstance(value, str):
        raise ToolError(f"{name} must be a text, got {value!r}")
    return value


def fraction(request: EditRequest, name: str, default: float) -> float:
    """A number of the params, in (0, 1].

    Raises:
        ToolError: it is something else.
    """
    value = request.params.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ToolError(f"{name} must be a number in (0, 1], got {value!r}")
    return float(value)


def whole(request: EditRequest, name: str, default: int, most: int) -> int:
    """A whole number of the params, from 1 to `most`.

    Raises:
        ToolError: it is something else.
    """
    value = request.params.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ToolError(f"{name} must be a whole number from 1 to {most}, got {value!r}")
    return value


def wording(instruction: str, mask_hw: BoolArray) -> str:
    """What a model that sees no mask is told: what to do, where, and to leave the rest."""
    rows, columns = np.flatnonzero(mask_hw.any(axis=1)), np.flatnonzero(mask_hw.any(axis=0))
    height, width = mask_hw.shape
    box = (
        1000 * int(rows[0]) // height,
        1000 * int(columns[0]) // width,
        1000 * (int(rows[-1]) + 1) // height,
        1000 * (int(columns[-1]) + 1) // width,
    )
    return (
        f"Edit this picture. The damaged place is the box {list(box)}, given as"
        " [top, left, bottom, right] in thousandths of the picture's height and width.\n"
        f"{instruction or 'Repair what is damaged there.'}\n"
        "Change nothing outside that place: same framing, size, position, style, light and colours."
        " Return the edited picture only."
    )
