"""Arms, legs and feet as text-to-image models spoil them."""

from __future__ import annotations

import math

import numpy as np

from retoucher.data.landmarks import ARM_LEFT, ARM_RIGHT, LEG_LEFT, LEG_RIGHT
from retoucher.data.sample import FloatArray
from retoucher.data.synthetic.fields import (
    blurred,
    bulge_field,
    capsule,
    ellipse,
    filled,
    grain,
    mix,
    moved,
    moving_field,
    noise_field,
    ragged_ellipse,
    smoothed,
    turn,
    warp,
)
from retoucher.data.synthetic.patch import Draft, Generator, Scene

_LIMBS = {"arm": (ARM_LEFT, ARM_RIGHT), "leg": (LEG_LEFT, LEG_RIGHT)}


def _visible_limb(scene: Scene, least: int = 3) -> tuple[str, FloatArray] | None:
    """A limb of which the first `least` joints are seen, root first; points (N, 2)."""
    assert scene.points is not None
    seen: list[tuple[str, FloatArray]] = []
    for name, sides in _LIMBS.items():
        for ids in sides:
            points = scene.points[list(ids)]
            good = ~np.isnan(points).any(axis=1)
            count = int(np.argmin(good)) if not good.all() else len(ids)
            if count >= least and float(np.ptp(points[:count], axis=0).max()) > 24:
                seen.append((name, points[:count]))
    return seen[int(scene.rng.integers(len(seen)))] if seen else None


def _width(name: str, points: FloatArray) -> float:
    length = float(np.linalg.norm(points[1] - points[0]))
    return max(length * (0.36 if name == "arm" else 0.42), 6.0)


def extra_limb(scene: Scene) -> Draft | None:
    """A copy of an arm or leg that starts at the same joint."""
    rng = scene.rng
    found = _visible_limb(scene)
    if found is None:
        return None
    name, points = found
    width = _width(name, points)
    end = points[-1] + (points[-1] - points[-2]) * (0.7 if len(points) < 4 else 0.3)
    line = np.vstack([points[1:], end[None]]) if rng.random() < 0.6 else np.vstack([points, end])
    root = line[0]
    alpha = capsule(scene.size_hw, line, width, 2.0)
    angle = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.35, 0.9))
    matrix = turn((float(root[0]), float(root[1])), angle, float(rng.uniform(0.85, 1.05)))
    colours, cover = moved(scene.crop, alpha, matrix)
    return Draft(
        rgb=mix(scene.crop, colours, cover),
        intent=cover,
        words=f"person has an extra {name}",
        strength=0.75,
    )


def missing_limb(scene: Scene) -> Draft | None:
    """A forearm or lower leg gone: the limb ends in a stump."""
    rng = scene.rng
    found = _visible_limb(scene)
    if found is None:
        return None
    name, points = found
    width = _width(name, points)
    start = points[1] + (points[2] - points[1]) * float(rng.uniform(0.15, 0.5))
    end = points[-1] + (points[-1] - points[-2]) * 0.6
    hole = capsule(scene.size_hw, np.vstack([start[None], points[2:], end[None]]), width * 1.5, 2.0)
    wide = capsule(scene.size_hw, np.vstack([points, end[None]]), width * 1.7, 1.0)
    what = "forearm and hand" if name == "arm" else "lower leg and foot"
    return Draft(
        rgb=filled(rng, scene.crop, hole, wide),
        intent=hole,
        words=f"{what} are missing, the {name} ends in a stump",
        strength=0.7,
    )


