"""Places in a picture where something could stand that is not there yet."""

from __future__ import annotations

import cv2
import numpy as np

from retoucher.data.sample import CleanPart, RgbArray, Sample
from retoucher.data.synthetic.patch import Scene
from retoucher.domain.geometry import Box

MAX_SPOT_SHARE = 0.32
"""Longer side of a spoiled area over the picture's shorter side, at most, as in real pictures."""

SIGN = "sign spot"
"""`name` of a part that is a calm area with room for a sign."""


def with_spots(
    rng: np.random.Generator, sample: Sample, rgb: RgbArray | None = None
) -> tuple[CleanPart, ...]:
    """The sample's clean parts, and one calm area as a part "text" named `SIGN`.

    Args:
        rng: chooses the area.
        sample: gives the parts that the area must avoid.
        rgb: the picture; None: the area's place is not looked for, only its size is stated.
    """
    height, width = sample.height, sample.width
    w = int(width * rng.uniform(0.2, 0.5))
    h = max(int(w * rng.uniform(0.2, 0.5)), 12)
    if w < 40 or h > 0.8 * height:
        return sample.clean_parts
    x, y = (width - w) // 2, (height - h) // 2
    if rgb is not None:
        busy = [p.box for p in sample.clean_parts if p.part in ("face", "hand", "text")]
        x, y = _calmest(rng, rgb, (w, h), [*busy, *(r.box for r in sample.regions)])
    box = Box(x, y, x + w, y + h)
    return (*sample.clean_parts, CleanPart(box=box, part="text", name=SIGN, exact=False))


def _calmest(
    rng: np.random.Generator, rgb: RgbArray, size_wh: tuple[int, int], busy: list[Box]
) -> tuple[int, int]:
    """Corner of the calmest of a dozen random areas of this size that avoid `busy`."""
    height, width = rgb.shape[:2]
    w, h = size_wh
    step = 4
    small = cv2.resize(rgb, (width // step, height // step), interpolation=cv2.INTER_AREA)
    grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    best, best_score = (0, 0), np.inf
    for _ in range(12):
        x, y = int((width - w) * rng.random()), int((height - h) * rng.random())
        box = Box(x, y, x + w, y + h)
        covered = sum(c.area_px for b in busy if (c := box.intersection(b)) is not None)
        area = grey[y // step : (y + h) // step + 1, x // step : (x + w) // step + 1]
        score = float(area.std()) + 200 * covered / box.area_px
        if score < best_score:
            best, best_score = (x, y), score
    return best


def random_spot(
    scene: Scene, low: float, high: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Centre and radii of a random area of the part, `low` to `high` of its box's sides."""
    rng, box = scene.rng, scene.box
    share = float(rng.uniform(low, high))
    most = MAX_SPOT_SHARE * min(scene.rgb.shape[:2])
    share = min(share, most / max(box.width, box.height))
    radii = box.width * share / 2, box.height * share / 2
    free = max(1 - share, 0.0) / 2
    centre = (
        box.centre_xy[0] + box.width * float(rng.uniform(-free, free)),
        box.centre_xy[1] + box.height * float(rng.uniform(-free, free)),
    )
    return centre, radii


def name_of(scene: Scene) -> str:
    """What a person would call the part."""
    return scene.part.name or {"object": "object", "person": "figure"}.get(
        scene.part.part, scene.part.part
    )
