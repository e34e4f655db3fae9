"""What can be measured on a hand: whether a network of right hands knows it, and whether it wavers.

MediaPipe's network places 21 joints in whatever it is shown. On right hands it is sure that there
is a hand, and puts the joints in the same places when the view is turned; on malformed ones it is
less sure and contradicts itself. How well that tells them apart: docs/diagnosis.md. It always
places five fingers, so it cannot count them where there are six.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from retoucher.agents import FloatArray, RgbArray
from retoucher.domain.diagnosis import Evidence, Json
from retoucher.domain.region import Region
from retoucher.vision.detection import Detection
from retoucher.vision.hands import (
    INDEX_ROOT,
    LITTLE_ROOT,
    MIDDLE_ROOT,
    WRIST,
    HandNetworks,
    square_of_palm,
    square_of_points,
)
from retoucher.vision.squares import Square

_CONTEXT = (2.5, 4.0)
"""Sides of the squares around a region in which palms are sought, over its longer side."""
_PALM_FROM = 0.25
"""Score of a palm from which it is looked at; malformed hands have weak ones."""
_INSIDE = 0.3
"""So much of a palm lies in the region's box whose hand it is."""
_PALM_TO_REGION = (0.2, 1.5)
"""Width of such a palm over the region's longer side."""
_TURNS_RAD = (0.0, 0.35, -0.35)
_LOGIT_LIMIT = 7.0
_LEAST_DISAGREEMENT = 1e-3
HAND_FEATURES = 4


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HandMeasured:
    """What three looks at one hand gave.

    Attributes:
        palm: score of the palm by which it was found, 0 to 1.
        presence: of a hand, 0 to 1: mean of the looks.
        disagreement: median distance of a joint from its median place, over the palm's length and
            breadth together.
        points_xy: float32 (21, 2), those places, in the picture's pixels.
    """

    palm: float
    presence: float
    disagreement: float
    points_xy: FloatArray


def measure_hand(
    networks: HandNetworks, image_rgb: RgbArray, region: Region
) -> HandMeasured | None:
    """The hand in a region of a picture, uint8 (H, W, 3); None where no palm is seen."""
    palm = _palm_of(networks, image_rgb, region)
    if palm is None:
        return None
    first = networks.points(image_rgb, square_of_palm(palm))
    square = square_of_points(first.points_xy)
    looks = [networks.points(image_rgb, square.moved(turn_rad=turn)) for turn in _TURNS_RAD]
    points = np.stack([look.points_xy for look in looks])
    middle = np.median(points, 0)
    away = np.linalg.norm(points - middle, axis=2)
    return HandMeasured(
        palm=palm.score,
        presence=float(np.mean([look.presence for look in looks])),
        disagreement=float(np.median(away) / _palm_size(middle)),
        points_xy=middle.astype(np.float32),
    )


def hand_features(measured: HandMeasured | None) -> FloatArray:
    """The same as numbers for the classifier, float32 (HAND_FEATURES,); zeros without a hand."""
    if measured is None:
        return np.zeros(HAND_FEATURES, np.float32)
    return np.array(
        [
            1.0,
            _logit(measured.palm),
            _logit(measured.presence),
            math.log(measured.disagreement + _LEAST_DISAGREEMENT),
        ],
        np.float32,
    )


def hand_evidence(measured: HandMeasured) -> Evidence:
    """What was measured, for the diagnosis; the quad is the hand's upright square."""
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
    quad = square_of_points(measured.points_xy).to_picture(corners, 1)
    quad_xy: Json = [[round(float(x), 2), round(float(y), 2)] for x, y in quad]
    return Evidence(
        kind="hand",
        data={
            "quad_xy": quad_xy,
            "palm": round(measured.palm, 4),
            "presence": round(measured.presence, 4),
            "disagreement": round(measured.disagreement, 4),
        },
    )


def _palm_of(networks: HandNetworks, image_rgb: RgbArray, region: Region) -> Detection | None:
    """The surest palm that belongs to a region: in the whole picture, or closer by."""
    height, width = image_rgb.shape[:2]
    side = max(region.box.width, region.box.height)
    views = [Square(centre_xy=(width / 2, height / 2), side_px=max(height, width))]
    views += [Square(centre_xy=region.box.centre_xy, side_px=k * side) for k in _CONTEXT]
    found = [p for v in views for p in networks.palms(image_rgb, v, _PALM_FROM)]
    mine = [p for p in found if _belongs(p, region)]
    return max(mine, key=lambda p: p.score, default=None)


def _belongs(palm: Detection, region: Region) -> bool:
    x0, y0, x1, y1 = (float(v) for v in palm.box_xyxy)
    box = region.box
    common = max(min(x1, box.x1) - max(x0, box.x0), 0) * max(min(y1, box.y1) - max(y0, box.y0), 0)
    low, high = _PALM_TO_REGION
    size = (x1 - x0) / max(box.width, box.height)
    return common > _INSIDE * (x1 - x0) * (y1 - y0) and low < size < high


def _palm_size(points_xy: FloatArray) -> float:
    """Length and breadth of a palm together, pixels; of 21 points, (21, 2)."""
    length = np.linalg.norm(points_xy[MIDDLE_ROOT] - points_xy[WRIST])
    breadth = np.linalg.norm(points_xy[INDEX_ROOT] - points_xy[LITTLE_ROOT])
    return max(float(length + breadth), 1.0)


def _logit(p: float) -> float:
    p = min(max(p, 1e-6), 1 - 1e-6)
    return min(max(math.log(p / (1 - p)), -_LOGIT_LIMIT), _LOGIT_LIMIT)
