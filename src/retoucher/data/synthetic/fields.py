"""Displacement fields, masks and fills: the strokes that generators paint with.

A field is a pair (dx, dy) of float32 (h, w): the result's pixel x takes the value at x + d(x).
"""

from __future__ import annotations

import math
from typing import Any, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.data.sample import FloatArray

Floats: TypeAlias = np.ndarray[Any, np.dtype[np.integer[Any] | np.floating[Any]]]
"""What the functions here take; they return float32."""

Field: TypeAlias = tuple[Floats, Floats]


def f32(values: Floats) -> FloatArray:
    """The values as float32; the array itself where it is that already."""
    return values.astype(np.float32, copy=False)


def noise(rng: np.random.Generator, size_hw: tuple[int, int], scale_px: float) -> FloatArray:
    """Smooth random values, float32 (h, w), mean 0, deviation about 1, features of `scale_px`."""
    height, width = size_hw
    rows, cols = math.ceil(height / scale_px) + 3, math.ceil(width / scale_px) + 3
    coarse = rng.standard_normal((rows, cols)).astype(np.float32)
    big = (math.ceil(cols * scale_px), math.ceil(rows * scale_px))
    fine = f32(cv2.resize(coarse, big, interpolation=cv2.INTER_CUBIC))
    y, x = (int(rng.integers(0, int(scale_px) + 1)) for _ in range(2))
    fine = fine[y : y + height, x : x + width]
    return (fine * 1.25).astype(np.float32)


def warp(rgb: Floats, field: Field) -> FloatArray:
    """Values at x + d(x), bicubic, mirrored at the border; float32, same shape."""
    height, width = rgb.shape[:2]
    map_x = f32(field[0]) + np.arange(width, dtype=np.float32)[None, :]
    map_y = f32(field[1]) + np.arange(height, dtype=np.float32)[:, None]
    mode = cv2.BORDER_REFLECT_101
    return f32(cv2.remap(f32(rgb), map_x, map_y, cv2.INTER_CUBIC, borderMode=mode))


def noise_field(
    rng: np.random.Generator, size_hw: tuple[int, int], scale_px: float, amplitude_px: float
) -> Field:
    """A smooth random field whose deviation is `amplitude_px`."""
    dx, dy = (noise(rng, size_hw, scale_px) * amplitude_px for _ in range(2))
    return dx.astype(np.float32), dy.astype(np.float32)


def moving_field(
    size_hw: tuple[int, int],
    from_xy: Floats,
    to_xy: Floats,
    radius_px: float,
    hold: float = 0.15,
) -> Field:
    """A field that carries points `from_xy` (N, 2) to `to_xy`, and fades out around them.

    Each point pulls with a Gaussian of `radius_px`; points that stay hold their surroundings.
    `hold` is the pull of standing still everywhere else.
    """
    height, width = size_hw
    step = max(1, int(radius_px / 6))
    rows, cols = height // step + 2, width // step + 2
    ys = (np.arange(rows, dtype=np.float32) * step)[:, None, None]
    xs = (np.arange(cols, dtype=np.float32) * step)[None, :, None]
    to = np.asarray(to_xy, np.float32)
    shift = np.asarray(from_xy, np.float32) - to
    weight = np.exp(-((xs - to[:, 0]) ** 2 + (ys - to[:, 1]) ** 2) / (2 * radius_px**2))
    total = weight.sum(axis=2) + np.float32(hold)
    out: list[FloatArray] = []
    for axis in (0, 1):
        coarse: FloatArray = f32((weight * shift[:, axis]).sum(axis=2) / total)
        size = cols * step, rows * step
        fine = f32(cv2.resize(coarse, size, interpolation=cv2.INTER_LINEAR))
        out.append(fine[:height, :width])
    return out[0], out[1]


def swirl_field(
    size_hw: tuple[int, int], centre_xy: tuple[float, float], radius_px: float, angle: float
) -> Field:
    """A turn by `angle` radians at the centre that fades out at about twice `radius_px`."""
    height, width = size_hw
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(centre_xy[0])
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(centre_xy[1])
    turn = np.float32(angle) * np.exp(-(x**2 + y**2) / np.float32(2 * (radius_px * 0.7) ** 2))
    c, s = np.cos(turn), np.sin(turn)
    return (c * x - s * y - x).astype(np.float32), (s * x + c * y - y).astype(np.float32)


def bulge_field(
    size_hw: tuple[int, int], centre_xy: tuple[float, float], radius_px: float, gain: float
) -> Field:
    """Magnifies around the centre where `gain` > 0, pinches where it is < 0; gain in (-1, 1)."""
    height, width = size_hw
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(centre_xy[0])
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(centre_xy[1])
    pull = np.float32(-gain) * np.exp(-(x**2 + y**2) / np.float32(2 * (radius_px * 0.6) ** 2))
    return (pull * x).astype(np.float32), (pull * y).astype(np.float32)


