"""Objects as text-to-image models spoil them: melted, doubled, broken, of wrong texture."""

from __future__ import annotations

import math

import cv2
import numpy as np

from retoucher.data.sample import Part
from retoucher.data.synthetic.fields import (
    blurred,
    ellipse,
    filled,
    grain,
    mix,
    moved,
    noise,
    noise_field,
    ragged_ellipse,
    smoothed,
    swirl_field,
    turn,
    warp,
)
from retoucher.data.synthetic.patch import Draft, Generator, Scene
from retoucher.data.synthetic.spots import name_of, random_spot


def melted_object(scene: Scene) -> Draft | None:
    """An object whose outline runs and bends."""
    rng = scene.rng
    centre, radii = random_spot(scene, 0.5, 1.0)
    area = ragged_ellipse(rng, scene.size_hw, centre, radii)
    scale = max(min(radii) * float(rng.uniform(0.3, 0.7)), 4.0)
    field = noise_field(rng, scene.size_hw, scale, scale * float(rng.uniform(0.2, 0.38)))
    out = warp(scene.crop, (field[0] * area, field[1] * area))
    if rng.random() < 0.6:
        out = mix(out, smoothed(out, float(rng.uniform(0.2, 0.9))), area)
        out = mix(out, np.clip(out + 0.6 * grain(rng, scene.crop), 0, 255), area)
    return Draft(
        rgb=out, intent=area, words=f"{name_of(scene)} is melted out of shape", strength=0.55
    )


def twisted_object(scene: Scene) -> Draft | None:
    """Part of an object turned against the rest."""
    rng = scene.rng
    centre, radii = random_spot(scene, 0.45, 0.8)
    angle = float(rng.choice([-1.0, 1.0]) * rng.uniform(0.8, 1.9))
    field = swirl_field(scene.size_hw, centre, min(radii) * 1.1, angle)
    live = np.clip(np.hypot(*field) / 2.0, 0, 1).astype(np.float32)
    return Draft(
        rgb=mix(scene.crop, warp(scene.crop, field), live),
        intent=live,
        words=f"part of the {name_of(scene)} is twisted against the rest",
        strength=0.5,
    )


def doubled_object(scene: Scene) -> Draft | None:
    """A second, displaced copy of a part that grows out of the first."""
    rng, box = scene.rng, scene.box
    centre, radii = random_spot(scene, 0.4, 0.8)
    alpha = ragged_ellipse(rng, scene.size_hw, centre, radii)
    direction = float(rng.uniform(0, 2 * math.pi))
    shift = (
        math.cos(direction) * box.width * float(rng.uniform(0.2, 0.45)),
        math.sin(direction) * box.height * float(rng.uniform(0.2, 0.45)),
    )
    matrix = turn(
        centre,
        float(rng.uniform(-0.7, 0.7)),
        float(rng.uniform(0.6, 1.1)),
        shift,
        flip=bool(rng.random() < 0.4),
    )
    colours, cover = moved(scene.crop, alpha, matrix)
    cover = cover * float(rng.uniform(0.7, 1.0))
    return Draft(
        rgb=mix(scene.crop, colours, cover),
        intent=cover,
        words=f"{name_of(scene)} has a second copy of a part that grows out of it",
        strength=0.55,
    )


def vanishing_object(scene: Scene) -> Draft | None:
    """Part of an object fades into what is behind it."""
    rng, box = scene.rng, scene.box
    size = scene.size_hw
    angle = float(rng.uniform(0, 2 * math.pi))
    x = (np.arange(size[1], dtype=np.float32)[None, :] - box.centre_xy[0]) / max(box.width, 1)
    y = (np.arange(size[0], dtype=np.float32)[:, None] - box.centre_xy[1]) / max(box.height, 1)
    along = (
        math.cos(angle) * x + math.sin(angle) * y + 0.06 * noise(rng, size, scene.side_px * 0.15)
    )
    edge = float(rng.uniform(0.02, 0.2))
    fade = np.clip((along - edge) / float(rng.uniform(0.05, 0.3)), 0, 1)
    inside = ellipse(size, box.centre_xy, (box.width * 0.56, box.height * 0.56), 0.25)
    gone = (fade * inside).astype(np.float32)
    if gone.max() < 0.5:
        return None
    hole = ellipse(size, box.centre_xy, (box.width * 0.58, box.height * 0.58), 0.1)
    out = mix(scene.crop, filled(rng, scene.crop, hole), gone)
    return Draft(rgb=out, intent=gone, words=f"{name_of(scene)} fades away halfway", strength=0.55)


