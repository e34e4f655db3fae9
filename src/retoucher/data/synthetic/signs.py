"""Signs set into a picture: the right word for the twin, a wrong or garbled one for the defect."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib import resources
from io import BytesIO

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from retoucher.data.sample import FloatArray
from retoucher.data.synthetic.fields import blurred, f32, grain, mix, noise_field, warp
from retoucher.data.synthetic.patch import Draft, Generator, Scene
from retoucher.data.synthetic.spots import SIGN
from retoucher.data.synthetic.words import PRINT_WORDS, SIGN_WORDS, misspelled

_EM = 48
_GAP = 3


@cache
def _faces() -> tuple[str, ...]:
    folder = resources.files("retoucher.tools") / "fonts"
    return tuple(sorted(f.name for f in folder.iterdir() if f.name.endswith(".ttf")))


@lru_cache(maxsize=64)
def _face(name: str) -> ImageFont.FreeTypeFont:
    data = (resources.files("retoucher.tools") / "fonts" / name).read_bytes()
    return ImageFont.truetype(BytesIO(data), _EM)


@lru_cache(maxsize=4096)
def _glyph(face: str, letter: str) -> FloatArray:
    """Coverage of one letter, float32 (1.5 em, w) in [0, 1], all letters on one baseline."""
    font = _face(face)
    width = max(round(font.getlength(letter)), 4)
    image = Image.new("L", (width + 2 * _GAP, round(1.5 * _EM)), 0)
    ImageDraw.Draw(image).text((_GAP, round(1.1 * _EM)), letter, fill=255, font=font, anchor="ls")
    return f32(np.asarray(image, np.float32) / 255)


def _row(glyphs: list[FloatArray], overlap: int = 2 * _GAP) -> FloatArray:
    """Glyph images side by side; the padding of neighbours overlaps."""
    width = sum(g.shape[1] for g in glyphs) - overlap * (len(glyphs) - 1)
    out = np.zeros((glyphs[0].shape[0], max(width, 4)), np.float32)
    x = 0
    for glyph in glyphs:
        stop = min(x + glyph.shape[1], out.shape[1])
        out[:, x:stop] = np.maximum(out[:, x:stop], glyph[:, : stop - x])
        x += glyph.shape[1] - overlap
    return out


def _pseudo(rng: np.random.Generator, face: str, glyph: FloatArray) -> FloatArray:
    """A shape with the strokes of letters that is no letter."""
    out = glyph
    kind = int(rng.integers(5))
    if kind <= 1:
        other = _glyph(face, str(rng.choice(list("abdegkmnpqrsuwxyzABEGKMRSX"))))
        other = cv2.resize(other, (out.shape[1], out.shape[0]), interpolation=cv2.INTER_LINEAR)
        cut = int(out.shape[0] * rng.uniform(0.45, 0.65))
        out = np.vstack([out[:cut], other[cut:]])
    elif kind == 2:
        out = out[:, ::-1]
    elif kind == 3:
        rows = np.flatnonzero(out.any(axis=1))
        if len(rows):
            out = out.copy()
            out[rows[0] : rows[-1] + 1] = out[rows[0] : rows[-1] + 1][::-1]
    field = noise_field(rng, out.shape, _EM * 0.3, _EM * float(rng.uniform(0.02, 0.09)))
    return np.clip(warp(np.ascontiguousarray(out, np.float32), field), 0, 1)


def _line(
    rng: np.random.Generator, face: str, right: str, wrong: str | None
) -> tuple[FloatArray, FloatArray]:
    """Coverage of a line as it should be and as it is: `wrong`, or garbled where that is None."""
    good = _row([_glyph(face, c) for c in right])
    if wrong is not None:
        bad = _row([_glyph(face, c) for c in wrong])
    else:
        share = float(rng.uniform(0.5, 1.0))
        glyphs = [
            _pseudo(rng, face, _glyph(face, c))
            if c != " " and rng.random() < share
            else _glyph(face, c)
            for c in right
        ]
        bad = _row(glyphs, 2 * _GAP + int(rng.integers(0, 4)))
    width = max(good.shape[1], bad.shape[1])
    centred: list[FloatArray] = []
    for row in (good, bad):
        left = (width - row.shape[1]) // 2
        centred.append(np.pad(row, ((0, 0), (left, width - row.shape[1] - left))))
    return centred[0], centred[1]


def _asked_words(rng: np.random.Generator) -> str:
    """One or two words, in capitals, small letters or with capitals first."""
    text = str(rng.choice(SIGN_WORDS))
    if rng.random() < 0.3:
        text = f"{text} {rng.choice(SIGN_WORDS)}"
    style = int(rng.integers(3))
    return text.upper() if style == 0 else text.title() if style == 1 else text.lower()


def _layout(rng: np.random.Generator, garbled: bool) -> tuple[FloatArray, FloatArray, str]:
    """Coverage of the whole sign, right and wrong, and the words it should say."""
    face = str(rng.choice(_faces()))
    lines: list[tuple[FloatArray, FloatArray]] = []
    if garbled and rng.random() < 0.35:
        count = int(rng.integers(2, 6))
        texts = [" ".join(rng.choice(PRINT_WORDS, int(rng.integers(2, 5)))) for _ in range(count)]
        asked = ""
    else:
        asked = _asked_words(rng)
        texts = [asked]
    for text in texts:
        wrong = None if garbled else misspelled(rng, text)
        lines.append(_line(rng, face, text, wrong))
    width = max(g.shape[1] for g, _ in lines)
    stacks: list[FloatArray] = []
    for which in (0, 1):
        rows = [np.pad(pair[which], ((0, 0), (0, width - pair[which].shape[1]))) for pair in lines]
        stacks.append(np.vstack(rows))
    return stacks[0], stacks[1], asked


def _placed(rng: np.random.Generator, scene: Scene, sheets: list[FloatArray]) -> list[FloatArray]:
    """Each sheet fitted into the part's box under one random perspective; (h, w) of the window."""
    h, w = sheets[0].shape
    box = scene.box
    fit = min(box.width * 0.9 / w, box.height * 0.9 / h)
    half = np.array([w * fit / 2, h * fit / 2])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half
    corners = corners + rng.uniform(-0.12, 0.12, (4, 2)) * half
    angle = float(rng.normal(0, 0.12))
    c, s = np.cos(angle), np.sin(angle)
    corners = corners @ np.array([[c, s], [-s, c]]) + np.array(box.centre_xy)
    source = np.array([[0, 0], [w, 0], [w, h], [0, h]], np.float32)
    matrix = cv2.getPerspectiveTransform(source, corners.astype(np.float32))
    shrink = max(1.0 / max(fit, 1e-3) * 0.35, 0.3)
    size = scene.size_hw[1], scene.size_hw[0]
    return [
        cv2.warpPerspective(blurred(sheet, shrink), matrix, size, flags=cv2.INTER_LINEAR).astype(
            np.float32
        )
        for sheet in sheets
    ]


