"""What landmarks say of a face: asymmetry, steadiness, proportions.

None of it told wrong faces from right ones well enough to be part of the product;
part_measurements.py prints how well.

MediaPipe's mesh of 468 points is a model of a right face bent to the picture, with depth, so that a
face can be compared with its own mirror image whichever way it looks.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from perception_parts import converted
from PIL import Image

from retoucher.domain.geometry import Box
from retoucher.vision.detection import Detection, Detector
from retoucher.vision.squares import Square

FACE_PX, MESH_PX = 128, 192
POINTS = 468
CONTEXT = (2.0, 4.0, 8.0)
"""Sides of the squares around a region in which faces are sought; it may be one eye of one."""
MIN_SCORE = 0.3
OVERLAP = 0.5
"""So much of the face or of the region lies in the other."""
AROUND = 1.5
"""Side of the square that holds a face, over its extent."""
LEFT_EYE, RIGHT_EYE = (33, 133, 159, 145), (263, 362, 386, 374)
"""Outer corner, inner corner, upper lid, lower lid; left as the viewer sees it."""
EYES = (33, 133, 159, 145, 160, 144, 158, 153, 263, 362, 386, 374, 385, 380, 387, 373)
MOUTH = (61, 291, 0, 17, 13, 14, 78, 308)
LOOKS = (
    {},
    {"turn_rad": 0.35},
    {"turn_rad": -0.35},
    {"right": 0.08},
    {"down": 0.08},
    {"scale": 0.85},
    {"scale": 1.18},
)
EYE_PX = 32
PORTRAIT = Path(__file__).parents[1] / "src/retoucher/demo/portrait.jpg"
"""A right face, which shows which points of the mesh are partners."""


class FaceMeasure:
    """Measures the face in a region.

    Args:
        modules: folder `mediapipe/modules` of the wheel.
    """

    def __init__(self, modules: Path) -> None:
        self._faces = Detector(converted(modules, "face_detection"), FACE_PX, signed=True)
        self._mesh = converted(modules, "face_landmarks")
        self._mirror: np.ndarray | None = None

    def __call__(self, rgb: np.ndarray, box: Box) -> dict[str, float]:
        """Values by name, the greater the likelier a defect; empty where no face is found."""
        face = self._face_of(rgb, box)
        if face is None:
            return {}
        x0, y0, x1, y1 = (float(v) for v in face.box_xyxy)
        across = face.points_xy[1] - face.points_xy[0]
        square = Square(
            centre_xy=((x0 + x1) / 2, (y0 + y1) / 2),
            side_px=AROUND * max(x1 - x0, y1 - y0),
            angle_rad=math.atan2(across[1], across[0]),
        )
        for _ in range(2):
            square = _square_of(self._points(rgb, square)[0])
        looks = [self._points(rgb, square.moved(**move)) for move in LOOKS]
        points = np.stack([p for p, _ in looks])
        middle = np.median(points, 0)
        eyes = float(np.linalg.norm(middle[263] - middle[33]))
        away = np.linalg.norm((points - middle)[..., :2], axis=2) / eyes
        uneven = self._uneven(middle) / eyes
        left, right = (_opening(middle, eye) for eye in (LEFT_EYE, RIGHT_EYE))
        return {
            "face's score": -face.score,
            "presence": -float(np.mean([presence for _, presence in looks])),
            "disagreement": float(np.median(away)),
            "disagreement, eyes": float(away[:, EYES].mean()),
            "disagreement, mouth": float(away[:, MOUTH].mean()),
            "asymmetry": float(uneven.mean()),
            "asymmetry, eyes": float(uneven[list(EYES)].mean()),
            "asymmetry, mouth": float(uneven[list(MOUTH)].mean()),
            "eyes unequally open": abs(left - right),
            "eyes unequally wide": abs(
                math.log(_width(middle, LEFT_EYE) / _width(middle, RIGHT_EYE))
            ),
            "mouth's opening over its width": _distance(middle, 13, 14)
            / _distance(middle, 78, 308),
            "eyes unlike in pixels": _unlike(rgb, middle),
            "small face": -square.side_px,
        }

    def _face_of(self, rgb: np.ndarray, box: Box) -> Detection | None:
        height, width = rgb.shape[:2]
        views = [Square(centre_xy=(width / 2, height / 2), side_px=max(height, width))]
        side = max(box.width, box.height)
        views += [Square(centre_xy=box.centre_xy, side_px=k * side) for k in CONTEXT]
        found = [f for view in views for f in self._faces.find(rgb, view, MIN_SCORE)]
        mine = [f for f in found if _overlap(f.box_xyxy, box) > OVERLAP]
        return max(mine, key=lambda f: f.score, default=None)

    def _points(self, rgb: np.ndarray, square: Square) -> tuple[np.ndarray, float]:
        """(468, 3) in the picture's pixels, and the presence of a face."""
        pixels = square.cut(rgb, MESH_PX, extend=True)
        raw, logit = self._mesh.run(["points", "presence_logit"], {"image": pixels[None]})
        points = raw.reshape(POINTS, 3)
        xy = square.to_picture(points[:, :2], MESH_PX)
        depth = points[:, 2:] * (square.side_px / MESH_PX)
        return np.hstack([xy, depth]), float(1 / (1 + np.exp(-np.clip(logit.item(), -60, 60))))

    def _uneven(self, points: np.ndarray) -> np.ndarray:
        """Distance of each point from its mirrored partner, after turning and scaling; (468,)."""
        if self._mirror is None:
            self._mirror = self._partners()
        mirrored = points[self._mirror] * [-1.0, 1.0, 1.0]
        return np.linalg.norm(points - _fitted(mirrored, points), axis=1)

    def _partners(self) -> np.ndarray:
        """Each point's partner on the other side of a face.

        Where the mesh of a mirrored picture puts a point is where its partner is in the picture.
        """
        rgb = np.asarray(Image.open(PORTRAIT).convert("RGB"))
        width = rgb.shape[1]
        (face,) = self._faces.find(
            rgb, Square(centre_xy=(width / 2, width / 2), side_px=width), 0.9
        )
        x0, y0, x1, y1 = (float(v) for v in face.box_xyxy)
        centre, side = ((x0 + x1) / 2, (y0 + y1) / 2), AROUND * (x1 - x0)
        flipped = np.ascontiguousarray(rgb[:, ::-1])
        points, mirrored = np.zeros((POINTS, 3)), np.zeros((POINTS, 3))
        for scale in (0.85, 0.92, 1.0, 1.1, 1.2):
            there = Square(centre_xy=centre, side_px=side * scale)
            back = replace(there, centre_xy=(width - centre[0], centre[1]))
            points += self._points(rgb, there)[0]
            mirrored += (self._points(flipped, back)[0] - [width, 0, 0]) * [-1.0, 1.0, 1.0]
        return np.linalg.norm(points[:, None] - mirrored[None], axis=2).argmin(1)