def broken_object(scene: Scene) -> Draft | None:
    """An object cut along a line, its halves out of line."""
    rng, box = scene.rng, scene.box
    size = scene.size_hw
    angle = float(rng.uniform(0, math.pi))
    c, s = math.cos(angle), math.sin(angle)
    x = np.arange(size[1], dtype=np.float32)[None, :] - np.float32(box.centre_xy[0])
    y = np.arange(size[0], dtype=np.float32)[:, None] - np.float32(box.centre_xy[1])
    offset = float(rng.uniform(-0.15, 0.15)) * scene.side_px
    beyond = np.clip((-s * x + c * y - offset) / 2.0 + 0.5, 0, 1)
    inside = ellipse(size, box.centre_xy, (box.width * 0.54, box.height * 0.54), 0.2)
    far = scene.side_px * float(rng.choice([-1.0, 1.0]) * rng.uniform(0.1, 0.26))
    dx = np.full(size, c * far, np.float32) * inside * beyond
    dy = np.full(size, s * far, np.float32) * inside * beyond
    live = (inside * beyond).astype(np.float32)
    out = mix(scene.crop, warp(scene.crop, (dx, dy)), np.clip(live * 3, 0, 1))
    return Draft(
        rgb=out,
        intent=live,
        words=f"{name_of(scene)} is broken, its halves do not line up",
        strength=0.5,
    )


def jumbled_object(scene: Scene) -> Draft | None:
    """Pieces of an object strewn over it at wrong places."""
    rng, box = scene.rng, scene.box
    out, intent = scene.crop, np.zeros(scene.size_hw, np.float32)
    for _ in range(int(rng.integers(3, 7))):
        centre, radii = random_spot(scene, 0.2, 0.45)
        alpha = ragged_ellipse(rng, scene.size_hw, centre, radii)
        goal, _ = random_spot(scene, 0.2, 0.45)
        matrix = turn(
            centre,
            float(rng.uniform(-1.5, 1.5)),
            float(rng.uniform(0.7, 1.3)),
            (goal[0] - centre[0], goal[1] - centre[1]),
            flip=bool(rng.random() < 0.5),
        )
        colours, cover = moved(scene.crop, alpha, matrix)
        out, intent = mix(out, colours, cover), np.maximum(intent, cover)
    scale = max(min(box.width, box.height) * 0.15, 3.0)
    field = noise_field(rng, scene.size_hw, scale, scale * 0.22)
    out = mix(out, warp(out, field), intent)
    return Draft(
        rgb=out,
        intent=intent,
        words=f"{name_of(scene)} is a jumble of parts that do not belong together",
        strength=0.65,
    )


def patchy_texture(scene: Scene) -> Draft | None:
    """A patch of grain, scratches, dots or blotches that the surface does not have."""
    rng = scene.rng
    centre, radii = random_spot(scene, 0.35, 0.8)
    area = ragged_ellipse(rng, scene.size_hw, centre, radii)
    contrast = float(rng.uniform(14, 36))
    kind = int(rng.integers(4))
    if kind == 0:
        pattern = noise(rng, scene.size_hw, float(rng.uniform(1.5, 4.0)))
    elif kind == 1:  # scratches: noise smeared along one direction
        raw = rng.standard_normal(scene.size_hw).astype(np.float32)
        kernel = np.zeros((15, 15), np.float32)
        a = float(rng.uniform(0, math.pi))
        for t in np.linspace(-7, 7, 29):
            kernel[round(7 + t * math.sin(a)), round(7 + t * math.cos(a))] = 1
        pattern = cv2.filter2D(raw, -1, kernel / math.sqrt(float(kernel.sum())))
    elif kind == 2:  # a grid of dots, as a decoder's upsampling leaves
        period = float(rng.uniform(3.0, 8.0))
        xs = np.arange(scene.size_hw[1], dtype=np.float32)[None, :]
        ys = np.arange(scene.size_hw[0], dtype=np.float32)[:, None]
        pattern = np.cos(xs * 2 * math.pi / period) * np.cos(ys * 2 * math.pi / period) * 1.6
        pattern = pattern * (0.6 + 0.4 * noise(rng, scene.size_hw, period * 4))
    else:
        pattern = np.sign(noise(rng, scene.size_hw, float(rng.uniform(4, 9)))) * 0.9
        pattern = blurred(pattern.astype(np.float32), 0.8)
    tint = 1 + rng.normal(0, 0.25, 3).astype(np.float32)
    out = np.clip(scene.crop + pattern[..., None] * contrast * tint, 0, 255).astype(np.float32)
    what = ("blotchy", "scratched", "covered with a grid of dots", "speckled")[kind]
    return Draft(
        rgb=mix(scene.crop, out, area),
        intent=area,
        words=f"patch of the {name_of(scene)} is {what}",
        strength=0.4,
        whole=True,
    )