def _plate_colour(rng: np.random.Generator, scene: Scene) -> FloatArray:
    """White, black, grey, a colour of the picture, or now and then any other; (3,)."""
    kind = int(rng.integers(4))
    if kind == 0:
        return np.full(3, rng.uniform(215, 250), np.float32)
    if kind == 1:
        return np.full(3, rng.uniform(15, 60), np.float32) + rng.uniform(0, 15, 3).astype(
            np.float32
        )
    if kind == 2:
        y, x = (int(n * rng.random()) for n in scene.rgb.shape[:2])
        return scene.rgb[y, x].astype(np.float32)
    bright = float(rng.uniform(70, 210))
    return np.clip(bright + rng.normal(0, 40, 3), 5, 250).astype(np.float32)


def _sign(scene: Scene, garbled: bool) -> Draft | None:
    if scene.part.name != SIGN:
        return None
    rng = scene.rng
    good, bad, asked = _layout(rng, garbled)
    pad = round(_EM * 0.25)
    plate = np.pad(np.ones_like(good), pad)
    good, bad = np.pad(good, pad), np.pad(bad, pad)
    plate, right, wrong = _placed(rng, scene, [plate, good, bad])
    base = scene.crop
    if rng.random() < 0.6:
        colour = _plate_colour(rng, scene)
        light = 0.75 + 0.25 * scene.crop.mean(axis=2, keepdims=True) / 128
        base = mix(base, np.clip(colour * light, 0, 255).astype(np.float32), np.clip(plate, 0, 1))
    inside = plate > 0.5
    if inside.sum() < 200:
        return None
    dark = float(base[inside].mean()) > 127
    ink = rng.uniform(0, 70, 3) if dark else rng.uniform(185, 255, 3)
    ink_rgb = np.clip(ink.astype(np.float32) + grain(rng, scene.crop), 0, 255).astype(np.float32)
    strength = float(rng.uniform(0.75, 1.0))
    fine = mix(base, ink_rgb, np.clip(right * strength, 0, 1))
    foul = mix(base, ink_rgb, np.clip(wrong * strength, 0, 1))
    reach = max(int(scene.box.height * 0.05), 2)
    text = cv2.dilate(np.maximum(right, wrong), np.ones((3, 2 * reach + 1), np.float32))
    marks = (text > 0.3).astype(np.float32)
    if not garbled:
        # Only from the first to the last letter that differs.
        differs = np.abs(right - wrong) > 0.3
        columns = np.flatnonzero(differs.any(axis=0))
        if not len(columns):
            return None
        marks[:, : max(int(columns[0]) - reach, 0)] = 0
        marks[:, int(columns[-1]) + reach :] = 0
    says = f'a sign that says "{asked}"' if asked else ""
    what = (
        "garbled, its letters are no letters" if garbled else f'misspelled, it should say "{asked}"'
    )
    return Draft(
        rgb=foul,
        intent=marks,
        words=f"lettering on the sign is {what}",
        strength=0.6 if garbled else 0.45,
        whole=True,
        twin=fine,
        prompt=says,
    )


def garbled_sign(scene: Scene) -> Draft | None:
    """A sign with pseudo-letters; the twin's says what the prompt asks for."""
    return _sign(scene, garbled=True)


def misspelled_sign(scene: Scene) -> Draft | None:
    """A sign with a misspelled word; the twin's is right."""
    return _sign(scene, garbled=False)


SIGN_GENERATORS: tuple[Generator, ...] = (
    Generator.of("text_garbled", garbled_sign, "text", margin=0.1, weight=1.5),
    Generator.of("text_wrong", misspelled_sign, "text", margin=0.1, weight=1.5),
)
