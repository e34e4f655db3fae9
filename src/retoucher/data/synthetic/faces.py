"""Faces as text-to-image models spoil them: melted, shifted, mismatched features."""

from __future__ import annotations

import math

import numpy as np

from retoucher.data.landmarks import (
    BROW_LEFT,
    BROW_RIGHT,
    EYE_LEFT,
    EYE_RIGHT,
    FACE_OVAL,
    LIPS,
    NOSE,
)
from retoucher.data.sample import FloatArray
from retoucher.data.synthetic.fields import (
    blurred,
    bulge_field,
    diffused,
    ellipse,
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

_FEATURES = {
    "viewer's left eye": EYE_LEFT,
    "viewer's right eye": EYE_RIGHT,
    "mouth": LIPS,
    "nose": NOSE,
}


def _points(scene: Scene) -> FloatArray:
    assert scene.points is not None
    return scene.points


def _unit(points: FloatArray) -> float:
    """Distance between the eyes' centres: the yardstick of a face (short in profile)."""
    left, right = points[list(EYE_LEFT)].mean(0), points[list(EYE_RIGHT)].mean(0)
    oval = float(np.linalg.norm(points[0] - points[8]))
    return max(float(np.linalg.norm(left - right)), 0.25 * oval)


def _centre(points: FloatArray, group: tuple[int, ...]) -> tuple[float, float]:
    x, y = points[list(group)].mean(axis=0)
    return float(x), float(y)


def _radii(points: FloatArray, group: tuple[int, ...], unit: float) -> tuple[float, float]:
    span = np.ptp(points[list(group)], axis=0)
    least = 0.2 * unit
    return max(float(span[0]) * 0.62, least), max(float(span[1]) * 0.8, least)


def _pick(scene: Scene) -> tuple[str, tuple[int, ...]]:
    names = list(_FEATURES)
    name = names[int(scene.rng.choice(4, p=[0.3, 0.3, 0.28, 0.12]))]
    return name, _FEATURES[name]


def melted_feature(scene: Scene) -> Draft | None:
    """One feature (or both eyes) dissolved into smears of its own colours."""
    rng, points = scene.rng, _points(scene)
    unit = _unit(points)
    name, group = _pick(scene)
    groups = [group]
    if "eye" in name and rng.random() < 0.5:
        name, groups = "eyes", [EYE_LEFT, EYE_RIGHT]
    out, intent = scene.crop, np.zeros(scene.size_hw, np.float32)
    for g in groups:
        centre, radii = _centre(points, g), _radii(points, g, unit)
        area = ragged_ellipse(rng, scene.size_hw, centre, (radii[0] * 1.15, radii[1] * 1.25))
        scale = max(min(radii) * float(rng.uniform(0.45, 0.9)), 2.0)
        field = noise_field(rng, scene.size_hw, scale, scale * float(rng.uniform(0.25, 0.5)))
        melt = warp(scene.crop, field)
        melt = smoothed(melt, float(rng.uniform(0.2, 1.0)))
        melt = np.clip(melt + 0.7 * grain(rng, scene.crop, 1.0), 0, 255).astype(np.float32)
        out, intent = mix(out, melt, area), np.maximum(intent, area)
    verb = "are" if name == "eyes" else "is"
    return Draft(
        rgb=out, intent=intent, words=f"{name} {verb} melted into smears", strength=0.55, whole=True
    )


def hollow_eye(scene: Scene) -> Draft | None:
    """An eye without its iris: blank, dark, or all iris."""
    rng, points = scene.rng, _points(scene)
    unit = _unit(points)
    pairs = (
        [EYE_LEFT, EYE_RIGHT]
        if rng.random() < 0.5
        else [(EYE_LEFT, EYE_RIGHT)[int(rng.integers(2))]]
    )
    out, intent = scene.crop, np.zeros(scene.size_hw, np.float32)
    kind = int(rng.integers(3))
    for group in pairs:
        inside = polygon(scene.size_hw, points[list(group)], max(0.02 * unit, 0.6))
        values = scene.crop[inside > 0.5]
        if len(values) < 6:
            return None
        luma = values.mean(axis=1)
        pick = np.percentile(luma, (88, 10, 45)[kind])
        near = values[np.argsort(np.abs(luma - pick))[:8]].mean(axis=0)
        base = np.broadcast_to(near, scene.crop.shape).astype(np.float32)
        shade = noise_field(rng, scene.size_hw, max(0.1 * unit, 2), 12.0)[0]
        flat = np.clip(base + shade[..., None] + grain(rng, scene.crop, 1.0), 0, 255)
        out = mix(out, flat.astype(np.float32), inside * float(rng.uniform(0.75, 1.0)))
        centre, radii = _centre(points, group), _radii(points, group, unit)
        intent = np.maximum(intent, ellipse(scene.size_hw, centre, radii, 0.2))
    what = ("is blank, without an iris", "is a dark hole", "is filled by a shapeless iris")[kind]
    return Draft(rgb=out, intent=intent, words=f"eye {what}", strength=0.5, whole=True)


def shifted_feature(scene: Scene) -> Draft | None:
    """A feature that sits too high, too low, too far aside or turned."""
    rng, points = scene.rng, _points(scene)
    unit = _unit(points)
    name, group = _pick(scene)
    ids = list(group)
    centre = points[ids].mean(axis=0)
    angle = float(rng.uniform(-0.6, 0.6)) if name != "nose" else float(rng.uniform(-0.3, 0.3))
    direction = float(rng.uniform(0, 2 * math.pi))
    far = unit * float(rng.uniform(0.14, 0.32))
    shift = np.array([math.cos(direction), math.sin(direction)]) * far
    c, s = math.cos(angle), math.sin(angle)
    gain = float(rng.uniform(0.75, 1.3))
    target = points.copy()
    target[ids] = (points[ids] - centre) @ (gain * np.array([[c, -s], [s, c]])).T + centre + shift
    fixed = [i for i in range(len(points)) if i not in ids and i not in FACE_OVAL]
    use = ids + fixed + list(FACE_OVAL)
    field = moving_field(scene.size_hw, points[use], target[use], unit * 0.2, hold=0.1)
    live = blurred(np.clip(np.hypot(*field) / (0.06 * unit), 0, 1).astype(np.float32), 1.5)
    return Draft(
        rgb=mix(scene.crop, warp(scene.crop, field), live),
        intent=live,
        words=f"{name} is out of its place in the face",
        strength=0.45,
    )


def mangled_mouth(scene: Scene) -> Draft | None:
    """Lips and teeth cut and joined wrongly: jagged teeth, a doubled lip."""
    rng, points = scene.rng, _points(scene)
    unit = _unit(points)
    centre, radii = _centre(points, LIPS), _radii(points, LIPS, unit)
    out = scene.crop
    area = ellipse(scene.size_hw, centre, (radii[0] * 1.05, radii[1] * 1.1), 0.35)
    for _ in range(int(rng.integers(3, 6))):
        x = centre[0] + float(rng.uniform(-0.7, 0.7)) * radii[0]
        y = centre[1] + float(rng.uniform(-0.5, 0.5)) * radii[1]
        spot = ellipse(scene.size_hw, (x, y), (radii[0] * 0.35, radii[1] * 0.5), 0.6)
        matrix = turn(
            (x, y),
            float(rng.uniform(-0.9, 0.9)),
            float(rng.uniform(0.7, 1.3)),
            (float(rng.uniform(-0.7, 0.7)) * radii[0], float(rng.uniform(-0.5, 0.5)) * radii[1]),
            flip=bool(rng.random() < 0.5),
        )
        colours, cover = moved(scene.crop, spot, matrix)
        out = mix(out, colours, cover * area)
    field = noise_field(rng, scene.size_hw, max(radii[1] * 0.5, 2.0), radii[1] * 0.12)
    out = mix(out, warp(out, field), area)
    return Draft(
        rgb=out,
        intent=area,
        words="mouth is torn, lips and teeth do not line up",
        strength=0.6,
        whole=True,
    )


def doubled_feature(scene: Scene) -> Draft | None:
    """A second copy of a feature beside, above or over the first."""
    rng, points = scene.rng, _points(scene)
    unit = _unit(points)
    name, group = _pick(scene)
    centre, radii = _centre(points, group), _radii(points, group, unit)
    spot = ellipse(scene.size_hw, centre, (radii[0] * 1.05, radii[1] * 1.15), 0.45)
    direction = float(rng.uniform(0, 2 * math.pi))
    shift = (
        math.cos(direction) * radii[0] * float(rng.uniform(0.5, 1.1)),
        math.sin(direction) * radii[1] * float(rng.uniform(0.7, 1.4)),
    )
    matrix = turn(centre, float(rng.uniform(-0.4, 0.4)), float(rng.uniform(0.7, 1.1)), shift)
    colours, cover = moved(scene.crop, spot, matrix)
    cover = cover * float(rng.uniform(0.65, 1.0))
    # The copy takes on the light of where it goes.
    tone = diffused(scene.crop, cover) - blurred(colours, max(radii))
    out = mix(scene.crop, np.clip(colours + 0.6 * tone, 0, 255), cover)
    return Draft(rgb=out, intent=cover, words=f"{name} is doubled", strength=0.6)


def melted_face(scene: Scene) -> Draft | None:
    """A (small) face whose features ran together."""
    rng, box, side = scene.rng, scene.box, scene.side_px
    points = scene.points
    if points is None:
        if side > 150 or not 0.55 < box.width / box.height < 1.4:
            return None
        centre, radii = box.centre_xy, (box.width * 0.42, box.height * 0.45)
    else:
        inner = [*EYE_LEFT, *EYE_RIGHT, *LIPS, *NOSE, *BROW_LEFT, *BROW_RIGHT]
        centre, radii = _centre(points, tuple(inner)), _radii(points, tuple(inner), _unit(points))
    area = ragged_ellipse(rng, scene.size_hw, centre, radii)
    scale = min(radii) * float(rng.uniform(0.25, 0.5))
    field = noise_field(rng, scene.size_hw, scale, scale * float(rng.uniform(0.22, 0.42)))
    out = warp(scene.crop, field)
    out = smoothed(out, float(rng.uniform(0.0, 0.7)))
    out = np.clip(out + 0.7 * grain(rng, scene.crop, 1.0), 0, 255).astype(np.float32)
    return Draft(
        rgb=mix(scene.crop, out, area),
        intent=area,
        words="face is melted, its features run together",
        strength=0.7,
        whole=True,
    )


def melted_part(scene: Scene) -> Draft | None:
    """A close-up of an eye, ear or mouth drawn out of shape (parts without landmarks)."""
    rng, box, side = scene.rng, scene.box, scene.side_px
    if scene.points is not None:
        return None
    centre = box.centre_xy
    area = ragged_ellipse(rng, scene.size_hw, centre, (box.width * 0.46, box.height * 0.46))
    choice = rng.random()
    if choice < 0.45:
        scale = min(box.width, box.height) * float(rng.uniform(0.2, 0.45))
        field = noise_field(rng, scene.size_hw, scale, scale * float(rng.uniform(0.25, 0.5)))
    elif choice < 0.75:
        turned = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.7, 1.4))
        field = swirl_field(scene.size_hw, centre, side * 0.35, turned)
    else:
        spot = (
            centre[0] + float(rng.uniform(-0.25, 0.25)) * box.width,
            centre[1] + float(rng.uniform(-0.25, 0.25)) * box.height,
        )
        gain = float(rng.choice([-0.9, -0.7, 0.55, 0.75]))
        field = bulge_field(scene.size_hw, spot, min(box.width, box.height) * 0.4, gain)
    out = warp(scene.crop, (field[0] * area, field[1] * area))
    if rng.random() < 0.5:
        out = mix(out, smoothed(out, float(rng.uniform(0.3, 1.0))), area)
    return Draft(
        rgb=out, intent=area, words="feature of the face is drawn out of shape", strength=0.5
    )


