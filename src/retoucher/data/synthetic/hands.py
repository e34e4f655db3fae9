"""Hands as text-to-image models spoil them: fused, missing, extra, bent and melted fingers."""

from __future__ import annotations

import math

import numpy as np

from retoucher.data.landmarks import FINGERS
from retoucher.data.sample import FloatArray
from retoucher.data.synthetic.fields import (
    blurred,
    capsule,
    diffused,
    ellipse,
    filled,
    grain,
    mix,
    moved,
    moving_field,
    noise_field,
    polygon,
    ragged_ellipse,
    smoothed,
    swirl_field,
    turn,
    warp,
)
from retoucher.data.synthetic.patch import Draft, Generator, Scene

_NAMES = ("thumb", "index finger", "middle finger", "ring finger", "little finger")
_KNUCKLES = (5, 9, 13, 17)


def _finger_width(points: FloatArray) -> float:
    """About the width of a finger, from the spread of the knuckles and the length of the bones."""
    across = float(np.linalg.norm(points[5] - points[17])) / 3
    along = float(np.median([np.linalg.norm(points[f[1]] - points[f[0]]) for f in FINGERS[1:]]))
    return max(0.85 * max(across, 0.5 * along), 3.0)


def _line(points: FloatArray, finger: int, first: int = 0) -> FloatArray:
    return points[list(FINGERS[finger][first:])]


def _length(line_xy: FloatArray) -> float:
    return float(np.linalg.norm(np.diff(line_xy, axis=0), axis=1).sum())


def _stretched(points: FloatArray) -> list[int]:
    """Fingers that point out of the palm far enough to be taken away or doubled."""
    width = _finger_width(points)
    return [
        f
        for f in range(5)
        if np.linalg.norm(np.diff(_line(points, f)[[0, 3]], axis=0)) > 1.6 * width
    ]


def _points(scene: Scene) -> FloatArray:
    assert scene.points is not None
    return scene.points


def _at(values: FloatArray, xy: FloatArray) -> float:
    """The value at a point, that of the border beyond it."""
    x, y = (int(np.clip(v, 0, n - 1)) for v, n in zip(xy, values.shape[::-1], strict=True))
    return float(values[y, x])


def extra_finger(scene: Scene) -> Draft | None:
    """A copy of a finger, turned about its root, beside or between the others."""
    rng, points = scene.rng, _points(scene)
    able = _stretched(points)
    if not able:
        return None
    width = _finger_width(points)
    finger = int(rng.choice(able))
    line = _line(points, finger)
    root = line[0]
    alpha = capsule(scene.size_hw, line, width * 1.1, 1.2)
    side = float(rng.choice([-1.0, 1.0]))
    across = points[17] - points[5]
    across = across / (float(np.linalg.norm(across)) + 1e-6) * width * side
    along = line[3] - root
    outward = math.copysign(1.0, float(along[0] * across[1] - along[1] * across[0]))
    angle = outward * float(rng.uniform(0.15, 0.55))
    shift = across * float(rng.uniform(0.5, 1.1))
    matrix = turn(
        (float(root[0]), float(root[1])),
        angle,
        float(rng.uniform(0.8, 1.08)),
        (float(shift[0]), float(shift[1])),
    )
    colours, cover = moved(scene.crop, alpha, matrix)
    out = mix(scene.crop, colours, cover)
    return Draft(
        rgb=out,
        intent=cover,
        words=f"hand has an extra finger beside the {_NAMES[finger]}",
        strength=0.7,
    )


