"""Agents that see one thing only, pure magenta: quick, and each does its real work.

`python -m tests.ui.magenta` serves the page with them, for the browser tests.
"""

from __future__ import annotations

import io
import os
import sys
import time
from collections.abc import Sequence

import numpy as np
from PIL import Image, PngImagePlugin

from retoucher.agents import EditRequest, RgbArray, ToolSpec, VerifyRequest
from retoucher.api import Retoucher
from retoucher.config import Settings
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo
from retoucher.domain.verdict import Verdict
from retoucher.errors import Cancelled
from retoucher.job import Agents
from retoucher.planning.policy import StaticPlanner

MAGENTA = (255, 0, 255)
PROMPT = "a grey wall, photo"


def is_magenta(image_rgb: RgbArray) -> np.ndarray:
    return (image_rgb == np.array(MAGENTA, np.uint8)).all(axis=2)


class MagentaPerceiver:
    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="perceiver", name="magenta", version="1")

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        return SaliencyMap(is_magenta(image_rgb).astype(np.float32) * np.float32(0.9))


class MagentaReasoner:
    """Magenta is a broken texture; where there is none, nothing is wrong."""

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="reasoner", name="magenta", version="1")

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        return tuple(self._one(image_rgb, region) for region in regions)

    def _one(self, image_rgb: RgbArray, region: Region) -> Diagnosis:
        share = is_magenta(image_rgb[region.box.slices])[region.mask_hw].mean()
        bad = share > 0.01
        return Diagnosis(
            region_id=region.id,
            category="object_texture" if bad else "no_defect",
            severity=2 if bad else 0,
            description=f"{share:.0%} of it is magenta" if bad else "Nothing stands out.",
            confidence=0.9,
        )


class MagentaVerifier:
    """Accepts what leaves no magenta; how a repair looks is the real verifier's matter."""

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="verifier", name="magenta", version="1")

    def verify(self, request: VerifyRequest) -> Verdict:
        before, after = (
            float(is_magenta(image[request.region.box.slices])[request.region.mask_hw].mean())
            for image in (request.before_rgb, request.after_rgb)
        )
        return Verdict(
            accepted=after == 0,
            reason=f"magenta went from {before:.0%} to {after:.0%}",
            score_before=before,
            score_after=after,
        )


class FillTool:
    """Fills the mask with the mean of what is around it, and takes its time."""

    def __init__(self, name: str, seconds: float, priority: int) -> None:
        self.spec = ToolSpec(
            name=name,
            version="1",
            kind="mask",
            summary=f"fills in {seconds:g} s",
            priority=priority,
            deterministic=True,
        )
        self.seconds = seconds

    def edit(self, request: EditRequest) -> RgbArray:
        end = time.monotonic() + self.seconds
        while time.monotonic() < end:
            if request.cancelled():
                raise Cancelled("stopped")
            time.sleep(0.02)
        out = request.crop_rgb.copy()
        around = ~request.mask_hw & ~is_magenta(out)
        out[request.mask_hw] = out[around].mean(axis=0).round().astype(np.uint8)
        return out


def retoucher(settings: Settings | None = None) -> Retoucher:
    settings = settings or Settings()
    perceiver, reasoner = MagentaPerceiver(), MagentaReasoner()
    tools = [FillTool("fill", 0.3, 2), FillTool("slow", 300.0, 1)]
    agents = Agents(
        perceiver=perceiver,
        reasoner=reasoner,
        planner=StaticPlanner(),
        tools={tool.spec.name: tool for tool in tools},
        verifier=MagentaVerifier(),
    )
    return Retoucher(agents, settings)


def wall(
    *boxes: Box, size_wh: tuple[int, int] = (320, 240), prompt: str = PROMPT, seed: int = 0
) -> bytes:
    """A PNG of a rough grey wall with magenta places, its prompt as A1111 writes it."""
    width, height = size_wh
    rough = np.random.default_rng(seed).integers(118, 138, (height, width, 1), np.uint8)
    image = np.repeat(rough, 3, axis=2)
    for box in boxes:
        image[box.slices] = MAGENTA
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", f"{prompt}\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: 1")
    info.add_text("Author", "somebody")
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def main() -> None:
    from retoucher.ui.server import serve
    from retoucher.ui.settings import UiSettings

    settings = UiSettings(
        port=0,
        password=os.environ.get("RETOUCH_UI_PASSWORD"),
        max_upload_mb=1,
        max_megapixels=1,
        feedback=None,
    )
    serve(retoucher(), settings, lambda address: print(address, flush=True))


if __name__ == "__main__":
    sys.exit(main())
