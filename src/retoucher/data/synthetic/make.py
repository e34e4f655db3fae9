"""A clean picture in, the same picture with a defect out, beside its clean twin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from retoucher.data.sample import BoolArray, CleanPart, FloatArray, LabelledRegion, RgbArray, Sample
from retoucher.data.synthetic.augment import AugmentSettings, augment
from retoucher.data.synthetic.benign import benign_edit
from retoucher.data.synthetic.fields import difference
from retoucher.data.synthetic.generators import GENERATORS
from retoucher.data.synthetic.patch import Draft, Generator, Scene, confined, marked, open_scene
from retoucher.data.synthetic.spots import with_spots
from retoucher.domain.geometry import Box
from retoucher.domain.taxonomy import taxonomy
from retoucher.errors import InputError

CATEGORY_WEIGHTS: Mapping[str, float] = {
    "hand_finger_count": 0.10,
    "hand_shape": 0.24,
    "face_feature": 0.16,
    "face_asymmetry": 0.05,
    "limb_count": 0.04,
    "limb_shape": 0.06,
    "text_garbled": 0.08,
    "text_wrong": 0.04,
    "object_structure": 0.14,
    "object_texture": 0.03,
    "interaction_contact": 0.04,
    "interaction_physics": 0.02,
}
"""Shares near those of real pictures: hands and faces lead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticSettings:
    """How pairs are made.

    Attributes:
        category_weights: relative frequency of the categories that suit a picture.
        extra_defect: chance of each further defect, up to `max_defects`.
        max_defects: in one picture.
        other_edits: mean number of harmless edits elsewhere, alike in both pictures.
        twin_edit: chance that the twin has a harmless edit where the defect is.
        augment: global changes afterwards, alike in both.
        tries: drafts before giving up on a picture.
        min_region_px: a defect whose longer side is smaller is not kept.
    """

    category_weights: Mapping[str, float] = field(default_factory=lambda: dict(CATEGORY_WEIGHTS))
    extra_defect: float = 0.35
    max_defects: int = 3
    other_edits: float = 1.0
    twin_edit: float = 0.7
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    tries: int = 12
    min_region_px: int = 16

    def __post_init__(self) -> None:
        unknown = set(self.category_weights) - set(taxonomy())
        if unknown:
            raise ValueError(f"unknown categories {', '.join(sorted(unknown))}")


DEFAULT_SYNTHETIC = SyntheticSettings()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SyntheticPair:
    """One picture twice.

    Attributes:
        defect: the picture with its defects, as masks with category, severity and words.
        twin: the picture without them: same prompt, same harmless edits, same augmentation.
        generators: names of what was done, in the order of the new regions.
    """

    defect: Sample
    twin: Sample
    generators: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Made:
    scene: Scene
    draft: Draft
    mask: BoolArray
    generator: Generator

    @property
    def box(self) -> Box:
        """Bounds of the mask in the picture."""
        ys, xs = np.flatnonzero(self.mask.any(1)), np.flatnonzero(self.mask.any(0))
        x, y = self.scene.window.x0, self.scene.window.y0
        return Box(x + int(xs[0]), y + int(ys[0]), x + int(xs[-1]) + 1, y + int(ys[-1]) + 1)


def possible_categories(sample: Sample) -> tuple[str, ...]:
    """Categories of which some generator suits some part of the sample, in the taxonomy's order."""
    parts = with_spots(np.random.default_rng(0), sample)
    fit = {g.category for g in GENERATORS for p in parts if g.suits(p)}
    return tuple(name for name in taxonomy() if name in fit)


def suited_parts(sample: Sample, category: str) -> tuple[CleanPart, ...]:
    """Clean parts of the sample that some generator of the category can spoil."""
    fits = [g for g in GENERATORS if g.category == category]
    return tuple(p for p in sample.clean_parts if any(g.suits(p) for g in fits))


