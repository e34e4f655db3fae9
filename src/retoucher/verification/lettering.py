"""Was lettering set right, or really removed? Beyond what is read: what changed, what is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import BoolArray, RgbArray, VerifyRequest
from retoucher.domain.diagnosis import Diagnosis, Evidence, Json
from retoucher.domain.geometry import Box
from retoucher.domain.taxonomy import taxonomy
from retoucher.domain.verdict import Check
from retoucher.errors import ConfigError
from retoucher.lettering.compare import letters, remnants, says

Quad = NDArray[np.float64]

_VISIBLE_LEVELS = 24
"""A pixel that changed by more is seen to have changed."""
_BAND = (0.08, 0.5)
"""From where to where the strips above and below a line reach, in heights of the line: letters of
the same size have nothing to do there."""
_READ_LETTERS, _READ_CONFIDENCE = 2, 0.5
"""Lettering counts as read from so many letters and so much confidence on."""
_RULES_KEPT = 0.8
"""So much of a frame or rule must stay: new letters may touch it."""
_MOST_PLACE = 1.5
"""In one place so much more of the old ink may be left than in all."""
_DEFECT = 0.35
"""Units below are right and no concern of the edit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LetteringSettings:
    """What an edit of lettering must keep and remove.

    Attributes:
        band_share: of the strips above and below a line that was set anew, so much may visibly
            change.
        ink_left: of unreadable lettering that was removed, so much of the old contrast may stay;
            in any one place half as much again.

    Raises:
        ConfigError: on a value out of range.
    """

    band_share: float = 0.07
    ink_left: float = 0.3

    def __post_init__(self) -> None:
        for name in ("band_share", "ink_left"):
            if not 0.0 < getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} must lie in (0, 1], got {getattr(self, name)}")


def lettering_checks(
    request: VerifyRequest, after: Diagnosis, settings: LetteringSettings
) -> list[Check]:
    """The checks that suit the defect; none where it has nothing to do with lettering.

    Where the intended words are known they must be read, and nothing of the old ones. Where
    nothing is read afterwards, reading proves nothing: the ink itself must be gone.
    """
    category = taxonomy().get(request.diagnosis.category)
    if category is None or category.dimension != "text":
        return []
    wrong = [e.data for e in request.diagnosis.evidence if e.kind == "intended_text"]
    if wrong:
        return [_words_check(request, wrong, after)]
    units = [e for e in request.diagnosis.evidence if e.kind == "lettering"]
    if not units or any(_is_read(e) for e in after.evidence if e.kind == "lettering"):
        return []
    return [_ink_check(request, units, settings)]


def surface_checks(request: VerifyRequest, settings: LetteringSettings) -> list[Check]:
    """Where known words were set: what is no lettering of theirs stays."""
    evidence = request.diagnosis.evidence
    lines = [q for e in evidence if e.kind == "intended_text" and (q := _quad(e)) is not None]
    return [*_band_checks(request, lines, settings), *_rule_checks(request, lines)]


def _rule_checks(request: VerifyRequest, lines: Sequence[Quad]) -> list[Check]:
    """A frame around the letters, or a rule along them, is no ink of theirs."""
    kept = [share for quad in lines if (share := _rules_kept(request, quad)) is not None]
    if not kept:
        return []
    least = min(kept)
    passed = least >= _RULES_KEPT
    return [
        Check(
            name="line_rules",
            passed=passed,
            before=1.0,
            after=least,
            detail="the frame or rule at the line is still there"
            if passed
            else f"only {100 * least:.0f}% of the frame or rule at the line is still there",
        )
    ]


def _rules_kept(request: VerifyRequest, quad: Quad) -> float | None:
    """Share of the frames and rules in the region that is still inked; None: there are none.

    A rule is ink at least 0.6 of the line long and flat; a frame is as long and has other ink
    inside its outline, which letters do not.
    """
    box = request.region.box
    inked = _inked(request.before_rgb, quad, box)
    if inked is None:
        return None
    before, after = inked(request.before_rgb), inked(request.after_rgb)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(before.astype(np.uint8), connectivity=8)
    labels = np.asarray(labels, np.int32)
    length = float(np.linalg.norm(quad[1] - quad[0]))
    height = float(np.linalg.norm(quad[3] - quad[0]))
    rules = np.zeros(before.shape, bool)
    for i in range(1, len(stats)):
        x, y, w, h, area = (int(v) for v in stats[i])
        flat = h < 0.2 * height
        if w < 0.6 * length or (area > 0.5 * w * h and not flat):
            continue
        part = labels[y : y + h, x : x + w] == i
        outlines = cast("Any", cv2).findContours(
            part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )[0]
        filled = np.zeros(part.shape, np.uint8)
        cv2.drawContours(filled, outlines, -1, 1, cv2.FILLED)
        inside = before[y : y + h, x : x + w] & ~part & (filled > 0)
        if flat or inside.sum() >= 0.3 * area:
            rules[y : y + h, x : x + w] |= part
    return float(after[rules].mean()) if rules.any() else None


