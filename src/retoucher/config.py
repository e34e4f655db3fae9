"""All settings of a run, frozen, with their defaults; from a TOML file or keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from retoucher.domain.plan import Preference
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.errors import ConfigError
from retoucher.imaging.crop import CropSettings
from retoucher.imaging.regions import RegionSettings
from retoucher.imaging.stitch import StitchSettings
from retoucher.job import CandidateSettings
from retoucher.planning.learned import LearningSettings
from retoucher.plugins import GROUPS
from retoucher.tables import from_table, nearest, read_table
from retoucher.verification.improvement import VerifySettings

Options = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""Plug-in settings by kind and name; plain JSON values, checked by the plug-in's own type."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a run may be told. A nested group is a table of the TOML file.

    Attributes:
        perceivers: names of the perceivers that speak together.
        reasoner: name of the reasoner.
        rounds: at most so many rounds act.
        time_budget_s: stop after so many seconds; None: no limit.
        seed: of the whole run; the same seed and input give the same bytes.
        preference: which defects to repair with which tools.
        regions, crop, stitch, verify, candidates, learning: see their classes.
        options: settings of plug-ins by kind and name, such as `[options.tool.flux-fill]`; a tool
            that is opt-in takes part where it is named here, or in `preference.tools`.

    Raises:
        ConfigError: on a value out of range.
    """

    perceivers: tuple[str, ...] = ("text", "saliency")
    reasoner: str = "embedded"
    rounds: int = 3
    time_budget_s: float | None = None
    seed: int = 0
    preference: Preference = field(default_factory=Preference)
    regions: RegionSettings = field(default_factory=RegionSettings)
    crop: CropSettings = field(default_factory=CropSettings)
    stitch: StitchSettings = field(default_factory=StitchSettings)
    verify: VerifySettings = field(default_factory=VerifySettings)
    candidates: CandidateSettings = field(default_factory=CandidateSettings)
    learning: LearningSettings = field(default_factory=LearningSettings)
    options: Options = field(default_factory=dict[str, Mapping[str, Mapping[str, Any]]])

    def __post_init__(self) -> None:
        if not self.perceivers:
            raise ConfigError("perceivers: name at least one (retouch doctor lists them)")
        if not 1 <= self.rounds <= 100:
            raise ConfigError(f"rounds must lie between 1 and 100, got {self.rounds}")
        if self.time_budget_s is not None and not self.time_budget_s > 0:
            raise ConfigError(f"time_budget_s must be positive, got {self.time_budget_s}")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed must lie between 0 and 2^31 - 1, got {self.seed}")
        for kind in self.options:
            if kind not in GROUPS:
                raise ConfigError(f"options: {kind!r} is no kind{nearest(kind, list(GROUPS))}")
        known = [*taxonomy(), UNKNOWN]
        for name in sorted(self.preference.only | self.preference.skip):
            if name not in known:
                raise ConfigError(f"unknown category {name!r}{nearest(name, known)}")


def load_settings(path: str | Path) -> Settings:
    """Settings from a TOML file; what it does not name keeps its default.

    Raises:
        ConfigError: unreadable file, bad TOML, unknown key (the nearest known one is named), or a
            value of the wrong type or out of range.
    """
    return settings_from(read_table(path), where=str(path))


def settings_from(data: Mapping[str, object], *, where: str = "settings") -> Settings:
    """Settings from nested mappings, as `load_settings` reads them.

    Raises:
        ConfigError: as `load_settings`.
    """
    return from_table(Settings, data, where)
