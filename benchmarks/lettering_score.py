"""What counts as found, repaired, removed or spoilt. Pure functions of pictures and truth.

Matching (areas in pixels, W = the wrong words' quads of one unit, R = one region's mask):
- a wrong unit is found when regions with a defect diagnosis cover at least half of W;
- such a region is right when it covers 0.3 of some unit's W, or has half of itself inside a W;
- a clean unit is flagged when regions that are not right cover half of it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import cv2
import numpy as np
from lettering_set import Sample, Unit
from numpy.typing import NDArray

from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.region import Region

Rgb = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Fate = Literal[
    "repaired", "removed", "changed, still wrong", "rolled back", "tool failed", "left", "missed"
]
FATES: tuple[Fate, ...] = get_args(Fate)
EXPECTED = {"misspelled": "text_wrong", "garbled": "text_garbled", "unreadable": "text_garbled"}


def quad_mask(quads_xy: Sequence[Sequence[tuple[float, float]]], shape_hw: tuple[int, int]) -> Mask:
    """Pixels inside any of the quads, bool (H, W)."""
    canvas = np.zeros(shape_hw, np.uint8)
    for quad in quads_xy:
        cv2.fillPoly(canvas, [np.round(np.array(quad)).astype(np.int32)], 1)
    return canvas.astype(bool)


@dataclass(frozen=True, slots=True, kw_only=True)
class Detection:
    """One picture's regions against its truth.

    Attributes:
        found: per unit, the category of the best covering defect region; None: not found.
        right, false: defect regions that do and do not lie on a wrong unit.
        flagged: per unit, whether it is clean and flagged.
    """

    found: tuple[str | None, ...]
    right: int
    false: int
    flagged: tuple[bool, ...]


def detection(
    sample: Sample,
    regions: Sequence[Region],
    diagnoses: Sequence[Diagnosis],
    shape_hw: tuple[int, int],
) -> Detection:
    """Match a picture's diagnosed regions with its units; see the module's rules."""
    defects = [(r, d) for r, d in zip(regions, diagnoses, strict=True) if d.is_defect]
    masks = [region.full_mask(*shape_hw) for region, _ in defects]
    wrongs = [quad_mask(unit.wrong_quads_xy, shape_hw) for unit in sample.units]
    wrongs_area = [max(1, int(w.sum())) for w in wrongs]
    is_right = [
        any(
            u.kind != "clean"
            and ((m & w).sum() >= 0.3 * a or (m & w).sum() >= 0.5 * max(1, m.sum()))
            for u, w, a in zip(sample.units, wrongs, wrongs_area, strict=True)
        )
        for m in masks
    ]
    found: list[str | None] = []
    flagged: list[bool] = []
    for unit, wrong, area in zip(sample.units, wrongs, wrongs_area, strict=True):
        if unit.kind != "clean":
            shares = [int((m & wrong).sum()) for m in masks]
            together = _union(masks, shape_hw) & wrong
            hit = bool(shares) and int(together.sum()) >= 0.5 * area
            found.append(defects[int(np.argmax(shares))][1].category if hit else None)
            flagged.append(False)
            continue
        body = quad_mask([unit.quad_xy], shape_hw)
        off = _union([m for m, r in zip(masks, is_right, strict=True) if not r], shape_hw)
        found.append(None)
        flagged.append(int((off & body).sum()) >= 0.5 * max(1, int(body.sum())))
    return Detection(
        found=tuple(found),
        right=sum(is_right),
        false=len(is_right) - sum(is_right),
        flagged=tuple(flagged),
    )


def _union(masks: Sequence[Mask], shape_hw: tuple[int, int]) -> Mask:
    out = np.zeros(shape_hw, bool)
    for mask in masks:
        out |= mask
    return out


def plain(text: str) -> str:
    """Letters and digits only, without case: what must agree for a text to be read correctly."""
    return "".join(c for c in text.casefold() if c.isalnum())


def character_error_rate(read: str, intended: str) -> float:
    """Levenshtein distance over the intended length, of the plain texts; may exceed 1."""
    a, b = plain(read), plain(intended)
    row = list(range(len(b) + 1))
    for i, ca in enumerate(a, 1):
        last, row[0] = row[0], i
        for j, cb in enumerate(b, 1):
            last, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, last + (ca != cb))
    return row[-1] / max(1, len(b))


def rectified(image_rgb: Rgb, unit: Unit, height_px: int = 64) -> Rgb:
    """The unit's line seen straight on, with a margin, uint8 (h, w, 3)."""
    quad = np.array(unit.quad_xy, np.float32)
    across = (quad[1] - quad[0] + quad[2] - quad[3]) / 2
    down = (quad[3] - quad[0] + quad[2] - quad[1]) / 2
    pad_u = 0.35 * down.dot(down) ** 0.5 * across / max(1e-6, across.dot(across) ** 0.5)
    pad_v = 0.3 * down
    signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
    wide = np.array([q + u * pad_u + v * pad_v for q, (u, v) in zip(quad, signs, strict=True)])
    ratio = float(np.linalg.norm(wide[1] - wide[0]) / max(1.0, np.linalg.norm(wide[3] - wide[0])))
    width = int(np.clip(height_px * ratio, 16, 2000))
    corners = np.array([[0, 0], [width, 0], [width, height_px], [0, height_px]], np.float32)
    matrix = cv2.getPerspectiveTransform(wide.astype(np.float32), corners)
    return cv2.warpPerspective(
        image_rgb, matrix, (width, height_px), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    ).astype(np.uint8)