def difference(a: Floats, b: Floats) -> FloatArray:
    """The largest absolute difference of any channel, (h, w), of two (h, w, 3)."""
    apart = np.abs(a - b)
    return f32(np.maximum(np.maximum(apart[..., 0], apart[..., 1]), apart[..., 2]))


def ellipse(
    size_hw: tuple[int, int],
    centre_xy: tuple[float, float],
    radii_xy: tuple[float, float],
    soft: float = 0.25,
    angle: float = 0.0,
) -> FloatArray:
    """1 inside an ellipse, 0 outside, a smooth border of `soft` times its radius; (h, w)."""
    height, width = size_hw
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(centre_xy[0])
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(centre_xy[1])
    c, s = math.cos(angle), math.sin(angle)
    u = (c * x + s * y) / np.float32(max(radii_xy[0], 1.0))
    v = (c * y - s * x) / np.float32(max(radii_xy[1], 1.0))
    t = np.clip((1 + soft / 2 - np.sqrt(u**2 + v**2)) / soft, 0.0, 1.0)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def ragged_ellipse(
    rng: np.random.Generator,
    size_hw: tuple[int, int],
    centre_xy: tuple[float, float],
    radii_xy: tuple[float, float],
) -> FloatArray:
    """An ellipse with an irregular, soft outline; float32 (h, w) in [0, 1]."""
    height, width = size_hw
    x = (np.arange(width, dtype=np.float32)[None, :] - np.float32(centre_xy[0])) / np.float32(
        max(radii_xy[0], 1.0)
    )
    y = (np.arange(height, dtype=np.float32)[:, None] - np.float32(centre_xy[1])) / np.float32(
        max(radii_xy[1], 1.0)
    )
    scale = max(min(radii_xy) * 0.7, 3.0)
    radius = np.sqrt(x**2 + y**2) + 0.18 * noise(rng, size_hw, scale)
    soft = float(rng.uniform(0.1, 0.4))
    t = np.clip((1 + soft / 2 - radius) / soft, 0.0, 1.0)
    return (t * t * (3 - 2 * t)).astype(np.float32)


def capsule(
    size_hw: tuple[int, int], line_xy: Floats, width_px: float, soft_px: float = 1.5
) -> FloatArray:
    """A thick line through points (N, 2) with round ends; float32 (h, w) in [0, 1]."""
    out = np.zeros(size_hw, np.uint8)
    points = np.round(np.asarray(line_xy, np.float64) * 16).astype(np.int32)
    cv2.polylines(out, [points], False, 255, max(round(width_px), 1), cv2.LINE_AA, 4)
    return blurred(out.astype(np.float32) / 255, soft_px)


def polygon(size_hw: tuple[int, int], points_xy: Floats, soft_px: float = 1.5) -> FloatArray:
    """A filled polygon with a soft border; float32 (h, w) in [0, 1]."""
    out = np.zeros(size_hw, np.uint8)
    points = np.round(np.asarray(points_xy, np.float64) * 16).astype(np.int32)
    cv2.fillPoly(out, [points], 255, cv2.LINE_AA, 4)
    return blurred(out.astype(np.float32) / 255, soft_px)


def blurred(values: Floats, sigma_px: float) -> FloatArray:
    """Gaussian blur of (h, w) or (h, w, 3); the array itself for a sigma near zero."""
    if sigma_px < 0.2:
        return f32(values)
    return f32(cv2.GaussianBlur(f32(values), (0, 0), sigma_px))


def mix(below: Floats, above: Floats, alpha: Floats) -> FloatArray:
    """`above` over `below` (h, w, 3) with opacity (h, w)."""
    return f32(below + (above - below) * alpha[..., None])


def diffused(values: Floats, hole: Floats, levels: int = 6) -> FloatArray:
    """Values (h, w, 3) of the surroundings spread smoothly into a hole (h, w) in [0, 1].

    Push-pull: averages of what is known on ever coarser grids fill what finer ones leave open.
    """
    known = np.where(hole < 0.02, np.float32(1), np.float32(0))
    pyramid: list[tuple[FloatArray, FloatArray]] = [(f32(values * known[..., None]), known)]
    for _ in range(levels):
        now, weight = pyramid[-1]
        if min(weight.shape) < 4:
            break
        pyramid.append((f32(cv2.pyrDown(now)), f32(cv2.pyrDown(weight))))
    now, weight = pyramid[-1]
    below = now / np.maximum(weight, 1e-3)[..., None]
    for now, weight in reversed(pyramid[:-1]):
        size = weight.shape[1], weight.shape[0]
        up = cv2.resize(below, size, interpolation=cv2.INTER_LINEAR)
        share = np.minimum(weight, 1.0)[..., None]
        below = now / np.maximum(weight, 1e-3)[..., None] * share + up * (1 - share)
    return below.astype(np.float32)


