"""The faces that ship with the tool, and lines of text set in them."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from retoucher.tools.typography.raster import affine

FloatArray = NDArray[np.float32]
PAD_PX = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """One shipped face; see fonts/FONTS.md.

    Attributes:
        file: in `retoucher.tools/fonts`.
        name: family and style.
        kind: sans, condensed, geometric, humanist, rounded, slab, serif, didone, mono, script,
            hand, marker, comic or stencil.
        weight: 100 to 900, as the family counts.
        italic: slanted by design.
        caps_only: small letters look like capitals.
        commonness: 0 to 1, breaks ties between faces that fit alike.
    """

    file: str
    name: str
    kind: str
    weight: int
    italic: bool
    caps_only: bool
    commonness: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Line:
    """A line of text as glyph images, before it is spaced and placed.

    Attributes:
        glyphs: coverage 0 to 1, float32 (h, w), one per character.
        lefts, tops: of each glyph image, in px from the pen's start and the baseline.
        size_px: of the em.
    """

    glyphs: tuple[FloatArray, ...]
    lefts: tuple[float, ...]
    tops: tuple[int, ...]
    size_px: float

    @property
    def top(self) -> int:
        """Highest inked row above the baseline (negative is up)."""
        return min(t for t, g in zip(self.tops, self.glyphs, strict=True) if g.size)

    @property
    def bottom(self) -> int:
        return max(t + g.shape[0] for t, g in zip(self.tops, self.glyphs, strict=True) if g.size)

    @property
    def gaps(self) -> int:
        return max(0, len(self.glyphs) - 1)

    def lefts_at(self, stretch: float, tracking_px: float) -> list[float]:
        """Left end of each glyph's image when stretched and spaced, in px from the pen's start."""
        return [x * stretch + i * tracking_px for i, x in enumerate(self.lefts)]

    def extent(self, stretch: float, tracking_px: float) -> tuple[float, float]:
        """Left and right end of the ink, in px from the pen's start."""
        spans = [
            (x, x + g.shape[1] * stretch)
            for x, g in zip(self.lefts_at(stretch, tracking_px), self.glyphs, strict=True)
            if g.size
        ]
        return min(a for a, _ in spans), max(b for _, b in spans)


@cache
def faces() -> tuple[Face, ...]:
    """All shipped faces, in the order of the table."""
    text = (resources.files("retoucher.tools") / "fonts" / "fonts.toml").read_text("utf-8")
    return tuple(Face(**row) for row in tomllib.loads(text)["face"])


@cache
def _font_bytes(file: str) -> bytes:
    return (resources.files("retoucher.tools") / "fonts" / file).read_bytes()


@lru_cache(maxsize=64)
def _font(file: str, size_px: float) -> ImageFont.FreeTypeFont:
    # Basic layout needs no Raqm, so that glyphs lie alike on every system.
    basic = ImageFont.Layout.BASIC
    return ImageFont.truetype(BytesIO(_font_bytes(file)), size_px, layout_engine=basic)


@cache
def _has_glyph(file: str, char: str) -> bool:
    font = _font(file, 32.0)
    return _pixels(font, char) != _pixels(font, "\uffff")


def _pixels(font: ImageFont.FreeTypeFont, char: str) -> bytes:
    image = Image.new("L", (64, 64))
    ImageDraw.Draw(image).text((16, 48), char, fill=255, font=font, anchor="ls")
    return image.tobytes()


def supports(face: Face, text: str) -> bool:
    """True where the face has a glyph for every character."""
    return all(char.isspace() or _has_glyph(face.file, char) for char in text)


@lru_cache(maxsize=4096)
def _glyph(file: str, char: str, size_px: float) -> tuple[FloatArray, int, int]:
    """Coverage of one glyph, and its left and top from the pen on the baseline."""
    font = _font(file, size_px)
    x0, y0, x1, y1 = font.getbbox(char, anchor="ls")
    left, top = int(np.floor(x0)), int(np.floor(y0))
    w, h = int(np.ceil(x1)) - left, int(np.ceil(y1)) - top
    if char.isspace() or w <= 0 or h <= 0:
        return np.zeros((0, 0), np.float32), 0, 0
    image = Image.new("L", (w + 1, h))
    ImageDraw.Draw(image).text((-left, -top), char, fill=255, font=font, anchor="ls")
    return np.asarray(image, np.float32) / np.float32(255), left, top


@lru_cache(maxsize=4096)
def _advance(file: str, pair: str, size_px: float) -> float:
    """From the pen of a pair's first character to that of its second, kerning included."""
    font = _font(file, size_px)
    return font.getlength(pair) - font.getlength(pair[1])


@lru_cache(maxsize=1024)
def size_for(face: Face, text: str, height_px: float) -> float:
    """Size of the em, to a quarter pixel, at which the text's ink is this high."""
    _, top, _, bottom = _font(face.file, 200.0).getbbox(text, anchor="ls")
    return max(2.0, round(4 * 200.0 * height_px / max(1.0, bottom - top)) / 4)


@lru_cache(maxsize=256)
def set_line(face: Face, text: str, size_px: float) -> Line:
    """Text in a face at a size, kerned, unspaced."""
    glyphs: list[FloatArray] = []
    lefts: list[float] = []
    tops: list[int] = []
    pen = 0.0
    for i, char in enumerate(text):
        image, left, top = _glyph(face.file, char, size_px)
        glyphs.append(image)
        lefts.append(pen + left)
        tops.append(top)
        if i + 1 < len(text):
            pen += _advance(face.file, text[i : i + 2], size_px)
    return Line(glyphs=tuple(glyphs), lefts=tuple(lefts), tops=tuple(tops), size_px=size_px)


def paint(
    line: Line, lefts: Sequence[float], *, stretch: float
) -> tuple[FloatArray, tuple[float, float]]:
    """Coverage of a line whose glyphs stand at given places.

    Args:
        line: the glyphs.
        lefts: left end of each glyph's image, in px from the pen's start (`Line.lefts_at`).
        stretch: horizontal scale.

    Returns:
        float32 (h, w) in 0..1 with a border of `PAD_PX`, and (x, y) of pen start and baseline.
    """
    inked = [(x, g.shape[1]) for x, g in zip(lefts, line.glyphs, strict=True) if g.size]
    left, right = min(x for x, _ in inked), max(x + w * stretch for x, w in inked)
    top = line.top
    origin = PAD_PX - np.floor(left)
    w = int(np.ceil(right) - np.floor(left)) + 2 * PAD_PX + 2
    h = line.bottom - top + 2 * PAD_PX
    out = np.zeros((h, w), np.float32)
    for glyph, x, y in zip(line.glyphs, lefts, line.tops, strict=True):
        if not glyph.size:
            continue
        at = x + origin
        cell = int(np.floor(at))
        gw = int(np.ceil(glyph.shape[1] * stretch)) + 2
        matrix = np.array([[stretch, 0, at - cell + (stretch - 1) / 2], [0, 1, 0]], np.float64)
        moved = affine(glyph, matrix, (glyph.shape[0], gw))
        row = y - top + PAD_PX
        part = out[row : row + glyph.shape[0], cell : cell + gw]
        np.maximum(part, moved[:, : part.shape[1]], out=part)
    return out, (float(origin), float(PAD_PX - top))