def make_pair(
    rng: np.random.Generator,
    clean: Sample,
    category: str | None = None,
    settings: SyntheticSettings = DEFAULT_SYNTHETIC,
) -> SyntheticPair | None:
    """Spoil one to `max_defects` parts of a picture.

    Args:
        rng: the only source of chance: same state, same pair.
        clean: its `clean_parts` say where to work; regions it has already stay labelled in both.
        category: of the first defect; None: by the settings' weights among those that suit.
        settings: see `SyntheticSettings`.

    Returns:
        None where no part could be spoiled visibly (none suits, or every draft was too weak).

    Raises:
        InputError: `category` is not in the taxonomy.
    """
    if category is not None and category not in taxonomy():
        raise InputError(f"unknown category {category!r}; known: {', '.join(taxonomy())}")
    base = clean.load_rgb()
    parts = with_spots(rng, clean, base)
    base = _with_benign_edits(rng, base, parts, int(rng.poisson(settings.other_edits)))
    spoiled, twin = base.copy(), base.copy()
    made: list[_Made] = []
    while len(made) < settings.max_defects:
        if made:  # further defects only where there is a part; a second sign would look odd
            category, parts = None, clean.clean_parts
        one = _make_one(rng, base, parts, [m.box for m in made], category, settings)
        if one is None:
            break
        made.append(one)
        spoiled[one.scene.window.slices] = _eight(
            _over(spoiled[one.scene.window.slices], one.scene.crop, one.draft.rgb)
        )
        _edit_twin(rng, twin, one, settings.twin_edit)
        if rng.random() >= settings.extra_defect:
            break
    if not made:
        return None
    return _finished(int(rng.integers(2**31)), clean, made, (spoiled, twin), settings)


def make_sample(
    rng: np.random.Generator,
    clean: Sample,
    category: str | None = None,
    settings: SyntheticSettings = DEFAULT_SYNTHETIC,
) -> Sample | None:
    """As `make_pair`, the picture with the defect only."""
    pair = make_pair(rng, clean, category, settings)
    return None if pair is None else pair.defect


def make_benign(
    rng: np.random.Generator, clean: Sample, settings: SyntheticSettings = DEFAULT_SYNTHETIC
) -> Sample:
    """A picture with harmless edits on several of its parts and no defect: a hard negative."""
    base = clean.load_rgb()
    parts = with_spots(rng, clean, base)
    count = 1 + int(rng.poisson(settings.other_edits + 1))
    edited = _with_benign_edits(rng, base, parts, count)
    seed = int(rng.integers(2**31))
    return replace(clean, id=f"{clean.id}-benign", picture=augment(seed, edited, settings.augment))


def _finished(
    seed: int,
    clean: Sample,
    made: Sequence[_Made],
    spoiled_twin: tuple[RgbArray, RgbArray],
    settings: SyntheticSettings,
) -> SyntheticPair:
    """Both pictures under the same global changes, with their labels."""
    spoiled, twin = spoiled_twin
    prompt = ", ".join(t for t in (clean.prompt, *(m.draft.prompt for m in made)) if t)
    names = tuple(m.generator.name for m in made)
    kept = tuple(p for p in clean.clean_parts if not any(_spoils(m, p) for m in made))
    twin_sample = replace(clean, picture=augment(seed, twin, settings.augment), prompt=prompt)
    defect = replace(
        twin_sample,
        id=f"{clean.id}-{'-'.join(names)}",
        picture=augment(seed, spoiled, settings.augment),
        regions=(*clean.regions, *(_region(m) for m in made)),
        clean_parts=kept,
        scores={},
    )
    return SyntheticPair(defect=defect, twin=twin_sample, generators=names)


def _make_one(
    rng: np.random.Generator,
    base: RgbArray,
    parts: Sequence[CleanPart],
    taken: Sequence[Box],
    category: str | None,
    settings: SyntheticSettings,
) -> _Made | None:
    free = [p for p in parts if not any(p.box.intersection(b) for b in taken)]
    choices: dict[str, list[tuple[Generator, CleanPart]]] = {}
    for generator in GENERATORS:
        if category is None or generator.category == category:
            fits = [(generator, p) for p in free if generator.suits(p)]
            if fits:
                choices.setdefault(generator.category, []).extend(fits)
    for _ in range(settings.tries):
        names = [n for n in choices if settings.category_weights.get(n, 0) > 0 or n == category]
        if not names:
            return None
        weights = np.array([max(settings.category_weights.get(n, 0), 1e-6) for n in names])
        name = names[int(rng.choice(len(names), p=weights / weights.sum()))]
        generator, part = _draw(rng, choices[name])
        scene = open_scene(rng, base, part, generator.margin)
        draft = None if scene is None else generator.make(scene)
        if scene is None or draft is None:
            continue
        mask = marked(scene, draft)
        if mask is None or not mask.any():
            continue
        draft = confined(scene, draft, mask)
        one = _Made(scene=scene, draft=draft, mask=mask, generator=generator)
        if max(one.box.width, one.box.height) >= settings.min_region_px:
            return one
    return None


