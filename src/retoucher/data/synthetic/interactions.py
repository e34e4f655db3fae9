"""Things that touch, float and cast shadows as no real thing does."""

from __future__ import annotations

import math

import numpy as np

from retoucher.data.synthetic.fields import (
    blurred,
    capsule,
    ellipse,
    filled,
    grain,
    mix,
    moved,
    noise_field,
    ragged_ellipse,
    smoothed,
    turn,
    warp,
)
from retoucher.data.synthetic.patch import Draft, Generator, Scene
from retoucher.data.synthetic.spots import MAX_SPOT_SHARE, name_of, random_spot


def floating_piece(scene: Scene) -> Draft | None:
    """A piece of an object that hangs in the air beside it."""
    rng, box = scene.rng, scene.box
    centre, radii = random_spot(scene, 0.35, 0.6)
    alpha = ragged_ellipse(rng, scene.size_hw, centre, radii)
    way = float(rng.uniform(0, 2 * math.pi))
    goal = (
        box.centre_xy[0] + math.cos(way) * (box.width / 2 + radii[0] * 1.15),
        box.centre_xy[1] + math.sin(way) * (box.height / 2 + radii[1] * 1.15),
    )
    height, width = scene.size_hw
    if not (radii[0] < goal[0] < width - radii[0] and radii[1] < goal[1] < height - radii[1]):
        return None
    matrix = turn(
        centre,
        float(rng.uniform(-0.8, 0.8)),
        float(rng.uniform(0.7, 1.0)),
        (goal[0] - centre[0], goal[1] - centre[1]),
    )
    colours, cover = moved(scene.crop, alpha, matrix)
    return Draft(
        rgb=mix(scene.crop, colours, cover),
        intent=cover,
        words=f"piece of the {name_of(scene)} floats without support",
        strength=0.5,
    )


def baseless_shadow(scene: Scene) -> Draft | None:
    """A dark, soft shape that nothing casts."""
    rng = scene.rng
    centre, radii = random_spot(scene, 0.4, 0.8)
    stretch = float(rng.uniform(0.35, 1.0))
    area = ragged_ellipse(rng, scene.size_hw, centre, (radii[0] * stretch, radii[1]))
    area = blurred(area, float(rng.uniform(0.5, 0.06 * scene.side_px + 1)))
    dark = scene.crop * float(rng.uniform(0.3, 0.65))
    return Draft(
        rgb=mix(scene.crop, dark.astype(np.float32), area),
        intent=area,
        words="dark shadow lies where nothing casts one",
        strength=0.4,
        whole=True,
    )


def erased_support(scene: Scene) -> Draft | None:
    """What an object stands on or hangs from is gone, so that it floats."""
    rng, box = scene.rng, scene.box
    size = scene.size_hw
    share = float(rng.uniform(0.22, 0.4))
    y = box.y1 - box.height * share / 2
    hole = ellipse(size, (box.centre_xy[0], y), (box.width * 0.6, box.height * share * 0.6), 0.3)
    if box.y1 >= size[0] - 3:
        return None
    return Draft(
        rgb=filled(rng, scene.crop, hole),
        intent=hole,
        words=f"lower part of the {name_of(scene)} is gone, so that it floats",
        strength=0.5,
    )


def fused_contact(scene: Scene) -> Draft | None:
    """Two things that touch run into one another: edges torn, colours bled."""
    rng, box = scene.rng, scene.box
    if scene.points is not None and scene.part.part == "hand":
        tip = scene.points[[8, 12, 16, 20]].mean(axis=0)
        centre = float(tip[0]), float(tip[1])
    else:
        way = float(rng.uniform(0, 2 * math.pi))
        centre = (
            box.centre_xy[0] + math.cos(way) * box.width * 0.42,
            box.centre_xy[1] + math.sin(way) * box.height * 0.42,
        )
    most = 0.5 * MAX_SPOT_SHARE * min(scene.rgb.shape[:2])
    radius = min(scene.side_px * float(rng.uniform(0.28, 0.45)), most)
    area = ragged_ellipse(rng, scene.size_hw, centre, (radius, radius))
    if float(scene.crop[area > 0.5].std(axis=0).mean() if (area > 0.5).any() else 0) < 18:
        return None  # nothing touches here
    scale = radius * float(rng.uniform(0.3, 0.6))
    field = noise_field(rng, scene.size_hw, scale, scale * float(rng.uniform(0.25, 0.45)))
    torn = warp(scene.crop, (field[0] * area, field[1] * area))
    bled = 0.5 * smoothed(torn, 1.0) + 0.5 * blurred(torn, radius * 0.12)
    out = mix(
        torn, np.clip(bled + grain(rng, scene.crop), 0, 255), area * float(rng.uniform(0.3, 0.9))
    )
    return Draft(
        rgb=mix(scene.crop, out, np.clip(area * 2, 0, 1)),
        intent=area,
        words=f"{name_of(scene)} fuses with what it touches",
        strength=0.55,
        whole=True,
    )


def passing_through(scene: Scene) -> Draft | None:
    """A bar of the surroundings that runs straight through the part."""
    rng, box = scene.rng, scene.box
    size = scene.size_hw
    angle = float(rng.uniform(0, math.pi))
    way = np.array([math.cos(angle), math.sin(angle)])
    centre = np.array(box.centre_xy) + rng.uniform(-0.15, 0.15, 2) * scene.side_px
    half = scene.side_px * float(rng.uniform(0.35, 0.6))
    width = max(scene.side_px * float(rng.uniform(0.06, 0.16)), 3.0)
    line = np.stack([centre - way * half, centre + way * half])
    alpha = capsule(size, line, width, 0.8)
    end = np.clip(centre + way * half * 1.3, [0, 0], [size[1] - 1, size[0] - 1]).astype(int)
    x, y = int(end[0]), int(end[1])
    colour = scene.crop[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3].reshape(-1, 3).mean(axis=0)
    across = np.array([-way[1], way[0]])
    xs = np.arange(size[1], dtype=np.float32)[None, :] - np.float32(centre[0])
    ys = np.arange(size[0], dtype=np.float32)[:, None] - np.float32(centre[1])
    round_ = np.clip((across[0] * xs + across[1] * ys) / (width / 2), -1, 1)
    shade = (1 - 0.35 * round_ - 0.25 * np.abs(round_)).astype(np.float32)
    bar = np.clip(colour * shade[..., None] + grain(rng, scene.crop), 0, 255).astype(np.float32)
    return Draft(
        rgb=mix(scene.crop, bar, alpha),
        intent=alpha,
        words=f"bar passes straight through the {name_of(scene)}",
        strength=0.5,
    )


_C, _P = "interaction_contact", "interaction_physics"
INTERACTION_GENERATORS: tuple[Generator, ...] = (
    Generator.of(_P, floating_piece, "object", margin=0.6),
    Generator.of(_P, baseless_shadow, "object", "person", margin=0.6),
    Generator.of(_P, erased_support, "object", "foot"),
    Generator.of(_C, fused_contact, "hand", "object", weight=2.0),
    Generator.of(_C, passing_through, "hand", margin=0.5),
)
