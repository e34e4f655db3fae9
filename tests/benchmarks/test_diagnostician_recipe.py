"""Training the diagnostician: places are labelled as the marks say, and the fit finds a pattern."""

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
    assert label == (Box(0, 0, 50, 40), "hand_shape", 2)
    off = recipe.label_of(Region.from_box(Box(100, 50, 150, 90), id="r"), sample)
    assert off[1:] == (NO_DEFECT, 0)
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


def examples(recipe: ModuleType, count: int = 600) -> list[object]:
    """A defect raises the first feature, a hand the second, a glaring one the third."""
    rng = np.random.default_rng(5)
    out = []
    for i in range(count):
        bad, hand, severity = rng.random() < 0.5, rng.random() < 0.5, int(rng.integers(2, 4))
        x = rng.normal(0, 0.5, 4) + np.array([3 * bad, 2 * hand - 1, 2 * severity, 0])
        category = ("hand_shape" if hand else "face_feature") if bad else NO_DEFECT
        out.append(
            recipe.Example(
                category=category,
                severity=severity if bad else 0,
                kind="marked",
                source="a" if rng.random() < 0.5 else "b",
                held_out=i % 4 == 0,
                features_d=x.astype(np.float32),
            )
        )
    return out


def test_the_fit_finds_what_is_there(recipe: ModuleType) -> None:
    lines: list[str] = []
    model = recipe.fit(examples(recipe), "0" * 64, lines.append)
    hand = model.opinion(np.array([3, 1, 6, 0], np.float32))
    face = model.opinion(np.array([3, -1, 4, 0], np.float32))
    sound = model.opinion(np.array([0, 1, 4, 0], np.float32))
    assert hand.defect > 0.9
    assert sound.defect < 0.1
    assert max(hand.categories, key=lambda n: hand.categories[n]) == "hand_shape"
    assert max(face.categories, key=lambda n: face.categories[n]) == "face_feature"
    assert (hand.severity, face.severity) == (3, 2)
    assert model.network == "0" * 64
    assert any("ECE" in line for line in lines)


def test_the_operating_point_keeps_its_promises_in_every_source(recipe: ModuleType) -> None:
    rng = np.random.default_rng(2)
    bad, source = np.arange(400) < 200, np.where(np.arange(400) % 4 == 0, "wild", "tame")
    clean = np.where(source == "wild", 0.6, 0.2)
    p = np.clip(rng.normal(0.0, 0.15, 400) + np.where(bad, 0.75, clean), 0.01, 0.99)
    shares = rng.dirichlet(np.ones(12) * 0.3, 400)
    index = np.where(rng.random(400) < shares.max(1), shares.argmax(1), 0)
    held = recipe.HeldOut(
        x=np.zeros((400, 1), np.float32), index=index, severity=2 * bad, source=source
    )
    point = recipe.operating_point(p, shares, held)
    named = (p >= point.defect) & (shares.max(1) >= point.category)
    assert named[bad].any()
    for name in ("wild", "tame"):
        assert named[~bad & (source == name)].mean() <= recipe.CLEAN_NAMED
    assert named[~bad & (source == "wild")].any()
    assert (p <= point.sound)[bad].mean() <= recipe.DEFECTS_SOUND + 0.01
    right = (shares.argmax(1) == index)[bad & (shares.max(1) >= point.category)]
    assert right.mean() >= recipe.NAMED_RIGHT
    few = recipe.HeldOut(x=held.x[:9], index=index[:9], severity=0 * bad[:9], source=source[:9])
    assert recipe.operating_point(p[:9], shares[:9], few).defect == 0.5


def test_temperature_undoes_overconfidence(recipe: ModuleType) -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (4000, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = np.array([rng.choice(3, p=row) for row in p])
    assert recipe.temperature(3 * logits, y) == pytest.approx(3.0, rel=0.15)