def _inked(before_rgb: RgbArray, quad: Quad, box: Box) -> Callable[[RgbArray], BoolArray] | None:
    """A test for ink inside the box: what is as bright as the line's own ink; None: too small."""
    window = _window([quad], *before_rgb.shape[:2])
    if window is None or window.area_px < 16:
        return None
    inside = _drawn([quad], window)
    grey = cv2.cvtColor(np.ascontiguousarray(before_rgb[window.slices]), cv2.COLOR_RGB2GRAY)
    level, _ = cv2.threshold(grey[inside].reshape(1, -1), 0, 255, cv2.THRESH_OTSU)
    bright = bool(2 * np.count_nonzero(grey[inside] > level) < np.count_nonzero(inside))

    def ink(image_rgb: RgbArray) -> BoolArray:
        values = cv2.cvtColor(np.ascontiguousarray(image_rgb[box.slices]), cv2.COLOR_RGB2GRAY)
        return np.asarray((values > level) == bright, np.bool_)

    return ink


def _band_checks(
    request: VerifyRequest, lines: Sequence[Quad], settings: LetteringSettings
) -> list[Check]:
    if not lines:
        return []
    evidence = request.diagnosis.evidence
    units = [q for e in evidence if e.kind == "lettering" and (q := _quad(e)) is not None]
    strips = [_strips(quad) for quad in lines]
    window = _window([q for pair in strips for q in pair], *request.before_rgb.shape[:2])
    if window is None:
        return []
    before, after = request.before_rgb[window.slices], request.after_rgb[window.slices]
    gap = np.abs(before.astype(np.int16) - after).max(axis=2)
    occupied = _drawn([*units, *lines], window)
    worst = 0.0
    for pair in strips:
        band = _drawn(pair, window) & ~occupied
        if band.any():
            worst = max(worst, float((gap[band] > _VISIBLE_LEVELS).mean()))
    passed = worst <= settings.band_share
    return [
        Check(
            name="line_band",
            passed=passed,
            before=0.0,
            after=worst,
            detail="the surface above and below the line is as it was"
            if passed
            else f"{100 * worst:.0f}% of the surface just above and below the line changed too",
        )
    ]


def _words_check(
    request: VerifyRequest, wrong: Sequence[Mapping[str, Json]], after: Diagnosis
) -> Check:
    pairs = [(str(row["read"]), str(row["intended"])) for row in wrong]
    read = [str(e.data["read"]) for e in after.evidence if e.kind == "lettering"]
    right = _right_words(request)
    missing = [m for _, m in pairs if not says(read, m) and not _says_with(read, m, right)]
    old = [word for was, intended in pairs for word in remnants(read, was, intended)]
    if missing:
        said = ", ".join(map(repr, read)) or "nothing"
        detail = f"it should read {', '.join(map(repr, missing))} but reads {said}"
    elif old:
        detail = f"{', '.join(map(repr, old))} of the old lettering is still there"
    else:
        detail = f"it now reads {', '.join(repr(intended) for _, intended in pairs)}"
    return Check(
        name="lettering",
        passed=not missing and not old,
        before=None,
        after=float(len(pairs) - len(missing)),
        detail=detail,
    )


def _right_words(request: VerifyRequest) -> frozenset[str]:
    """Words that may rightly stand beside a repaired one: of the prompt, or read there before."""
    units = [e for e in request.diagnosis.evidence if e.kind == "lettering"]
    texts = [request.prompt, *(str(e.data.get("read") or "") for e in units)]
    words = (letters(t) for text in texts for t in text.split())
    return frozenset(word for word in words if len(word) > 2)


def _says_with(readings: Sequence[str], intended: str, right: frozenset[str]) -> bool:
    """True where the words are read joined to a right neighbour: a space is easily not read."""
    wanted = letters(intended)
    for reading in readings:
        for word in map(letters, reading.split()):
            before, found, behind = word.partition(wanted)
            rest = [part for part in (before, behind) if part]
            if found and rest and all(part in right for part in rest):
                return True
    return False


