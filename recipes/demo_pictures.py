"""Makes the pictures that `retouch demo` repairs: src/retoucher/demo/*.

Run from the repository's root with the extra `bench` installed:

    python recipes/demo_pictures.py

Everything is drawn by code, on code or on pictures of the openpeople package (MIT). The prompts are
embedded as generators embed them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, PngImagePlugin

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))

from lettering_set import backgrounds, fonts, glyphs, place, scenes, textures  # noqa: E402

OUT = ROOT / "src" / "retoucher" / "demo"
NEGATIVE = "blurry, watermark, lowres"
Canvas = place.Canvas
Chunks = dict[str, str]


def face(family: str) -> fonts.Face:
    """The first face of a family of the test set."""
    return next(f for f in fonts.faces() if f.family == family)


def letter(
    canvas: Canvas,
    text: str,
    family: str,
    quad: place.Quad,
    style: place.Style,
    *,
    garble_seed: int | None = None,
    max_cap_px: float = 118.0,
) -> None:
    """Draw a line into a quad, in place; with a garble seed it becomes pseudo-letters."""
    font = fonts.load(face(family), 140)
    rng = np.random.default_rng(garble_seed)
    strip = glyphs.line(text, font) if garble_seed is None else glyphs.garbled_line(text, font, rng)
    placed = place.fit(strip, quad)
    if placed.cap_px > max_cap_px:
        placed = place.fit(strip, quad, fill=max_cap_px / placed.cap_px)
    place.paint(canvas, strip, placed, style, np.random.default_rng(1))


def develop(canvas: Canvas, width: int, grain: float = 0.0, seed: int = 0) -> Image.Image:
    """Scale to the final width and round to bytes, with a little sensor grain."""
    height = round(canvas.shape[0] * width / canvas.shape[1])
    small = cv2.resize(canvas, (width, height), interpolation=cv2.INTER_AREA)
    noise = np.random.default_rng(seed).standard_normal(small.shape) * grain
    return Image.fromarray(np.clip((small + noise) * 255 + 0.5, 0, 255).astype(np.uint8))


def a1111(prompt: str, size: tuple[int, int], seed: int) -> str:
    """The `parameters` text of A1111 and Forge."""
    return (
        f"{prompt}\nNegative prompt: {NEGATIVE}\n"
        "Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 6.5, "
        f"Seed: {seed}, Size: {size[0]}x{size[1]}, Model hash: 31e35c80fc, Model: sd_xl_base_1.0, "
        "Version: v1.9.4"
    )


def comfy(prompt: str, size: tuple[int, int], seed: int) -> Chunks:
    """The `prompt` (API graph) and `workflow` texts of ComfyUI."""

    def text(words: str) -> dict[str, object]:
        return {"class_type": "CLIPTextEncode", "inputs": {"text": words, "clip": ["4", 1]}}

    graph = {
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": seed, "steps": 25, "cfg": 6.0, "sampler_name": "dpmpp_2m",
                "scheduler": "karras", "denoise": 1.0, "model": ["4", 0],
                "positive": ["6", 0], "negative": ["7", 0], "latent_image": ["5", 0],
            },
        },
        "4": {
            "class_type": "CheckpointLoaderSimple",
            "inputs": {"ckpt_name": "sd_xl_base_1.0.safetensors"},
        },
        "5": {
            "class_type": "EmptyLatentImage",
            "inputs": {"width": size[0], "height": size[1], "batch_size": 1},
        },
        "6": text(prompt),
        "7": text(NEGATIVE),
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {
            "class_type": "SaveImage",
            "inputs": {"filename_prefix": "poster", "images": ["8", 0]},
        },
    }  # fmt: skip
    workflow = {"last_node_id": 9, "last_link_id": 0, "nodes": [], "links": [], "version": 0.4}
    return {"prompt": json.dumps(graph), "workflow": json.dumps(workflow)}


def save_png(image: Image.Image, name: str, chunks: Chunks) -> None:
    """With text chunks, as most generators write them."""
    info = PngImagePlugin.PngInfo()
    for key, value in chunks.items():
        info.add_text(key, value)
    image.save(OUT / name, "PNG", pnginfo=info, optimize=True)


def save_jpeg(image: Image.Image, name: str, parameters: str, quality: int) -> None:
    """With the parameters in Exif UserComment, as A1111 writes them."""
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\x00" + parameters.encode("utf-16-be")
    image.save(OUT / name, "JPEG", quality=quality, exif=exif)


def shop_sign() -> None:
    """One line wrong, one right; A1111."""
    rng = np.random.default_rng(6)
    scene = scenes.shopfront(rng, backgrounds.backdrop("dev", 3))
    canvas = scene.canvas.astype(np.float32)
    letter(canvas, "BAKREY", "Source Serif Pro", scene.slots[0].quad_xy, scene.slots[0].style)
    letter(canvas, "Open Daily", "Lato", scene.slots[1].quad_xy, scene.slots[1].style)
    image = develop(cv2.GaussianBlur(canvas, (0, 0), 0.7), 640)
    prompt = 'photo of a small shop, sign that says "BAKERY", "Open Daily" on the window'
    save_png(image, "shop_sign.png", {"parameters": a1111(prompt, image.size, 2171)})


def poster() -> None:
    """One wrong word beside a right one; ComfyUI."""
    rng = np.random.default_rng(3)
    scene = scenes.poster(rng, backgrounds.backdrop("dev", 0))
    canvas = cv2.GaussianBlur(scene.canvas.astype(np.float32), (0, 0), 1.2)
    letter(canvas, "SUMMER FESTVIAL", "Roboto", scene.slots[0].quad_xy, scene.slots[0].style)
    letter(canvas, "Mountain Lake", "Roboto", scene.slots[1].quad_xy, scene.slots[1].style)
    image = develop(canvas, 512)
    prompt = 'vintage travel poster of hills, title "SUMMER FESTIVAL", below it "Mountain Lake"'
    save_png(image, "poster.png", comfy(prompt, image.size, 90210))


def jar_label() -> None:
    """A garbled word whose intention the prompt names; InvokeAI."""
    rng = np.random.default_rng(3)
    scene = scenes.jar_label(rng, backgrounds.backdrop("heldout", 3))
    canvas = cv2.GaussianBlur(scene.canvas.astype(np.float32), (0, 0), 0.9)
    slot = scene.slots[0]
    top = place.sub_quad(slot.quad_xy, 0.0, 0.05, 1.0, 0.48)
    low = place.sub_quad(slot.quad_xy, 0.12, 0.6, 0.88, 0.92)
    letter(canvas, "Orange", "Source Serif Pro", top, slot.style, garble_seed=4)
    letter(canvas, "Marmalade", "Source Serif Pro", low, slot.style)
    image = develop(canvas, 480)
    meta = {
        "positive_prompt": 'a jar on a table, label with the words "Orange" and "Marmalade"',
        "negative_prompt": NEGATIVE,
        "width": image.size[0],
        "height": image.size[1],
        "seed": 77,
    }
    save_png(image, "jar_label.png", {"invokeai_metadata": json.dumps(meta)})


def _person(source: str, width: int) -> tuple[Canvas, backgrounds.Surface, place.Quad]:
    surface = next(s for s in backgrounds.surfaces() if s.source == source)
    canvas, quad = backgrounds.load_surface(surface, None, width)
    return canvas, surface, quad


def shirt() -> None:
    """Right lettering: nothing may change."""
    canvas, surface, quad = _person("openpeople/P002/amateur_posture", 1000)
    style = place.Style(rgb=(0.1, 0.2, 0.4), opacity=0.9, shade=0.9, blur_px=0.7)
    letter(canvas, "Mountain", "Lato", place.sub_quad(quad, 0.12, 0, 0.88, 0.46), style)
    letter(canvas, "Rescue", "Lato", place.sub_quad(quad, 0.2, 0.54, 0.8, 1), style)
    image = develop(canvas, 640)
    prompt = f'{surface.what}, printed with the words "Mountain Rescue"'
    save_jpeg(image, "shirt.jpg", a1111(prompt, image.size, 41), 90)


def portrait() -> None:
    """No lettering at all: nothing may change."""
    surface = next(
        s for s in backgrounds.surfaces() if s.source == "openpeople/P009/amateur_selfie"
    )
    canvas, _ = backgrounds.load_surface(surface, None, 1000)
    image = develop(canvas, 400)
    save_jpeg(
        image, "portrait.jpg", a1111("selfie of a woman in a grey T-shirt", image.size, 8), 88
    )


def road_sign() -> None:
    """A JPEG with a doubled letter; A1111 in Exif."""
    rng = np.random.default_rng(21)
    scene = scenes.road_sign(rng, backgrounds.backdrop("heldout", 0))
    canvas = scene.canvas.astype(np.float32)
    quad = scene.slots[0].quad_xy
    letter(
        canvas,
        "RIVER",
        "Red Hat Display",
        place.sub_quad(quad, 0.1, 0.05, 0.9, 0.46),
        scene.slots[0].style,
        max_cap_px=64,
    )
    letter(
        canvas,
        "STREEET",
        "Red Hat Display",
        place.sub_quad(quad, 0.1, 0.54, 0.9, 0.95),
        scene.slots[0].style,
        max_cap_px=64,
    )
    image = develop(canvas, 640, grain=0.008, seed=2)
    prompt = "street in a park in the afternoon, road sign that says RIVER STREET"
    save_jpeg(image, "road_sign.jpg", a1111(prompt, image.size, 1234), 86)


def sticker() -> None:
    """With alpha: a round sticker on nothing."""
    side = 720
    canvas = textures.plaster(side, side, np.random.default_rng(6), (0.96, 0.75, 0.2), 0.004)
    middle = (side // 2, side // 2)
    cv2.circle(canvas, middle, 340, (0.99, 0.98, 0.95), 18, cv2.LINE_AA)
    style = place.Style(rgb=(0.35, 0.12, 0.08), shade=0.1, blur_px=0.7)
    square = np.array([[0.16, 0.3], [0.84, 0.3], [0.84, 0.7], [0.16, 0.7]]) * side
    letter(canvas, "GOOD", "Fredoka One", place.sub_quad(square, 0.1, 0, 0.9, 0.46), style)
    letter(canvas, "MORNNIG", "Fredoka One", place.sub_quad(square, 0, 0.56, 1, 1), style)
    alpha = np.zeros((side, side), np.uint8)
    cv2.circle(alpha, middle, 352, 255, -1, cv2.LINE_AA)
    image = develop(canvas, 480)
    image.putalpha(Image.fromarray(alpha).resize(image.size, Image.Resampling.LANCZOS))
    comment = {
        "prompt": 'round sticker with the text "GOOD MORNING", flat design',
        "uc": NEGATIVE,
        "steps": 28,
    }
    chunks = {
        "Software": "NovelAI",
        "Description": comment["prompt"],
        "Comment": json.dumps(comment),
    }
    save_png(image, "sticker.png", {k: str(v) for k, v in chunks.items()})


def chalkboard() -> None:
    """A garbled line that no prompt explains: it can only be removed."""
    rng = np.random.default_rng(9)
    scene = scenes.chalkboard(rng, backgrounds.backdrop("heldout", 3))
    canvas = scene.canvas.astype(np.float32)
    slot = scene.slots[0]
    letter(
        canvas, "Fresh Soup", "Amatic SC", place.sub_quad(slot.quad_xy, 0, 0.05, 1, 0.4), slot.style
    )
    letter(
        canvas,
        "organic",
        "Source Serif Pro",
        place.sub_quad(slot.quad_xy, 0.15, 0.58, 0.85, 0.84),
        slot.style,
        garble_seed=12,
    )
    image = develop(cv2.GaussianBlur(canvas, (0, 0), 0.6), 560)
    meta = {
        "sui_image_params": {
            "prompt": "a cafe interior with a menu board",
            "negativeprompt": NEGATIVE,
            "seed": 3,
            "steps": 20,
        }
    }
    save_png(image, "chalkboard.png", {"parameters": json.dumps(meta)})


PICTURES: tuple[Callable[[], None], ...] = (
    shop_sign, poster, jar_label, shirt, portrait, road_sign, sticker, chalkboard,
)  # fmt: skip


def main() -> None:
    """Make all pictures."""
    OUT.mkdir(parents=True, exist_ok=True)
    for make in PICTURES:
        make()
    total = sum(path.stat().st_size for path in OUT.glob("*.[pj][np]g"))
    print(f"{len(PICTURES)} pictures, {total / 1e6:.2f} MB, in {OUT}")


if __name__ == "__main__":
    main()
