"""Puts lettering on backgrounds and writes down what was done."""

from __future__ import annotations

import importlib.resources
import io
import tomllib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lettering_set import backgrounds as bg
from lettering_set import fonts, glyphs, scenes, textures, truth
from lettering_set.place import (
    Canvas,
    Placed,
    Quad,
    contrasting,
    fit,
    paint,
    side_lengths,
    sub_quad,
)
from lettering_set.place import Style as InkStyle
from lettering_set.spelling import misspell

Rng = np.random.Generator
GENERATED_PER_SPLIT = 30
NARROWEST_SLOT_PX = 230
THEMES: tuple[truth.Kind, ...] = (
    "misspelled", "garbled", "clean", "misspelled", "unreadable", "misspelled", "garbled",
    "clean", "misspelled", "unreadable", "misspelled", "garbled", "clean",
)  # fmt: skip
PROMPTS: tuple[truth.PromptKind, ...] = ("named", "unnamed", "named", "empty", "named", "unnamed")
SIGNS = {"ink": "painted letters", "cloth": "a print", "title": "a title", "plate": "a sign"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Host:
    """A background ready for lettering: `free` makes a fresh canvas of it."""

    name: str
    look: str
    canvas: Canvas
    slots: tuple[scenes.Slot, ...]
    what: str
    sign: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Line:
    """A unit with the strips to draw, in the picture and in its twin."""

    unit: truth.Unit
    strip: glyphs.Strip
    placed: Placed
    twin_strip: glyphs.Strip | None
    twin_placed: Placed | None
    style: InkStyle


def make_set(
    out_dir: Path, backgrounds: Path | None, seed: int, *, limit_per_split: int | None = None
) -> tuple[truth.Sample, ...]:
    """Write the set into out_dir: pictures, their clean twins and truth.jsonl.

    Args:
        out_dir: made if it does not exist.
        backgrounds: the folder of pool pictures; None leaves those surfaces out.
        seed: the same seed and backgrounds give the same bytes.
        limit_per_split: make only the first so many of each half.

    Returns:
        One sample a picture, dev first.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    samples: list[truth.Sample] = []
    for split in ("dev", "heldout"):
        hosts = [s for s in bg.surfaces() if s.split == split]
        hosts = [s for s in hosts if backgrounds is not None or not s.needs_pool]
        # Themes go round generated and natural backgrounds alike.
        plan: list[bg.Surface | int] = [*hosts, *range(GENERATED_PER_SPLIT)]
        rng = np.random.default_rng([seed, len(split)])
        order = rng.permutation(len(plan)).tolist()[:limit_per_split]
        count: dict[str, int] = {}
        for number, at in enumerate(order):
            theme = THEMES[number % len(THEMES)]
            count[theme] = count.get(theme, 0) + 1
            prompt_kind = PROMPTS[count[theme] % len(PROMPTS)]
            dice = np.random.default_rng([seed, len(split), number])
            host = _host(plan[at], split, backgrounds, dice)
            name = f"{split}_{number:03d}"
            samples.append(_picture(name, split, host, theme, prompt_kind, out_dir, dice))
    truth.write(tuple(samples), out_dir / "truth.jsonl")
    return tuple(samples)


def _host(item: bg.Surface | int, split: fonts.Split, pool: Path | None, rng: Rng) -> _Host:
    if isinstance(item, int):
        builders = scenes.BUILDERS[split]
        name = list(builders)[item % len(builders)]
        scene = builders[name](rng, bg.backdrop(split, int(rng.integers(5))))
        return _Host(
            name=f"generated/{name}",
            look="generated",
            canvas=scene.canvas.astype(np.float32),
            slots=scene.slots,
            what=scene.what,
            sign=scene.sign,
        )
    canvas, quad = bg.load_surface(item, pool, _long_side(item, rng))
    if item.look == "plate":
        board = textures.plaster(200, 400, rng, (0.93, 0.92, 0.88), 0.012)
        cv2.rectangle(board, (8, 8), (391, 191), (0.2, 0.25, 0.3), 4)
        scenes.mount(canvas, board * textures.gradient(200, 400, rng, 0.85), quad, shadow=0.35)
        quad = sub_quad(quad, 0.09, 0.15, 0.91, 0.85)
    width, height = side_lengths(quad)
    style = InkStyle(
        rgb=contrasting(canvas, quad, rng),
        opacity=0.9 if item.look == "cloth" else 0.96,
        shade={"title": 0.0, "plate": 0.6}.get(item.look, 0.9),
        blur_px=float(rng.uniform(0.4, 1.0)),
    )
    slot = scenes.Slot(quad_xy=quad, style=style, rows=2 if height > 0.3 * width else 1)
    return _Host(
        name=item.source,
        look=item.look,
        canvas=canvas,
        slots=(slot,),
        what=item.what,
        sign=SIGNS[item.look],
    )


def _long_side(surface: bg.Surface, rng: Rng) -> int:
    """A picture size at which a line of two words on the surface has capitals of 14 px or more."""
    wide, _ = side_lengths(surface.quad)
    part = max(surface.crop[2] - surface.crop[0], surface.crop[3] - surface.crop[1])
    return int(min(1280, max(rng.choice([640, 768, 960]), NARROWEST_SLOT_PX * part / wide)))


def _phrases(split: fonts.Split) -> tuple[list[str], list[str]]:
    text = (importlib.resources.files("lettering_set") / "words.toml").read_text("utf-8")
    table = tomllib.loads(text)[split]
    return list(table["phrases"]), list(table["names"])


def _rows(slot: scenes.Slot, rng: Rng, *, block: bool) -> list[Quad]:
    """Split a slot into the quads of its lines; a block of smears needs room below a line."""
    count = int(rng.integers(1, slot.rows + 1)) if not block else min(slot.rows, 2)
    if count == 1:
        return [slot.quad_xy]
    gap = 0.14 / count
    height = (1 - gap * (count - 1)) / count
    tops = [i * (height + gap) for i in range(count)]
    return [sub_quad(slot.quad_xy, 0.0, top, 1.0, top + height) for top in tops]


def _kinds(theme: truth.Kind, count: int, rng: Rng) -> list[truth.Kind]:
    """One unit has the picture's theme, the rest is clean; now and then two are wrong."""
    kinds: list[truth.Kind] = ["clean"] * count
    # Smears imitate the small print below a headline.
    kinds[-1 if theme == "unreadable" else int(rng.integers(count))] = theme
    if theme in ("misspelled", "garbled") and count > 1 and rng.random() < 0.25:
        kinds[int(rng.integers(count))] = theme
    return kinds


def _picture(
    name: str,
    split: fonts.Split,
    host: _Host,
    theme: truth.Kind,
    prompt_kind: truth.PromptKind,
    out_dir: Path,
    rng: Rng,
) -> truth.Sample:
    places = [
        (quad, slot)
        for slot in host.slots
        for quad in _rows(slot, rng, block=theme == "unreadable")
    ][:3]
    kinds = _kinds(theme, len(places), rng)
    phrases, names = _phrases(split)
    words = [str(w) for w in rng.permutation(phrases)[: len(places)]]
    face = fonts.faces_of(split)[int(rng.integers(len(fonts.faces_of(split))))]
    lines: list[_Line] = []
    for (quad, slot), kind, phrase in zip(places, kinds, words, strict=True):
        is_name = kind == "clean" and rng.random() < 0.25
        text = _cased(str(rng.choice(names)) if is_name else phrase, rng, keep=is_name)
        named = prompt_kind == "named"
        lines.append(_line(text, kind, face, quad, slot, rng, name=is_name, named=named))
    picture, twin = host.canvas.copy(), host.canvas.copy()
    for k, line in enumerate(lines):
        paint_seed = [int(rng.integers(1 << 30)), k]
        paint(picture, line.strip, line.placed, line.style, np.random.default_rng(paint_seed))
        if line.twin_strip is not None and line.twin_placed is not None:
            dice = np.random.default_rng(paint_seed)
            paint(twin, line.twin_strip, line.twin_placed, line.style, dice)
    codec = _codec(rng)
    develop_seed = int(rng.integers(1 << 30))
    suffix = ".png" if codec is None else ".jpg"
    file, twin_file = name + suffix, name + "_twin.png"
    _develop(picture, develop_seed, codec, out_dir / file)
    _develop(twin, develop_seed, codec, out_dir / twin_file)
    return truth.Sample(
        id=name,
        split=split,
        file=file,
        twin=twin_file,
        prompt=_prompt(host, [line.unit for line in lines], prompt_kind, rng),
        prompt_kind=prompt_kind,
        background=host.name,
        look=host.look,
        units=tuple(line.unit for line in lines),
    )


def _cased(text: str, rng: Rng, *, keep: bool) -> str:
    style = rng.random()
    if keep or style > 0.5:
        return text
    return text.upper() if style < 0.42 else text.lower()


def _line(
    text: str,
    kind: truth.Kind,
    face: fonts.Face,
    quad: Quad,
    slot: scenes.Slot,
    rng: Rng,
    *,
    name: bool,
    named: bool,
) -> _Line:
    font = fonts.load(face, 150)
    tracking = float(rng.uniform(0.03, 0.12)) if rng.random() < 0.2 else 0.0
    clean = glyphs.line(text, font, tracking=tracking)
    clean_placed = fit(clean, quad, align=slot.align)
    drawn, wrong_at, strip = text, -1, clean
    if kind == "misspelled":
        drawn, wrong_at = misspell(text, rng)
        strip = glyphs.line(drawn, font, tracking=tracking)
        if rng.random() < 0.3:
            ink = glyphs.melt(strip.ink_hw, strip.cap_px, rng, float(rng.uniform(0.1, 0.25)))
            strip = glyphs.Strip(ink_hw=ink, word_boxes=strip.word_boxes, cap_px=strip.cap_px)
    elif kind == "garbled":
        drawn, strip = "", glyphs.garbled_line(text, fonts.load(face, 90), rng)
    elif kind == "unreadable":
        wide, high = side_lengths(quad)
        rows = int(rng.integers(2, 4))
        columns = int(np.clip(wide / high * rows * 1.6, 10, 34))
        drawn, strip = "", glyphs.smear_rows(columns, rows, fonts.load(face, 40), rng)
    placed = fit(strip, quad, align=slot.align)
    known = kind in ("clean", "misspelled") or (kind == "garbled" and named)
    whole = _as_points(placed.quad_xy)
    wrong = {
        "clean": (),
        "misspelled": (_as_points(placed.word_quads_xy[wrong_at]),),
    }.get(kind, (whole,))
    unit = truth.Unit(
        kind=kind,
        drawn=drawn,
        intended=text if known else None,
        quad_xy=whole,
        wrong_quads_xy=wrong,
        wrong_words=(drawn.split(" ")[wrong_at],) if kind == "misspelled" else (),
        cap_px=round(placed.cap_px, 1),
        family=face.family,
        name=name,
    )
    return _Line(
        unit=unit,
        strip=strip,
        placed=placed,
        twin_strip=clean if known else None,
        twin_placed=clean_placed if known else None,
        style=slot.style,
    )


def _as_points(quad: Quad) -> truth.Points:
    return tuple((round(float(x), 2), round(float(y), 2)) for x, y in quad)


def _codec(rng: Rng) -> int | None:
    """JPEG quality, or None for PNG."""
    return int(rng.integers(62, 93)) if rng.random() < 0.4 else None


def _develop(canvas: Canvas, seed: int, jpeg_quality: int | None, path: Path) -> None:
    """A lens and a sensor: a little blur, a little noise, then the file."""
    rng = np.random.default_rng(seed)
    sigma = float(rng.choice([0.0, 0.35, 0.6]))
    out = cv2.GaussianBlur(canvas, (0, 0), sigma) if sigma else canvas
    grain = rng.standard_normal(canvas.shape, np.float32) * np.float32(rng.uniform(0.002, 0.012))
    pixels = np.clip((out + grain) * 255 + 0.5, 0, 255).astype(np.uint8)
    image = Image.fromarray(pixels)
    if jpeg_quality is None:
        image.save(path, compress_level=1)
        return
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=jpeg_quality)
    if path.suffix == ".jpg":
        path.write_bytes(buffer.getvalue())
    else:
        Image.open(buffer).save(path, compress_level=1)


def _prompt(host: _Host, units: list[truth.Unit], kind: truth.PromptKind, rng: Rng) -> str:
    if kind == "empty":
        return ""
    scene = str(rng.choice(["a photo of {}", "{}", "{}, highly detailed", "cinematic shot of {}"]))
    scene = scene.format(host.what)
    asked = [unit.intended for unit in units if unit.intended]
    if kind == "unnamed" or not asked:
        return scene
    quoted = " and ".join(f'"{text}"' for text in asked)
    forms = [
        f"{host.sign} that says {quoted}",
        f"{host.sign} with the words {quoted}",
        f"{host.sign} reading {quoted}",
    ]
    if len(asked) == 1:
        forms += [f"{host.sign} that says {asked[0].upper()}", f"the text {quoted} on it"]
    return f"{scene}, {rng.choice(forms)}"
