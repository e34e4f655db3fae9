"""Axis-aligned boxes in pixel coordinates: x to the right, y down, x1 and y1 exclusive."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Box:
    """A half-open rectangle [x0, x1) x [y0, y1) of whole pixels with positive area.

    Raises:
        ValueError: if the box is empty.
    """

    x0: int
    y0: int
    x1: int
    y1: int

    def __post_init__(self) -> None:
        if self.x1 <= self.x0 or self.y1 <= self.y0:
            raise ValueError(f"a box needs x0 < x1 and y0 < y1, got {self.as_xyxy()}")

    @classmethod
    def from_xyxy(cls, xyxy: Iterable[float]) -> Box:
        """The smallest box of whole pixels that covers four coordinates x0, y0, x1, y1."""
        values = [float(v) for v in xyxy]
        if len(values) != 4 or not all(math.isfinite(v) for v in values):
            raise ValueError(f"a box needs four finite numbers x0, y0, x1, y1, got {values}")
        x0, y0, x1, y1 = values
        return cls(math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1))

    @classmethod
    def of_picture(cls, height: int, width: int) -> Box:
        return cls(0, 0, width, height)

    @property
    def width(self) -> int:
        return self.x1 - self.x0

    @property
    def height(self) -> int:
        return self.y1 - self.y0

    @property
    def area_px(self) -> int:
        return self.width * self.height

    @property
    def centre_xy(self) -> tuple[float, float]:
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    @property
    def slices(self) -> tuple[slice, slice]:
        """(rows, columns), to index an array of shape (H, W, ...)."""
        return slice(self.y0, self.y1), slice(self.x0, self.x1)

    def as_xyxy(self) -> tuple[int, int, int, int]:
        return self.x0, self.y0, self.x1, self.y1

    def union(self, other: Box) -> Box:
        return Box(
            min(self.x0, other.x0),
            min(self.y0, other.y0),
            max(self.x1, other.x1),
            max(self.y1, other.y1),
        )

    def intersection(self, other: Box) -> Box | None:
        """The common part, or None where the boxes do not overlap."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        x1, y1 = min(self.x1, other.x1), min(self.y1, other.y1)
        return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def iou(self, other: Box) -> float:
        """Intersection over union, 0 to 1."""
        common = self.intersection(other)
        if common is None:
            return 0.0
        return common.area_px / (self.area_px + other.area_px - common.area_px)

    def contains(self, other: Box) -> bool:
        return self.intersection(other) == other

    def expand(self, margin_px: int) -> Box:
        """Grown by margin_px on every side; not clipped."""
        m = margin_px
        return Box(self.x0 - m, self.y0 - m, self.x1 + m, self.y1 + m)

    def clip(self, height: int, width: int) -> Box | None:
        """The part inside a picture of this size, or None where the box lies outside it."""
        return self.intersection(Box(0, 0, width, height))

    def shift(self, dx: int, dy: int) -> Box:
        return Box(self.x0 + dx, self.y0 + dy, self.x1 + dx, self.y1 + dy)