def stretched_ear(scene: Scene) -> Draft | None:
    """The side of the head at ear height pulled long or pinched to a flap."""
    rng, points = scene.rng, _points(scene)
    unit = _unit(points)
    side = int(rng.integers(2))
    anchor = points[4 if side == 0 else 12]
    outward = anchor - points[list(NOSE)].mean(axis=0)
    far = float(np.linalg.norm(outward))
    if far < 0.5 * unit:
        return None
    centre = anchor + outward / far * unit * 0.22
    area = ragged_ellipse(
        rng, scene.size_hw, (float(centre[0]), float(centre[1])), (unit * 0.3, unit * 0.55)
    )
    scale = unit * 0.32
    field = noise_field(rng, scene.size_hw, scale, scale * float(rng.uniform(0.2, 0.36)))
    out = warp(scene.crop, (field[0] * area, field[1] * area))
    out = mix(out, smoothed(out, 0.5), area * 0.7)
    return Draft(rgb=out, intent=area, words="ear is drawn out into a flap", strength=0.5)


def uneven_eyes(scene: Scene) -> Draft | None:
    """One eye larger, smaller, higher or slanted against the other."""
    rng, points = scene.rng, _points(scene)
    unit = _unit(points)
    eye = (EYE_LEFT, EYE_RIGHT)[int(rng.integers(2))]
    brow = BROW_LEFT if eye is EYE_LEFT else BROW_RIGHT
    ids = [*eye, *brow]
    centre = points[list(eye)].mean(axis=0)
    angle = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.15, 0.55))
    c, s = math.cos(angle), math.sin(angle)
    gain = float(rng.choice([rng.uniform(0.5, 0.7), rng.uniform(1.35, 1.65)]))
    drop = np.array([0.0, float(rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.28)) * unit])
    target = points.copy()
    target[ids] = (points[ids] - centre) @ (gain * np.array([[c, -s], [s, c]])).T + centre + drop
    field = moving_field(scene.size_hw, points, target, unit * 0.17, hold=0.05)
    live = blurred(np.clip(np.hypot(*field) / (0.04 * unit), 0, 1).astype(np.float32), 1.5)
    return Draft(
        rgb=mix(scene.crop, warp(scene.crop, field), live),
        intent=_both_eyes(scene, points, unit),
        words="eyes differ in size and height",
        strength=0.4,
        whole=True,
    )


