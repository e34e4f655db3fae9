"""Edits of parts while training: parts that change places, and parts that are bent.

Real labels confound the generator with the defect: most hands of an old generator are wrong, most
of a new one's are right. A part that is swapped for one of another picture, right or wrong at even
odds, takes its label along and breaks that bond; the seam says nothing, as both kinds have it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import RgbArray
from retoucher.data.sample import CleanPart, LabelledRegion, Part, Sample
from retoucher.domain.geometry import Box

Random = np.random.Generator
_MARGIN = 0.15
_MIN_SIDE_PX = 16
_VISIBLE_CHANGE = 6.0
"""Mean grey levels that bending must change: a bent plain surface is still one, and no defect."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransplantSettings:
    """Chances for each part of a crop, 0 to 1.

    Attributes:
        swap: that a hand, face, foot or text is replaced by another picture's.
        tone: that a swapped part takes on the tone of what it replaces, at a random share.
        bend: that a clean part is bent; three of four times so much that it counts as a defect.
    """

    swap: float = 0.3
    tone: float = 0.7
    bend: float = 0.1


class Donor(NamedTuple):
    """A part of a picture that can be put elsewhere; `label` is its region or clean part."""

    sample: Sample
    label: LabelledRegion | CleanPart


class DonorBank:
    """Parts by kind, defective and clean ones apart."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._parts: dict[tuple[str, bool], list[Donor]] = {}
        for sample in samples:
            for label in (*sample.regions, *sample.clean_parts):
                kind, defective = part_of(label), isinstance(label, LabelledRegion)
                subtle = isinstance(label, LabelledRegion) and label.severity == 1
                if kind is None or subtle or min(label.box.width, label.box.height) < 14:
                    continue
                self._parts.setdefault((kind, defective), []).append(Donor(sample, label))

    def draw(self, kind: str, box: Box, rng: Random) -> Donor | None:
        """A donor of about the box's shape, right or wrong at even odds; None if none fits."""
        pool = self._parts.get((kind, bool(rng.random() < 0.5)), [])
        for _ in range(6 if pool else 0):
            donor = pool[int(rng.integers(len(pool)))]
            theirs = donor.label.box
            shape = (theirs.width / theirs.height) / (box.width / box.height)
            size = max(theirs.width, theirs.height) / max(box.width, box.height)
            if abs(math.log(shape)) < 0.5 and 0.4 < size < 4:
                return donor
        return None


def part_of(label: LabelledRegion | CleanPart) -> Part | None:
    """The kind of part that can be swapped, or None for anything else."""
    word = label.part if isinstance(label, CleanPart) else label.category.split("_")[0]
    for part in ("hand", "face", "text", "foot"):
        if word == part:
            return part
    return None


def transplant(crop: Sample, bank: DonorBank, settings: TransplantSettings, rng: Random) -> Sample:
    """The crop with some parts swapped or bent, and its labels kept true."""
    image = crop.load_rgb().copy()
    labels: list[LabelledRegion | CleanPart] = [*crop.regions, *crop.clean_parts]
    for label in tuple(labels):
        if label not in labels or min(label.box.width, label.box.height) < _MIN_SIDE_PX:
            continue
        draw = rng.random()
        kind = part_of(label)
        # A defect of a face is often one feature: a whole face does not fit in its box.
        whole = isinstance(label, CleanPart) or kind == "hand"
        if kind is not None and whole and draw < settings.swap:
            donor = bank.draw(kind, label.box, rng)
            if donor is None or _covers_other_kind(label, labels):
                continue
            _paste(image, label.box, donor, settings.tone, rng)
            labels = [o for o in labels if o.box.intersection(label.box) is None]
            labels.append(_moved(donor.label, label.box))
            continue
        chosen = isinstance(label, CleanPart) and draw > 1 - settings.bend
        if chosen and _bend(image, label.box, rng):
            labels[labels.index(label)] = LabelledRegion(box=label.box, category="unknown")
    changed = labels != [*crop.regions, *crop.clean_parts]
    return replace(
        crop,
        picture=image,
        scores={} if changed else crop.scores,
        regions=tuple(x for x in labels if isinstance(x, LabelledRegion)),
        clean_parts=tuple(x for x in labels if isinstance(x, CleanPart)),
    )