def extra_part(scene: Scene) -> Draft | None:
    """A second hand or foot right beside the first."""
    rng, box = scene.rng, scene.box
    if scene.points is not None and scene.part.part == "hand":
        alpha = ellipse(scene.size_hw, box.centre_xy, (box.width * 0.48, box.height * 0.48), 0.25)
    else:
        alpha = ragged_ellipse(
            rng, scene.size_hw, box.centre_xy, (box.width * 0.46, box.height * 0.46)
        )
    way = float(rng.uniform(0, 2 * math.pi))
    shift = (
        math.cos(way) * box.width * float(rng.uniform(0.45, 0.8)),
        math.sin(way) * box.height * float(rng.uniform(0.45, 0.8)),
    )
    matrix = turn(
        box.centre_xy,
        float(rng.uniform(-1.2, 1.2)),
        float(rng.uniform(0.75, 1.05)),
        shift,
        flip=bool(rng.random() < 0.5),
    )
    colours, cover = moved(scene.crop, alpha, matrix)
    return Draft(
        rgb=mix(scene.crop, colours, cover),
        intent=cover,
        words=f"second {scene.part.part} grows beside the first",
        strength=0.7,
    )


def bent_limb(scene: Scene) -> Draft | None:
    """An arm or leg that bends like rubber, between its joints."""
    rng = scene.rng
    found = _visible_limb(scene)
    if found is None:
        return None
    name, points = found
    width = _width(name, points)
    samples = np.linspace(0, len(points) - 1, 4 * len(points))
    xs = np.interp(samples, np.arange(len(points)), points[:, 0])
    ys = np.interp(samples, np.arange(len(points)), points[:, 1])
    line = np.stack([xs, ys], axis=1)
    axis = line[-1] - line[0]
    length = float(np.linalg.norm(axis)) + 1e-6
    across = np.array([-axis[1], axis[0]]) / length
    waves = float(rng.uniform(1.0, 2.5))
    sway = np.sin(np.linspace(0, waves * math.pi, len(line)) + float(rng.uniform(0, 1)))
    far = length * float(rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.2))
    goal = line + across * (sway * far * np.linspace(0, 1, len(line)) ** 0.5)[:, None]
    field = moving_field(scene.size_hw, line, goal, width * 0.75, hold=0.15)
    live = blurred(np.clip(np.hypot(*field) / (0.12 * width), 0, 1).astype(np.float32), 1.5)
    return Draft(
        rgb=mix(scene.crop, warp(scene.crop, field), live),
        intent=live,
        words=f"{name} bends like rubber between its joints",
        strength=0.5,
    )


def swollen_limb(scene: Scene) -> Draft | None:
    """An arm or leg blown up or pinched thin halfway."""
    rng = scene.rng
    found = _visible_limb(scene, 2)
    if found is None:
        return None
    name, points = found
    width = _width(name, points)
    i = int(rng.integers(0, len(points) - 1))
    t = float(rng.uniform(0.2, 0.8))
    centre = points[i] * (1 - t) + points[i + 1] * t
    gain = float(rng.choice([rng.uniform(0.45, 0.7), rng.uniform(-1.3, -0.7)]))
    radius = width * float(rng.uniform(0.9, 1.3))
    field = bulge_field(scene.size_hw, (float(centre[0]), float(centre[1])), radius, gain)
    live = blurred(np.clip(np.hypot(*field) / 1.5, 0, 1).astype(np.float32), 1.0)
    what = "swollen" if gain > 0 else "pinched thin"
    return Draft(
        rgb=mix(scene.crop, warp(scene.crop, field), live),
        intent=live,
        words=f"{name} is {what} halfway",
        strength=0.45,
    )


