"""Distortion saliency: how likely each pixel belongs to a local defect (paper, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class SaliencyMap:
    """S in [0, 1], float32, shape (H, W) of the picture. Raw values, never min-max normalised:
    a clean picture has a low map, so that a threshold on it means something.

    Raises:
        ValueError: on a wrong shape, dtype, range, or a value that is not finite.
    """

    values_hw: FloatArray

    def __post_init__(self) -> None:
        v = self.values_hw
        if v.ndim != 2 or v.dtype != np.float32:
            raise ValueError(f"a saliency map is float32 (H, W), got {v.dtype} {v.shape}")
        if v.size and not (float(v.min()) >= 0.0 and float(v.max()) <= 1.0):
            raise ValueError("saliency values lie in [0, 1] and are finite")

    @classmethod
    def zeros(cls, height: int, width: int) -> SaliencyMap:
        return cls(np.zeros((height, width), np.float32))

    @property
    def peak(self) -> float:
        return float(self.values_hw.max()) if self.values_hw.size else 0.0