def missing_finger(scene: Scene) -> Draft | None:
    """A finger taken away, or left as a stub."""
    rng, points = scene.rng, _points(scene)
    width = _finger_width(points)
    palm = polygon(scene.size_hw, points[[0, 1, 5, 9, 13, 17]], width * 0.3)
    able = [f for f in _stretched(points) if _at(palm, points[FINGERS[f][3]]) < 0.2]
    if not able:
        return None
    finger = int(rng.choice(able))
    line = _line(points, finger, int(rng.integers(0, 2)))
    tip = line[-1] + (line[-1] - line[-2]) * 0.5
    hole = capsule(scene.size_hw, np.vstack([line[1:], tip[None]]), width * 1.2, 1.2)
    others = [capsule(scene.size_hw, _line(points, f), width * 1.2, 1.0) for f in range(5)]
    hand = np.maximum.reduce([palm, hole, *others])
    out = filled(rng, scene.crop, hole, hand)
    # What is left must end round, as a stub does.
    stub = ellipse(
        scene.size_hw, (float(line[0][0]), float(line[0][1])), (width * 0.55, width * 0.55)
    )
    out = mix(out, scene.crop, stub * (1 - hole))
    return Draft(
        rgb=out,
        intent=hole,
        words=f"hand lacks its {_NAMES[finger]}, which ends in a stub",
        strength=0.6,
    )


def fused_fingers(scene: Scene) -> Draft | None:
    """The gap between neighbouring fingers grown over with skin: a web or a mitten."""
    rng, points = scene.rng, _points(scene)
    width = _finger_width(points)
    count = int(rng.integers(2, 5))
    first = int(rng.integers(1, 6 - count)) if count < 5 else 1
    fingers = range(first, min(first + count, 5))
    outline = np.vstack([_line(points, fingers[0]), _line(points, fingers[-1])[::-1]])
    bones = np.zeros(scene.size_hw, np.float32)
    for f in fingers:
        bones = np.maximum(bones, capsule(scene.size_hw, _line(points, f), width * 0.45, 0.8))
    area = np.maximum(polygon(scene.size_hw, outline, 0.0), bones)
    area = np.clip(blurred(area, width * 0.12), 0, 1)
    skin = diffused(scene.crop, np.clip(1 - bones, 0, 1))
    level = float(rng.uniform(0.5, 0.95))
    flat = blurred(skin, width * 0.25) + grain(rng, scene.crop, 1.5)
    out = mix(scene.crop, np.clip(flat, 0, 255).astype(np.float32), area * level)
    field = noise_field(rng, scene.size_hw, width * 1.2, width * float(rng.uniform(0.05, 0.3)))
    reach = np.clip(blurred(area, width * 0.5) * 1.5, 0, 1)
    out = warp(out, (field[0] * reach, field[1] * reach))
    return Draft(
        rgb=mix(scene.crop, out, reach),
        intent=reach,
        words="fingers are fused into one mass without gaps",
        strength=0.35 + 0.15 * len(fingers),
    )


def bent_fingers(scene: Scene) -> Draft | None:
    """Joints moved where no joint can go."""
    rng, points = scene.rng, _points(scene)
    width = _finger_width(points)
    target = points.copy()
    chosen = rng.choice(5, size=int(rng.integers(1, 4)), replace=False)
    for f in chosen:
        ids = list(FINGERS[int(f)])
        joint = int(rng.integers(0, 3))
        angle = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.45, 1.2))
        c, s = math.cos(angle), math.sin(angle)
        rotation = np.array([[c, -s], [s, c]], np.float32)
        moving = ids[joint + 1 :]
        target[moving] = (target[moving] - target[ids[joint]]) @ rotation.T + target[ids[joint]]
        target[moving] += rng.standard_normal(2).astype(np.float32) * width * 0.2
    field = moving_field(scene.size_hw, points, target, width * 0.75, hold=0.08)
    wobble = noise_field(rng, scene.size_hw, width, width * 0.06)
    moved_px = np.hypot(*field)
    live = np.clip(moved_px / (0.15 * width), 0, 1).astype(np.float32)
    out = warp(scene.crop, (field[0] + wobble[0] * live, field[1] + wobble[1] * live))
    names = " and ".join(_NAMES[int(f)] for f in sorted(chosen)[:2])
    return Draft(
        rgb=mix(scene.crop, out, blurred(live, 1.0)),
        intent=blurred(live, 1.0),
        words=f"{names} bend where there is no joint",
        strength=0.3 + 0.15 * len(chosen),
    )