def cut_limb(scene: Scene) -> Draft | None:
    """A stretch of an arm or leg gone, or out of line with the rest."""
    rng = scene.rng
    found = _visible_limb(scene)
    if found is None:
        return None
    name, points = found
    width = _width(name, points)
    i = int(rng.integers(0, len(points) - 1))
    a, b = sorted(rng.uniform(0.05, 0.95, 2))
    ends = np.stack([points[i] + (points[i + 1] - points[i]) * t for t in (a, max(b, a + 0.3))])
    middle = ends.mean(axis=0)
    piece = capsule(scene.size_hw, ends, width * 1.2, 1.5)
    wide = capsule(scene.size_hw, points, width * 1.6, 1.0)
    out = filled(rng, scene.crop, piece, wide)
    intent = piece
    if rng.random() < 0.5:
        axis = ends[1] - ends[0]
        across = np.array([-axis[1], axis[0]]) / (float(np.linalg.norm(axis)) + 1e-6)
        shift = across * width * float(rng.choice([-1.0, 1.0]) * rng.uniform(0.35, 0.8))
        matrix = turn(
            (float(middle[0]), float(middle[1])),
            float(rng.uniform(-0.3, 0.3)),
            1.0,
            (float(shift[0]), float(shift[1])),
        )
        colours, cover = moved(scene.crop, piece, matrix)
        out, intent = mix(out, colours, cover), np.maximum(intent, cover)
    return Draft(
        rgb=out,
        intent=intent,
        words=f"{name} is interrupted, its pieces do not meet",
        strength=0.6,
    )


def melted_foot(scene: Scene) -> Draft | None:
    """A foot or shoe without toes, sole or outline."""
    rng, box = scene.rng, scene.box
    area = ragged_ellipse(rng, scene.size_hw, box.centre_xy, (box.width * 0.5, box.height * 0.5))
    scale = min(box.width, box.height) * float(rng.uniform(0.25, 0.5))
    field = noise_field(rng, scene.size_hw, scale, scale * float(rng.uniform(0.2, 0.4)))
    out = warp(scene.crop, (field[0] * area, field[1] * area))
    out = mix(out, smoothed(out, float(rng.uniform(0.2, 1.0))), area)
    return Draft(
        rgb=mix(scene.crop, np.clip(out + 0.6 * grain(rng, scene.crop), 0, 255), area),
        intent=area,
        words="foot is melted, without toes or sole",
        strength=0.55,
    )


def broken_wrist(scene: Scene) -> Draft | None:
    """The arm does not reach the hand: it is gone or pinched right behind it."""
    rng = scene.rng
    assert scene.points is not None
    points = scene.points
    wrist, palm = points[0], points[9]
    reach = wrist - palm
    length = float(np.linalg.norm(reach))
    centre = wrist + reach * float(rng.uniform(0.35, 0.8))
    height, width = scene.size_hw
    if length < 10 or not (4 < centre[0] < width - 4 and 4 < centre[1] < height - 4):
        return None
    spot = float(centre[0]), float(centre[1])
    if rng.random() < 0.5:
        field = bulge_field(scene.size_hw, spot, length * 0.7, float(rng.uniform(-1.6, -0.9)))
        live = blurred(np.clip(np.hypot(*field) / 1.5, 0, 1).astype(np.float32), 1.0)
        out, words = mix(scene.crop, warp(scene.crop, field), live), "forearm narrows to a stick"
    else:
        across = np.array([-reach[1], reach[0]]) / length * length * 0.6
        line = np.stack([centre - across, centre + across])
        live = capsule(scene.size_hw, line, length * float(rng.uniform(0.25, 0.5)), 2.0)
        wide = capsule(scene.size_hw, np.stack([palm, centre + reach * 0.5]), length * 0.8, 1.0)
        out = filled(rng, scene.crop, live, wide)
        words = "hand is cut off from its forearm"
    return Draft(rgb=out, intent=live, words=words, strength=0.5)


_N, _F = "limb_count", "limb_shape"
LIMB_GENERATORS: tuple[Generator, ...] = (
    Generator.of(_N, extra_limb, "person", points=True, margin=0.1, weight=1.5),
    Generator.of(_N, missing_limb, "person", points=True, margin=0.1),
    Generator.of(_N, extra_part, "hand", "foot", margin=0.9),
    Generator.of(_F, bent_limb, "person", points=True, margin=0.1, weight=1.5),
    Generator.of(_F, swollen_limb, "person", points=True, margin=0.1),
    Generator.of(_F, cut_limb, "person", points=True, margin=0.1),
    Generator.of(_F, melted_foot, "foot", weight=1.2),
    Generator.of(_F, broken_wrist, "hand", points=True, margin=0.8),
)
