from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from retoucher.data.sample import CleanPart
from retoucher.data.synthetic.generators import GENERATORS
from retoucher.data.synthetic.patch import Draft, Generator, Scene, marked, open_scene
from retoucher.data.synthetic.spots import with_spots
from retoucher.domain.taxonomy import taxonomy
from tests.data.scenes import drawn_sample

NAMES = [g.name for g in GENERATORS]


def drafts(generator: Generator, tries: int = 12) -> list[tuple[Scene, Draft]]:
    """What the generator makes of the drawn picture."""
    sample = drawn_sample()
    rgb = sample.load_rgb()
    out: list[tuple[Scene, Draft]] = []
    for seed in range(tries):
        rng = np.random.default_rng(seed)
        parts = [p for p in with_spots(rng, sample, rgb) if generator.suits(p)]
        part = parts[seed % len(parts)]
        scene = open_scene(rng, rgb, part, generator.margin)
        assert scene is not None
        draft = generator.make(scene)
        if draft is not None:
            out.append((scene, draft))
    return out


def test_every_category_has_at_least_two_generators() -> None:
    counts = Counter(g.category for g in GENERATORS)
    assert set(counts) == set(taxonomy())
    assert min(counts.values()) >= 2
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("generator", GENERATORS, ids=NAMES)
def test_a_generator_makes_a_visible_defect_and_marks_it(generator: Generator) -> None:
    made = drafts(generator)
    assert made
    found = 0
    for scene, draft in made:
        assert draft.rgb.shape == scene.crop.shape
        assert draft.rgb.dtype == np.float32
        assert draft.intent.shape == scene.size_hw
        assert np.isfinite(draft.rgb).all()
        assert draft.intent.min() >= 0
        assert draft.intent.max() <= 1 + 1e-4
        assert draft.words
        mask = marked(scene, draft)
        if mask is None:
            continue
        found += 1
        reference = scene.crop if draft.twin is None else draft.twin
        changed = np.abs(draft.rgb - reference).max(axis=2)
        assert changed[mask].mean() > 4
        assert changed[mask].mean() > 3 * changed[~mask].mean()
    assert found >= len(made) / 4


@pytest.mark.parametrize("generator", GENERATORS, ids=NAMES)
def test_the_same_chance_makes_the_same_defect(generator: Generator) -> None:
    for (_, a), (_, b) in zip(drafts(generator, 3), drafts(generator, 3), strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)
        assert a.words == b.words


def test_generators_leave_the_picture_itself_alone() -> None:
    sample = drawn_sample()
    rgb = sample.load_rgb()
    before = rgb.copy()
    rgb.flags.writeable = False
    for generator in GENERATORS:
        rng = np.random.default_rng(1)
        for part in with_spots(rng, sample, rgb):
            if generator.suits(part):
                scene = open_scene(rng, rgb, part, generator.margin)
                assert scene is not None
                crop = scene.crop.copy()
                generator.make(scene)
                np.testing.assert_array_equal(scene.crop, crop)
    np.testing.assert_array_equal(rgb, before)


def test_parts_without_landmarks_go_to_generators_that_need_none() -> None:
    part = CleanPart(box=drawn_sample().clean_parts[0].box, part="hand")
    fit = {g.name for g in GENERATORS if g.suits(part)}
    assert "melted_hand" in fit
    assert "extra_finger" not in fit