def stretched_fingers(scene: Scene) -> Draft | None:
    """Fingers of impossible length: some drawn out, some shrunk to stumps."""
    rng, points = scene.rng, _points(scene)
    width = _finger_width(points)
    target = points.copy()
    chosen = rng.choice(5, size=int(rng.integers(1, 4)), replace=False)
    for f in chosen:
        ids = list(FINGERS[int(f)])
        gain = float(rng.choice([rng.uniform(0.35, 0.6), rng.uniform(1.35, 1.7)]))
        target[ids[1:]] = (target[ids[1:]] - target[ids[0]]) * gain + target[ids[0]]
    field = moving_field(scene.size_hw, points, target, width * 0.9, hold=0.08)
    live = np.clip(np.hypot(*field) / (0.2 * width), 0, 1).astype(np.float32)
    out = mix(scene.crop, warp(scene.crop, field), blurred(live, 1.0))
    return Draft(
        rgb=out,
        intent=blurred(live, 1.0),
        words="fingers have impossible lengths",
        strength=0.45,
    )


def knuckle_tangle(scene: Scene) -> Draft | None:
    """Pieces of fingers laid over each other at wrong angles: a knot of knuckles."""
    rng, points = scene.rng, _points(scene)
    width = _finger_width(points)
    out = scene.crop
    intent = np.zeros(scene.size_hw, np.float32)
    tips = points[4:]
    for _ in range(int(rng.integers(3, 7))):
        finger = int(rng.integers(0, 5))
        first = int(rng.integers(0, 2))
        line = _line(points, finger, first)[: int(rng.integers(2, 5))]
        if len(line) < 2 or _length(line) < width * 0.6:
            continue
        alpha = capsule(scene.size_hw, line, width * float(rng.uniform(0.9, 1.25)), 1.3)
        goal = tips[int(rng.integers(0, len(tips)))] + rng.standard_normal(2) * width * 0.5
        middle = line.mean(axis=0)
        matrix = turn(
            (float(middle[0]), float(middle[1])),
            float(rng.uniform(-1.4, 1.4)),
            float(rng.uniform(0.8, 1.15)),
            (float(goal[0] - middle[0]), float(goal[1] - middle[1])),
            flip=bool(rng.random() < 0.5),
        )
        colours, cover = moved(scene.crop, alpha, matrix)
        shade = float(rng.uniform(0.86, 1.06))
        out = mix(out, np.clip(colours * shade, 0, 255).astype(np.float32), cover)
        intent = np.maximum(intent, cover)
    if not intent.any():
        return None
    field = noise_field(rng, scene.size_hw, width, width * 0.12)
    soft = blurred(intent, 2.0)
    out = mix(out, warp(out, field), np.clip(soft * 1.5, 0, 1))
    return Draft(
        rgb=out,
        intent=np.clip(soft * 1.6, 0, 1).astype(np.float32),
        words="fingers are a tangle of knuckles that belong to no hand",
        strength=0.75,
    )


def melted_hand(scene: Scene) -> Draft | None:
    """The whole hand drawn out of shape, its creases gone."""
    rng, side = scene.rng, scene.side_px
    box = scene.box
    centre = box.centre_xy
    reach = float(rng.uniform(0.42, 0.56))
    area = ragged_ellipse(rng, scene.size_hw, centre, (box.width * reach, box.height * reach))
    scale = side * float(rng.uniform(0.1, 0.28))
    field = noise_field(rng, scene.size_hw, scale, scale * float(rng.uniform(0.16, 0.3)))
    twist = swirl_field(scene.size_hw, centre, side * 0.4, float(rng.uniform(-0.6, 0.6)))
    out = warp(scene.crop, ((field[0] + twist[0]) * area, (field[1] + twist[1]) * area))
    melt = float(rng.uniform(0.0, 1.0))
    if melt > 0.3:
        out = mix(out, smoothed(out, melt), area)
        out = mix(out, np.clip(out + grain(rng, scene.crop, 1.2) * 0.6, 0, 255), area)
    return Draft(
        rgb=mix(scene.crop, out, np.clip(area * 3, 0, 1)),
        intent=area,
        words="hand is melted out of shape, its fingers run into each other",
        strength=0.65,
        whole=True,
    )


