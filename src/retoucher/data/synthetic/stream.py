"""An endless, reproducible stream of pairs: item i depends on the seed and i alone."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from retoucher.data.sample import CleanPart, Sample
from retoucher.data.synthetic.augment import augment
from retoucher.data.synthetic.make import (
    DEFAULT_SYNTHETIC,
    SyntheticPair,
    SyntheticSettings,
    make_benign,
    make_pair,
    possible_categories,
    suited_parts,
)
from retoucher.data.transform import crop_sample, mirror_sample, resized_rgb
from retoucher.domain.geometry import Box
from retoucher.errors import InputError

HAND_SIGNS = "ardamavi/Sign-Language-Digits-Dataset"
SOURCE_WEIGHTS: Mapping[str, float] = {"SubhiH/HandsDataset": 0.1, HAND_SIGNS: 0.15}
"""Weight of a picture by its source, 1 elsewhere: one man's hands, and hands on plain grounds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSettings:
    """What part of a picture becomes a sample.

    Attributes:
        size_px: side of the square result.
        part_share: chance that the view is centred near a clean part.
        part_scale: side of such a view over the part's, smallest and largest.
        max_enlargement: a view smaller than size_px over this is made wider.
        mirror: chance to exchange left and right; never where lettering is in view.
    """

    size_px: int = 384
    part_share: float = 0.65
    part_scale: tuple[float, float] = (1.5, 6.0)
    max_enlargement: float = 2.5
    mirror: float = 0.5


DEFAULT_VIEW = ViewSettings()


