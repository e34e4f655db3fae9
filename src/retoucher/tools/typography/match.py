"""Which face the old lettering is nearest to, and how it lies: size, stretch, spacing, slope."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.errors import ToolError
from retoucher.tools.typography.faces import Face, Line, faces, paint, set_line, supports
from retoucher.tools.typography.likeness import Try, overlap, overlay, places, sized, strain, tries
from retoucher.tools.typography.old import Old
from retoucher.tools.typography.raster import affine, blur
from retoucher.tools.typography.soft import blur_of, soften, stroke_of

FloatArray = NDArray[np.float32]

COARSE_PX = 40
FINALISTS = 4
ALIGN_STEPS = 40
MIN_SHRINK = 0.7
WIDENING = 1.12  # a longer text may reach this far over the old one's width


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Setting:
    """How a line is set in the view.

    Attributes:
        face: the face.
        size_px: of the em, in view pixels.
        stretch: horizontal scale of the letters.
        tracking_px: added between letters.
        weight_px: strokes are made this much thicker on each side (negative: thinner).
        placing: 2x3, from line coordinates (pen start, baseline; y down) to view pixels.
        score: how well the old text set so covers the old glyphs, about 0..1.
    """

    face: Face
    size_px: float
    stretch: float
    tracking_px: float
    weight_px: float
    placing: NDArray[np.float64]
    score: float


def match(old: Old, text: str, wanted: str) -> Setting:
    """The best setting of the old text over the old glyphs, in a face that can set `wanted`.

    Raises:
        ToolError: no shipped face has all the letters.
    """
    able = [f for f in faces() if supports(f, wanted) and supports(f, text)]
    if not able:
        raise ToolError(f"no shipped face has all letters of {wanted!r}; try another tool")
    coarse = old.reduced(COARSE_PX / old.height)
    best: dict[str, Try] = {}
    for one in sorted((t for f in able for t in tries(f, text, coarse)), key=lambda t: -t[0]):
        best.setdefault(one[1].file, one)
    if not best:
        raise ToolError("the old lettering is spaced unlike any text; try another tool")
    finalists = list(best.values())[:FINALISTS]
    return max((_align(one, text, old) for one in finalists), key=lambda s: s.score)


def _align(one: Try, text: str, old: Old) -> Setting:
    """Fine placement by enhanced correlation; kept only where it is small and helps."""
    coarse, face, stretch = one
    line, foot = sized(face, text, old)
    lefts, tracking = places(line, old, stretch)
    image, (ox, oy) = paint(line, lefts, stretch=stretch)
    pad = round(0.15 * old.height)
    target = np.pad(old.alpha, pad)
    base = np.array([[1.0, 0.0, pad], [0.0, 1.0, pad + foot]])
    first = _laid(image, (ox, oy), base, target.shape)
    matrix = _correlate(target, first)
    placing, laid = base, first
    if matrix is not None:
        placing = _chain(np.asarray(cv2.invertAffineTransform(matrix), np.float64), base)
        laid = _laid(image, (ox, oy), placing, target.shape)
        if overlap(laid, target) < overlap(first, target) + 0.005:
            placing, laid = base, first
    padded = replace(old, alpha=target)
    sigma = blur_of(target, laid)
    score = overlay(laid, padded, sigma) - strain(stretch, tracking / old.height, face)
    weight = (old.stroke_px - stroke_of(soften(laid, sigma, like=target))) / 2
    # Fattened strokes close the letters' counters sooner than thinned ones break.
    weight = float(np.clip(weight, -0.3 * old.stroke_px, 0.18 * old.stroke_px))
    return Setting(
        face=face,
        size_px=line.size_px,
        stretch=stretch,
        tracking_px=tracking,
        weight_px=weight,
        placing=_chain(
            old.upright, placing + np.array([[0, 0, old.left - pad], [0, 0, old.top - pad]])
        ),
        # Letter by letter, shape tells more than where the letters lie.
        score=score + (2 * coarse if old.letters else 0.0),
    )


def _laid(
    image: FloatArray,
    origin_xy: tuple[float, float],
    placing: NDArray[np.float64],
    shape: tuple[int, ...],
) -> FloatArray:
    """A painted line put where `placing` says."""
    matrix = _chain(placing, np.array([[1.0, 0, -origin_xy[0]], [0, 1.0, -origin_xy[1]]]))
    return affine(image, matrix, (shape[0], shape[1]))


def _chain(outer: NDArray[np.float64], inner: NDArray[np.float64]) -> NDArray[np.float64]:
    """outer after inner, both 2x3."""
    row = np.array([[0.0, 0.0, 1.0]])
    return (np.vstack([outer, row]) @ np.vstack([inner, row]))[:2]


def _correlate(target: FloatArray, image: FloatArray) -> NDArray[np.float64] | None:
    """Affine map from target to image pixels, or None where it fails or is not small."""
    sigma = 0.04 * target.shape[0]
    a = blur(target, sigma)
    b = blur(image, sigma)
    criteria = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, ALIGN_STEPS, 1e-4)
    matrix = np.eye(2, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(a, b, matrix, cv2.MOTION_AFFINE, criteria)
    except cv2.error:  # it did not converge: the texts differ too much
        return None
    m = np.asarray(found, np.float64)
    small = (
        abs(m[0, 0] - 1) < 0.15
        and abs(m[1, 1] - 1) < 0.12
        and abs(m[1, 0]) < 0.09
        and abs(m[0, 1]) < 0.4
    )
    return m if small else None


def refit(setting: Setting, wanted: str, old: Old, room_xx: tuple[float, float]) -> Setting:
    """The setting for the wanted text: as wide as the old one where that stays natural.

    A longer text first uses free ground on both sides, then spacing gives, then the letters'
    width (up to 12 %); a shorter one is spaced out a little and centred. All inside `room_xx`, the
    columns of the view that the text may use.

    Raises:
        ToolError: the text does not fit even when made narrower.
    """
    line = set_line(setting.face, wanted, setting.size_px)
    slope = float(setting.placing[0, 0])
    room = (room_xx[1] - room_xx[0]) / slope
    left, right = line.extent(setting.stretch, setting.tracking_px)
    widest = max(old.width / slope, min(right - left, WIDENING * old.width / slope))
    stretch, tracking = _spread(line, setting, min(widest, room), old.height)
    left, right = line.extent(stretch, tracking)
    size = setting.size_px
    if right - left > room:
        shrink = room / (right - left)
        if shrink < MIN_SHRINK:
            raise ToolError(
                f"{wanted!r} would have to be set at {shrink:.0%} of its width to fit here;"
                " try another tool"
            )
        # Half by narrower, half by smaller letters: neither alone shows as much.
        size *= float(np.sqrt(shrink))
        line = set_line(setting.face, wanted, size)
        stretch, tracking = stretch * float(np.sqrt(shrink)), tracking * shrink
        left, right = line.extent(stretch, tracking)
    middle = old.left + old.width / 2
    half = (right - left) / 2 * slope
    middle = float(np.clip(middle, room_xx[0] + half, max(room_xx[0] + half, room_xx[1] - half)))
    placing = setting.placing.copy()
    # The old text's centre, at half height, maps to itself; the new text's centre goes there.
    mid_y = (line.top + line.bottom) / 2
    here = placing @ np.array([(left + right) / 2, mid_y, 1.0])
    shift = middle - here[0]
    placing[0, 2] += shift
    placing[1, 2] += shift * placing[1, 0] / slope
    return replace(setting, size_px=size, stretch=stretch, tracking_px=tracking, placing=placing)


def _spread(line: Line, setting: Setting, target: float, height: int) -> tuple[float, float]:
    """Stretch and tracking that bring a line near a width without looking forced."""

    def width(stretch: float, tracking: float) -> float:
        left, right = line.extent(stretch, tracking)
        return right - left

    stretch, tracking = setting.stretch, setting.tracking_px
    if line.gaps:
        need = (target - width(stretch, tracking)) / line.gaps
        closest = min(tracking, -0.02 * height)
        tracking = float(np.clip(tracking + need, closest, tracking + 0.035 * height))
    ratio = target / width(stretch, tracking)
    return stretch * float(np.clip(ratio, 0.88, 1.05)), tracking
