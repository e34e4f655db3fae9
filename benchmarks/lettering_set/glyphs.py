"""Ink masks of lettering: right, misspelled, and broken in the ways generators break it.

Everything here is float32 coverage in [0, 1], shape (H, W), at a height the caller chooses.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Ink = NDArray[np.float32]
Rng = np.random.Generator


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Strip:
    """One line of lettering.

    Attributes:
        ink_hw: coverage, cropped to the ink.
        word_boxes: x0, y0, x1, y1 of each word's ink, in pixels of ink_hw.
        cap_px: height of a capital letter in ink_hw.
    """

    ink_hw: Ink
    word_boxes: tuple[tuple[float, float, float, float], ...]
    cap_px: float


def _cap(font: ImageFont.FreeTypeFont) -> float:
    _, top, _, bottom = font.getbbox("H", anchor="ls")
    return float(bottom - top)


def _draw(
    text: str, font: ImageFont.FreeTypeFont, x: float, size_wh: tuple[int, int], y: int
) -> Ink:
    layer = Image.new("L", size_wh)
    ImageDraw.Draw(layer).text((x, y), text, fill=255, font=font, anchor="ls")
    return np.asarray(layer, np.float32) / 255


def _assemble(words: list[tuple[Ink, float]], cap: float) -> Strip:
    """Cut the canvas to the ink and find the words' boxes in it."""
    canvas = np.max([ink for ink, _ in words], axis=0)
    ys, xs = np.flatnonzero(canvas.max(1) > 0.1), np.flatnonzero(canvas.max(0) > 0.1)
    y0, y1, x0, x1 = ys[0], ys[-1] + 1, xs[0], xs[-1] + 1
    boxes: list[tuple[float, float, float, float]] = []
    for ink, _ in words:
        wy, wx = np.flatnonzero(ink.max(1) > 0.1), np.flatnonzero(ink.max(0) > 0.1)
        box = (wx[0] - x0, wy[0] - y0, wx[-1] + 1 - x0, wy[-1] + 1 - y0)
        boxes.append(tuple(float(v) for v in box))  # type: ignore[arg-type]
    return Strip(
        ink_hw=np.ascontiguousarray(canvas[y0:y1, x0:x1]), word_boxes=tuple(boxes), cap_px=cap
    )


def line(text: str, font: ImageFont.FreeTypeFont, *, tracking: float = 0.0) -> Strip:
    """Text as its designer meant it. `tracking` is extra space between letters, in ems."""
    em, pad = font.size, int(font.size)
    x, parts, total = float(pad), text.split(" "), 0.0
    gap = font.getlength(" ") + tracking * em
    total = sum(font.getlength(w) + tracking * em * len(w) + gap for w in parts)
    size = (int(total) + 2 * pad, int(2.2 * em))
    words: list[tuple[Ink, float]] = []
    for word in parts:
        if tracking == 0:
            words.append((_draw(word, font, x, size, int(1.4 * em)), x))
            x += font.getlength(word) + gap
            continue
        ink = np.zeros((size[1], size[0]), np.float32)
        for letter in word:
            ink = np.maximum(ink, _draw(letter, font, x, size, int(1.4 * em)))
            x += font.getlength(letter) + tracking * em
        words.append((ink, x))
        x += gap
    return _assemble(words, _cap(font))


def melt(ink_hw: Ink, cap_px: float, rng: Rng, strength: float) -> Ink:
    """Strokes that swell, thin and wander, as a decoder paints letters it does not know.

    strength 0 changes nothing; 0.3 is a slightly wobbly letter, 1 is hardly one.
    """
    if strength <= 0:
        return ink_hw
    h, w = ink_hw.shape
    field = [_smooth_noise((h, w), 0.2 * cap_px, rng) for _ in range(3)]
    reach = 0.11 * cap_px * strength
    yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
    moved = cv2.remap(ink_hw, xx + reach * field[0], yy + reach * field[1], cv2.INTER_LINEAR)
    soft = cv2.GaussianBlur(moved, (0, 0), max(0.3, 0.035 * cap_px * (0.4 + strength)))
    level = np.clip(0.45 + 0.1 * strength * field[2], 0.25, 0.65)
    return np.clip((soft - level) / 0.3 + 0.5, 0, 1).astype(np.float32)


def _smooth_noise(shape_hw: tuple[int, int], sigma: float, rng: Rng) -> Ink:
    noise = cv2.GaussianBlur(rng.standard_normal(shape_hw).astype(np.float32), (0, 0), sigma)
    return (noise / max(1e-6, float(noise.std()))).astype(np.float32)


def pseudo_letter(letter: str, font: ImageFont.FreeTypeFont, rng: Rng, alphabet: str) -> Ink:
    """A shape with a letter's weight and height that is no letter: mirrored, crossed with
    another, cut, or with strokes too many or too few."""
    size = int(font.size * 1.5), int(font.size * 2.2)
    base_y, x0 = int(1.4 * font.size), 0.25 * font.size

    def one(glyph: str) -> Ink:
        return _draw(glyph, font, x0, size, base_y)

    ink, cap = one(letter), _cap(font)
    middle = int(base_y - cap / 2)
    kind = rng.choice(["mirror", "cross", "flip", "strike", "gap", "overlay"])
    if kind in ("mirror", "flip"):
        ink = _turned(ink, base_y, cap, upside=kind == "flip")
    if kind == "cross":
        other = one(str(rng.choice(list(alphabet))))
        cut = middle + int(rng.integers(-int(cap / 6) - 1, int(cap / 6) + 1))
        ink = np.concatenate([other[:cut], ink[cut:]])
    if kind == "overlay":
        shift = int(rng.uniform(0.1, 0.3) * cap)
        ink = np.maximum(ink, np.roll(one(str(rng.choice(list("ilctrfJ")))), shift, 1))
    if kind == "strike" or rng.random() < 0.25:
        ink = np.maximum(ink, _stroke(ink, base_y, cap, rng))
    if kind == "gap" or rng.random() < 0.12:
        ink = ink * (1 - _blob(ink, cap, rng))
    return ink.astype(np.float32)


