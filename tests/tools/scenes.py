"""Pictures of one line of lettering on a surface, in perspective, and requests to set it anew."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from retoucher.agents import EditRequest
from retoucher.domain.diagnosis import Diagnosis, Evidence
from retoucher.domain.geometry import Box

Rgb = NDArray[np.uint8]
SCALE = 3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Scene:
    """A picture, where its lettering lies, and its parts for comparison."""

    image: Rgb
    bare: Rgb
    quad_xy: NDArray[np.float64]
    ink: NDArray[np.float64]


def surface(kind: str, height: int = 220, width: int = 420) -> Rgb:
    """A plain or graded sign, or a wall of brick."""
    rng = np.random.default_rng(5)
    if kind == "brick":
        rows, columns = np.mgrid[:height, :width]
        course = rows // 24
        joint = (rows % 24 < 3) | ((columns + 30 * (course % 2)) % 60 < 3)
        rough = cv2.GaussianBlur(rng.normal(0, 22, (height, width)), (0, 0), 1.5)
        grey = np.where(joint, 110, 70) + rough + rng.normal(0, 3, (height, width))
        return np.clip(grey[..., None] * [1.1, 0.8, 0.7], 0, 255).astype(np.uint8)
    across = np.linspace(0, 1, width)[None, :, None]
    low, high = ((60, 90, 140), (110, 150, 180)) if kind == "graded" else ((235, 225, 200),) * 2
    values = np.array(low) * (1 - across) + np.array(high) * across
    values = np.broadcast_to(values, (height, width, 3)) + rng.normal(0, 2, (height, width, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


def lettered(
    text: str,
    *,
    kind: str = "plain",
    ink: tuple[int, int, int] = (25, 30, 90),
    size_px: float = 48,
    turn: float = 0.0,
    squeeze: float = 0.0,
    blur_px: float = 0.5,
    font: ImageFont.FreeTypeFont | None = None,
) -> Scene:
    """Text set in Pillow's built-in face (which does not ship with the tool), or in `font`."""
    bare = surface(kind)
    h, w = bare.shape[:2]
    face = font or ImageFont.load_default(size_px * SCALE)
    assert isinstance(face, ImageFont.FreeTypeFont)
    x0, y0, x1, y1 = face.getbbox(text)
    pad = round(0.1 * (y1 - y0))
    plate = Image.new("L", (round(x1 - x0) + 2 * pad, round(y1 - y0) + 2 * pad))
    ImageDraw.Draw(plate).text((pad - x0, pad - y0), text, fill=255, font=face)
    half = np.array([plate.width, plate.height]) / SCALE / 2
    corners = half * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    corners[[1, 2], 1] *= 1 - squeeze
    rotate = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    quad = corners @ rotate.T + np.array([w, h]) / 2
    source = np.array([[0, 0], [plate.width, 0], [plate.width, plate.height], [0, plate.height]])
    matrix = cv2.getPerspectiveTransform(
        source.astype(np.float32) - 0.5, (quad * SCALE).astype(np.float32) - 0.5
    )
    large = cv2.warpPerspective(np.asarray(plate, np.float32) / 255, matrix, (w * SCALE, h * SCALE))
    cover = cv2.resize(large, (w, h), interpolation=cv2.INTER_AREA)
    alpha = cv2.GaussianBlur(cover, (0, 0), blur_px)[..., None]
    image = bare * (1 - alpha) + np.array(ink) * alpha
    return Scene(
        image=np.clip(image.round(), 0, 255).astype(np.uint8),
        bare=bare,
        quad_xy=quad,
        ink=np.array(ink, np.float64),
    )


def request(
    scene: Scene, read: str, intended: str, *, seed: int = 0, grow: float = 0.35
) -> EditRequest:
    """The whole picture as crop; the mask is the text's quad, grown."""
    mask = np.zeros(scene.image.shape[:2], np.uint8)
    cv2.fillPoly(mask, [np.round(scene.quad_xy).astype(np.int32)], 1)
    side = 2 * round(grow * float(np.linalg.norm(scene.quad_xy[3] - scene.quad_xy[0]))) + 1
    mask = cv2.dilate(mask, np.ones((side, side), np.uint8)) > 0
    crop = scene.image.copy()
    crop.setflags(write=False)
    return EditRequest(
        crop_rgb=crop,
        mask_hw=mask,
        crop_box=Box.of_picture(*mask.shape),
        diagnosis=misspelled((scene.quad_xy, read, intended)),
        seed=seed,
    )


def misspelled(*units: tuple[NDArray[np.float64], str, str]) -> Diagnosis:
    """A diagnosis with evidence of both kinds for each (quad, read, intended)."""
    evidence: list[Evidence] = []
    for quad, read, intended in units:
        place = {"quad_xy": quad.tolist(), "read": read, "intended": intended}
        evidence.append(Evidence(kind="lettering", data={**place, "defect": 0.9, "asked": []}))
        evidence.append(Evidence(kind="intended_text", data={**place, "source": "prompt"}))
    return Diagnosis(
        region_id="r1",
        category="text_wrong",
        severity=2,
        description="the word is misspelled",
        confidence=0.9,
        evidence=tuple(evidence),
    )
