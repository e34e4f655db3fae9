"""A window of a picture to work in, and what a generator hands back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

import cv2
import numpy as np

from retoucher.data.sample import BoolArray, CleanPart, FloatArray, Part, RgbArray
from retoucher.data.synthetic.fields import blurred, difference, mix
from retoucher.domain.geometry import Box


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """What a generator works on.

    Attributes:
        rng: the only source of chance.
        rgb: the whole picture, never written to.
        part: the clean part to spoil.
        window: the part's box with a margin, inside the picture.
        crop: float32 (h, w, 3) in 0..255, a copy of the picture inside `window`.
        points: the part's landmarks in the window's pixels, or None.
    """

    rng: np.random.Generator
    rgb: RgbArray
    part: CleanPart
    window: Box
    crop: FloatArray
    points: FloatArray | None

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.window.height, self.window.width

    @property
    def box(self) -> Box:
        """The part's box in the window's pixels."""
        return self.part.box.shift(-self.window.x0, -self.window.y0)

    @property
    def side_px(self) -> float:
        """Geometric mean of the part's sides."""
        return self.part.box.area_px**0.5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Draft:
    """A generator's result inside the scene's window.

    Attributes:
        rgb: float32 (h, w, 3) in 0..255.
        intent: float32 (h, w) in [0, 1], where the generator changed something on purpose. Pixels
            outside keep the picture's values.
        words: what is wrong.
        strength: 0 to 1, how glaring the generator meant it to be.
        whole: True where the mark is the whole area of `intent`, False where it is the part of it
            that visibly changed.
    """

    rgb: FloatArray
    intent: FloatArray
    words: str
    strength: float = 0.5
    whole: bool = False
    twin: FloatArray | None = None
    prompt: str = ""


class Make(Protocol):
    """A function that drafts one defect, or None where this part does not suit it."""

    @property
    def __name__(self) -> str: ...

    def __call__(self, scene: Scene, /) -> Draft | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Generator:
    """One way to spoil a part.

    Attributes:
        name: unique; stands in the sample's id.
        category: the defect it makes.
        parts: kinds of parts it works on.
        make: returns None where this part does not suit it.
        needs_points: works only on parts with landmarks.
        margin: of the window around the part, over the part's sides.
        weight: relative frequency within its category.
        min_side_px: smallest part it works on.
    """

    name: str
    category: str
    parts: tuple[Part, ...]
    make: Make
    needs_points: bool = False
    margin: float = 0.35
    weight: float = 1.0
    min_side_px: float = 20.0

    @classmethod
    def of(
        cls,
        category: str,
        make: Make,
        *parts: Part,
        points: bool = False,
        margin: float = 0.35,
        weight: float = 1.0,
        min_side_px: float = 20.0,
    ) -> Generator:
        """A generator named like its function; see the attributes for the arguments."""
        return cls(
            name=make.__name__,
            category=category,
            parts=parts,
            make=make,
            needs_points=points,
            margin=margin,
            weight=weight,
            min_side_px=min_side_px,
        )

    def suits(self, part: CleanPart) -> bool:
        """True where the part is of the right kind and large enough."""
        return (
            part.part in self.parts
            and part.box.area_px**0.5 >= self.min_side_px
            and (not self.needs_points or part.points_xy is not None)
        )


def open_scene(
    rng: np.random.Generator, rgb: RgbArray, part: CleanPart, margin: float
) -> Scene | None:
    """The window around a part; None where the part lies outside the picture."""
    box = part.box
    dx, dy = round(box.width * margin) + 4, round(box.height * margin) + 4
    grown = Box(box.x0 - dx, box.y0 - dy, box.x1 + dx, box.y1 + dy)
    window = grown.clip(rgb.shape[0], rgb.shape[1])
    if window is None or box.intersection(window) is None:
        return None
    points = None
    if part.points_xy is not None:
        points = (part.points_xy - np.array([window.x0, window.y0])).astype(np.float32)
    crop = rgb[window.slices].astype(np.float32)
    return Scene(rng=rng, rgb=rgb, part=part, window=window, crop=crop, points=points)


def visible_change(before: FloatArray, after: FloatArray, threshold: float) -> BoolArray:
    """Where two windows (h, w, 3) differ so much that a person sees it; bool (h, w)."""
    return blurred(difference(before, after), 1.5) > threshold


def hull(mask: BoolArray) -> BoolArray:
    """Convex hull of each component, unless it is so bent that the hull is mostly air."""
    found, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    out = np.zeros(mask.shape, np.uint8)
    for contour in found:
        convex = cv2.convexHull(contour)
        if cv2.contourArea(convex) <= 1.6 * max(cv2.contourArea(contour), 1.0):
            cv2.fillConvexPoly(out, convex, 1)
        else:
            cv2.drawContours(out, [contour], -1, 1, cv2.FILLED)
    return out.astype(bool)


def marked(scene: Scene, draft: Draft) -> BoolArray | None:
    """The defect's mask in the window, or None where too little changed to be a defect."""
    intent = draft.intent > 0.3
    wanted = int(intent.sum())
    if not wanted:
        return None
    reference = scene.crop if draft.twin is None else draft.twin
    changed = visible_change(reference, draft.rgb, 11.0) & (draft.intent > 0.05)
    if changed.sum() < max(0.12 * wanted, 24):
        return None
    if draft.whole:
        return intent
    reach = max(round(0.08 * scene.side_px), 2)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    closed = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    count, labels = cv2.connectedComponents(closed)
    if count < 2:
        return None
    components = labels.astype(np.int64)
    areas = np.bincount(components.ravel(), minlength=count)
    areas[0] = 0
    keep = areas >= max(0.15 * int(areas.max()), 12)
    return hull(keep[components])


def confined(scene: Scene, draft: Draft, mask: BoolArray) -> Draft:
    """The draft without what it changed away from its mask, where no label would say so."""
    reach = max(round(0.06 * scene.side_px), 3)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    near = blurred(cv2.dilate(mask.astype(np.float32), kernel), reach / 3)
    reference = scene.crop if draft.twin is None else draft.twin
    return replace(draft, rgb=mix(reference, draft.rgb, near))
