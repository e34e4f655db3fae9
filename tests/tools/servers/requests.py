"""Edit requests for the tests of the server tools."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from retoucher.agents import EditRequest
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box

BLOT = (255, 0, 255)


def surface(height: int = 96, width: int = 128) -> np.ndarray:
    """Soft stripes with a little noise: plain enough to be filled, busy enough to be registered."""
    rng = np.random.default_rng(3)
    across = 120 + 50 * np.sin(np.arange(width) * 2 * np.pi / 29)[None, :]
    down = 30 * np.sin(np.arange(height) * 2 * np.pi / 41)[:, None]
    values = (across + down)[..., None] * [1.0, 0.9, 0.7] + rng.normal(0, 4, (height, width, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


def blotted(height: int = 96, width: int = 128, **changes: Any) -> EditRequest:
    """A magenta blot left and above the middle, masked: a wrong polarity keeps it."""
    crop = surface(height, width)
    mask = np.zeros((height, width), bool)
    mask[height // 6 : height // 2, width // 8 : width // 3] = True
    crop[mask] = BLOT
    crop.setflags(write=False)
    request = EditRequest(
        crop_rgb=crop,
        mask_hw=mask,
        crop_box=Box.of_picture(height, width),
        diagnosis=Diagnosis(
            region_id="r1",
            category="object_texture",
            severity=3,
            description="a magenta blot",
            confidence=0.9,
        ),
        instruction="a striped wall, photograph",
        prompt="a wall",
        seed=11,
    )
    return replace(request, **changes)


def assert_repaired(request: EditRequest, out: np.ndarray, *, near: float = 50.0) -> None:
    """The blot is gone and the clean surface is there, in place."""
    truth = surface(*request.mask_hw.shape).astype(float)
    inside = np.abs(out[request.mask_hw] - truth[request.mask_hw])
    outside = np.abs(out[~request.mask_hw] - truth[~request.mask_hw])
    assert out.shape == request.crop_rgb.shape
    assert inside.mean() < near, f"inside differs by {inside.mean():.1f} levels"
    assert outside.mean() < 3, f"outside differs by {outside.mean():.1f} levels"
