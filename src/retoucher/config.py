"""All settings of a run, frozen, with their defaults; from a TOML file or keyword arguments."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, cast, get_type_hints

from pydantic import TypeAdapter, ValidationError

from retoucher.domain.plan import Preference
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.errors import ConfigError
from retoucher.imaging.crop import CropSettings
from retoucher.imaging.regions import RegionSettings
from retoucher.imaging.stitch import StitchSettings
from retoucher.verification.improvement import VerifySettings

T = TypeVar("T")


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
        regions, crop, stitch, verify: see their classes.

    Raises:
        ConfigError: on a value out of range.
    """

    perceivers: tuple[str, ...] = ("text",)
    reasoner: str = "embedded"
    rounds: int = 3
    time_budget_s: float | None = None
    seed: int = 0
    preference: Preference = field(default_factory=Preference)
    regions: RegionSettings = field(default_factory=RegionSettings)
    crop: CropSettings = field(default_factory=CropSettings)
    stitch: StitchSettings = field(default_factory=StitchSettings)
    verify: VerifySettings = field(default_factory=VerifySettings)

    def __post_init__(self) -> None:
        if not self.perceivers:
            raise ConfigError("perceivers: name at least one (retouch doctor lists them)")
        if not 1 <= self.rounds <= 100:
            raise ConfigError(f"rounds must lie between 1 and 100, got {self.rounds}")
        if self.time_budget_s is not None and not self.time_budget_s > 0:
            raise ConfigError(f"time_budget_s must be positive, got {self.time_budget_s}")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"seed must lie between 0 and 2^31 - 1, got {self.seed}")
        known = [*taxonomy(), UNKNOWN]
        for name in sorted(self.preference.only | self.preference.skip):
            if name not in known:
                raise ConfigError(f"unknown category {name!r}{_nearest(name, known)}")


def load_settings(path: str | Path) -> Settings:
    """Settings from a TOML file; what it does not name keeps its default.

    Raises:
        ConfigError: unreadable file, bad TOML, unknown key (the nearest known one is named), or a
            value of the wrong type or out of range.
    """
    try:
        data = tomllib.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read settings {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    return settings_from(data, where=str(path))


def settings_from(data: Mapping[str, object], *, where: str = "settings") -> Settings:
    """Settings from nested mappings, as `load_settings` reads them.

    Raises:
        ConfigError: as `load_settings`.
    """
    return _build(Settings, data, where)


def _build(cls: type[T], data: Mapping[str, object], where: str) -> T:
    hints = get_type_hints(cls)
    names = [f.name for f in fields(cast(Any, cls))]
    values: dict[str, object] = {}
    for key, value in data.items():
        place = f"{where}: {key}"
        if key not in names:
            raise ConfigError(f"{place} is no setting{_nearest(key, names)}")
        hint = hints[key]
        if is_dataclass(hint):
            if not isinstance(value, Mapping):
                raise ConfigError(f"{place} must be a table of settings, got {value!r}")
            group = cast(type[object], hint)
            values[key] = _build(group, cast(Mapping[str, object], value), place)
        else:
            values[key] = _checked(hint, value, place)
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{where}: {error}") from error


def _checked(hint: Any, value: object, place: str) -> object:
    """The value in the setting's type; whole numbers pass as floats, lists as tuples or sets."""
    try:
        return TypeAdapter(hint).validate_json(_as_json(value), strict=True)
    except ValidationError as error:
        raise ConfigError(f"{place}: {error.errors()[0]['msg']}, got {value!r}") from error


def _as_json(value: object) -> bytes:
    return TypeAdapter(object).dump_json(value)


def _nearest(name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(known)}"
