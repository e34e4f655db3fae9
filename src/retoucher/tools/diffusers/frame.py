"""From a crop to what a pipeline is given, and from its picture back onto the crop."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from retoucher.agents import BoolArray, RgbArray, SizeNeeds
from retoucher.errors import ToolError
from retoucher.imaging.colour import ColourSettings, fit_ring
from retoucher.imaging.crop import resample
from retoucher.imaging.register import register

CELL_PX = 8
"""Side of a latent cell: pipelines ask the mask once per cell, so it is grown to whole ones."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Canvas:
    """What a pipeline is given.

    Attributes:
        image: RGB.
        mask: L, of the image's size, 255 where it is to be repainted.
        shrink: below 1 where it must be smaller than the tool would take, as memory ran out.
    """

    image: Image.Image
    mask: Image.Image
    shrink: float

    @property
    def width(self) -> int:
        return self.image.width

    @property
    def height(self) -> int:
        return self.image.height

    def megapixel_sides(self, multiple: int) -> tuple[int, int]:
        """Height and width of the image's shape with `shrink` times 1024 x 1024 pixels' sides."""
        side = 1024 * self.shrink
        shape = math.sqrt(self.width / self.height)
        return (
            max(1, round(side / shape / multiple)) * multiple,
            max(1, round(side * shape / multiple)) * multiple,
        )


def lay_out(crop_rgb: RgbArray, mask_hw: BoolArray, needs: SizeNeeds, shrink: float) -> Canvas:
    """The crop at a size that meets `needs`, made smaller by `shrink` (1: not)."""
    height, width = mask_hw.shape
    height, width = _sides(height, width, needs, shrink)
    image = resample(crop_rgb, height, width)
    mask = _whole_cells(_resized_mask(mask_hw, height, width))
    return Canvas(
        image=Image.fromarray(np.ascontiguousarray(image)),
        mask=Image.fromarray(mask.astype(np.uint8) * np.uint8(255)),
        shrink=shrink,
    )


def to_levels(picture: object) -> RgbArray:
    """A pipeline's picture, floats (h, w, 3) in [0, 1], as uint8.

    Raises:
        ToolError: it is no such picture, or holds values that are no numbers.
    """
    values = np.asarray(picture)
    if values.ndim != 3 or values.shape[2] != 3 or values.dtype.kind != "f":
        raise ToolError(f"the pipeline returned {values.dtype} {values.shape}, expected (h, w, 3)")
    if not np.isfinite(values).all():
        raise ToolError(
            "the pipeline returned values that are no numbers, as half precision can overflow; set"
            ' dtype = "bfloat16" or "float32"'
        )
    return np.clip(np.rint(values * 255), 0, 255).astype(np.uint8)


def onto_crop(picture_rgb: RgbArray, crop_rgb: RgbArray, mask_hw: BoolArray) -> RgbArray:
    """The crop with the picture inside the mask; a shift of place or colour outside is undone.

    Every pipeline passes the whole crop through its autoencoder. What that did outside the mask
    tells how to correct the inside, and is then thrown away.
    """
    placed = register(picture_rgb, crop_rgb, mask_hw)
    kernel = np.ones((2 * CELL_PX + 1, 2 * CELL_PX + 1), np.uint8)
    ring = cv2.dilate(mask_hw.astype(np.uint8), kernel) == 0
    fit = fit_ring(placed, crop_rgb, np.asarray(ring), ColourSettings())
    if fit is not None:
        placed = fit.apply(placed)
    out = crop_rgb.copy()
    out[mask_hw] = placed[mask_hw]
    return out


def _sides(height: int, width: int, needs: SizeNeeds, shrink: float) -> tuple[int, int]:
    """Working height and width: the crop's own where they fit."""
    scale = max(1.0, needs.min_side_px / min(height, width))
    if needs.max_side_px is not None:
        scale = min(scale, needs.max_side_px / max(height, width))
    scale *= shrink

    def fitted(side: int) -> int:
        whole = max(1, round(side * scale / needs.multiple)) * needs.multiple
        most = needs.max_side_px
        return whole if most is None else min(whole, most // needs.multiple * needs.multiple)

    return fitted(height), fitted(width)


def _resized_mask(mask_hw: BoolArray, height: int, width: int) -> BoolArray:
    """A working pixel that holds any of the mask is mask."""
    if mask_hw.shape == (height, width):
        return mask_hw
    share = cv2.resize(mask_hw.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(share) > 0


def _whole_cells(mask_hw: BoolArray) -> BoolArray:
    height, width = mask_hw.shape
    rows, columns = math.ceil(height / CELL_PX), math.ceil(width / CELL_PX)
    padded = np.zeros((rows * CELL_PX, columns * CELL_PX), bool)
    padded[:height, :width] = mask_hw
    cells = padded.reshape(rows, CELL_PX, columns, CELL_PX).any(axis=(1, 3))
    grown = np.repeat(np.repeat(cells, CELL_PX, axis=0), CELL_PX, axis=1)
    return grown[:height, :width]
