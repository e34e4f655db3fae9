"""Lettering as text-to-image models spoil it, on text that a picture has already.

Letters are found as connected blobs of ink, lifted off their ground, and put back changed.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.data.sample import BoolArray, FloatArray
from retoucher.data.synthetic.fields import blurred, difference, diffused, mix, noise_field, warp
from retoucher.data.synthetic.patch import Draft, Generator, Scene
from retoucher.data.synthetic.spots import SIGN


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Letter:
    """A blob of ink: corner in the window, and image as rgb (h, w, 3) and alpha (h, w)."""

    x: int
    y: int
    rgb: FloatArray
    alpha: FloatArray

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.alpha.shape[1], self.alpha.shape[0]


def find_letters(scene: Scene) -> tuple[list[Letter], FloatArray] | None:
    """Letters of the part from left to right, and the window without ink; None without letters."""
    box = scene.box
    ground = cv2.medianBlur(
        np.clip(scene.crop, 0, 255).astype(np.uint8), max(3, int(min(box.height, 80) * 0.6) | 1)
    )
    distance = difference(scene.crop, ground.astype(np.float32))
    inside = np.zeros(scene.size_hw, np.float32)
    inside[max(box.y0, 0) : box.y1, max(box.x0, 0) : box.x1] = 1
    distance = distance * inside
    level = max(float(np.percentile(distance[inside > 0], 97)) * 0.4, 22.0)
    ink: BoolArray = distance > level
    count, found = cv2.connectedComponents(ink.astype(np.uint8))
    labels = found.astype(np.int64)
    letters: list[Letter] = []
    alpha_all = blurred(cv2.dilate(ink.astype(np.float32), np.ones((3, 3), np.float32)), 0.7)
    for i, (rows, columns) in enumerate(_bounds(labels, min(count, 400)), 1):
        x, y, w, h = columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start
        area = int((labels[rows, columns] == i).sum())
        tall = 6 <= h <= 0.95 * box.height and w <= 0.5 * box.width and w <= 3.5 * h
        if not tall or area < 12:
            continue
        x0, y0 = max(x - 2, 0), max(y - 2, 0)
        x1, y1 = min(x + w + 2, scene.size_hw[1]), min(y + h + 2, scene.size_hw[0])
        own = (labels[y0:y1, x0:x1] == i).astype(np.float32)
        own = blurred(cv2.dilate(own, np.ones((3, 3), np.float32)), 0.7)
        letters.append(Letter(x=x0, y=y0, rgb=scene.crop[y0:y1, x0:x1], alpha=np.clip(own, 0, 1)))
    if len(letters) < 3:
        return None
    heights = np.array([letter.size_wh[1] for letter in letters])
    usual = float(np.median(heights))
    letters = [m for m in letters if 0.45 * usual < m.size_wh[1] < 2.2 * usual]
    if len(letters) < 3:
        return None
    hole = cv2.dilate(alpha_all, np.ones((5, 5), np.float32))
    bare = mix(scene.crop, np.clip(diffused(scene.crop, hole), 0, 255), np.clip(hole * 1.5, 0, 1))
    return sorted(letters, key=lambda m: (round(m.y / (usual * 1.2)), m.x)), bare


def _bounds(labels: NDArray[np.int64], count: int) -> list[tuple[slice, slice]]:
    """Rows and columns that labels 1 to count - 1 span, each of which occurs."""
    ys, xs = np.nonzero(labels)
    own = labels[ys, xs]
    low = np.full((2, int(labels.max()) + 1), 1 << 30)
    high = np.full((2, int(labels.max()) + 1), -1)
    for axis, values in enumerate((ys, xs)):
        np.minimum.at(low[axis], own, values)
        np.maximum.at(high[axis], own, values)
    return [
        (slice(int(low[0, i]), int(high[0, i]) + 1), slice(int(low[1, i]), int(high[1, i]) + 1))
        for i in range(1, count)
    ]


def stamp(out: FloatArray, letter: Letter, rgb: FloatArray, alpha: FloatArray) -> None:
    """Put a letter image over `out` with its centre where `letter` stood, in place."""
    h, w = alpha.shape
    cx, cy = letter.x + letter.size_wh[0] / 2, letter.y + letter.size_wh[1] / 2
    x0, y0 = round(cx - w / 2), round(cy - h / 2)
    a0, b0 = max(x0, 0), max(y0, 0)
    a1, b1 = min(x0 + w, out.shape[1]), min(y0 + h, out.shape[0])
    if a0 >= a1 or b0 >= b1:
        return
    cut = slice(b0 - y0, b1 - y0), slice(a0 - x0, a1 - x0)
    out[b0:b1, a0:a1] = mix(out[b0:b1, a0:a1], rgb[cut], alpha[cut])


def fitted(letter: Letter, like: Letter) -> tuple[FloatArray, FloatArray]:
    """The letter's image at the height of another, its own proportions kept; (rgb, alpha)."""
    height = like.size_wh[1]
    width = max(round(letter.size_wh[0] * height / letter.size_wh[1]), 2)
    width = min(width, 2 * like.size_wh[0] + 2)
    size = width, height
    rgb = cv2.resize(letter.rgb, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    alpha = cv2.resize(letter.alpha, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
    return rgb, alpha


def _crossbred(
    rng: np.random.Generator, letter: Letter, other: Letter
) -> tuple[FloatArray, FloatArray]:
    """A letter that is none: halves of two, or one mirrored, turned or with bent strokes."""
    rgb, alpha = letter.rgb.copy(), letter.alpha.copy()
    kind = int(rng.integers(4))
    if kind == 0:
        wh = letter.size_wh
        rgb2 = cv2.resize(other.rgb, wh, interpolation=cv2.INTER_LINEAR)
        alpha2 = cv2.resize(other.alpha, wh, interpolation=cv2.INTER_LINEAR)
        cut = int(wh[1] * rng.uniform(0.35, 0.65))
        rgb[cut:], alpha[cut:] = rgb2[cut:], alpha2[cut:]
    elif kind == 1:
        rgb, alpha = rgb[:, ::-1].copy(), alpha[:, ::-1].copy()
    elif kind == 2:
        rgb, alpha = rgb[::-1].copy(), alpha[::-1].copy()
    height = alpha.shape[0]
    amount = height * float(rng.uniform(0.05, 0.16))
    field = noise_field(rng, alpha.shape, max(height * 0.4, 3.0), amount)
    return warp(rgb, field), np.clip(warp(alpha, field), 0, 1)


def garbled_letters(scene: Scene) -> Draft | None:
    """Most letters replaced by strokes that look like letters and are none."""
    rng = scene.rng
    found = None if scene.part.name == SIGN else find_letters(scene)
    if found is None:
        return None
    letters, bare = found
    share = float(rng.uniform(0.5, 1.0))
    start = int(rng.integers(0, max(int(len(letters) * 0.4), 1)))
    stop = max(start + 3, int(len(letters) * float(rng.uniform(0.6, 1.0))))
    out = bare.copy()
    intent = np.zeros(scene.size_hw, np.float32)
    for i, letter in enumerate(letters):
        x0, y0, (w, h) = letter.x, letter.y, letter.size_wh
        if start <= i < stop:
            intent[max(y0 - 1, 0) : y0 + h + 1, max(x0 - 2, 0) : x0 + w + 2] = 1
        if start <= i < stop and rng.random() < share:
            other = letters[int(rng.integers(len(letters)))]
            rgb, alpha = _crossbred(rng, letter, other)
        else:
            rgb, alpha = letter.rgb, letter.alpha
        stamp(out, letter, rgb, alpha)
    return Draft(
        rgb=mix(scene.crop, out, intent),
        intent=_joined(intent, letters),
        words="lettering is garbled, its letters are no letters",
        strength=0.35 + 0.4 * share,
        whole=True,
    )


def melted_lettering(scene: Scene) -> Draft | None:
    """A line of text whose strokes swim."""
    rng, box = scene.rng, scene.box
    found = None if scene.part.name == SIGN else find_letters(scene)
    if found is None:
        return None
    letters, _ = found
    height = float(np.median([m.size_wh[1] for m in letters]))
    area = np.zeros(scene.size_hw, np.float32)
    area[max(box.y0, 0) : box.y1, max(box.x0, 0) : box.x1] = 1
    if rng.random() < 0.4:
        cut = int(box.x0 + box.width * rng.uniform(0.25, 0.5))
        area[:, slice(0, cut) if rng.random() < 0.5 else slice(cut, None)] = 0
    area = blurred(area, max(height * 0.15, 1.0))
    scale = max(height * float(rng.uniform(0.3, 0.6)), 2.5)
    field = noise_field(rng, scene.size_hw, scale, height * float(rng.uniform(0.09, 0.2)))
    out = warp(scene.crop, (field[0] * area, field[1] * area))
    return Draft(
        rgb=np.clip(out, 0, 255).astype(np.float32),
        intent=area,
        words="lettering is melted into illegible strokes",
        strength=0.55,
        whole=True,
    )


def swapped_letters(scene: Scene) -> Draft | None:
    """A word misspelled with its own letters: exchanged, doubled or replaced."""
    rng = scene.rng
    found = None if scene.part.name == SIGN else find_letters(scene)
    if found is None:
        return None
    letters, bare = found
    images = [(m.rgb, m.alpha) for m in letters]
    changed: set[int] = set()
    for _ in range(int(rng.integers(1, 4))):
        i = int(rng.integers(0, len(letters) - 1))
        j = i + 1 if rng.random() < 0.6 else int(rng.integers(0, len(letters)))
        gap = abs(letters[i].y - letters[j].y)
        if i == j or gap > letters[i].size_wh[1]:
            continue
        if rng.random() < 0.5:
            images[i] = fitted(letters[j], letters[i])
            images[j] = fitted(letters[i], letters[j])
            changed |= {i, j}
        else:
            images[i] = fitted(letters[j], letters[i])
            changed.add(i)
    if not changed:
        return None
    out = bare.copy()
    intent = np.zeros(scene.size_hw, np.float32)
    for i, (letter, (rgb, alpha)) in enumerate(zip(letters, images, strict=True)):
        stamp(out, letter, rgb, alpha)
        if i in changed:
            w, h = letter.size_wh
            x0, x1 = max(letter.x - w // 2, 0), letter.x + w + w // 2
            intent[max(letter.y - 2, 0) : letter.y + h + 2, x0:x1] = 1
    return Draft(
        rgb=mix(scene.crop, out, blurred(intent, 0.8)),
        intent=_joined(intent, [letters[i] for i in changed]),
        words="word is misspelled, letters are exchanged or doubled",
        strength=0.35 + 0.1 * len(changed),
        whole=True,
    )


def mirrored_words(scene: Scene) -> Draft | None:
    """A stretch of text that runs backwards."""
    rng, box = scene.rng, scene.box
    found = None if scene.part.name == SIGN else find_letters(scene)
    if found is None or box.width < 2 * box.height * 0.8:
        return None
    x0, x1 = box.x0, box.x1
    if rng.random() < 0.5:
        x0 = int(box.x0 + box.width * rng.uniform(0, 0.3))
        x1 = int(box.x1 - box.width * rng.uniform(0, 0.3))
    x0, y0, y1 = max(x0, 0), max(box.y0, 0), box.y1
    out = scene.crop.copy()
    out[y0:y1, x0:x1] = out[y0:y1, x0:x1][:, ::-1]
    alpha = np.zeros(scene.size_hw, np.float32)
    alpha[y0:y1, x0:x1] = 1
    return Draft(
        rgb=mix(scene.crop, out, blurred(alpha, 1.2)),
        intent=alpha,
        words="lettering is mirrored",
        strength=0.6,
        whole=True,
    )


def _joined(intent: FloatArray, letters: list[Letter]) -> FloatArray:
    """Marks on single letters grown into marks on words and lines."""
    height = float(np.median([m.size_wh[1] for m in letters]))
    reach = max(math.ceil(height * 0.5), 2)
    kernel = np.ones((max(reach // 2, 1), 2 * reach + 1), np.uint8)
    closed = cv2.morphologyEx((intent > 0.5).astype(np.uint8), cv2.MORPH_CLOSE, kernel)
    return closed.astype(np.float32)


LETTERING_GENERATORS: tuple[Generator, ...] = (
    Generator.of("text_garbled", garbled_letters, "text", margin=0.05, weight=2.0),
    Generator.of("text_garbled", melted_lettering, "text", margin=0.05),
    Generator.of("text_wrong", swapped_letters, "text", margin=0.05),
    Generator.of("text_wrong", mirrored_words, "text", margin=0.05, weight=0.4),
)
