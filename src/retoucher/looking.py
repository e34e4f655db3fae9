"""Looking again only where a picture changed.

The loop says which state of its picture was last looked at as a whole. While that holds, an agent
that can may look only where the picture before it differs from that state, and keep what it knows
of the rest; it then says so, and the loop has the picture looked at as a whole before it ends.
What an agent answers depends on the two pictures alone, never on what else it was asked.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from retoucher.agents import RgbArray


@dataclass(slots=True, eq=False)
class Basis:
    """A state of a picture that was looked at as a whole.

    Attributes:
        image_rgb: uint8 (H, W, 3).
        used: an agent looked only where another state differs from this one.
    """

    image_rgb: RgbArray
    used: bool = False


_BASIS: ContextVar[Basis | None] = ContextVar("retoucher_basis", default=None)


@contextmanager
def looking_since(basis: Basis | None) -> Generator[None]:
    """What is looked at inside may be looked at where it differs; None: as a whole."""
    token = _BASIS.set(basis)
    try:
        yield
    finally:
        _BASIS.reset(token)


def basis_of(image_rgb: RgbArray) -> Basis | None:
    """What may be known of this picture: the basis, where it is of the same size."""
    basis = _BASIS.get()
    if basis is None or basis.image_rgb is image_rgb:
        return None
    return basis if basis.image_rgb.shape == image_rgb.shape else None
