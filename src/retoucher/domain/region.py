"""A candidate region M_i: a connected, dilated part of the thresholded saliency map."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retoucher.domain.geometry import Box

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Region:
    """One place to look at.

    Attributes:
        id: unique within its round, stable for the same map and settings ("r1", "r2", ...).
        box: bounds of the mask in the picture, in pixels.
        mask_hw: bool, shape (box.height, box.width): the mask inside the box.
        score: 0 to 1, peak saliency inside the mask (1 for a region the user gave).

    Raises:
        ValueError: if the mask does not fit the box or is empty, or the score is out of range.
    """

    id: str
    box: Box
    mask_hw: BoolArray
    score: float

    def __post_init__(self) -> None:
        expected = (self.box.height, self.box.width)
        if self.mask_hw.shape != expected or self.mask_hw.dtype != np.bool_:
            got = f"{self.mask_hw.dtype} {self.mask_hw.shape}"
            raise ValueError(f"region {self.id}: mask must be bool {expected}, got {got}")
        if not self.mask_hw.any():
            raise ValueError(f"region {self.id}: the mask is empty")
        if not 0.0 <= self.score <= 1.0:
            raise ValueError(f"region {self.id}: score must lie in [0, 1], got {self.score}")

    @classmethod
    def from_mask(cls, mask_hw: BoolArray, *, id: str, score: float) -> Region:
        """From a mask of the whole picture, bool (H, W) with at least one pixel set."""
        ys, xs = np.flatnonzero(mask_hw.any(1)), np.flatnonzero(mask_hw.any(0))
        if not len(ys):
            raise ValueError(f"region {id}: the mask is empty")
        box = Box(int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)
        return cls(id=id, box=box, mask_hw=mask_hw[box.slices].copy(), score=score)

    @classmethod
    def from_box(cls, box: Box, *, id: str, score: float = 1.0) -> Region:
        return cls(id=id, box=box, mask_hw=np.ones((box.height, box.width), bool), score=score)

    @property
    def area_px(self) -> int:
        return int(self.mask_hw.sum())

    def full_mask(self, height: int, width: int) -> BoolArray:
        """The mask in a picture of this size, bool (height, width)."""
        out = np.zeros((height, width), bool)
        out[self.box.slices] = self.mask_hw
        return out

    def overlap(self, other: Region) -> float:
        """Common area over the smaller region's area, 0 to 1."""
        common = self.box.intersection(other.box)
        if common is None:
            return 0.0
        mine = self.mask_hw[common.shift(-self.box.x0, -self.box.y0).slices]
        theirs = other.mask_hw[common.shift(-other.box.x0, -other.box.y0).slices]
        return int((mine & theirs).sum()) / min(self.area_px, other.area_px)
