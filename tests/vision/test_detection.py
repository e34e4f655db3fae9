"""Detectors: raw numbers become boxes in the picture, and each part is reported once."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from retoucher.vision.detection import Detector
from retoucher.vision.squares import Square

SIDE = 192
CELLS = SIDE // 8
ANCHORS = 2 * CELLS**2 + 6 * (SIDE // 16) ** 2


class Saying:
    """A session that says the same of every picture, and keeps what it was shown."""

    def __init__(self, found: dict[int, tuple[float, list[float]]]) -> None:
        self.boxes = np.zeros((1, ANCHORS, 8), np.float32)
        self.logits = np.full((1, ANCHORS, 1), -20.0, np.float32)
        for anchor, (logit, row) in found.items():
            self.logits[0, anchor, 0] = logit
            self.boxes[0, anchor] = row
        self.shown = np.zeros(0)

    def run(self, output_names: list[str] | None, input_feed: dict[str, Any]) -> list[Any]:
        assert output_names == ["boxes", "logits"]
        self.shown = input_feed["image"]
        return [self.boxes, self.logits]

    def get_outputs(self) -> list[Any]:
        return []


def anchor(column: int, row: int) -> int:
    """The first anchor of a cell of the fine grid."""
    return 2 * (row * CELLS + column)


def test_numbers_are_from_the_anchor_and_land_in_the_picture() -> None:
    # Cell (3, 10) of 8 px: its middle is at 28, 84. Two points after centre and size.
    session = Saying({anchor(3, 10): (2.0, [4, -4, 16, 32, 0, 0, 8, 16])})
    view = Square(centre_xy=(300.0, 200.0), side_px=2 * SIDE)
    (found,) = Detector(session, SIDE, signed=False).find(
        np.full((400, 600, 3), 255, np.uint8), view, 0.5
    )
    assert found.score == pytest.approx(1 / (1 + np.exp(-2.0)))
    left, top = 300 - SIDE, 200 - SIDE
    expected = [left + 2 * 24, top + 2 * 64, left + 2 * 40, top + 2 * 96]
    assert found.box_xyxy == pytest.approx(expected)
    points = [[left + 2 * 28, top + 2 * 84], [left + 2 * 36, top + 2 * 100]]
    assert found.points_xy == pytest.approx(np.array(points))


def test_a_part_seen_by_many_anchors_is_one() -> None:
    row = [0, 0, 64, 64, 0, 0, 0, 0]
    near = {anchor(5, 5): (3.0, row), anchor(6, 5): (1.0, row), anchor(15, 15): (0.5, row)}
    detector = Detector(Saying(near), SIDE, signed=False)
    view = Square(centre_xy=(96.0, 96.0), side_px=SIDE)
    first, second = detector.find(np.zeros((SIDE, SIDE, 3), np.uint8), view, 0.5)
    strong, weak = (1 / (1 + np.exp(-v)) for v in (3.0, 1.0))
    assert first.score == pytest.approx(strong)
    middle = (44 * strong + 52 * weak) / (strong + weak)
    assert first.box_xyxy[[0, 2]].mean() == pytest.approx(middle, abs=1e-3)
    assert second.box_xyxy[:2] == pytest.approx([124 - 32, 124 - 32])
    assert len(detector.find(np.zeros((9, 9, 3), np.uint8), view, 0.7)) == 1


@pytest.mark.parametrize(("signed", "black"), [(False, 0.0), (True, -1.0)])
def test_pixels_are_as_the_network_wants_them(signed: bool, black: float) -> None:
    session = Saying({})
    view = Square(centre_xy=(10.0, 10.0), side_px=20)
    white = np.full((20, 20, 3), 255, np.uint8)
    assert Detector(session, SIDE, signed=signed).find(white, view, 0.5) == ()
    assert session.shown.shape == (1, SIDE, SIDE, 3)
    assert session.shown[0, 96, 96] == pytest.approx(1.0)
    Detector(session, SIDE, signed=signed).find(white * 0, view, 0.5)
    assert session.shown == pytest.approx(black)