def grain(rng: np.random.Generator, rgb: Floats, sigma_px: float = 1.5) -> FloatArray:
    """Noise as strong as the picture's own where it is calm: what a fill needs to look real."""
    detail = (rgb - blurred(rgb, sigma_px))[::3, ::3]
    level = np.partition(np.abs(detail).ravel(), detail.size // 3)[detail.size // 3]
    dust = blurred(f32(rng.standard_normal((rgb.shape[0], rgb.shape[1]), np.float32)), 0.6)
    return f32(np.stack([dust] * 3, axis=2) * min(float(level) * 2.4, 10.0))


def filled(
    rng: np.random.Generator,
    rgb: FloatArray,
    hole: FloatArray,
    avoid: FloatArray | None = None,
) -> FloatArray:
    """The picture with a hole filled by its surroundings, texture included; float32 (h, w, 3).

    The texture is that of the best of some shifted copies of the picture; the difference at the
    hole's border is spread over it as a smooth membrane, which is what Poisson cloning does.

    Args:
        rng: chooses the shifts.
        rgb: the window (h, w, 3).
        hole: opacity of the fill (h, w).
        avoid: (h, w), what must not show up in the fill besides the hole itself.
    """
    closed = hole if avoid is None else np.maximum(hole, avoid)
    solid = (closed > 0.02).astype(np.float32)
    ys, xs = np.nonzero(hole > 0.02)
    if not len(ys):
        return rgb
    height, width = hole.shape
    side = max(float(np.ptp(xs)), float(np.ptp(ys)), 8.0)
    low = diffused(rgb, closed)
    best, best_cost = (0, 0), np.inf
    pick = rng.integers(0, len(ys), 160)
    py, px = ys[pick], xs[pick]
    for _ in range(16):
        angle, far = float(rng.uniform(0, 2 * math.pi)), side * float(rng.uniform(0.4, 1.4))
        dy, dx = round(math.sin(angle) * far), round(math.cos(angle) * far)
        qy, qx = py + dy, px + dx
        inside = (qy >= 0) & (qy < height) & (qx >= 0) & (qx < width)
        qy, qx = np.clip(qy, 0, height - 1), np.clip(qx, 0, width - 1)
        cost = float((solid[qy, qx] + ~inside).mean()) * 400
        cost += float(np.abs(rgb[qy, qx] - low[py, px]).mean())
        if cost < best_cost:
            best, best_cost = (dy, dx), cost
    field = np.full(hole.shape, best[1], np.float32), np.full(hole.shape, best[0], np.float32)
    other = warp(rgb, field)
    spoiled = np.maximum(closed, warp(solid, field))
    membrane = diffused(rgb - other, spoiled)
    fine = np.clip(other + membrane, 0, 255)
    # Where the copy itself shows what must not show, only the smooth fill and its grain are left.
    plain = np.clip(low + grain(rng, rgb), 0, 255)
    doubt = blurred(warp(solid, field), 1.5)[..., None]
    return mix(rgb, (fine * (1 - doubt) + plain * doubt).astype(np.float32), hole)


def moved(
    rgb: FloatArray, alpha: FloatArray, matrix: NDArray[np.float64]
) -> tuple[FloatArray, FloatArray]:
    """A cut-out (rgb, alpha) after the affine map `matrix` (2, 3) of its points."""
    size = alpha.shape[1], alpha.shape[0]
    colours = cv2.warpAffine(
        rgb, matrix, size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    cover = cv2.warpAffine(alpha, matrix, size, flags=cv2.INTER_LINEAR)
    return np.clip(colours, 0, 255).astype(np.float32), cover.astype(np.float32)


def turn(
    centre_xy: tuple[float, float],
    angle: float,
    scale: float = 1.0,
    shift_xy: tuple[float, float] = (0.0, 0.0),
    flip: bool = False,
) -> NDArray[np.float64]:
    """The affine map (2, 3): turned by `angle`, scaled, mirrored left to right, then shifted."""
    c, s = math.cos(angle) * scale, math.sin(angle) * scale
    linear = np.array([[c, -s], [s, c]])
    if flip:
        linear = linear @ np.array([[-1.0, 0.0], [0.0, 1.0]])
    centre = np.array(centre_xy)
    offset = centre + np.array(shift_xy) - linear @ centre
    return np.hstack([linear, offset[:, None]])


def smoothed(rgb: Floats, strength: float) -> FloatArray:
    """Fine edges melted, broad ones kept, as a decoder does that is unsure; strength 0 to 1."""
    eight = np.clip(rgb, 0, 255).astype(np.uint8)
    diameter = 5 + 2 * round(2 * strength)
    soft = cv2.bilateralFilter(eight, diameter, 30 + 70 * strength, 2 + 5 * strength)
    return soft.astype(np.float32)
