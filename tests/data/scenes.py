"""A drawn picture with a hand, a face, a body, lettering and objects at known places."""

from __future__ import annotations

import cv2
import numpy as np

from retoucher.data.landmarks import FACE_POINTS
from retoucher.data.sample import CleanPart, Sample
from retoucher.domain.geometry import Box

HAND = Box(20, 20, 150, 170)
FACE = Box(200, 20, 330, 180)
BODY = Box(360, 20, 500, 330)
TEXT = Box(20, 200, 330, 260)
OBJECT = Box(30, 290, 190, 400)
FOOT = Box(220, 300, 310, 380)


def hand_points() -> np.ndarray:
    """An open hand, fingers up."""
    wrist = np.array([85.0, 165.0])
    points = [wrist]
    roots = [(50, 130), (58, 98), (80, 92), (100, 96), (118, 106)]
    tips = [(26, 88), (48, 34), (80, 24), (110, 34), (140, 62)]
    for root, tip in zip(roots, tips, strict=True):
        points += [np.array(root) + (np.array(tip) - root) * t for t in (0, 0.4, 0.7, 1.0)]
    return np.array(points, np.float32)


def face_points() -> np.ndarray:
    """A frontal face."""
    cx, cy = FACE.centre_xy
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False) - np.pi / 2
    oval = np.stack([cx + 58 * np.cos(angles), cy + 74 * np.sin(angles)], 1)

    def eye(x: float, outward: int) -> np.ndarray:
        offsets = np.array([[12, 0], [5, -6], [-5, -6], [-12, 0], [-5, 5], [5, 5]], float)
        return np.array([x, cy - 20]) + offsets * (outward, 1)

    def brow(x: float, outward: int) -> np.ndarray:
        return np.array([[x + outward * d, cy - 36] for d in (14, 7, 0, -7, -14)])

    nose = np.array(
        [
            [cx, cy - 20],
            [cx, cy - 8],
            [cx, cy + 8],
            [cx - 10, cy + 10],
            [cx + 10, cy + 10],
            [cx, cy + 14],
        ]
    )
    t = np.linspace(np.pi, 3 * np.pi, 12, endpoint=False)
    lips = np.stack([cx + 22 * np.cos(t), cy + 38 + 9 * np.sin(t)], 1)
    groups = [
        oval,
        eye(cx - 26, -1),
        eye(cx + 26, 1),
        brow(cx - 26, -1),
        brow(cx + 26, 1),
        nose,
        lips,
    ]
    points = np.concatenate(groups).astype(np.float32)
    assert len(points) == FACE_POINTS
    return points


def body_points() -> np.ndarray:
    """A standing person, arms slightly away from the body."""
    left = [
        (405, 90),
        (392, 140),
        (384, 185),
        (382, 200),
        (412, 200),
        (410, 250),
        (408, 305),
        (402, 315),
    ]
    right = [
        (455, 90),
        (468, 140),
        (476, 185),
        (478, 200),
        (448, 200),
        (450, 250),
        (452, 305),
        (458, 315),
    ]
    return np.array([p for pair in zip(left, right, strict=True) for p in pair], np.float32)


def drawn_rgb() -> np.ndarray:
    """The picture, uint8 (420, 520, 3)."""
    rng = np.random.default_rng(5)
    broad = cv2.resize(rng.uniform(90, 150, (6, 8, 3)), (520, 420), interpolation=cv2.INTER_CUBIC)
    rgb = (broad + rng.normal(0, 5, broad.shape)).clip(0, 255).astype(np.uint8)
    rgb = np.ascontiguousarray(rgb)
    skin, dark = (214, 160, 130), (60, 30, 25)
    points = hand_points().astype(int)
    cv2.fillConvexPoly(rgb, cv2.convexHull(points[[0, 1, 5, 9, 13, 17]]), skin, cv2.LINE_AA)
    for f in range(5):
        line = points[1 + 4 * f : 5 + 4 * f]
        cv2.polylines(rgb, [line], False, dark, 21, cv2.LINE_AA)
        cv2.polylines(rgb, [line], False, skin, 17, cv2.LINE_AA)
    face = face_points().astype(int)
    cv2.fillConvexPoly(rgb, face[:16], skin, cv2.LINE_AA)
    for group in (slice(16, 22), slice(22, 28)):
        cv2.fillConvexPoly(rgb, face[group], (245, 245, 245), cv2.LINE_AA)
        cv2.circle(rgb, face[group].mean(0).astype(int).tolist(), 5, dark, -1, cv2.LINE_AA)
    cv2.fillConvexPoly(rgb, face[44:56], (170, 40, 50), cv2.LINE_AA)
    cv2.polylines(rgb, [face[38:41]], False, dark, 2, cv2.LINE_AA)
    body = body_points().astype(int)
    cv2.rectangle(rgb, (410, 80), (450, 205), (40, 60, 150), -1)
    for ids in ((0, 2, 4, 6), (1, 3, 5, 7), (8, 10, 12, 14), (9, 11, 13, 15)):
        cv2.polylines(rgb, [body[list(ids)]], False, (200, 60, 60), 18, cv2.LINE_AA)
    cv2.circle(rgb, (430, 50), 26, skin, -1, cv2.LINE_AA)
    cv2.rectangle(rgb, (20, 200), (330, 260), (235, 235, 225), -1)
    cv2.putText(
        rgb, "GARDEN HOTEL", (30, 243), cv2.FONT_HERSHEY_SIMPLEX, 1.15, (20, 20, 30), 3, cv2.LINE_AA
    )
    cv2.rectangle(rgb, (40, 320), (180, 395), (180, 150, 30), -1)
    cv2.circle(rgb, (110, 330), 34, (30, 140, 90), -1, cv2.LINE_AA)
    cv2.ellipse(rgb, (265, 345), (40, 22), 20, 0, 360, (90, 50, 30), -1, cv2.LINE_AA)
    cv2.line(rgb, (225, 360), (305, 372), (230, 230, 230), 5, cv2.LINE_AA)
    return rgb


def drawn_sample() -> Sample:
    """The picture with all its parts."""
    rgb = drawn_rgb()
    parts = (
        CleanPart(box=HAND, part="hand", points_xy=hand_points()),
        CleanPart(box=FACE, part="face", points_xy=face_points()),
        CleanPart(box=Box(205, 60, 265, 110), part="face"),
        CleanPart(box=BODY, part="person", points_xy=body_points()),
        CleanPart(box=TEXT, part="text"),
        CleanPart(box=OBJECT, part="object", name="jug"),
        CleanPart(box=FOOT, part="foot"),
    )
    return Sample(
        id="drawn", picture=rgb, width=520, height=420, prompt="a drawn scene", clean_parts=parts
    )