def foreign_texture(scene: Scene) -> Draft | None:
    """Fine detail of one place over the shading of another, at a wrong scale."""
    rng = scene.rng
    centre, radii = random_spot(scene, 0.35, 0.75)
    area = ragged_ellipse(rng, scene.size_hw, centre, radii)
    sigma = max(0.04 * scene.side_px, 2.0)
    height, width = scene.rgb.shape[:2]
    h, w = scene.size_hw
    gain = float(rng.choice([0.5, 0.7, 1.6, 2.2]))
    h2, w2 = max(min(int(h / gain), height), 4), max(min(int(w / gain), width), 4)
    y, x = int((height - h2) * rng.random()), int((width - w2) * rng.random())
    other = scene.rgb[y : y + h2, x : x + w2].astype(np.float32)
    other = cv2.resize(other, (w, h), interpolation=cv2.INTER_CUBIC).astype(np.float32)
    detail = other - blurred(other, sigma)
    strength = float(np.abs(detail).mean())
    if strength < 2:
        return None
    detail = detail * min(float(rng.uniform(9, 16)) / strength, 4.0)
    out = np.clip(blurred(scene.crop, sigma) + detail, 0, 255).astype(np.float32)
    return Draft(
        rgb=mix(scene.crop, out, area),
        intent=area,
        words=f"{name_of(scene)} has a patch of foreign texture",
        strength=0.45,
    )


def smeared_texture(scene: Scene) -> Draft | None:
    """Colours dragged along one direction."""
    rng = scene.rng
    centre, radii = random_spot(scene, 0.4, 0.8)
    area = ragged_ellipse(rng, scene.size_hw, centre, radii)
    length = max(round(scene.side_px * float(rng.uniform(0.12, 0.3))) | 1, 5)
    angle = float(rng.uniform(0, math.pi))
    kernel = np.zeros((length, length), np.float32)
    half = length // 2
    for t in np.linspace(-half, half, 4 * length):
        kernel[round(half + t * math.sin(angle)), round(half + t * math.cos(angle))] = 1
    smear = cv2.filter2D(scene.crop, -1, kernel / kernel.sum()).astype(np.float32)
    scale = max(0.2 * scene.side_px, 4.0)
    smear = warp(smear, noise_field(rng, scene.size_hw, scale, scale * 0.2))
    return Draft(
        rgb=mix(scene.crop, np.clip(smear + grain(rng, scene.crop), 0, 255), area),
        intent=area,
        words=f"surface of the {name_of(scene)} is smeared",
        strength=0.45,
    )


_THINGS: tuple[Part, ...] = ("object", "foot", "person")
_S, _T = "object_structure", "object_texture"
OBJECT_GENERATORS: tuple[Generator, ...] = (
    Generator.of(_S, melted_object, *_THINGS, weight=2.0),
    Generator.of(_S, twisted_object, *_THINGS),
    Generator.of(_S, doubled_object, "object"),
    Generator.of(_S, vanishing_object, "object"),
    Generator.of(_S, broken_object, "object"),
    Generator.of(_S, jumbled_object, "object", weight=1.5),
    Generator.of(_T, patchy_texture, "object", "face", "person"),
    Generator.of(_T, foreign_texture, "object", "face", "person"),
    Generator.of(_T, smeared_texture, "object", "person"),
)
