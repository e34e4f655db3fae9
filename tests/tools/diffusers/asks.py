"""Requests to a diffusion tool."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import EditRequest
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box

HAND = Diagnosis(
    region_id="r1",
    category="hand_shape",
    severity=2,
    description="the hand has no fingers",
    confidence=0.9,
)


def picture(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    """Soft blobs of colour, read-only."""
    noise = np.random.default_rng(seed).normal(0, 1, (height, width, 3))
    soft = cv2.GaussianBlur(noise, (0, 0), 4)
    out = np.clip(128 + 50 * soft / soft.std(), 0, 255).astype(np.uint8)
    out.setflags(write=False)
    return out


def ask(height: int = 64, width: int = 64, **changes: object) -> EditRequest:
    """Repaint the left half."""
    mask = np.zeros((height, width), bool)
    mask[:, : width // 2] = True
    asked = EditRequest(
        crop_rgb=picture(height, width),
        mask_hw=mask,
        crop_box=Box.of_picture(height, width),
        diagnosis=HAND,
        instruction="a natural hand",
        prompt="a woman waves",
        seed=3,
    )
    return replace(asked, **changes)  # type: ignore[arg-type]
