"""Where backgrounds come from: the pool folder when there is one, and two packages always."""

from __future__ import annotations

import importlib.resources
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from lettering_set.fonts import Split
from lettering_set.place import Canvas, Quad


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Surface:
    """A place in a picture that could carry lettering; see surfaces.toml."""

    split: Split
    source: str
    what: str
    look: str
    crop: tuple[float, float, float, float]
    quad: Quad

    @property
    def needs_pool(self) -> bool:
        return self.source.startswith(("coco/", "gpt4o/"))


@cache
def surfaces() -> tuple[Surface, ...]:
    text = (importlib.resources.files("lettering_set") / "surfaces.toml").read_text("utf-8")
    return tuple(
        Surface(
            split=row["split"],
            source=row["source"],
            what=row["what"],
            look=row["look"],
            crop=tuple(row.get("crop", (0.0, 0.0, 1.0, 1.0))),
            quad=np.array(row["quad"], float),
        )
        for row in tomllib.loads(text)["surface"]
    )


def locate(source: str, pool: Path | None) -> Path:
    """The file behind a source name.

    Raises:
        FileNotFoundError: if the pool folder or the package lacks it.
    """
    kind, _, rest = source.partition("/")
    if kind == "openpeople":
        person, asset = rest.split("/")
        root = Path(str(importlib.resources.files("openpeople")))
        return root / "data" / "curated" / person / "assets" / f"{asset}.jpg"
    if kind == "skimage":
        return Path(str(importlib.resources.files("skimage"))) / "data" / rest
    if pool is None:
        raise FileNotFoundError(f"{source}: needs the pool of pictures (--data)")
    if kind == "coco":
        return pool / f"coco_{int(rest):012d}.jpg"
    found = sorted(pool.glob(f"gpt4o_{rest}_*"))
    if not found:
        raise FileNotFoundError(f"{source}: no such picture in {pool}")
    return found[0]


def load_surface(surface: Surface, pool: Path | None, long_side: int) -> tuple[Canvas, Quad]:
    """The cropped picture at this size, float32 in 0..1, and the surface's quad in its pixels."""
    with Image.open(locate(surface.source, pool)) as im:
        w, h = im.size
        x0, y0, x1, y1 = surface.crop
        box = round(x0 * w), round(y0 * h), round(x1 * w), round(y1 * h)
        part = im.convert("RGB").crop(box)
    scale = long_side / max(part.size)
    size = round(part.width * scale), round(part.height * scale)
    rgb = np.asarray(part.resize(size, Image.Resampling.LANCZOS), np.float32) / 255
    quad = (surface.quad * np.array([w, h]) - np.array(box[:2])) * scale
    return rgb.copy(), quad


PHOTOS: dict[Split, tuple[tuple[str, tuple[float, float, float, float]], ...]] = {
    "dev": (
        ("openpeople/P001/amateur_posture", (0.0, 0.0, 0.32, 0.45)),
        ("openpeople/P002/amateur_posture", (0.62, 0.0, 1.0, 0.5)),
        ("openpeople/P003/amateur_posture", (0.0, 0.1, 0.35, 0.6)),
        ("openpeople/P001/amateur_selfie", (0.0, 0.1, 0.32, 0.5)),
        ("skimage/motorcycle_left.png", (0.0, 0.0, 1.0, 1.0)),
    ),
    "heldout": (
        ("openpeople/P007/amateur_posture", (0.0, 0.0, 0.35, 0.5)),
        ("openpeople/P010/amateur_posture", (0.62, 0.0, 1.0, 0.5)),
        ("openpeople/P006/amateur_posture", (0.65, 0.3, 1.0, 0.8)),
        ("openpeople/P008/amateur_selfie", (0.62, 0.05, 1.0, 0.45)),
        ("skimage/coffee.png", (0.0, 0.0, 1.0, 1.0)),
    ),
}


@cache
def backdrop(split: Split, index: int) -> Canvas:
    """A part of a photograph without lettering, to stand out of focus behind a sign."""
    source, (x0, y0, x1, y1) = PHOTOS[split][index % len(PHOTOS[split])]
    with Image.open(locate(source, None)) as im:
        w, h = im.size
        part = im.convert("RGB").crop((int(x0 * w), int(y0 * h), int(x1 * w), int(y1 * h)))
    rgb = np.asarray(part, np.float32) / 255
    scale = 700 / max(rgb.shape[:2])
    return cv2.resize(rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
