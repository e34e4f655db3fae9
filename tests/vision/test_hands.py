"""The shipped hand networks on a right hand, wherever and however it is shown."""

from __future__ import annotations

import math
import shutil
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retoucher.errors import PluginError
from retoucher.vision.hands import (
    HAND_GRAPH,
    MIDDLE_ROOT,
    MODELS,
    WEIGHTS,
    WRIST,
    HandNetworks,
    square_of_palm,
    square_of_points,
)
from retoucher.vision.squares import Square


@pytest.fixture(scope="module")
def networks() -> HandNetworks:
    return HandNetworks(threads=1)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """A woman whose left hand is at the right border; 596 x 400 px."""
    with (resources.files("retoucher") / "demo" / "portrait.jpg").open("rb") as file:
        return np.asarray(Image.open(file).convert("RGB"))


NEAR_HAND = Square(centre_xy=(370.0, 370.0), side_px=200.0)


def whole(image: np.ndarray) -> Square:
    height, width = image.shape[:2]
    return Square(centre_xy=(width / 2, height / 2), side_px=max(height, width))


@pytest.mark.parametrize("close", [True, False])
def test_a_palm_is_found_and_its_joints(
    networks: HandNetworks, portrait: np.ndarray, close: bool
) -> None:
    view = NEAR_HAND if close else whole(portrait)
    palm = networks.palms(portrait, view, 0.5)[0]
    x0, y0, x1, y1 = palm.box_xyxy
    assert 330 < x0 < 375
    assert 335 < y0 < 385
    assert 40 < x1 - x0 < 90
    assert 40 < y1 - y0 < 90
    found = networks.points(portrait, square_of_palm(palm))
    assert found.presence > 0.9
    assert found.points_xy.shape == (21, 2)
    assert found.points_xy[MIDDLE_ROOT, 1] < found.points_xy[WRIST, 1] - 30


def test_joints_turn_with_the_hand(networks: HandNetworks, portrait: np.ndarray) -> None:
    palm = networks.palms(portrait, NEAR_HAND, 0.5)[0]
    square = square_of_points(networks.points(portrait, square_of_palm(palm)).points_xy)
    upright = networks.points(portrait, square)
    height = portrait.shape[0]
    x, y = square.centre_xy
    turned = networks.points(
        np.ascontiguousarray(np.rot90(portrait, -1)),
        Square(
            centre_xy=(height - y, x),
            side_px=square.side_px,
            angle_rad=square.angle_rad + math.pi / 2,
        ),
    )
    back = np.stack([turned.points_xy[:, 1], height - turned.points_xy[:, 0]], 1)
    assert back == pytest.approx(upright.points_xy, abs=1.0)
    assert turned.presence == pytest.approx(upright.presence, abs=0.02)


def test_the_square_of_points_has_them_upright_in_its_middle() -> None:
    points = np.zeros((21, 2), np.float32)
    points[[5, 9, 13, 17]] = [[-20, -60], [-5, -65], [5, -63], [20, -55]]
    points[[1, 2, 3]] = [[-15, -10], [-25, -25], [-30, -35]]
    points[[6, 10, 14, 18]] = [[-20, -80], [-5, -85], [5, -83], [20, -75]]
    angle = 0.8
    c, s = math.cos(angle), math.sin(angle)
    turned = points @ np.array([[c, s], [-s, c]], np.float32) + np.float32([200, 300])
    square = square_of_points(turned)
    assert square.angle_rad == pytest.approx(angle, abs=0.1)
    assert square.side_px == pytest.approx(2 * 85, rel=0.1)
    plain = square_of_points(points)
    assert plain.side_px == pytest.approx(square.side_px, rel=0.02)


def test_a_wall_has_no_hand(networks: HandNetworks) -> None:
    wall = np.full((200, 300, 3), 200, np.uint8)
    assert networks.palms(wall, whole(wall), 0.25) == ()
    assert networks.points(wall, whole(wall)).presence < 0.1


def test_other_weights_than_described_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="holds no weights of the hand networks"):
        HandNetworks(tmp_path)
    for file in WEIGHTS.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / HAND_GRAPH).write_bytes(b"something else")
    networks = HandNetworks(tmp_path)
    image = np.zeros((20, 20, 3), np.uint8)
    with pytest.raises(PluginError, match=f"not the file that {MODELS} names"):
        networks.points(image, whole(image))
    (tmp_path / HAND_GRAPH).unlink()
    with pytest.raises(PluginError, match="missing"):
        networks.points(image, whole(image))
