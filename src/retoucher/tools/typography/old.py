"""The old lettering, cut to its ink and, where possible, into its letters."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retoucher.tools.typography.matte import Matte
from retoucher.tools.typography.raster import affine, blur, gradient, parts, reduce
from retoucher.tools.typography.soft import stroke_of

FloatArray = NDArray[np.float32]
LetterBox = tuple[float, float, float, float]
MIN_SLANT = 0.03


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Old:
    """The old lettering, cut to its ink.

    Attributes:
        alpha: float32 (h, w), 0 ground to 1 ink.
        left, top: of the cut in the upright view.
        upright: 2x3, from the upright view, in which the stems stand straight, to the view.
        stroke_px: mean stroke thickness.
        sigma_px: least blur of its edges, in view px: what the picture's own pixels do.
        letters: box (x0, y0, x1, y1) of every letter in the cut, where each can be told from its
            neighbours; else empty.
    """

    alpha: FloatArray
    left: int
    top: int
    upright: NDArray[np.float64]
    stroke_px: float
    sigma_px: float
    letters: tuple[LetterBox, ...]

    @property
    def height(self) -> int:
        return self.alpha.shape[0]

    @property
    def width(self) -> int:
        return self.alpha.shape[1]

    def reduced(self, ratio: float) -> Old:
        """The same at another size."""
        shape = (max(4, round(self.height * ratio)), max(4, round(self.width * ratio)))
        return replace(
            self,
            alpha=reduce(self.alpha, shape),
            stroke_px=self.stroke_px * ratio,
            sigma_px=self.sigma_px * ratio,
            letters=tuple(
                (a * ratio, b * ratio, c * ratio, d * ratio) for a, b, c, d in self.letters
            ),
        )


def cut(matte: Matte, zoom: float, text: str) -> Old:
    """The old lettering of a matte.

    Args:
        matte: of the view.
        zoom: view pixels per picture pixel.
        text: what was read there; letters are told apart only when there are as many of them.
    """
    upright = _upright(matte, text)
    shown = _straight(matte.alpha, upright)
    solid = _straight(matte.solid.astype(np.float32), upright) > 0.5
    ys, xs = np.flatnonzero(solid.any(1)), np.flatnonzero(solid.any(0))
    y0, y1, x0, x1 = ys[0], ys[-1] + 1, xs[0], xs[-1] + 1
    alpha = np.ascontiguousarray(shown[y0:y1, x0:x1])
    return Old(
        alpha=alpha,
        left=int(x0),
        top=int(y0),
        upright=upright,
        stroke_px=stroke_of(np.pad(alpha, 2)),
        sigma_px=max(0.4, 0.45 * zoom),
        letters=_letters(solid[y0:y1, x0:x1], sum(not c.isspace() for c in text)),
    )


def _upright(matte: Matte, text: str) -> NDArray[np.float64]:
    """From a view in which the line is level and stems stand straight, to the view; 2x3."""
    ys, xs = np.nonzero(matte.solid)
    x, y = float(xs.mean()), float(ys.mean())
    tilt = _tilt(matte.solid, capitals=not any(c.islower() for c in text))
    level = np.array([[1.0, 0.0, 0.0], [tilt, 1.0, -tilt * x], [0.0, 0.0, 1.0]])
    slant = _slant(_straight(matte.alpha, level[:2]))
    lean = np.array([[1.0, -slant, slant * y], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    return (level @ lean)[:2]


def _tilt(solid: NDArray[np.bool_], *, capitals: bool) -> float:
    """How far the line falls per px to the right, by the feet and heads of its letters.

    Small letters' heads differ, and some feet hang: they need more letters, and feet only.
    """
    marks = parts(solid)
    if len(marks) < (4 if capitals else 6):
        return 0.0
    size = float(np.median(marks.height))
    tall = marks.height >= 0.6 * size
    x = marks.centre_x[tall]
    i, j = np.triu_indices(len(x), 1)
    far = np.abs(x[j] - x[i]) > 0.5 * size
    if far.sum() < 3:
        return 0.0
    heads = marks.top
    feet = heads + marks.height
    found: list[float] = []
    for y in (feet, heads) if capitals else (feet,):
        edge = y[tall]
        slope = float(np.median((edge[j] - edge[i])[far] / (x[j] - x[i])[far]))
        off = edge - slope * x
        if np.median(np.abs(off - np.median(off))) < (0.1 if capitals else 0.06) * size:
            found.append(slope)
    return float(np.clip(np.mean(found), -0.25, 0.25)) if found else 0.0


def _straight(values: FloatArray, upright: NDArray[np.float64]) -> FloatArray:
    h, w = values.shape
    return affine(values, upright, (h, w), inverse=True)


def _slant(alpha: FloatArray) -> float:
    """How far stems lean to the right per px of height, from the direction of steep edges.

    Round and diagonal strokes come in pairs that lean both ways, so the middle tells the stems.
    """
    gy, gx = gradient(blur(alpha, 1.0))
    strength = np.abs(gx)
    steep = (strength > 0.3 * strength.max(initial=1e-6)) & (np.abs(gy) < 0.45 * strength)
    if steep.sum() < 20:
        return 0.0
    lean = (gy[steep] / gx[steep]).astype(np.float64)
    order = np.argsort(lean)
    weight = np.cumsum(strength[steep][order])
    slant = float(lean[order][np.searchsorted(weight, weight[-1] / 2)])
    return slant if abs(slant) > MIN_SLANT else 0.0


def _letters(solid: NDArray[np.bool_], count: int) -> tuple[LetterBox, ...]:
    """Boxes of the parts, dots joined to their stems; empty unless there are `count` of them."""
    found = parts(solid)
    boxes: list[LetterBox] = []
    for i in np.argsort(found.left, kind="stable"):
        x0, y0 = float(found.left[i]), float(found.top[i])
        w, h = float(found.width[i]), float(found.height[i])
        x1, y1 = x0 + w, y0 + h
        if boxes:
            a, b, c, d = boxes[-1]
            if min(c, x1) - x0 > 0.5 * min(w, c - a):
                boxes[-1] = (min(a, x0), min(b, y0), max(c, x1), max(d, y1))
                continue
        boxes.append((x0, y0, x1, y1))
    return tuple(boxes) if len(boxes) == count else ()
