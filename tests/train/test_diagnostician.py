"""Fitting the diagnostician: the fit finds a pattern, the operating point keeps its promises."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from retoucher.domain.taxonomy import NO_DEFECT
from retoucher.reasoning.embedded_hands import HAND_FEATURES

pytest.importorskip("torch", reason="fitting needs the extra torch")

from retoucher.train import diagnostician as fitting


def measured(rng: np.random.Generator, hand: bool, bad: bool) -> np.ndarray:
    if not hand:
        return np.zeros(HAND_FEATURES, np.float32)
    return np.array([1, 1, rng.normal(-1 if bad else 2, 1), rng.normal()], np.float32)


def examples(count: int = 600) -> list[fitting.Example]:
    """A defect raises the first feature, a hand the second, a glaring one the third.

    On hands the third measurement is low where there is a defect, however it looks.
    """
    rng = np.random.default_rng(5)
    out: list[fitting.Example] = []
    for i in range(count):
        bad, hand, severity = rng.random() < 0.5, rng.random() < 0.5, int(rng.integers(2, 4))
        x = rng.normal(0, 0.5, 4) + np.array([3 * bad, 2 * hand - 1, 2 * severity, 0])
        category = ("hand_shape" if hand else "face_feature") if bad else NO_DEFECT
        out.append(
            fitting.Example(
                category=category,
                severity=severity if bad else 0,
                kind="marked",
                source="a" if rng.random() < 0.5 else "b",
                held_out=i % 4 == 0,
                part="hand" if hand else "face",
                features_d=x.astype(np.float32),
                hand_h=measured(rng, hand, bad),
            )
        )
    return out


def test_the_fit_finds_what_is_there() -> None:
    lines: list[str] = []
    model = fitting.fit(examples(), "0" * 64, "1" * 64, lines.append)
    hand = model.opinion(np.array([3, 1, 6, 0], np.float32))
    face = model.opinion(np.array([3, -1, 4, 0], np.float32))
    sound = model.opinion(np.array([0, 1, 4, 0], np.float32))
    assert hand.defect > 0.9
    assert sound.defect < 0.1
    assert max(hand.categories, key=lambda n: hand.categories[n]) == "hand_shape"
    assert max(face.categories, key=lambda n: face.categories[n]) == "face_feature"
    assert (hand.severity, face.severity) == (3, 2)
    assert (model.network, model.hand_network) == ("0" * 64, "1" * 64)
    assert any("ECE" in line for line in lines)


def test_the_operating_point_keeps_its_promises_in_every_source() -> None:
    rng = np.random.default_rng(2)
    bad, source = np.arange(400) < 200, np.where(np.arange(400) % 4 == 0, "wild", "tame")
    clean = np.where(source == "wild", 0.6, 0.2)
    p = np.clip(rng.normal(0.0, 0.15, 400) + np.where(bad, 0.75, clean), 0.01, 0.99)
    shares = rng.dirichlet(np.ones(12) * 0.3, 400)
    index = np.where(rng.random(400) < shares.max(1), shares.argmax(1), 0)
    held = fitting.HeldOut(
        x=np.zeros((400, 1), np.float32),
        hands=np.zeros((400, HAND_FEATURES), np.float32),
        index=index,
        severity=2 * bad,
        source=source,
    )
    point = fitting.operating_point(p, shares, held)
    named = (p >= point.defect) & (shares.max(1) >= point.category)
    assert named[bad].any()
    for name in ("wild", "tame"):
        assert named[~bad & (source == name)].mean() <= fitting.CLEAN_NAMED
    assert named[~bad & (source == "wild")].any()
    assert (p <= point.sound)[bad].mean() <= fitting.DEFECTS_SOUND + 0.01
    right = (shares.argmax(1) == index)[bad & (shares.max(1) >= point.category)]
    assert right.mean() >= fitting.NAMED_RIGHT
    few = fitting.HeldOut(
        x=held.x[:9], hands=held.hands[:9], index=index[:9], severity=0 * bad[:9], source=source[:9]
    )
    assert fitting.operating_point(p[:9], shares[:9], few).defect == 0.5


def test_temperature_undoes_overconfidence() -> None:
    rng = np.random.default_rng(3)
    logits = rng.normal(0, 2, (4000, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    y = np.array([rng.choice(3, p=row) for row in p])
    assert fitting.temperature(3 * logits, y) == pytest.approx(3.0, rel=0.15)


def test_measured_hands_count_as_much_as_they_help() -> None:
    lines: list[str] = []
    blind = [replace(e, features_d=e.features_d * [0, 1, 1, 1]) for e in examples()]
    model = fitting.fit(blind, "", "", lines.append)
    assert model.hand_h[2] < -0.3
    assert abs(model.hand_h[3]) < 0.3
    good, bad = (np.array([1, 1, p, 0], np.float32) for p in (3, -2))
    assert model.hand_h @ good < 0 < model.hand_h @ bad
    assert any("measured hands count" in line for line in lines)
    rng = np.random.default_rng(7)
    told_nothing = [
        replace(e, hand_h=e.hand_h[[0, 1, 1, 1]] * [1, 1, 0, 0] + rng.normal(0, 0.01, 4))
        for e in examples()
    ]
    assert abs(fitting.fit(told_nothing, "", "", lines.append).hand_h @ bad) < 0.5


def test_without_hands_of_both_kinds_they_count_nothing() -> None:
    only_clean = [e for e in examples() if e.part != "hand" or e.category == NO_DEFECT]
    assert not fitting.fit_hands(only_clean).any()
    assert not fitting.fit_hands([]).any()
