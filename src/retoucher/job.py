"""What a run works on and works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from retoucher.agents import Perceiver, Planner, Reasoner, RgbArray, Tool, Verifier
from retoucher.domain.plan import Preference
from retoucher.domain.region import Region
from retoucher.imaging.crop import CropSettings
from retoucher.imaging.regions import RegionSettings
from retoucher.imaging.stitch import StitchSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """One picture to work on.

    Attributes:
        image_rgb: uint8 (H, W, 3).
        prompt: "" when unknown.
        regions: the user's own regions instead of perception's; None: perceive.
        preference: what the user wants.
        seed: of the whole run.
    """

    image_rgb: RgbArray
    prompt: str = ""
    regions: tuple[Region, ...] | None = None
    preference: Preference = field(default_factory=Preference)
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Agents:
    """The five agents; tools by name."""

    perceiver: Perceiver
    reasoner: Reasoner
    planner: Planner
    tools: Mapping[str, Tool]
    verifier: Verifier


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How long to go on, and how regions, crops and seams are made."""

    rounds: int = 3
    time_budget_s: float | None = None
    regions: RegionSettings = field(default_factory=RegionSettings)
    crop: CropSettings = field(default_factory=CropSettings)
    stitch: StitchSettings = field(default_factory=StitchSettings)