def unit_fate(
    unit: Unit,
    *,
    found: bool,
    failed: bool,
    rolled_back: bool,
    accepted: bool,
    read: str,
    confidence: float,
    ink_left: float,
) -> Fate:
    """What became of a wrong unit.

    Args:
        found: perception and reasoning saw it.
        failed, rolled_back, accepted: an edit there raised an error, was not kept, was kept.
        read, confidence: what OCR reads there afterwards.
        ink_left: share of the old ink that is still there (`ink_left`), for what cannot be read.
    """
    if accepted:
        if unit.intended is not None and plain(read) == plain(unit.intended):
            return "repaired"
        unread = len(plain(read)) < 2 or confidence < 0.5
        return "removed" if unread and ink_left < 0.25 else "changed, still wrong"
    if rolled_back:
        return "rolled back"
    if failed:
        return "tool failed"
    return "left" if found else "missed"


def ink_left(before_rgb: Rgb, after_rgb: Rgb, unit: Unit) -> float:
    """How much of a unit's old ink still stands out: mean distance of the ink's pixels to the
    paper's median colour afterwards, over that before; 0 when it is all gone."""
    old, new = (rectified(p, unit).astype(np.float64) for p in (before_rgb, after_rgb))
    ink = _ink(old.astype(np.uint8))
    if not ink.any() or ink.all():
        return 0.0
    paper = np.median(old[~ink], axis=0)
    was = np.abs(old[ink] - paper).mean()
    return float(np.abs(new[ink] - paper).mean() / max(1e-6, was))


def surroundings_changed(before_rgb: Rgb, after_rgb: Rgb, unit: Unit, others: Mask) -> float:
    """Share of visibly changed pixels (over 24 of 255) above and below a line, from 0.08 to 0.5 of
    its height away: where letters of the same size have nothing to do.

    Not beside it: a letter more or less makes a word longer or shorter.

    Args:
        others: bool (H, W), pixels that do not count (further units).
    """
    quad = np.array(unit.quad_xy)
    down = (quad[3] - quad[0] + quad[2] - quad[1]) / 2
    above = [
        quad[0] - 0.5 * down,
        quad[1] - 0.5 * down,
        quad[1] - 0.08 * down,
        quad[0] - 0.08 * down,
    ]
    below = [
        quad[3] + 0.08 * down,
        quad[2] + 0.08 * down,
        quad[2] + 0.5 * down,
        quad[3] + 0.5 * down,
    ]
    quads = [[(float(x), float(y)) for x, y in band] for band in (above, below)]
    band = quad_mask(quads, before_rgb.shape[:2]) & ~others
    gap = np.abs(before_rgb.astype(np.int16) - after_rgb).max(2)
    return float((gap[band] > 24).mean()) if band.any() else 0.0


def wilson(hits: int, total: int) -> tuple[float, float, float]:
    """Share with its 95% Wilson interval: (share, low, high); NaN when total is 0."""
    if total == 0:
        return math.nan, math.nan, math.nan
    z, p = 1.959964, hits / total
    centre = (p + z * z / (2 * total)) / (1 + z * z / total)
    half = z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total)) / (1 + z * z / total)
    return p, max(0.0, centre - half), min(1.0, centre + half)


def _ink(strip_rgb: Rgb) -> Mask:
    """The smaller class of Otsu's threshold, bool (h, w)."""
    grey = cv2.cvtColor(strip_rgb, cv2.COLOR_RGB2GRAY)
    _, split = cv2.threshold(grey, 0, 1, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    bright = split.astype(bool)
    return bright if bright.mean() < 0.5 else ~bright


def ink_and_paper_lab(
    image_rgb: Rgb, unit: Unit
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Median Lab colour of the strokes and of their ground in a unit's box (by Otsu's threshold;
    the smaller class is ink)."""
    strip = rectified(image_rgb, unit)
    ink = _ink(strip)
    lab = cv2.cvtColor(strip.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).astype(np.float64)
    if not ink.any() or ink.all():
        middle = np.median(lab.reshape(-1, 3), axis=0)
        return middle, middle
    return np.median(lab[ink], axis=0), np.median(lab[~ink], axis=0)
