"""Contact sheets: a data set at a glance, and synthetic pairs side by side."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from retoucher.data.sample import LabelledRegion, RgbArray, Sample
from retoucher.data.synthetic.make import SyntheticPair
from retoucher.domain.geometry import Box
from retoucher.errors import InputError

What: TypeAlias = Literal["regions", "parts", "pictures"]
_CAPTION_PX = 14
_RED, _GREEN = (230, 30, 30), (20, 160, 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetSettings:
    """How a sheet looks.

    Attributes:
        cell_px: side of a square cell.
        columns: cells in a row.
        margin: of the surroundings of a region or part, over its longer side.
        outline: draw the regions' outlines.
    """

    cell_px: int = 192
    columns: int = 8
    margin: float = 0.3
    outline: bool = True


def contact_sheet(
    samples: Sequence[Sample],
    *,
    what: What = "regions",
    kinds: Collection[str] = (),
    count: int = 56,
    seed: int = 0,
    settings: SheetSettings | None = None,
) -> RgbArray:
    """A sheet of random regions, clean parts or whole pictures; uint8 (H, W, 3).

    Args:
        samples: the data set.
        what: what a cell shows.
        kinds: categories (of regions) or kinds (of parts) to show; empty: all.
        count: cells, at most.
        seed: chooses them.
        settings: see `SheetSettings`.

    Raises:
        InputError: there is nothing of that kind.
    """
    look = settings or SheetSettings()
    items = _items(samples, what, kinds)
    if not items:
        raise InputError(f"nothing to show: no {what} {', '.join(kinds)}".rstrip())
    order = np.random.default_rng(seed).permutation(len(items))[:count]
    cells: list[RgbArray] = []
    for sample, box, caption in (items[int(i)] for i in order):
        picture = _drawn(sample) if look.outline else sample.load_rgb()
        cells.append(_cell(picture, box, caption, look))
    return grid(cells, look.columns)


def pairs_sheet(pairs: Sequence[SyntheticPair], settings: SheetSettings | None = None) -> RgbArray:
    """The first new region of every pair, twin on the left and defect on the right."""
    look = settings or SheetSettings(columns=4)
    cells: list[RgbArray] = []
    for pair in pairs:
        number = len(pair.defect.regions) - len(pair.generators)
        region = pair.defect.regions[number]
        caption = f"{region.category} {region.severity}: {pair.generators[0]}"
        spoiled = _drawn(pair.defect) if look.outline else pair.defect.load_rgb()
        left = _cell(pair.twin.load_rgb(), region.box, caption, look)
        right = _cell(spoiled, region.box, "", look)
        cells.append(np.hstack([left, right]))
    return grid(cells, look.columns)


def grid(cells: Sequence[RgbArray], columns: int) -> RgbArray:
    """Equal cells (h, w, 3) in rows; the last row is filled up with white."""
    rows = -(-len(cells) // columns)
    height, width = cells[0].shape[:2]
    out = np.full((rows * height, min(columns, len(cells)) * width, 3), 255, np.uint8)
    for i, cell in enumerate(cells):
        y, x = i // columns * height, i % columns * width
        out[y : y + height, x : x + width] = cell
    return out


def _items(
    samples: Sequence[Sample], what: What, kinds: Collection[str]
) -> list[tuple[Sample, Box, str]]:
    out: list[tuple[Sample, Box, str]] = []
    for sample in samples:
        if what == "pictures":
            whole = Box(0, 0, sample.width, sample.height)
            out.append((sample, whole, sample.prompt or sample.id))
        elif what == "regions":
            out += [
                (sample, r.box, f"{r.severity} {r.description or r.category}")
                for r in sample.regions
                if not kinds or r.category in kinds
            ]
        else:
            out += [
                (sample, p.box, p.name or p.part)
                for p in sample.clean_parts
                if not kinds or p.part in kinds
            ]
    return out


def _drawn(sample: Sample) -> RgbArray:
    out = sample.load_rgb().copy()
    for part in sample.clean_parts:
        b = part.box
        cv2.rectangle(out, (b.x0, b.y0), (b.x1 - 1, b.y1 - 1), _GREEN, 1)
    for region in sample.regions:
        _outline(out, region)
    return out


def _outline(picture: RgbArray, region: LabelledRegion) -> None:
    box = region.box
    if region.mask_hw is None:
        cv2.rectangle(picture, (box.x0, box.y0), (box.x1 - 1, box.y1 - 1), _RED, 1)
        return
    found, _ = cv2.findContours(
        region.mask_hw.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    shifted = [contour + np.array([box.x0, box.y0], np.int32) for contour in found]
    cv2.drawContours(picture, shifted, -1, _RED, 1)


def _cell(picture: RgbArray, box: Box, caption: str, look: SheetSettings) -> RgbArray:
    """The surroundings of a box, its longer side fitted, above a caption."""
    size = look.cell_px
    side = max(box.width, box.height, 16) * (1 + 2 * look.margin)
    x, y = box.centre_xy
    scale = size / side
    matrix = np.array([[scale, 0, size / 2 - x * scale], [0, scale, size / 2 - y * scale]])
    mode = cv2.INTER_CUBIC if scale > 1 else cv2.INTER_AREA
    view = cv2.warpAffine(picture, matrix, (size, size), flags=mode, borderValue=(255, 255, 255))
    strip = Image.new("RGB", (size, _CAPTION_PX), "white")
    font = ImageFont.load_default(10)
    text = caption.encode("latin-1", "replace").decode("latin-1")
    while text and font.getlength(text) > size - 4:
        text = text[:-1]
    ImageDraw.Draw(strip).text((2, 1), text, fill="black", font=font)
    return np.vstack([view.astype(np.uint8, copy=False), np.asarray(strip, np.uint8)])
