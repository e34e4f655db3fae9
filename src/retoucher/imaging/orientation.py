"""EXIF orientation (tag 0x0112) as exact moves of pixels."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

UPRIGHT = 1


def to_upright(stored: NDArray[Scalar], orientation: int) -> NDArray[Scalar]:
    """How a viewer shows the stored pixels; a view, shape (H, W, ...).

    Orientations other than 2 to 8 leave the picture as it is, as viewers do.
    """
    match orientation:
        case 2:
            return stored[:, ::-1]
        case 3:
            return stored[::-1, ::-1]
        case 4:
            return stored[::-1]
        case 5:
            return stored.swapaxes(0, 1)
        case 6:
            return stored[::-1].swapaxes(0, 1)
        case 7:
            return stored[::-1, ::-1].swapaxes(0, 1)
        case 8:
            return stored[:, ::-1].swapaxes(0, 1)
        case _:
            return stored


_INVERSE = {6: 8, 8: 6}


def to_stored(upright: NDArray[Scalar], orientation: int) -> NDArray[Scalar]:
    """The inverse of `to_upright`; a view."""
    return to_upright(upright, _INVERSE.get(orientation, orientation))
