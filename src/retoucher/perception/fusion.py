"""Several perceivers speaking together: a place is salient when any of them says so.

One exception: a perceiver may claim places in which it measures what others only guess (lettering
that was read and judged). There its word counts alone. So lettering that is right is not called
distorted by its looks, and a blob of another perceiver neither swallows a line of lettering nor
grows together with it: the line stays a region of its own, with the mask that a tool needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

import retoucher
from retoucher.agents import BoolArray, Perceiver, RgbArray
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo


@runtime_checkable
class ClaimingPerceiver(Perceiver, Protocol):
    """A perceiver that knows some places better than any other."""

    def claims(self, image_rgb: RgbArray, prompt: str) -> BoolArray:
        """Where its saliency alone counts, bool (H, W). Same input, same output."""
        ...


class FusedPerceiver:
    """The pixelwise maximum of its members' maps; in claimed places, of those who claim them.

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
        """The fused map, float32 (H, W)."""
        maps = [member.perceive(image_rgb, prompt).values_hw for member in self._members]
        if len(maps) == 1:
            return SaliencyMap(maps[0])
        claims = [
            member.claims(image_rgb, prompt) if isinstance(member, ClaimingPerceiver) else None
            for member in self._members
        ]
        taken = np.zeros(maps[0].shape, np.bool_)
        for claim in claims:
            if claim is not None:
                taken |= claim
        fused = np.zeros_like(maps[0])
        for values, claim in zip(maps, claims, strict=True):
            speaks = ~taken if claim is None else claim | ~taken
            np.maximum(fused, np.where(speaks, values, 0), out=fused)
        return SaliencyMap(fused)