def wandering_gaze(scene: Scene) -> Draft | None:
    """Irises that look in different directions."""
    rng, points = scene.rng, _points(scene)
    unit = _unit(points)
    if unit < 30:
        return None
    out, intent = scene.crop, np.zeros(scene.size_hw, np.float32)
    sign = float(rng.choice([-1.0, 1.0]))
    for group, way in ((EYE_LEFT, sign), (EYE_RIGHT, -sign)):
        ids = list(group)
        width = float(np.ptp(points[ids], axis=0)[0])
        middle = points[ids].mean(axis=0)
        goal = middle + np.array([way * width * float(rng.uniform(0.2, 0.34)), 0.0])
        held = points[ids]
        inside = polygon(scene.size_hw, held, max(0.02 * unit, 0.8))
        field = moving_field(
            scene.size_hw,
            np.vstack([middle[None], held]),
            np.vstack([goal[None], held]),
            width * 0.22,
        )
        out = mix(out, warp(out, field), inside)
        intent = np.maximum(intent, inside)
    return Draft(
        rgb=out,
        intent=intent,
        words="eyes look in different directions",
        strength=0.3,
        whole=True,
    )


def slipped_half(scene: Scene) -> Draft | None:
    """One half of the face lower, wider or narrower than the other."""
    rng, points = scene.rng, _points(scene)
    unit = _unit(points)
    if np.linalg.norm(points[4] - points[12]) < 1.5 * unit:
        return None
    axis = points[8] - points[0]
    across = np.array([-axis[1], axis[0]]) / (float(np.linalg.norm(axis)) + 1e-6)
    side = float(rng.choice([-1.0, 1.0]))
    off = (points - points[38]) @ across * side
    target = points.copy()
    amount = np.clip(off / unit, 0, 1)[:, None].astype(np.float32)
    along = axis / (float(np.linalg.norm(axis)) + 1e-6)
    slip = along * float(rng.choice([-1.0, 1.0]) * rng.uniform(0.22, 0.4)) * unit
    widen = across * side * float(rng.uniform(-0.25, 0.25)) * unit
    target = target + (amount * (slip + widen)).astype(np.float32)
    field = moving_field(scene.size_hw, points, target, unit * 0.3, hold=0.05)
    live = blurred(np.clip(np.hypot(*field) / (0.06 * unit), 0, 1).astype(np.float32), 1.5)
    return Draft(
        rgb=mix(scene.crop, warp(scene.crop, field), live),
        intent=live,
        words="halves of the face do not match",
        strength=0.45,
        whole=True,
    )