def _overlap(face_xyxy: np.ndarray, box: Box) -> float:
    x0, y0, x1, y1 = (float(v) for v in face_xyxy)
    y0 -= 0.25 * (y1 - y0)  # the detector's box ends at the brows
    common = max(min(x1, box.x1) - max(x0, box.x0), 0) * max(min(y1, box.y1) - max(y0, box.y0), 0)
    return common / min((x1 - x0) * (y1 - y0), box.area_px)


def _square_of(points: np.ndarray) -> Square:
    across = points[263, :2] - points[33, :2]
    angle = math.atan2(across[1], across[0])
    c, s = math.cos(angle), math.sin(angle)
    turned = points[:, :2] @ np.array([[c, -s], [s, c]])
    low, high = turned.min(0), turned.max(0)
    x, y = (low + high) / 2
    return Square(
        centre_xy=(c * x - s * y, s * x + c * y),
        side_px=AROUND * max(float((high - low).max()), 1.0),
        angle_rad=angle,
    )


def _fitted(moving: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """`moving` (N, 3) after the rotation, scale and shift that bring it closest to `fixed`."""
    a, b = fixed - fixed.mean(0), moving - moving.mean(0)
    u, spread, vt = np.linalg.svd(a.T @ b)
    keep = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    scale = (spread * np.diag(keep)).sum() / (b**2).sum()
    return scale * (b @ (u @ keep @ vt).T) + fixed.mean(0)


def _distance(points: np.ndarray, a: int, b: int) -> float:
    return max(float(np.linalg.norm(points[a] - points[b])), 1e-6)


def _width(points: np.ndarray, eye: tuple[int, ...]) -> float:
    return _distance(points, eye[0], eye[1])


def _opening(points: np.ndarray, eye: tuple[int, ...]) -> float:
    return _distance(points, eye[2], eye[3]) / _width(points, eye)


def _unlike(rgb: np.ndarray, points: np.ndarray) -> float:
    """How little one eye's grey levels go with the other's, mirrored: minus their correlation."""
    patches: list[np.ndarray] = []
    for (outer, inner, *_), mirrored in ((LEFT_EYE, False), (RIGHT_EYE, True)):
        a, b = points[outer, :2], points[inner, :2]
        across = a - b if mirrored else b - a
        middle = (a + b) / 2
        square = Square(
            centre_xy=(float(middle[0]), float(middle[1])),
            side_px=1.5 * max(float(np.linalg.norm(across)), 1.0),
            angle_rad=math.atan2(across[1], across[0]),
        )
        grey = cv2.cvtColor(square.cut(rgb, EYE_PX, extend=True), cv2.COLOR_RGB2GRAY)
        patch = grey[:, ::-1] if mirrored else grey
        patches.append((patch - patch.mean()) / (patch.std() + 0.015))
    return -float((patches[0] * patches[1]).mean())