class SyntheticStream:
    """Pairs and harmless samples by index; safe to share between processes.

    Args:
        samples: clean pictures, with clean parts.
        seed: of the stream.
        settings: of the defects.
        view: of the crops; None: whole pictures at their own size.
        source_weights: weight of a picture by its source, 1 where it is not named.

    Raises:
        InputError: there is no sample.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        seed: int = 0,
        settings: SyntheticSettings = DEFAULT_SYNTHETIC,
        view: ViewSettings | None = DEFAULT_VIEW,
        source_weights: Mapping[str, float] = SOURCE_WEIGHTS,
    ) -> None:
        if not samples:
            raise InputError("no picture to spoil: give a data set with clean parts")
        self._samples = tuple(samples)
        self._seed, self._settings, self._view = seed, settings, view
        self._signs = tuple(s for s in samples if s.source == HAND_SIGNS)
        self._weights = _weights(self._samples, source_weights)
        fits = [possible_categories(s) for s in self._samples]
        self._fit = {
            name: np.flatnonzero([name in f for f in fits])
            for name, weight in settings.category_weights.items()
            if weight > 0 and any(name in f for f in fits)
        }
        if not self._fit:
            raise InputError("no picture has a part that a generator could spoil")

    def pair(self, index: int, category: str | None = None) -> SyntheticPair:
        """The pair number `index`.

        Args:
            index: of the pair.
            category: of its first defect; None: by the settings' weights, and then a picture that
                has a part for it.

        Raises:
            InputError: no picture suits the category, or a hundred in a row could not be spoiled.
        """
        rng = np.random.default_rng([self._seed, index])
        names = list(self._fit)
        weights = np.array([self._settings.category_weights[n] for n in names])
        for _ in range(100):
            chosen = category or names[int(rng.choice(len(names), p=weights / weights.sum()))]
            if chosen not in self._fit:
                raise InputError(f"no picture has a part that suits {chosen!r}")
            clean = self._clean(rng, chosen)
            pair = make_pair(rng, clean, chosen, self._settings)
            if pair is not None:
                return pair
        raise InputError(
            "a hundred pictures in a row could not be spoiled; give more or larger ones"
        )

    def benign(self, index: int) -> Sample:
        """A picture with harmless edits only, number `index`."""
        rng = np.random.default_rng([self._seed, index, 1])
        return make_benign(rng, self._clean(rng), self._settings)

    def clean(self, index: int) -> Sample:
        """An untouched view under the global augmentation, number `index`."""
        rng = np.random.default_rng([self._seed, index, 2])
        sample = self._clean(rng)
        rgb = augment(int(rng.integers(2**31)), sample.load_rgb(), self._settings.augment)
        return replace(sample, picture=rgb)

    def _clean(self, rng: np.random.Generator, category: str | None = None) -> Sample:
        fit = np.arange(len(self._samples)) if category is None else self._fit[category]
        weights = self._weights[fit]
        sample = self._samples[int(rng.choice(fit, p=weights / weights.sum()))]
        if self._view is None:
            return sample
        if sample.source == HAND_SIGNS:
            return mosaic(rng, self._signs, self._view.size_px)
        parts = None if category is None else suited_parts(sample, category)
        return random_view(rng, sample, self._view, parts)


def _weights(samples: Sequence[Sample], by_source: Mapping[str, float]) -> NDArray[np.float64]:
    """A source with many pictures weighs as the root of their number."""
    counts = Counter(s.source for s in samples)
    return np.array([by_source.get(s.source, 1.0) / math.sqrt(counts[s.source]) for s in samples])


def random_view(
    rng: np.random.Generator,
    sample: Sample,
    view: ViewSettings,
    around: Sequence[CleanPart] | None = None,
) -> Sample:
    """A random square of a picture, often around a clean part, at `view.size_px`.

    Args:
        rng: chooses the square.
        sample: is left as it is.
        view: see `ViewSettings`.
        around: the parts to choose from; None: every clean part. The square holds the chosen one
            whole where it fits.
    """
    width, height = sample.width, sample.height
    shorter = min(width, height)
    parts = sample.clean_parts if around is None else around
    if parts and rng.random() < (view.part_share if around is None else 0.9):
        box = parts[int(rng.integers(len(parts)))].box
        low, high = view.part_scale
        scale = low * (high / low) ** float(rng.random())
        side = max(box.width, box.height) * scale
        centre = np.array(box.centre_xy) + rng.uniform(-0.35, 0.35, 2) * max(
            side - max(box.width, box.height), 0
        )
    else:
        side = shorter * float(rng.uniform(0.55, 1.0))
        centre = rng.uniform(0, 1, 2) * np.array([width, height])
    side = int(min(max(side, view.size_px / view.max_enlargement, 32), shorter))
    x = int(np.clip(centre[0] - side / 2, 0, width - side))
    y = int(np.clip(centre[1] - side / 2, 0, height - side))
    cut = crop_sample(sample, Box(x, y, x + side, y + side), (view.size_px, view.size_px))
    lettering = any(p.part == "text" for p in cut.clean_parts)
    if not lettering and rng.random() < view.mirror:
        cut = mirror_sample(cut)
    return cut


def mosaic(rng: np.random.Generator, samples: Sequence[Sample], size_px: int) -> Sample:
    """A square sheet of small pictures side by side, all their parts kept.

    Args:
        rng: chooses pictures and grid.
        samples: small pictures, of one hand each for instance.
        size_px: side of the sheet.
    """
    count = int(rng.integers(2, 4))
    cell = size_px // count
    sheet = np.full((size_px, size_px, 3), int(rng.integers(0, 256)), np.uint8)
    parts: list[CleanPart] = []
    prompts: list[str] = []
    for row in range(count):
        for column in range(count):
            sample = samples[int(rng.integers(len(samples)))]
            side = min(sample.width, sample.height)
            whole = crop_sample(sample, Box(0, 0, side, side), (cell, cell))
            if rng.random() < 0.5:
                whole = mirror_sample(whole)
            x, y = column * cell, row * cell
            sheet[y : y + cell, x : x + cell] = resized_rgb(whole.load_rgb(), (cell, cell))
            prompts.append(whole.prompt)
            for part in whole.clean_parts:
                points = part.points_xy
                if points is not None:
                    points = points + np.array([x, y], np.float32)
                parts.append(replace(part, box=part.box.shift(x, y), points_xy=points))
    return Sample(
        id=f"mosaic-{int(rng.integers(2**31))}",
        picture=sheet,
        width=size_px,
        height=size_px,
        prompt=f"photos of hands: {'; '.join(dict.fromkeys(prompts))}",
        clean_parts=tuple(parts),
        source=samples[0].source,
        licence=samples[0].licence,
    )
