"""Old glyphs parted from what they stand on: a soft matte, the ink's colour and the ground's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from retoucher.errors import ToolError
from retoucher.tools.typography.frame import Frame
from retoucher.tools.typography.raster import blur, depth, grow, lab, parts, shrink

FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]

MIN_CONTRAST_LAB = 11.0
MIN_SEPARATION = 2.4
MAX_COST = 3.2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Matte:
    """The old lettering of one frame, all arrays of the view's size.

    Attributes:
        alpha: float32 (h, w), 0 ground to 1 ink, this unit's glyphs only.
        solid: bool (h, w), glyph pixels.
        foreign: bool (h, w), other marks that are neither this lettering nor its ground.
        ground: float32 (h, w, 3), smooth colour behind the lettering, sRGB 0..255.
        ink: float32 (h, w, 3), smooth colour of the lettering, sRGB 0..255.
        ink_noise: standard deviation inside the strokes, sRGB levels.
    """

    alpha: FloatArray
    solid: BoolArray
    foreign: BoolArray
    ground: FloatArray
    ink: FloatArray
    ink_noise: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Candidate:
    cost: float
    solid: BoolArray
    raw: BoolArray


def segment(view_rgb: FloatArray, frame: Frame, text: str) -> Matte:
    """Find the glyphs in a straightened view.

    Args:
        view_rgb: float32 (h, w, 3), sRGB 0..255.
        frame: of the view.
        text: what was read there; its length steers the choice between candidates, and its
            capitals tell whether marks above and below can belong to it.

    Raises:
        ToolError: nothing in the frame looks like separable lettering.
    """
    candidates = _candidates(view_rgb, frame, max(1, sum(not c.isspace() for c in text)))
    if not candidates:
        raise ToolError("no glyphs can be told from their ground here; try another tool")
    best = min(candidates, key=lambda c: c.cost)
    if best.cost > MAX_COST:
        raise ToolError("the glyphs run into their surroundings here; try another tool")
    return _refine(view_rgb, frame, best, text)


def _candidates(view_rgb: FloatArray, frame: Frame, letters: int) -> list[_Candidate]:
    tones = lab(view_rgb)
    flat = tones - blur(tones, 0.8 * frame.text_px)
    found: list[_Candidate] = []
    x0, y0, x1, y1 = frame.core
    for features in (tones, flat):
        core = features[y0:y1, x0:x1].reshape(-1, 3)
        for count in (2, 3):
            centres = _cluster(core, count)
            distance = np.stack([((features - c) ** 2).sum(-1) for c in centres])
            labels = distance.argmin(0)
            for index in range(count):
                candidate = _judge(labels == index, tones, frame, letters)
                if candidate is not None:
                    found.append(candidate)
    return found


def _cluster(points: FloatArray, count: int) -> FloatArray:
    """k-means from quantiles along the main axis: the same points give the same centres."""
    step = max(1, len(points) // 1500)
    sample = points[::step].astype(np.float64)
    centred = sample - sample.mean(0)
    axis = np.linalg.eigh(centred.T @ centred)[1][:, -1]
    along = centred @ axis
    seeds = np.quantile(along, (np.arange(count) + 0.5) / count)
    if count == 2:
        seeds = np.quantile(along, (0.05, 0.95))
    centres = np.stack([sample[np.abs(along - s).argmin()] for s in seeds])
    for _ in range(8):
        labels = ((sample[:, None] - centres[None]) ** 2).sum(-1).argmin(1)
        for i in range(count):
            if (labels == i).any():
                centres[i] = sample[labels == i].mean(0)
    return centres.astype(np.float32)


def _judge(mask: BoolArray, tones: FloatArray, frame: Frame, letters: int) -> _Candidate | None:
    """How little a mask looks like a line of lettering in the frame; None: not at all."""
    x0, y0, x1, y1 = frame.core
    width, height = x1 - x0, y1 - y0
    keep, count = own_parts(mask, frame)
    inside = mask[y0:y1, x0:x1]
    kept = keep[y0:y1, x0:x1]
    area = float(kept.mean())
    if not 0.02 < area < 0.7:
        return None
    ys, xs = np.flatnonzero(keep.any(1)), np.flatnonzero(keep.any(0))
    span_x, span_y = (xs[-1] + 1 - xs[0]) / width, (ys[-1] + 1 - ys[0]) / height
    rim = np.concatenate([inside[0], inside[-1], inside[:, 0], inside[:, -1]]).mean()
    astray = float((inside & ~kept).sum() / max(1, inside.sum()))
    rest = ~mask[y0:y1, x0:x1]
    core_lab = tones[y0:y1, x0:x1]
    if rest.sum() < 16 or kept.sum() < 8:
        return None
    contrast = float(np.linalg.norm(core_lab[kept].mean(0) - core_lab[rest].mean(0)))
    spread = float(np.sqrt(core_lab[kept].var(0).sum() + core_lab[rest].var(0).sum()))
    thickness = depth(keep)
    cost = (
        1.5 * max(0.0, 0.75 - span_x)
        + 2.0 * max(0.0, 0.55 - span_y)
        + 2.0 * float(rim)
        + 1.5 * astray
        + 0.35 * abs(float(np.log(count / letters)))
        + 1.0 * spread / (contrast + 1e-3)
        + 4.0 * max(0.0, float(thickness.max()) / height - 0.2)
        + 2.0 * max(0.0, area - 0.5)
    )
    if contrast < MIN_CONTRAST_LAB:
        return None
    return _Candidate(cost=cost, solid=keep, raw=mask)


def own_parts(mask: BoolArray, frame: Frame) -> tuple[BoolArray, int]:
    """The connected parts of a mask that are this line's glyphs, and how many there are.

    A part belongs to the line when most of it lies in the core and it is no taller than it.
    """
    x0, y0, x1, y1 = frame.core
    height = y1 - y0
    marks = parts(mask)
    if not len(marks):
        return mask, 1
    slack = round(0.06 * height)
    near = marks.labels[y0 - slack : y1 + slack, max(0, x0 - slack) : x1 + slack]
    within = np.bincount(near.ravel(), minlength=len(marks) + 1)[1:]
    good = (
        (marks.area >= max(3.0, (0.05 * height) ** 2))
        & (within >= 0.65 * marks.area)
        & (marks.height <= 1.3 * height)
    )
    bars = (marks.width > 1.5 * height) & (marks.height < 0.12 * height)
    good &= ~bars
    return marks.only(good), int(max(1, (good & (marks.height > 0.3 * height)).sum()))


def _in_band(solid: BoolArray, text: str) -> BoolArray:
    """Without what lies above or below the band of the letters, such as a line under them.

    The band follows the tops and bottoms of the tall parts, which may slope; small letters may
    reach out of it by half its height, capitals hardly.
    """
    marks = parts(solid)
    if len(marks) < 2:
        return solid
    tops, bottoms, middle = marks.top, marks.top + marks.height, marks.centre_x
    tall = marks.height >= 0.6 * _weighted_median(marks.height, marks.area)
    columns = np.arange(solid.shape[1], dtype=np.float64)
    top = _drift(middle[tall], tops[tall], marks.area[tall], columns)
    bottom = _drift(middle[tall], bottoms[tall], marks.area[tall], columns)
    capitals = text.isascii() and not any(c.islower() or c in "Q,;" for c in text)
    slack = (0.09 if capitals else 0.5) * float(np.median(bottom - top))
    rows = np.arange(solid.shape[0], dtype=np.float64)[:, None]
    at = np.clip(middle.round().astype(int), 0, len(columns) - 1)
    touches = (tops < bottom[at] + 1) & (bottoms > top[at] - (0 if capitals else slack))
    return marks.only(touches) & (rows >= top - slack) & (rows < bottom + slack)


def _weighted_median(values: NDArray[np.float64], weights: NDArray[np.float64]) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _drift(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    weights: NDArray[np.float64],
    columns: NDArray[np.float64],
) -> NDArray[np.float64]:
    """A robust line through points, at the columns; level where there are few."""
    slope = 0.0
    if len(x) >= 4:
        i, j = np.triu_indices(len(x), 1)
        far = np.abs(x[j] - x[i]) > 2
        if far.any():
            slope = float(np.median((y[j] - y[i])[far] / (x[j] - x[i])[far]))
    slope = float(np.clip(slope, -0.12, 0.12))
    level = _weighted_median(y - slope * x, weights)
    return level + slope * columns


def _refine(view_rgb: FloatArray, frame: Frame, start: _Candidate, text: str) -> Matte:
    """From a hard mask to a soft matte, by local ground and ink colours (twice over)."""
    solid, marks = start.solid, start.raw
    q = frame.text_px
    ground = ink = view_rgb
    alpha = solid.astype(np.float32)
    norm = np.ones_like(alpha)
    for _ in range(2):
        ground = _ground(view_rgb, solid, marks, frame)
        ink = _ink(view_rgb, solid, ground)
        axis = ink - ground
        norm = np.maximum((axis**2).sum(-1), np.float32(1))
        alpha = np.clip(((view_rgb - ground) * axis).sum(-1) / norm, 0, 1).astype(np.float32)
        marks = alpha > 0.5
        solid, _ = own_parts(marks & grow(start.solid, 0.08 * q), frame)
        solid = _in_band(solid, text)
        if not solid.any():
            raise ToolError("the glyphs dissolve into their ground here; try another tool")
    _check(view_rgb, solid, ground, ink, frame)
    reach = grow(solid, 0.07 * q) & ~grow(marks & ~solid, 1.0)
    away = np.linalg.norm(view_rgb - ground, axis=-1) > 0.5 * np.sqrt(norm)
    fine = view_rgb - blur(view_rgb, 1.5 * max(1.0, frame.zoom))
    deep = shrink(solid, max(0.06 * q, 2.5 * frame.zoom))
    noise = float(1.48 * np.median(np.abs(fine[deep]))) if deep.sum() > 40 else 0.0
    return Matte(
        alpha=np.where(reach, alpha, 0).astype(np.float32),
        solid=solid,
        foreign=away & ~reach,
        ground=ground,
        ink=ink,
        ink_noise=noise,
    )


def _check(
    view_rgb: FloatArray, solid: BoolArray, ground: FloatArray, ink: FloatArray, frame: Frame
) -> None:
    """Raise where ink and ground are too alike, against their own unevenness."""
    x0, y0, x1, y1 = frame.core
    lab_ink, lab_ground = lab(ink), lab(ground)
    core = np.zeros(solid.shape, bool)
    core[y0:y1, x0:x1] = True
    free = core & ~grow(solid, 0.08 * frame.text_px)
    contrast = float(np.linalg.norm(lab_ink - lab_ground, axis=-1)[solid].mean())
    axis = ink - ground
    along = ((view_rgb - ground) * axis).sum(-1) / np.maximum((axis**2).sum(-1), 1.0)
    uneven = float(np.sqrt(along[free].var() + along[solid].var())) if free.sum() > 16 else 0.3
    if contrast < MIN_CONTRAST_LAB or 1 / (uneven + 1e-3) < MIN_SEPARATION:
        raise ToolError(
            f"the lettering hardly stands out from its ground (contrast {contrast:.0f},"
            f" unevenness {uneven:.2f}); try another tool"
        )


def _ground(view_rgb: FloatArray, solid: BoolArray, marks: BoolArray, frame: Frame) -> FloatArray:
    """Smooth colour of what the lettering stands on."""
    q = frame.text_px
    x0, y0, x1, y1 = frame.core
    near = np.zeros(solid.shape, bool)
    extra = round(0.12 * q)
    near[max(0, y0 - extra) : y1 + extra, max(0, x0 - extra) : x1 + extra] = True
    free = near & grow(solid, 0.2 * q) & ~grow(solid | marks, 0.06 * q)
    if free.sum() < 20:
        free = near & ~grow(solid, 1.0)
    if free.sum() < 20:
        raise ToolError("the lettering leaves no ground to look at; try another tool")
    middle = np.median(view_rgb[free], axis=0)
    off = np.abs(view_rgb - middle).sum(-1)
    limit = max(24.0, 4.0 * float(np.median(off[free])))
    weight = (free & (off <= limit)).astype(np.float32)
    out = np.broadcast_to(view_rgb[weight > 0].mean(0), view_rgb.shape).astype(np.float32)
    for sigma in (1.2 * q, 0.35 * q):
        share = blur(weight, sigma)
        local = blur(view_rgb * weight[..., None], sigma) / np.maximum(share, 1e-6)[..., None]
        trust = np.clip(share / 0.05, 0, 1)[..., None]
        out = out * (1 - trust) + local * trust
    return np.asarray(out, np.float32)


def _ink(view_rgb: FloatArray, solid: BoolArray, ground: FloatArray) -> FloatArray:
    """Colour of the lettering: the strokes' inner pixels, and a linear drift where it is clear."""
    deep = depth(solid)
    inner = solid & (deep >= 0.6 * float(np.quantile(deep[solid], 0.9)))
    far = np.linalg.norm(view_rgb - ground, axis=-1)
    inner &= far >= np.quantile(far[inner], 0.3)
    ys, xs = np.nonzero(inner)
    colours = view_rgb[inner].astype(np.float64)
    middle = np.median(colours, axis=0)
    h, w = solid.shape
    out = np.broadcast_to(middle.astype(np.float32), view_rgb.shape)
    if len(ys) < 60:
        return np.ascontiguousarray(out)
    x, y = (xs - xs.mean()) / w, (ys - ys.mean()) / h
    design = np.stack([x, y], 1)
    # A little ridge: few or bunched pixels give a level colour, not a wild slope.
    gram = design.T @ design + 0.02 * len(ys) * np.eye(2) * float(design.var())
    slope = np.asarray(np.linalg.solve(gram, design.T @ (colours - middle)), np.float64)
    gx = (np.arange(w, dtype=np.float64) - float(xs.mean()))[None, :, None] / w
    gy = (np.arange(h, dtype=np.float64) - float(ys.mean()))[:, None, None] / h
    field = middle + gx * slope[0] + gy * slope[1]
    low, high = colours.min(0), colours.max(0)
    return np.asarray(np.clip(field, low, high), np.float32)