def _moved(label: LabelledRegion | CleanPart, box: Box) -> LabelledRegion | CleanPart:
    if isinstance(label, LabelledRegion):
        return replace(label, box=box, mask_hw=None)
    return replace(label, box=box, points_xy=None)


def _covers_other_kind(
    label: LabelledRegion | CleanPart, labels: Sequence[LabelledRegion | CleanPart]
) -> bool:
    kind = part_of(label)
    return any(part_of(o) != kind and o.box.intersection(label.box) is not None for o in labels)


def _paste(image: RgbArray, box: Box, donor: Donor, tone: float, rng: Random) -> None:
    source = _widened(donor.label.box, donor.sample.height, donor.sample.width)
    place = _widened(box, *image.shape[:2])
    shrinks = source.width > place.width
    patch = cv2.resize(
        donor.sample.load_rgb()[source.slices],
        (place.width, place.height),
        interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC,
    ).astype(np.float32)
    if rng.random() < 0.5 and part_of(donor.label) != "text":
        patch = patch[:, ::-1]
    under = image[place.slices].astype(np.float32)
    if rng.random() < tone:
        share = rng.uniform(0.4, 1.0)
        gain = (under.std((0, 1)) + 3) / (patch.std((0, 1)) + 3)
        toned = (patch - patch.mean((0, 1))) * gain + under.mean((0, 1))
        patch = (1 - share) * patch + share * toned
    edge = _feather(place)[..., None]
    image[place.slices] = np.clip(patch * edge + under * (1 - edge), 0, 255).astype(np.uint8)


def _bend(image: RgbArray, box: Box, rng: Random) -> bool:
    """Bends the content of the box; True where it is bent enough to be a defect."""
    place = box.clip(*image.shape[:2])
    if place is None or min(place.width, place.height) < _MIN_SIDE_PX:
        return False
    defect = bool(rng.random() < 0.75)
    strength = rng.uniform(0.10, 0.25) if defect else rng.uniform(0.0, 0.02)
    knots = int(rng.integers(3, 6))
    shift = rng.standard_normal((2, knots, knots), np.float32)
    shift *= strength * min(place.width, place.height)
    edge = _feather(place)
    size_wh = (place.width, place.height)
    dx, dy = (
        np.asarray(cv2.resize(s, size_wh, interpolation=cv2.INTER_CUBIC), np.float32) * edge
        for s in shift
    )
    ys, xs = np.mgrid[0 : place.height, 0 : place.width].astype(np.float32)
    before = image[place.slices].copy()
    after = cv2.remap(
        before,
        np.asarray(xs + dx, np.float32),
        np.asarray(ys + dy, np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT,
    )
    image[place.slices] = after
    change = cv2.absdiff(before, after).mean()
    return defect and float(change) >= _VISIBLE_CHANGE


def _widened(box: Box, height: int, width: int) -> Box:
    dx, dy = int(_MARGIN * box.width), int(_MARGIN * box.height)
    wide = Box(box.x0 - dx, box.y0 - dy, box.x1 + dx, box.y1 + dy)
    return wide.clip(height, width) or Box(0, 0, width, height)


def _feather(box: Box) -> NDArray[np.float32]:
    """1 in the middle, falling to 0 at a rounded border, float32 (height, width)."""
    y = np.abs(np.linspace(-1, 1, box.height, dtype=np.float32))[:, None]
    x = np.abs(np.linspace(-1, 1, box.width, dtype=np.float32))[None, :]
    return np.clip((1 - (x**3 + y**3)) / 0.35, 0, 1).astype(np.float32)