def _is_read(unit: Evidence) -> bool:
    text, confidence = letters(str(unit.data.get("read") or "")), unit.data.get("confidence")
    sure = isinstance(confidence, int | float) and confidence >= _READ_CONFIDENCE
    return len(text) >= _READ_LETTERS and sure


def _ink_check(
    request: VerifyRequest, units: Sequence[Evidence], settings: LetteringSettings
) -> Check:
    """The old strokes must be gone, not only unread."""
    left = [
        _ink_left(request.before_rgb, request.after_rgb, quad)
        for unit in units
        if _number(unit.data.get("defect"), 1.0) >= _DEFECT and (quad := _quad(unit)) is not None
    ]
    worst = max(left, default=0.0)
    passed = worst <= settings.ink_left
    return Check(
        name="ink",
        passed=passed,
        before=1.0,
        after=worst,
        detail="the old strokes are gone"
        if passed
        else f"{100 * worst:.0f}% of the old strokes' contrast is still there",
    )


def _ink_left(before_rgb: RgbArray, after_rgb: RgbArray, quad: Quad) -> float:
    """Contrast of the old ink to the paper that is left, over the old: of all of it, or two thirds
    of what is left where most is.

    Ink is the smaller class of Otsu's threshold on the line before the edit. What is left is
    measured against the paper around it as it is now, so that a new ground does not count as ink,
    in windows half as high as the line: one stroke that stayed is not averaged away.
    """
    window = _window([quad], *before_rgb.shape[:2])
    if window is None:
        return 0.0
    part, inside = window.slices, _drawn([quad], window)
    if inside.sum() < 16:
        return 0.0
    grey = cv2.cvtColor(np.ascontiguousarray(before_rgb[part]), cv2.COLOR_RGB2GRAY)
    level, _ = cv2.threshold(grey[inside].reshape(1, -1), 0, 255, cv2.THRESH_OTSU)
    bright = (grey > level) & inside
    ink = bright if 2 * bright.sum() < inside.sum() else inside & ~bright
    paper = inside & ~ink
    if not (ink.any() and paper.any()):
        return 0.0

    def contrast(image_rgb: RgbArray) -> NDArray[np.float32]:
        values = image_rgb[part].astype(np.float32)
        gap = np.abs(values - np.median(values[paper], axis=0)).mean(axis=2)
        return (gap * ink).astype(np.float32)

    grain = float(np.abs(np.diff(after_rgb[part].astype(np.float64), axis=1)).mean())
    side = max(3, round(0.5 * float(np.linalg.norm(quad[3] - quad[0]))))
    share = cv2.blur(ink.astype(np.float32), (side, side))
    dense = share >= 0.15
    now = contrast(after_rgb)
    places = cv2.blur(now, (side, side))[dense] / share[dense]
    left = max(float(now[ink].mean()), float(np.max(places, initial=0.0)) / _MOST_PLACE)
    return max(0.0, left - grain) / max(1.0, float(contrast(before_rgb)[ink].mean()) - grain)


def _quad(unit: Evidence) -> Quad | None:
    try:
        quad = np.array(cast("list[list[float]]", unit.data.get("quad_xy")), np.float64)
    except (TypeError, ValueError):
        return None
    return quad if quad.shape == (4, 2) and bool(np.isfinite(quad).all()) else None


def _strips(quad: Quad) -> list[Quad]:
    """The strips above and below a line, as quads."""
    down = (quad[3] - quad[0] + quad[2] - quad[1]) / 2
    near, far = _BAND
    return [
        np.array([quad[0] - far * down, quad[1] - far * down, *(quad[1::-1] - near * down)]),
        np.array([quad[3] + near * down, quad[2] + near * down, *(quad[2:] + far * down)]),
    ]


def _window(quads: Sequence[Quad], height: int, width: int) -> Box | None:
    """Bounds of the quads, inside the picture; None where they lie outside."""
    points = np.concatenate(quads)
    low, high = np.floor(points.min(0)), np.ceil(points.max(0)) + 1
    return Box(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clip(height, width)


def _drawn(quads: Sequence[Quad], window: Box) -> BoolArray:
    """Mask of the quads, given in picture pixels, inside the window."""
    mask = np.zeros((window.height, window.width), np.uint8)
    for quad in quads:
        local = quad - [window.x0, window.y0]
        cv2.fillConvexPoly(mask, np.round(local - 0.5).astype(np.int32), 1)
    return mask.astype(bool)


def _number(value: Json, default: float) -> float:
    return float(value) if isinstance(value, int | float) else default