def _turned(ink: Ink, base_y: int, cap: float, *, upside: bool) -> Ink:
    xs = np.flatnonzero(ink.max(0) > 0.1)
    out = ink.copy()
    if upside:
        top = max(0, int(base_y - cap))
        out[top:base_y] = ink[top:base_y][::-1]
    elif len(xs):
        out[:, xs[0] : xs[-1] + 1] = ink[:, xs[0] : xs[-1] + 1][:, ::-1]
    return out


def _stem(ink: Ink) -> int:
    """Stroke width: twice the mean distance of ink pixels to paper, about."""
    solid = (ink > 0.5).astype(np.uint8)
    inside = cv2.distanceTransform(solid, cv2.DIST_L2, 3)[solid > 0]
    return max(1, int(3.2 * float(inside.mean()))) if inside.size else 1


def _stroke(ink: Ink, base_y: int, cap: float, rng: Rng) -> Ink:
    """A bent stroke of the letter's weight where none belongs."""
    xs = np.flatnonzero(ink.max(0) > 0.1)
    if not len(xs):
        return np.zeros_like(ink)
    lo, hi = np.array([xs[0], base_y - cap]), np.array([xs[-1], base_y])
    ends = rng.uniform(lo, hi, (3, 2))
    t = np.linspace(0, 1, 24)[:, None]
    curve = (1 - t) ** 2 * ends[0] + 2 * t * (1 - t) * ends[1] + t**2 * ends[2]
    canvas = np.zeros(ink.shape, np.uint8)
    cv2.polylines(canvas, [curve.astype(np.int32)], False, 255, _stem(ink), cv2.LINE_AA)
    return canvas.astype(np.float32) / 255


def _blob(ink: Ink, cap: float, rng: Rng) -> Ink:
    """A soft bite out of the ink."""
    ys, xs = np.nonzero(ink > 0.5)
    if not len(xs):
        return np.zeros_like(ink)
    k = int(rng.integers(len(xs)))
    yy, xx = np.mgrid[0 : ink.shape[0], 0 : ink.shape[1]]
    d = ((yy - ys[k]) ** 2 + (xx - xs[k]) ** 2) / (rng.uniform(0.08, 0.15) * cap) ** 2
    return (d < 1).astype(np.float32)


def garbled_line(text: str, font: ImageFont.FreeTypeFont, rng: Rng) -> Strip:
    """A line of pseudo-letters in the rhythm of `text`: most letters are wrong or broken, the
    spacing is uneven, neighbours fuse, and everything is melted together."""
    em = font.size
    size = (int(font.getlength(text) * 1.7 + 4 * em), int(2.2 * em))
    x, words = float(em), list[tuple[Ink, float]]()
    upper = text.upper() == text
    alphabet = "ABDEGHKMNRSTWRBSE" if upper else "abdeghkmnrstgaes"
    for word in text.split(" "):
        ink = np.zeros((size[1], size[0]), np.float32)
        for meant in word:
            kept = rng.random() < 0.2
            letter = str(rng.choice(list(alphabet))) if rng.random() < 0.4 else meant
            glyph = (
                _draw(letter, font, 0.25 * em, (int(1.5 * em), size[1]), int(1.4 * em))
                if kept
                else pseudo_letter(letter, font, rng, alphabet)
            )
            drop = int(rng.normal(0, 0.03) * em)
            at = int(x - 0.25 * em)
            ink[:, at : at + glyph.shape[1]] = np.maximum(
                ink[:, at : at + glyph.shape[1]], np.roll(glyph, drop, 0)
            )
            x += font.getlength(letter) * rng.uniform(0.72, 1.12)
        words.append((melt(ink, _cap(font), rng, rng.uniform(0.3, 0.7)), x))
        x += font.getlength(" ")
    return _assemble(words, _cap(font))


def smear_rows(columns: int, rows: int, font: ImageFont.FreeTypeFont, rng: Rng) -> Strip:
    """Rows of strokes that only imitate small print: nothing in them can be read."""
    em = font.size
    letters = list("aeionrstlumdch")
    inks: list[Ink] = []
    for _ in range(rows):
        count = int(columns * rng.uniform(0.6, 1.0))
        text = "".join(
            " " if rng.random() < 0.16 else str(rng.choice(letters)) for _ in range(count)
        ).strip()
        strip = garbled_line(" ".join(text.split()) or "ee", font, rng)
        ink = np.pad(strip.ink_hw, ((4, 4), (4, 4)))
        ink = melt(ink, strip.cap_px, rng, 1.3)
        inks.append(cv2.GaussianBlur(ink, (0, 0), 0.1 * em, sigmaY=0.04 * em))
    height, width = int(1.35 * em), max(ink.shape[1] for ink in inks)
    page = np.zeros((height * rows + em, width), np.float32)
    for row, ink in enumerate(inks):
        part = ink[: page.shape[0] - row * height]
        target = page[row * height : row * height + part.shape[0], : part.shape[1]]
        np.maximum(target, part, out=target)
    return _assemble([(page, 0.0)], _cap(font))
