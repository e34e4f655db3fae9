"""PatchMatch as a function: the one place that touches the library."""

from __future__ import annotations

import threading

import numpy as np
from numpy.typing import NDArray

from retoucher.errors import MissingDependencyError, ToolError

PATCH_RADIUS_PX = 3
_LOCK = threading.Lock()  # the library's seed is global to the process


def patch_fill(
    picture: NDArray[np.uint8],
    hole: NDArray[np.bool_],
    *,
    avoid: NDArray[np.bool_] | None = None,
    seed: int = 0,
    radius_px: int = PATCH_RADIUS_PX,
) -> NDArray[np.uint8]:
    """The hole filled from patches of the rest of the picture.

    Args:
        picture: uint8 (h, w, 3).
        hole: bool (h, w), True where to fill.
        avoid: bool (h, w), neither filled nor copied from.
        seed: of the randomised search; the same seed gives the same bytes.
        radius_px: patches span 2 * radius + 1 pixels.

    Raises:
        ToolError: nothing is left to copy from.
        MissingDependencyError: the native library is not there.
    """
    source = ~hole if avoid is None else ~(hole | avoid)
    if not hole.any():
        return picture.copy()
    if not source.any():
        raise ToolError("the mask covers the whole crop, so there is nothing to fill it from")
    import patchmatch

    if not patchmatch.patchmatch_available:
        raise MissingDependencyError(
            "the native PatchMatch library did not load; reinstall it:"
            " pip install --force-reinstall pypatchmatch"
        )
    no_go = None if avoid is None else avoid & ~hole
    with _LOCK:
        patchmatch.set_random_seed(seed & 0xFFFFFFFF)
        out = patchmatch.inpaint(picture, hole, global_mask=no_go, patch_size=radius_px)
    return np.ascontiguousarray(out, np.uint8)
