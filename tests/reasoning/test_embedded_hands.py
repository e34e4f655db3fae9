"""Measuring a hand: a right one is known and steady, a spoiled one less, a wall has none."""

from __future__ import annotations

import json
import math
from importlib import resources

import cv2
import numpy as np
import pytest
from PIL import Image

from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.reasoning.embedded_hands import (
    HAND_FEATURES,
    HandMeasured,
    hand_evidence,
    hand_features,
    measure_hand,
)
from retoucher.vision.hands import HandNetworks

HAND = Box(335, 290, 400, 425)


@pytest.fixture(scope="module")
def networks() -> HandNetworks:
    return HandNetworks(threads=1)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    with (resources.files("retoucher") / "demo" / "portrait.jpg").open("rb") as file:
        return np.asarray(Image.open(file).convert("RGB"))


def region(box: Box) -> Region:
    return Region.from_box(box, id="r1")


def swirled(image: np.ndarray, centre_xy: tuple[float, float], reach_px: float) -> np.ndarray:
    """The picture stirred around a point, as a bad generator would paint it."""
    ys, xs = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    dx, dy = xs - centre_xy[0], ys - centre_xy[1]
    angle = 2.5 * np.exp(-(dx**2 + dy**2) / (2 * (reach_px / 2) ** 2))
    x = centre_xy[0] + np.cos(angle) * dx - np.sin(angle) * dy
    y = centre_xy[1] + np.sin(angle) * dx + np.cos(angle) * dy
    mapped = cv2.remap(image, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(mapped, np.uint8)


def test_a_right_hand_is_known_and_a_spoiled_one_less(
    networks: HandNetworks, portrait: np.ndarray
) -> None:
    right = measure_hand(networks, portrait, region(HAND))
    assert right is not None
    assert right.presence > 0.7  # it is cut off by the border
    assert right.disagreement < 0.05
    assert 0.25 <= right.palm <= 1.0
    spoiled = measure_hand(networks, swirled(portrait, (372, 340), 40), region(HAND))
    if spoiled is not None:
        assert spoiled.presence < right.presence - 0.1
        assert hand_features(spoiled)[2] < hand_features(right)[2]


def test_it_is_the_regions_own_hand(networks: HandNetworks, portrait: np.ndarray) -> None:
    assert measure_hand(networks, portrait, region(Box(0, 300, 120, 560))) is None
    gap = np.full((portrait.shape[0], 200, 3), 180, np.uint8)
    two = np.concatenate([portrait, gap, portrait[:, ::-1]], 1)
    width = two.shape[1]
    mirrored = Box(width - HAND.x1, HAND.y0, width - HAND.x0, HAND.y1)
    first, other = (measure_hand(networks, two, region(box)) for box in (HAND, mirrored))
    assert first is not None
    assert other is not None
    assert first.points_xy[:, 0].mean() == pytest.approx(400, abs=50)
    assert other.points_xy[:, 0].mean() == pytest.approx(width - 400, abs=50)
    assert measure_hand(networks, np.full_like(two, 180), region(HAND)) is None


def measured(presence: float = 0.5, disagreement: float = 0.05) -> HandMeasured:
    points = np.zeros((21, 2), np.float32)
    points[[0, 5, 9, 13, 17]] = [[100, 200], [80, 140], [95, 135], [105, 137], [120, 145]]
    points[[1, 2, 3, 6, 10, 14, 18]] = 100, 150
    return HandMeasured(palm=0.9, presence=presence, disagreement=disagreement, points_xy=points)


def test_features_grow_with_what_they_measure() -> None:
    low, high = hand_features(measured(0.1, 0.01)), hand_features(measured(0.9, 0.1))
    assert low.shape == (HAND_FEATURES,)
    assert low[0] == high[0] == 1.0
    assert low[2] == pytest.approx(-high[2])
    assert high[3] - low[3] == pytest.approx(math.log(0.101 / 0.011), abs=1e-4)
    assert not hand_features(None).any()
    for extreme in (measured(0.0, 0.0), measured(1.0, 3.0)):
        assert np.isfinite(hand_features(extreme)).all()


def test_evidence_is_plain_and_says_where() -> None:
    evidence = hand_evidence(measured(0.12345, 0.0678912))
    assert evidence.kind == "hand"
    data = json.loads(json.dumps(dict(evidence.data)))
    assert (data["presence"], data["disagreement"], data["palm"]) == (0.1235, 0.0679, 0.9)
    quad = np.array(data["quad_xy"])
    assert quad.shape == (4, 2)
    sides = np.linalg.norm(quad - np.roll(quad, 1, 0), axis=1)
    assert sides == pytest.approx(np.full(4, sides[0]), abs=0.05)
    assert math.dist(quad.mean(0), (100, 160)) < 30