def _draw(
    rng: np.random.Generator, fits: Sequence[tuple[Generator, CleanPart]]
) -> tuple[Generator, CleanPart]:
    """A generator by its weight, then one of the parts that suit it."""
    generators = list(dict.fromkeys(g for g, _ in fits))
    weights = np.array([g.weight for g in generators])
    generator = generators[int(rng.choice(len(generators), p=weights / weights.sum()))]
    parts = [p for g, p in fits if g is generator]
    return generator, parts[int(rng.integers(len(parts)))]


def _with_benign_edits(
    rng: np.random.Generator, base: RgbArray, parts: Sequence[CleanPart], count: int
) -> RgbArray:
    out = base.copy()
    for _ in range(min(count, 6)):
        if parts and rng.random() < 0.8:
            part = parts[int(rng.integers(len(parts)))]
        else:
            part = _anywhere(rng, base)
        scene = open_scene(rng, out, part, float(rng.uniform(0.1, 0.5)))
        if scene is not None:
            out[scene.window.slices] = _eight(benign_edit(rng, scene.crop))
    return out


def _anywhere(rng: np.random.Generator, base: RgbArray) -> CleanPart:
    height, width = base.shape[:2]
    w, h = (max(int(side * rng.uniform(0.1, 0.35)), 8) for side in (width, height))
    x, y = int((width - w) * rng.random()), int((height - h) * rng.random())
    return CleanPart(box=Box(x, y, x + w, y + h), part="object")


def _over(now: RgbArray, before: FloatArray, after: FloatArray) -> FloatArray:
    """`after` where it differs from `before`, what stands there now elsewhere."""
    changed = difference(after, before) > 0.5
    return np.where(changed[..., None], after, now).astype(np.float32)


def _edit_twin(rng: np.random.Generator, twin: RgbArray, made: _Made, chance: float) -> None:
    """Give the twin the defect's border without the defect, in place."""
    window = made.scene.window.slices
    crop = twin[window].astype(np.float32)
    if made.draft.twin is not None:
        crop = _over(twin[window], made.scene.crop, made.draft.twin)
    if rng.random() < chance:
        crop = benign_edit(rng, crop, np.clip(made.draft.intent, 0, 1))
    twin[window] = _eight(crop)


def _eight(rgb: FloatArray) -> RgbArray:
    return np.clip(np.rint(rgb), 0, 255).astype(np.uint8)


def _spoils(made: _Made, part: CleanPart) -> bool:
    """The defect covers a visible share of the part."""
    common = part.box.intersection(made.box)
    if common is None:
        return False
    inside = common.shift(-made.scene.window.x0, -made.scene.window.y0)
    return int(made.mask[inside.slices].sum()) > 0.03 * part.box.area_px


def _region(made: _Made) -> LabelledRegion:
    box = made.box
    inside = box.shift(-made.scene.window.x0, -made.scene.window.y0)
    mask = made.mask[inside.slices].copy()
    reference = made.scene.crop if made.draft.twin is None else made.draft.twin
    change = np.abs(reference - made.draft.rgb).mean(axis=2)[made.mask]
    strength = 0.6 * made.draft.strength + 0.4 * min(float(change.mean()) / 45, 1.0)
    small = max(box.width, box.height) < 20
    severity = 1 if strength < 0.33 or small else 2 if strength < 0.62 else 3
    return LabelledRegion(
        box=box,
        category=made.generator.category,
        severity=severity,
        description=made.draft.words,
        mask_hw=mask,
    )
