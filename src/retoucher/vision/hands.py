"""Hands in a picture: where their palms are, and where a network of 21 points sees their joints.

The networks are MediaPipe's, as ONNX (recipes/part_models.py; their card is beside the weights).
They were trained on right hands. What they say of a wrong one wavers, and that can be measured.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from retoucher.agents import FloatArray, RgbArray
from retoucher.errors import PluginError
from retoucher.vision.detection import Detection, Detector
from retoucher.vision.sessions import Session, cpu_threads, open_session
from retoucher.vision.squares import Square

WEIGHTS = Path(__file__).parent / "weights"
"""The weights that ship with the package."""
PALM_GRAPH, HAND_GRAPH, MODELS = "palm_detection.onnx", "hand_landmarks.onnx", "models.json"
POINTS = 21
"""Wrist, then thumb, index, middle, ring and little finger, each from its root to its tip."""
WRIST, INDEX_ROOT, MIDDLE_ROOT, RING_ROOT, LITTLE_ROOT = 0, 5, 9, 13, 17

_PALM_PX, _HAND_PX = 192, 224
_HAND_OF_PALM = 2.6
"""Side of the square that holds a hand over its palm's."""
_HAND_OF_POINTS = 2.0
"""Side of the square that holds a hand over the extent of its palm's points."""
_TOWARDS_FINGERS = 0.5
"""So far from the palm's centre lies the hand's, in palms."""
_STEADY = (0, 1, 2, 3, 5, 6, 9, 10, 13, 14, 17, 18)
"""Points that fingers move little: MediaPipe frames a hand by them."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandPoints:
    """The joints of one hand as one look showed them.

    Attributes:
        points_xy: float32 (21, 2), in the picture's pixels.
        presence: of a hand in the square, 0 to 1, as the network sees it.
    """

    points_xy: FloatArray
    presence: float


class HandNetworks:
    """The two networks in a folder; may be used from several threads.

    Args:
        folder: of models.json and the graphs.
        threads: of the CPU; None: as OMP_NUM_THREADS says, or as many as it has.

    Raises:
        PluginError: the folder holds no weights; at the first use: others than models.json names.
    """

    def __init__(self, folder: Path = WEIGHTS, *, threads: int | None = None) -> None:
        try:
            described = json.loads((folder / MODELS).read_text("utf-8"))
        except FileNotFoundError:
            raise PluginError(
                f"{folder}: holds no weights of the hand networks ({MODELS} is missing)"
            ) from None
        self._folder = folder
        self._threads = cpu_threads(threads)
        self.weights: Mapping[str, str] = {
            name: str(described[name]["sha256"]) for name in (PALM_GRAPH, HAND_GRAPH)
        }
        self._palms: Detector | None = None
        self._joints: Session | None = None
        self._lock = threading.Lock()

    def palms(self, image_rgb: RgbArray, view: Square, min_score: float) -> tuple[Detection, ...]:
        """Palms in an upright square of a picture, uint8 (H, W, 3); see `Detector.find`."""
        with self._lock:
            if self._palms is None:
                self._palms = Detector(self._open(PALM_GRAPH), _PALM_PX, signed=False)
        return self._palms.find(image_rgb, view, min_score)

    def points(self, image_rgb: RgbArray, square: Square) -> HandPoints:
        """The joints of the hand that fills a square of a picture, uint8 (H, W, 3).

        Args:
            image_rgb: the picture.
            square: its upward direction runs from the wrist to the fingers.
        """
        with self._lock:
            if self._joints is None:
                self._joints = self._open(HAND_GRAPH)
        pixels = square.cut(image_rgb, _HAND_PX, extend=True)
        points, presence = self._joints.run(["points", "presence"], {"image": pixels[None]})
        points_xy = points.reshape(POINTS, 3)[:, :2]
        return HandPoints(
            points_xy=square.to_picture(points_xy, _HAND_PX), presence=float(presence.item())
        )

    def _open(self, name: str) -> Session:
        return open_session(self._folder / name, self.weights[name], MODELS, self._threads)


def square_of_palm(palm: Detection) -> Square:
    """The square that holds the hand of a palm, its fingers upward."""
    x0, y0, x1, y1 = (float(v) for v in palm.box_xyxy)
    side = max(x1 - x0, y1 - y0, 1.0)
    wrist, middle = palm.points_xy[0], palm.points_xy[2]
    upright = Square(
        centre_xy=((x0 + x1) / 2, (y0 + y1) / 2), side_px=side, angle_rad=_upward(wrist, middle)
    )
    return upright.moved(down=-_TOWARDS_FINGERS, scale=_HAND_OF_PALM)


def square_of_points(points_xy: FloatArray) -> Square:
    """The same from a hand's points, (21, 2), more exactly."""
    outer = (points_xy[INDEX_ROOT] + points_xy[RING_ROOT]) / 2
    angle = _upward(points_xy[WRIST], (outer + points_xy[MIDDLE_ROOT]) / 2)
    c, s = math.cos(angle), math.sin(angle)
    turned = points_xy[list(_STEADY)] @ np.array([[c, -s], [s, c]], np.float32)
    low, high = turned.min(0), turned.max(0)
    x, y = (float(v) for v in (low + high) / 2 - [0, 0.1 * (high[1] - low[1])])
    return Square(
        centre_xy=(c * x - s * y, s * x + c * y),
        side_px=_HAND_OF_POINTS * max(float((high - low).max()), 1.0),
        angle_rad=angle,
    )


def _upward(wrist_xy: FloatArray, knuckles_xy: FloatArray) -> float:
    """By how much a hand is turned clockwise from one whose fingers point up, radians."""
    x, y = (float(v) for v in knuckles_xy - wrist_xy)
    return math.atan2(x, -y)


@cache
def shared_hands() -> HandNetworks:
    """This process's networks with the shipped weights."""
    return HandNetworks()
