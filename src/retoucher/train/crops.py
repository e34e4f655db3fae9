"""Square training crops of labelled pictures, centred on parts more often than chance would.

A crop shows the picture at a random scale, measured by the length of its longer side, so that the
network sees whole scenes and single hands alike. A part is centred on in most crops; defective and
clean parts take turns evenly, since clean parts are the negatives that matter.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from retoucher.data.sample import Sample
from retoucher.data.transform import crop_sample, mirror_sample
from retoucher.domain.geometry import Box
from retoucher.errors import ConfigError

Random = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True)
class CropSettings:
    """How crops are drawn.

    Attributes:
        size_px: side of a crop; a multiple of 32.
        min_side_px, max_side_px: bounds of the length that the picture's longer side is shown at.
        part_share: share of crops that centre on a labelled part.
        zoom_share: share of those that scale the part to `zoom_px` instead.
        zoom_px: bounds of the longer side of a zoomed part.
        max_enlargement: of the picture's own pixels.
    """

    size_px: int = 256
    min_side_px: float = 256.0
    max_side_px: float = 800.0
    part_share: float = 0.75
    zoom_share: float = 0.5
    zoom_px: tuple[float, float] = (50.0, 180.0)
    max_enlargement: float = 2.5

    def __post_init__(self) -> None:
        if self.size_px < 32 or self.size_px % 32:
            raise ConfigError(f"size_px must be a multiple of 32, got {self.size_px}")
        if not 0 < self.min_side_px <= self.max_side_px:
            raise ConfigError("crops need 0 < min_side_px <= max_side_px")


def draw_crop(sample: Sample, settings: CropSettings, rng: Random) -> Sample:
    """A part of the sample, at most `size_px` wide and high.

    Half of the crops without text are mirrored.
    """
    longer = max(sample.width, sample.height)
    side = math.exp(rng.uniform(math.log(settings.min_side_px), math.log(settings.max_side_px)))
    scale = side / longer
    focus = _focus(sample, settings, rng)
    if focus is None:
        centre = (rng.uniform(0, sample.width), rng.uniform(0, sample.height))
    else:
        if rng.random() < settings.zoom_share:
            scale = rng.uniform(*settings.zoom_px) / max(focus.width, focus.height)
        jitter = rng.uniform(-0.35, 0.35, 2) * settings.size_px / scale
        centre = (focus.centre_xy[0] + jitter[0], focus.centre_xy[1] + jitter[1])
    scale = min(max(scale, settings.size_px / longer * 0.75), settings.max_enlargement)
    reach = settings.size_px / scale
    x0, x1 = _span(centre[0], reach, sample.width)
    y0, y1 = _span(centre[1], reach, sample.height)
    size_wh = (_shown(x1 - x0, scale, settings), _shown(y1 - y0, scale, settings))
    crop = crop_sample(sample, Box(x0, y0, x1, y1), size_wh)
    mirrored = rng.random() < 0.5 and not _has_text(crop)
    return mirror_sample(crop) if mirrored else crop


def _has_text(sample: Sample) -> bool:
    """Mirrored lettering would be a defect."""
    return any(p.part == "text" for p in sample.clean_parts) or any(
        r.category.startswith("text") for r in sample.regions
    )


def _focus(sample: Sample, settings: CropSettings, rng: Random) -> Box | None:
    if rng.random() >= settings.part_share:
        return None
    defects = [r.box for r in sample.regions if r.severity > 1]
    clean = [p.box for p in sample.clean_parts]
    both = defects and clean
    pool = (defects if rng.random() < 0.5 else clean) if both else (defects or clean)
    return pool[int(rng.integers(len(pool)))] if pool else None


def _span(centre: float, reach: float, length: int) -> tuple[int, int]:
    """Whole-pixel interval of about `reach`, moved inside [0, length]."""
    if reach >= length:
        return 0, length
    start = min(max(centre - reach / 2, 0.0), length - reach)
    first = int(start)
    return first, min(length, first + max(1, round(reach)))


def _shown(pixels: int, scale: float, settings: CropSettings) -> int:
    return min(settings.size_px, max(1, round(pixels * scale)))
