"""What a run works on and works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from retoucher.agents import Learner, Perceiver, Planner, Reasoner, RgbArray, Tool, Verifier
from retoucher.domain.plan import Preference
from retoucher.domain.region import Region
from retoucher.errors import ConfigError
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
    """The five agents; tools by name. `learner`, if any, is told what became of every edit."""

    perceiver: Perceiver
    reasoner: Reasoner
    planner: Planner
    tools: Mapping[str, Tool]
    verifier: Verifier
    learner: Learner | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CandidateSettings:
    """How often a tool may try the same place, with different seeds (best of N).

    Attributes:
        most: tries at a glaring defect; a clear one gets half of them, a subtle one a single try.
            A deterministic tool always gets one.
        enough: no further try once this share of the region's defect score is gone.

    Raises:
        ConfigError: on a value out of range.
    """

    most: int = 1
    enough: float = 0.75

    def __post_init__(self) -> None:
        if not 1 <= self.most <= 16:
            raise ConfigError(f"most must lie between 1 and 16, got {self.most}")
        if not 0.0 < self.enough <= 1.0:
            raise ConfigError(f"enough must lie in (0, 1], got {self.enough}")

    def count(self, severity: int) -> int:
        """How many tries a defect of this severity (1 to 3) gets."""
        return {3: self.most, 2: -(-self.most // 2)}.get(severity, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopSettings:
    """How long to go on, and how regions, crops and seams are made."""

    rounds: int = 3
    time_budget_s: float | None = None
    regions: RegionSettings = field(default_factory=RegionSettings)
    crop: CropSettings = field(default_factory=CropSettings)
    stitch: StitchSettings = field(default_factory=StitchSettings)
    candidates: CandidateSettings = field(default_factory=CandidateSettings)
