"""Training the diagnostician: places are labelled as the marks say."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from retoucher.data.sample import LabelledRegion, Sample
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT

pytest.importorskip("torch", reason="the recipe needs the extra torch")


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    file = Path(__file__).parents[2] / "recipes" / "diagnostician.py"
    spec = importlib.util.spec_from_file_location("diagnostician_recipe", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def marked(*boxes: tuple[Box, str]) -> Sample:
    return Sample(
        id="s",
        picture=np.zeros((100, 200, 3), np.uint8),
        width=200,
        height=100,
        regions=tuple(
            LabelledRegion(box=b, category=c, severity=2, description="") for b, c in boxes
        ),
    )


def test_a_proposal_is_what_most_of_it_lies_on(recipe: ModuleType) -> None:
    hand, face = (Box(0, 0, 40, 40), "hand_shape"), (Box(30, 0, 60, 40), "face_feature")
    sample = marked(hand, face)
    label = recipe.label_of(Region.from_box(Box(0, 0, 50, 40), id="r"), sample)
    assert (label.box, label.category) == (Box(0, 0, 50, 40), "hand_shape")
    assert (label.severity, label.part) == (2, "hand")
    off = recipe.label_of(Region.from_box(Box(100, 50, 150, 90), id="r"), sample)
    assert (off.category, off.severity, off.part) == (NO_DEFECT, 0, "")
    # A fifth of it on a mark: neither the defect nor surely none.
    assert recipe.label_of(Region.from_box(Box(55, 0, 80, 40), id="r"), sample) is None


def test_jitter_stays_near_and_inside(recipe: ModuleType) -> None:
    rng = np.random.default_rng(0)
    box = Box(0, 20, 60, 70)
    moved = [recipe.jittered(box, (100, 200), rng) for _ in range(50)]
    assert all(Box.of_picture(100, 200).contains(m) for m in moved)
    assert len(set(moved)) > 40
    assert np.mean([m.iou(box) for m in moved]) > 0.6


def test_a_mirrored_box_lies_on_the_other_side(recipe: ModuleType) -> None:
    assert recipe.mirror(Box(10, 5, 30, 50), 200) == Box(170, 5, 190, 50)


def test_elsewhere_is_elsewhere(recipe: ModuleType) -> None:
    rng = np.random.default_rng(1)
    taken = [Box(0, 0, 100, 100)]
    for _ in range(20):
        place = recipe.elsewhere(taken, (100, 200), rng)
        common = place.intersection(taken[0])
        assert common is None or common.area_px < 0.1 * place.area_px
    assert recipe.elsewhere([Box(0, 0, 200, 100)], (100, 200), rng) is None
