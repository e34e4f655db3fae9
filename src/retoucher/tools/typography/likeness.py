"""How well a face resembles old lettering."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from retoucher.tools.typography.faces import Face, Line, paint, set_line, size_for
from retoucher.tools.typography.old import Old
from retoucher.tools.typography.raster import affine, reduce
from retoucher.tools.typography.soft import soften, stroke_of

FloatArray = NDArray[np.float32]
STRETCHES = (0.7, 0.8, 0.9, 1.0, 1.1, 1.22, 1.4)
MIN_TRACKING, MAX_TRACKING = -0.08, 0.7
HEAVIER, UNEVEN = 0.35, 0.7
Try = tuple[float, Face, float]


def sized(face: Face, text: str, old: Old) -> tuple[Line, float]:
    """The text at the old letters' size, and the row of its baseline in the cut.

    Where letters can be told apart their middle size and foot count, so that a line that is not
    quite level does not pass for a taller one.
    """
    line = set_line(face, text, size_for(face, text, old.height))
    glyphs = [(t, _tight(g)) for t, g in zip(line.tops, line.glyphs, strict=True) if g.size]
    if len(glyphs) != len(old.letters):
        return line, float(-line.top)
    ratios = [(b[3] - b[1]) / g.shape[0] for (_, g), b in zip(glyphs, old.letters, strict=True)]
    ratio = float(np.median(ratios))
    line = set_line(face, text, max(2.0, round(4 * line.size_px * ratio) / 4))
    feet = [
        b[3] - (t + _tight(g).shape[0])
        for t, g, b in zip(
            (t for t, g in zip(line.tops, line.glyphs, strict=True) if g.size),
            (g for g in line.glyphs if g.size),
            old.letters,
            strict=True,
        )
    ]
    return line, float(np.median(feet))


def tries(face: Face, text: str, old: Old) -> list[Try]:
    """Scores (about 0..1, higher is more alike) of a face at the stretches that may fit."""
    line, foot = sized(face, text, old)
    glyphs = [g for g in line.glyphs if g.size]
    if old.letters and len(glyphs) == len(old.letters):
        stretch = _own_stretch(glyphs, old)
        tracking = places(line, old, stretch)[1] / old.height
        return [
            (_by_letters(glyphs, old, stretch) - strain(stretch, tracking, face), face, stretch)
        ]
    out: list[Try] = []
    for stretch in STRETCHES if line.gaps else (_filling(line, old),):
        lefts, tracking = places(line, old, stretch)
        if not MIN_TRACKING <= tracking / old.height <= MAX_TRACKING:
            continue
        image, (ox, oy) = paint(line, lefts, stretch=stretch)
        moved = _shift(image, -ox, foot - oy, old.alpha.shape)
        score = overlay(moved, old, old.sigma_px) - strain(stretch, tracking / old.height, face)
        out.append((score, face, stretch))
    return out


def places(line: Line, old: Old, stretch: float) -> tuple[list[float], float]:
    """Where the old text's glyphs stand over the old ink, and the tracking that comes to.

    Letters that can be told apart are met one by one, so that uneven spacing does not hide how
    well a face fits; else the line is spaced evenly to the ink's width.
    """
    left, right = line.extent(stretch, 0.0)
    tracking = (old.width - (right - left)) / line.gaps if line.gaps else 0.0
    start = line.extent(stretch, tracking)[0]
    lefts = [x - start for x in line.lefts_at(stretch, tracking)]
    if len(old.letters) == sum(g.size > 0 for g in line.glyphs):
        boxes = iter(old.letters)
        for i, glyph in enumerate(line.glyphs):
            if glyph.size:
                x0, _, x1, _ = next(boxes)
                lefts[i] = (x0 + x1 - glyph.shape[1] * stretch) / 2
    return lefts, tracking


def overlay(image: FloatArray, old: Old, sigma_px: float) -> float:
    """Soft overlap of a whole line (0..1), less for strokes of another thickness."""
    a = soften(image, sigma_px, like=old.alpha)
    heavier = abs(float(np.log(stroke_of(np.pad(a, 2)) / old.stroke_px)))
    return overlap(a, old.alpha) - HEAVIER * min(heavier, 0.8)


def overlap(a: FloatArray, b: FloatArray) -> float:
    """Common part of two mattes over their union, 0 to 1."""
    return float(np.minimum(a, b).sum() / max(float(np.maximum(a, b).sum()), 1e-6))


def strain(stretch: float, tracking: float, face: Face) -> float:
    """How unnatural a stretch and spacing are; ties go to the commoner face."""
    loose = max(0.0, tracking - 0.12) + max(0.0, -tracking)
    return 0.22 * abs(float(np.log(stretch))) + 0.25 * loose - 0.06 * face.commonness


def _own_stretch(glyphs: list[FloatArray], old: Old) -> float:
    seen = sum(x1 - x0 for x0, _, x1, _ in old.letters)
    return float(np.clip(seen / sum(_tight(g).shape[1] for g in glyphs), 0.55, 1.8))


def _filling(line: Line, old: Old) -> float:
    left, right = line.extent(1.0, 0.0)
    return float(np.clip(old.width / max(1.0, right - left), 0.55, 1.8))


def _by_letters(glyphs: list[FloatArray], old: Old, stretch: float) -> float:
    """Mean overlap letter by letter, each glyph brought to its old letter's box.

    How much the boxes' proportions differ from letter to letter counts against the face.
    """
    scores: list[float] = []
    widths: list[float] = []
    heights: list[float] = []
    strokes = np.zeros(2)
    for glyph, box in zip(glyphs, old.letters, strict=True):
        x0, y0, x1, y1 = (round(v) for v in box)
        part = old.alpha[y0 : max(y1, y0 + 2), x0 : max(x1, x0 + 2)]
        h, w = part.shape
        tight = _tight(glyph)
        widths.append(float(np.log((box[2] - box[0]) / (tight.shape[1] * stretch))))
        heights.append(float(np.log((box[3] - box[1]) / tight.shape[0])))
        fitted = reduce(tight, (h, w))
        pad = 3
        soft = soften(np.pad(fitted, pad), old.sigma_px, like=part)[pad:-pad, pad:-pad]
        scores.append(overlap(soft, part))
        strokes += (stroke_of(np.pad(soft, 2)), stroke_of(np.pad(part, 2)))
    heavier = abs(float(np.log(strokes[0] / strokes[1])))
    area = np.array([(b[2] - b[0]) * (b[3] - b[1]) for b in old.letters])
    uneven = float(np.std(widths) + np.std(heights))
    mean = float(np.average(scores, weights=np.sqrt(area)))
    return mean - HEAVIER * min(heavier, 0.8) - UNEVEN * min(uneven, 0.6)


def _tight(glyph: FloatArray) -> FloatArray:
    rows, columns = np.flatnonzero(glyph.max(1) > 0.3), np.flatnonzero(glyph.max(0) > 0.3)
    if not len(rows) or not len(columns):
        return glyph
    return glyph[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _shift(image: FloatArray, dx: float, dy: float, shape: tuple[int, ...]) -> FloatArray:
    matrix = np.array([[1, 0, dx], [0, 1, dy]], np.float64)
    return affine(image, matrix, (shape[0], shape[1]))