def _both_eyes(scene: Scene, points: FloatArray, unit: float) -> FloatArray:
    group = (*EYE_LEFT, *EYE_RIGHT)
    radii = _radii(points, group, unit)
    axis = points[EYE_RIGHT[0]] - points[EYE_LEFT[0]]
    angle = math.atan2(float(axis[1]), float(axis[0]))
    return ellipse(
        scene.size_hw, _centre(points, group), (radii[0], max(radii[1], 0.3 * unit)), 0.2, angle
    )


_FACE = "face_feature"
FACE_GENERATORS: tuple[Generator, ...] = (
    Generator.of(_FACE, melted_feature, "face", points=True, weight=2.0),
    Generator.of(_FACE, hollow_eye, "face", points=True, min_side_px=36.0),
    Generator.of(_FACE, shifted_feature, "face", points=True, weight=1.5),
    Generator.of(_FACE, mangled_mouth, "face", points=True),
    Generator.of(_FACE, doubled_feature, "face", points=True, weight=0.8),
    Generator.of(_FACE, melted_face, "face", weight=1.5),
    Generator.of(_FACE, melted_part, "face", weight=1.5, min_side_px=16.0),
    Generator.of(_FACE, stretched_ear, "face", points=True, margin=0.5, weight=0.4),
    Generator.of("face_asymmetry", uneven_eyes, "face", points=True),
    Generator.of("face_asymmetry", wandering_gaze, "face", points=True),
    Generator.of("face_asymmetry", slipped_half, "face", points=True),
)
