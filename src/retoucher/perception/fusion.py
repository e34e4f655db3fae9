"""Several perceivers speaking together: a place is salient when any of them says so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

import retoucher
from retoucher.agents import Perceiver, RgbArray
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo


class FusedPerceiver:
    """The pixelwise maximum of its members' maps, so that nothing one of them found is lost.

    Raises:
        ValueError: without members.
    """

    def __init__(self, members: Sequence[Perceiver]) -> None:
        if not members:
            raise ValueError("a fused perceiver needs at least one member")
        self._members = tuple(members)

    @property
    def info(self) -> AgentInfo:
        infos = [member.info for member in self._members]
        return AgentInfo(
            role="perceiver",
            name="max(" + ", ".join(info.name for info in infos) + ")",
            version=retoucher.__version__,
            weights={name: sha for info in infos for name, sha in info.weights.items()},
            device="+".join(sorted({info.device for info in infos})),
            settings={info.name: dict(info.settings) for info in infos},
        )

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        """The maximum over members, float32 (H, W)."""
        maps = [member.perceive(image_rgb, prompt).values_hw for member in self._members]
        return SaliencyMap(maps[0] if len(maps) == 1 else np.maximum.reduce(maps))
