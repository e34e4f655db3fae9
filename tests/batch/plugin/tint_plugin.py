"""A plug-in as others would write one, for tests that start real processes: one blue is a defect.

Single pixels in the corner make trouble: see `_trouble`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence

import numpy as np

from retoucher.agents import RgbArray
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo

DEFECT_BLUE = 98
DIES, FAILS, HANGS, GLUTTON = (1, 2, 3), (1, 2, 4), (1, 2, 5), (1, 2, 6)


class TintPerceiver:
    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="perceiver", name="tint", version="1")

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        _trouble(tuple(image_rgb[0, 0].tolist()))
        time.sleep(float(os.environ.get("TINT_SLEEP_S", "0")))
        return SaliencyMap(np.float32(0.9) * (image_rgb[..., 2] == DEFECT_BLUE))


class TintReasoner:
    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="reasoner", name="tint", version="1")

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        return tuple(_diagnosis(image_rgb, region) for region in regions)


def _diagnosis(image_rgb: RgbArray, region: Region) -> Diagnosis:
    inside = image_rgb[region.box.slices][region.mask_hw]
    count = int((inside[:, 2] == DEFECT_BLUE).sum())
    severity = 0 if count == 0 else 1 if count < 100 else 3
    return Diagnosis(
        region_id=region.id,
        category="object_texture" if severity else "no_defect",
        severity=severity,
        description=f"{count} px of the place are too blue.",
        confidence=0.9,
    )


def _trouble(corner: tuple[int, ...]) -> None:
    if corner == DIES:
        os.kill(os.getpid(), signal.SIGKILL)
    if corner == FAILS:
        raise RuntimeError("a bug")
    if corner == HANGS:
        time.sleep(600)
    if corner == GLUTTON:
        hoard = [np.ones(2**27, np.uint8) for _ in range(200)]
        raise AssertionError(f"had {len(hoard)} pieces of memory")