def lump_hand(scene: Scene) -> Draft | None:
    """A hand smoothed to a lump: no gaps, no knuckles, no nails."""
    rng = scene.rng
    if scene.points is None:
        return None
    points, width = scene.points, _finger_width(scene.points)
    area = np.zeros(scene.size_hw, np.float32)
    for f in range(5):
        area = np.maximum(area, capsule(scene.size_hw, _line(points, f), width, 0.0))
    area = np.maximum(area, polygon(scene.size_hw, points[[0, 1, 5, 9, 13, 17]], 0.0))
    area = np.clip(blurred(area, width * 0.2) * 1.4, 0, 1).astype(np.float32)
    core = area > 0.8
    if core.sum() < 30:
        return None
    smooth = scene.crop
    for _ in range(2):
        smooth = smoothed(smooth, 1.0)
    flat = (
        blurred(smooth * area[..., None], width * 0.4)
        / np.maximum(blurred(area, width * 0.4), 0.05)[..., None]
    )
    flat = 0.65 * flat + 0.35 * smooth
    field = noise_field(rng, scene.size_hw, width * 1.5, width * float(rng.uniform(0.15, 0.4)))
    out = mix(scene.crop, np.clip(flat + grain(rng, scene.crop, 1.2), 0, 255), area)
    live = np.clip(blurred(area, width * 0.5) * 1.5, 0, 1).astype(np.float32)
    out = warp(out, (field[0] * live, field[1] * live))
    return Draft(
        rgb=mix(scene.crop, out, live),
        intent=area,
        words="hand is a smooth lump without separate fingers",
        strength=0.6,
        whole=True,
    )


def pinched_wrist(scene: Scene) -> Draft | None:
    """The hand joined to the arm at a wrong angle, or by too thin a wrist."""
    rng, points = scene.rng, _points(scene)
    width = _finger_width(points)
    wrist, palm = points[0], points[9]
    angle = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.3, 0.6))
    c, s = math.cos(angle), math.sin(angle)
    rotation = np.array([[c, -s], [s, c]], np.float32)
    target = (points - wrist) @ rotation.T + wrist
    arm = wrist + (wrist - palm) * np.linspace(0.4, 1.2, 4, dtype=np.float32)[:, None]
    field = moving_field(
        scene.size_hw, np.vstack([points, arm]), np.vstack([target, arm]), width, hold=0.1
    )
    live = np.clip(np.hypot(*field) / (0.3 * width), 0, 1).astype(np.float32)
    live = blurred(live, 1.5)
    return Draft(
        rgb=mix(scene.crop, warp(scene.crop, field), live),
        intent=live,
        words="hand is twisted on its wrist",
        strength=0.5,
    )


HAND_GENERATORS: tuple[Generator, ...] = (
    Generator.of("hand_finger_count", extra_finger, "hand", points=True, weight=1.5),
    Generator.of("hand_finger_count", missing_finger, "hand", points=True, weight=0.7),
    Generator.of("hand_shape", fused_fingers, "hand", points=True, weight=2.0),
    Generator.of("hand_shape", bent_fingers, "hand", points=True, weight=1.5),
    Generator.of("hand_shape", stretched_fingers, "hand", points=True),
    Generator.of("hand_shape", knuckle_tangle, "hand", points=True, weight=1.5),
    Generator.of("hand_shape", melted_hand, "hand", weight=1.5),
    Generator.of("hand_shape", lump_hand, "hand", points=True, weight=1.5),
    Generator.of("hand_shape", pinched_wrist, "hand", points=True, weight=0.6),
)
