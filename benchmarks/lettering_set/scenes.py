"""Generated scenes that carry lettering: signs, labels, boards, covers. All by arithmetic.

Each builder gets dice and a `photo` (a soft backdrop) and returns a Scene: a canvas with slots
where lettering belongs. The two halves of the set use different builders.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from lettering_set.place import UNIT, Canvas, Quad, Style, sub_quad
from lettering_set.textures import (
    bricks,
    card_shadow,
    gradient,
    noise_field,
    paper,
    plaster,
    resize_cover,
    wood,
)

Rng = np.random.Generator
Rgb = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slot:
    """A place for lines of lettering; `rows` lines share it, top to bottom."""

    quad_xy: Quad
    style: Style
    rows: int = 1
    align: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    canvas: Canvas
    slots: tuple[Slot, ...]
    what: str
    sign: str
    """What the prompt calls the thing that carries the lettering."""


Builder = Callable[[Rng, Canvas], Scene]


def _rect(x0: float, y0: float, x1: float, y1: float) -> Quad:
    return np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]], float)


def _tilt(quad: Quad, rng: Rng, amount: float) -> Quad:
    """Look at a rectangle from aside: corners wander by a share of its height, and half the
    time one side is clearly farther away than the other."""
    height = float(np.linalg.norm(quad[3] - quad[0]))
    moved = quad + rng.uniform(-amount, amount, (4, 2)) * height
    yaw = rng.uniform(-3, 3) * amount
    if rng.random() < 0.5:
        far = [1, 2] if yaw > 0 else [0, 3]
        moved[far] = moved[far] + (moved[far].mean(0) - moved[far]) * abs(yaw)
        centre = moved[:, 0].mean()
        moved[:, 0] = centre + (moved[:, 0] - centre) * (1 - 0.5 * abs(yaw))
    return moved


def mount(canvas: Canvas, panel: Canvas, quad: Quad, *, shadow: float) -> None:
    """Put a flat panel picture on the canvas at quad, with a drop shadow, in place."""
    h, w = panel.shape[:2]
    corners = UNIT * np.array([w, h], np.float32)
    matrix = cv2.getPerspectiveTransform(corners, quad.astype(np.float32))
    size = canvas.shape[1], canvas.shape[0]
    if shadow:
        canvas *= 1 - shadow * card_shadow(canvas.shape[:2], quad)[..., None]
    small = min(1.0, 1.3 * float(np.linalg.norm(quad[1] - quad[0])) / w)
    if small < 1:
        panel = cv2.resize(panel, None, fx=small, fy=small, interpolation=cv2.INTER_AREA)
        corners = UNIT * np.array([panel.shape[1], panel.shape[0]], np.float32)
        matrix = cv2.getPerspectiveTransform(corners, quad.astype(np.float32))
    warped = cv2.warpPerspective(panel, matrix, size, flags=cv2.INTER_LINEAR)
    mask = cv2.warpPerspective(np.ones(panel.shape[:2], np.float32), matrix, size)[..., None]
    canvas[:] = canvas * (1 - mask) + warped * mask


def _ink(rng: Rng, rgb: Rgb, **changes: float) -> Style:
    base = {"opacity": 0.96, "shade": 0.6, "blur_px": float(rng.uniform(0.3, 0.9)), **changes}
    return Style(
        rgb=rgb,
        opacity=base["opacity"],
        shade=base["shade"],
        blur_px=base["blur_px"],
        grain=base.get("grain", 0.0),
        halo=base.get("halo", 0.0),
    )


DARK: tuple[Rgb, ...] = (
    (0.10, 0.12, 0.15),
    (0.35, 0.08, 0.08),
    (0.06, 0.18, 0.32),
    (0.08, 0.25, 0.15),
)
LIGHT: tuple[Rgb, ...] = (
    (0.96, 0.95, 0.90),
    (0.98, 0.88, 0.55),
    (0.88, 0.94, 0.98),
    (0.97, 0.80, 0.72),
)


def _one(rng: Rng, palette: tuple[Rgb, ...]) -> Rgb:
    return palette[int(rng.integers(len(palette)))]


def shopfront(rng: Rng, photo: Canvas) -> Scene:
    """A brick facade with a painted fascia above a shop window."""
    h, w = 640, 896
    canvas = bricks(h, w, rng)
    top = rng.uniform(0.14, 0.22) * h
    fascia = _tilt(_rect(0.07 * w, top, 0.93 * w, top + 0.2 * h), rng, 0.06)
    window = _rect(0.1 * w, top + 0.27 * h, 0.62 * w, 0.93 * h)
    door = _rect(0.67 * w, top + 0.27 * h, 0.88 * w, h)
    frame = np.array(_one(rng, DARK), np.float32)
    glass = resize_cover(photo, 360, 460)
    glass = cv2.GaussianBlur(glass, (0, 0), 5) * 0.55 + 0.12 * gradient(360, 460, rng)
    for quad, inner in ((window, glass), (door, glass[:, :180])):
        panel = np.ones((400, 500, 3), np.float32) * frame
        panel[22:-22, 22:-22] = cv2.resize(inner, (456, 356))
        mount(canvas, panel, quad, shadow=0.5)
    colour = _one(rng, DARK)
    board = plaster(160, 760, rng, colour, 0.02)
    board[:8], board[-8:] = board[:8] * 1.5 + 0.05, board[-8:] * 0.6
    mount(canvas, np.clip(board, 0, 1), fascia, shadow=0.5)
    slots = (
        Slot(quad_xy=sub_quad(fascia, 0.08, 0.2, 0.92, 0.8), style=_ink(rng, _one(rng, LIGHT))),
        Slot(
            quad_xy=sub_quad(window, 0.14, 0.12, 0.86, 0.36),
            style=_ink(rng, (0.95, 0.95, 0.92), opacity=0.85, shade=0.2),
        ),
    )
    canvas *= gradient(h, w, rng, low=0.82)
    return Scene(canvas=canvas, slots=slots, what="a shop front on a brick house", sign="a sign")


def road_sign(rng: Rng, photo: Canvas) -> Scene:
    """A sign on a pole before an out-of-focus street or park."""
    h, w = 640, 768
    canvas = cv2.GaussianBlur(resize_cover(photo, h, w), (0, 0), rng.uniform(5, 10))
    colour = _one(rng, ((0.05, 0.35, 0.2), (0.08, 0.2, 0.5), (0.94, 0.94, 0.92), (0.95, 0.78, 0.1)))
    x = rng.uniform(0.44, 0.56) * w
    pole = plaster(h, 22, rng, (0.5, 0.51, 0.53), 0.03) * np.linspace(1.2, 0.5, 22)[None, :, None]
    x0 = int(x) - 11
    canvas[int(0.3 * h) :, x0 : x0 + 22] = np.clip(pole[int(0.3 * h) :], 0, 1)
    quad = _rect(0.14 * w, 0.16 * h, 0.86 * w, rng.uniform(0.44, 0.56) * h)
    quad = _tilt(quad, rng, 0.09)
    plate = plaster(300, 600, rng, colour, 0.012)
    edge = (0.96, 0.96, 0.95) if sum(colour) < 1.6 else (0.1, 0.1, 0.1)
    cv2.rectangle(plate, (14, 14), (585, 285), edge, 7)
    plate *= gradient(300, 600, rng, low=0.85)
    mount(canvas, plate, quad, shadow=0.25)
    style = _ink(rng, edge, shade=0.8)
    slot = Slot(quad_xy=sub_quad(quad, 0.08, 0.14, 0.92, 0.86), style=style, rows=2)
    return Scene(canvas=canvas, slots=(slot,), what="a street in the afternoon", sign="a road sign")


def chalkboard(rng: Rng, photo: Canvas) -> Scene:
    """A framed blackboard with wiped chalk on it."""
    h, w = 700, 820
    canvas = cv2.GaussianBlur(resize_cover(photo, h, w), (0, 0), 8) * 0.8
    quad = _tilt(_rect(0.08 * w, 0.08 * h, 0.92 * w, 0.92 * h), rng, 0.03)
    panel = plaster(560, 660, rng, _one(rng, ((0.13, 0.15, 0.15), (0.10, 0.20, 0.16))), 0.02)
    smear = cv2.GaussianBlur(rng.random((560, 660), np.float32), (0, 0), 30, sigmaY=8)
    smear = np.clip((smear - smear.mean()) / smear.std(), 0, 2) * 0.035
    panel += smear[..., None]
    frame = wood(600, 700, rng, (0.55, 0.36, 0.2))
    frame[26:-26, 26:-26] = cv2.resize(panel, (648, 548))
    mount(canvas, np.clip(frame, 0, 1), quad, shadow=0.5)
    style = _ink(rng, _one(rng, LIGHT), grain=0.25, opacity=0.88, shade=0.15, blur_px=0.5)
    slot = Slot(quad_xy=sub_quad(quad, 0.12, 0.12, 0.88, 0.88), style=style, rows=3)
    return Scene(canvas=canvas, slots=(slot,), what="a cafe interior", sign="a chalkboard")


def jar_label(rng: Rng, photo: Canvas) -> Scene:
    """A jar with a paper label in a soft kitchen."""
    h, w = 768, 704
    canvas = cv2.GaussianBlur(resize_cover(photo, h, w), (0, 0), 9)
    canvas[int(0.8 * h) :] = wood(h - int(0.8 * h), w, rng, (0.5, 0.33, 0.2)) * 0.9
    x0, x1, y0, y1 = int(0.2 * w), int(0.8 * w), int(0.2 * h), int(0.88 * h)
    curve = np.sqrt(np.clip(1 - np.linspace(-1, 1, x1 - x0) ** 2, 0.04, 1)).astype(np.float32)
    fill = _one(rng, ((0.75, 0.42, 0.05), (0.55, 0.05, 0.1), (0.35, 0.2, 0.1), (0.65, 0.55, 0.2)))
    body = plaster(y1 - y0, x1 - x0, rng, fill, 0.03) * (0.35 + 0.65 * curve)[None, :, None]
    gloss = np.exp(-((np.linspace(0, 1, x1 - x0) - 0.22) ** 2) / 0.002).astype(np.float32)
    body += 0.35 * gloss[None, :, None]
    mask = np.zeros((y1 - y0, x1 - x0), np.uint8)
    cv2.rectangle(mask, (30, 0), (x1 - x0 - 30, y1 - y0), 255, -1)
    cv2.rectangle(mask, (0, 40), (x1 - x0, y1 - y0 - 30), 255, -1)
    for cx, cy in ((30, 40), (x1 - x0 - 30, 40)):
        cv2.circle(mask, (cx, cy), 34, 255, -1)
    soft = cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), 1.5)[..., None]
    canvas[y0:y1, x0:x1] = canvas[y0:y1, x0:x1] * (1 - soft) + np.clip(body, 0, 1) * soft
    lid = plaster(64, x1 - x0 - 40, rng, _one(rng, DARK), 0.02)
    lid *= (0.5 + 0.7 * curve[20:-20])[None, :, None]
    canvas[y0 - 54 : y0 + 10, x0 + 20 : x1 - 20] = np.clip(lid, 0, 1)
    tint = _one(rng, LIGHT)
    label = paper(240, x1 - x0 - 8, rng, tint) * (0.45 + 0.55 * curve[4:-4])[None, :, None]
    ly = y0 + 170
    canvas[ly : ly + 240, x0 + 4 : x1 - 4] = np.clip(label, 0, 1)
    quad = _rect(x0 + 4, ly, x1 - 4, ly + 240)
    style = _ink(rng, _one(rng, DARK), shade=0.9)
    slot = Slot(quad_xy=sub_quad(quad, 0.15, 0.13, 0.85, 0.87), style=style, rows=2)
    return Scene(canvas=canvas, slots=(slot,), what="a jar on a kitchen table", sign="a label")


def poster(rng: Rng, photo: Canvas) -> Scene:
    """A flat poster: sun, hills, a title, a line below."""
    h, w = 832, 640
    hue = rng.uniform(0, 360)
    sky = cv2.cvtColor(
        np.array([[[hue, 0.35, 0.95], [hue + 30, 0.55, 0.85]]], np.float32) % np.float32(361),
        cv2.COLOR_HSV2RGB,
    )[0]
    ramp = np.linspace(0, 1, h, dtype=np.float32)[:, None, None]
    canvas = np.broadcast_to(sky[0] * (1 - ramp) + sky[1] * ramp, (h, w, 3)).copy()
    cv2.circle(
        canvas,
        (int(rng.uniform(0.3, 0.7) * w), int(0.48 * h)),
        110,
        (0.98, 0.9, 0.62),
        -1,
        cv2.LINE_AA,
    )
    for k in range(3):
        base = (0.56 + 0.1 * k) * h
        xs = np.arange(w)
        wave = (
            base
            + 30 * np.sin(xs / rng.uniform(60, 130) + rng.uniform(0, 6))
            + 14 * np.sin(xs / 31 + k)
        )
        points = np.concatenate([np.stack([xs, wave], 1), [[w, h], [0, h]]]).astype(np.int32)
        tone = cv2.cvtColor(
            np.array([[[(hue + 200) % 360, 0.5, 0.55 - 0.13 * k]]], np.float32), cv2.COLOR_HSV2RGB
        )[0, 0]
        cv2.fillPoly(canvas, [points], tone.tolist(), cv2.LINE_AA)
    canvas = np.clip(canvas + 0.01 * noise_field(h, w, 0.8, rng)[..., None], 0, 1)
    dark, light = _one(rng, DARK), _one(rng, LIGHT)
    slots = (
        Slot(
            quad_xy=_rect(0.08 * w, 0.07 * h, 0.92 * w, 0.24 * h), style=_ink(rng, dark, shade=0.2)
        ),
        Slot(
            quad_xy=_rect(0.18 * w, 0.86 * h, 0.82 * w, 0.93 * h), style=_ink(rng, light, shade=0.2)
        ),
    )
    return Scene(
        canvas=canvas, slots=slots, what="a vintage travel poster of hills", sign="a poster"
    )


def book_cover(rng: Rng, photo: Canvas) -> Scene:
    """A book lying on a wooden table."""
    h, w = 768, 768
    canvas = wood(h, w, rng, (0.52, 0.36, 0.22)) * gradient(h, w, rng, low=0.7)
    cover = plaster(640, 460, rng, _one(rng, DARK), 0.04)
    art = cv2.GaussianBlur(resize_cover(photo, 260, 380), (0, 0), 1.0)
    cover[300:560, 40:420] = art * 0.9
    cv2.rectangle(cover, (18, 18), (441, 621), _one(rng, LIGHT), 3)
    cover[:, :14] *= 0.55
    quad = _rect(0.2 * w, 0.1 * h, 0.78 * w, 0.92 * h)
    angle = np.deg2rad(rng.uniform(-9, 9))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    centre = quad.mean(0)
    quad = _tilt((quad - centre) @ turn.T + centre, rng, 0.02)
    mount(canvas, np.clip(cover, 0, 1), quad, shadow=0.6)
    style = _ink(rng, _one(rng, LIGHT))
    slots = (
        Slot(quad_xy=sub_quad(quad, 0.1, 0.08, 0.9, 0.38), style=style, rows=2),
        Slot(quad_xy=sub_quad(quad, 0.24, 0.885, 0.76, 0.945), style=style),
    )
    return Scene(canvas=canvas, slots=slots, what="a hardback book on a table", sign="a book cover")


def wooden_sign(rng: Rng, photo: Canvas) -> Scene:
    """A board on two posts in front of greenery."""
    h, w = 640, 832
    canvas = cv2.GaussianBlur(resize_cover(photo, h, w), (0, 0), rng.uniform(4, 8))
    for x in (0.24, 0.76):
        post = wood(h, 46, rng, (0.42, 0.29, 0.18)) * np.linspace(1.1, 0.6, 46)[None, :, None]
        canvas[int(0.22 * h) :, int(x * w) - 23 : int(x * w) + 23] = np.clip(
            post[int(0.22 * h) :], 0, 1
        )
    quad = _tilt(_rect(0.1 * w, 0.26 * h, 0.9 * w, 0.62 * h), rng, 0.05)
    board = wood(
        300, 700, rng, _one(rng, ((0.6, 0.42, 0.26), (0.45, 0.3, 0.18), (0.7, 0.55, 0.38)))
    )
    board[146:150] *= 0.45
    board[:7], board[-7:] = board[:7] * 1.25, board[-7:] * 0.55
    mount(canvas, np.clip(board, 0, 1), quad, shadow=0.35)
    rgb = _one(rng, ((0.12, 0.07, 0.04), (0.96, 0.93, 0.85)))
    style = _ink(rng, rgb, shade=0.9, grain=0.05)
    slot = Slot(quad_xy=sub_quad(quad, 0.08, 0.1, 0.92, 0.92), style=style, rows=2)
    return Scene(canvas=canvas, slots=(slot,), what="a garden path", sign="a wooden sign")


def plaque(rng: Rng, photo: Canvas) -> Scene:
    """A metal plate screwed to a rough wall."""
    h, w = 576, 768
    canvas = plaster(h, w, rng, (0.62, 0.58, 0.53), 0.11) * gradient(h, w, rng, low=0.65)
    quad = _tilt(_rect(0.16 * w, 0.2 * h, 0.84 * w, 0.8 * h), rng, 0.08)
    tone = _one(rng, ((0.72, 0.6, 0.33), (0.66, 0.68, 0.7), (0.25, 0.27, 0.3)))
    plate = plaster(360, 540, rng, tone, 0.02)
    brushed = cv2.GaussianBlur(
        rng.standard_normal((360, 540)).astype(np.float32), (0, 0), 14, sigmaY=0.6
    )
    plate = (plate + 0.25 * brushed[..., None]) * gradient(360, 540, rng, low=0.75)
    for x, y in ((26, 26), (514, 26), (26, 334), (514, 334)):
        cv2.circle(plate, (x, y), 10, (0.3, 0.29, 0.27), -1, cv2.LINE_AA)
        cv2.circle(plate, (x - 2, y - 2), 6, (0.75, 0.74, 0.7), -1, cv2.LINE_AA)
    mount(canvas, np.clip(plate, 0, 1), quad, shadow=0.5)
    rgb = (0.08, 0.07, 0.06) if sum(tone) > 1.2 else (0.9, 0.88, 0.8)
    slot = Slot(quad_xy=sub_quad(quad, 0.12, 0.17, 0.88, 0.83), style=_ink(rng, rgb), rows=2)
    return Scene(canvas=canvas, slots=(slot,), what="an old stone wall", sign="a brass plaque")


def neon(rng: Rng, photo: Canvas) -> Scene:
    """Glowing tubes on dark brick."""
    h, w = 576, 832
    canvas = bricks(h, w, rng) * 0.22
    rgb = _one(rng, ((1.0, 0.35, 0.5), (0.35, 0.9, 1.0), (1.0, 0.8, 0.35)))
    style = _ink(rng, rgb, opacity=1.0, shade=0.0, halo=0.75, blur_px=0.8)
    slot = Slot(
        quad_xy=_tilt(_rect(0.14 * w, 0.24 * h, 0.86 * w, 0.74 * h), rng, 0.05), style=style, rows=2
    )
    return Scene(canvas=canvas, slots=(slot,), what="a bar at night", sign="a neon sign")


def note(rng: Rng, photo: Canvas) -> Scene:
    """A sheet of lined paper pinned to cork."""
    h, w = 704, 704
    canvas = plaster(h, w, rng, (0.66, 0.49, 0.32), 0.16) * gradient(h, w, rng, low=0.8)
    sheet = paper(480, 420, rng, (0.97, 0.96, 0.88))
    for y in range(96, 460, 44):
        sheet[y : y + 2, 16:-16] = sheet[y : y + 2, 16:-16] * 0.6 + np.float32([0.25, 0.3, 0.36])
    angle = np.deg2rad(rng.uniform(-8, 8))
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    quad = _rect(0.17 * w, 0.12 * h, 0.83 * w, 0.88 * h)
    quad = (quad - quad.mean(0)) @ turn.T + quad.mean(0)
    mount(canvas, sheet, quad, shadow=0.4)
    pin = quad[:2].mean(0) + (quad[3] - quad[0]) * 0.04
    cv2.circle(canvas, tuple(pin.astype(int).tolist()), 11, (0.75, 0.1, 0.1), -1, cv2.LINE_AA)
    cv2.circle(canvas, tuple((pin - 3).astype(int).tolist()), 4, (0.95, 0.6, 0.6), -1, cv2.LINE_AA)
    style = _ink(rng, _one(rng, ((0.1, 0.15, 0.45), (0.1, 0.1, 0.1))), opacity=0.9)
    slot = Slot(quad_xy=sub_quad(quad, 0.1, 0.14, 0.9, 0.62), style=style, rows=2)
    return Scene(canvas=canvas, slots=(slot,), what="a cork board", sign="a handwritten note")


def carton(rng: Rng, photo: Canvas) -> Scene:
    """The side of a cardboard box, stencilled."""
    h, w = 640, 768
    canvas = cv2.GaussianBlur(resize_cover(photo, h, w), (0, 0), 7) * 0.85
    quad = _tilt(_rect(0.1 * w, 0.16 * h, 0.9 * w, 0.95 * h), rng, 0.04)
    side = paper(460, 600, rng, (0.74, 0.58, 0.4))
    side *= 1 - 0.03 * np.sin(np.arange(460, dtype=np.float32) / 2.2)[:, None, None]
    side[:56] = side[:56] * 0.75 + np.float32([0.2, 0.17, 0.1])
    side *= gradient(460, 600, rng, low=0.75)
    mount(canvas, np.clip(side, 0, 1), quad, shadow=0.5)
    style = _ink(rng, _one(rng, DARK), opacity=0.85, shade=0.9, grain=0.07)
    slot = Slot(quad_xy=sub_quad(quad, 0.1, 0.25, 0.9, 0.85), style=style, rows=2)
    return Scene(
        canvas=canvas, slots=(slot,), what="a parcel in a storeroom", sign="a cardboard box"
    )


BUILDERS: dict[str, dict[str, Builder]] = {
    "dev": {f.__name__: f for f in (shopfront, road_sign, chalkboard, jar_label, poster)},
    "heldout": {f.__name__: f for f in (book_cover, wooden_sign, plaque, neon, note, carton)},
}
