"""From the command line's options to the settings of a run."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from retoucher import plugins
from retoucher.cli.options import FixOptions, LookOptions
from retoucher.config import Settings, settings_from
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.errors import ConfigError, PluginError
from retoucher.tables import nearest, read_table


def look_settings(look: LookOptions) -> Settings:
    """The settings file, or the defaults, with the options of both commands on top.

    Raises:
        ConfigError: bad file or value.
    """
    table = read_table(look.config) if look.config else {}
    for item in look.sets:
        _set(table, item)
    settings = settings_from(table, where=str(look.config or "--set"))
    if look.reasoner is not None:
        settings = replace(settings, reasoner=look.reasoner)
    regions = settings.regions
    if look.threshold is not None:
        regions = replace(regions, threshold=look.threshold)
    if look.max_regions is not None:
        regions = replace(regions, max_regions=look.max_regions)
    return replace(settings, regions=regions)


def _set(table: dict[str, object], item: str) -> None:
    """Put a KEY=VALUE into nested tables; a value that is no TOML is taken as it is written."""
    key, sign, text = item.partition("=")
    *groups, last = key.strip().split(".")
    if not sign or not all((*groups, last)):
        raise ConfigError(f"--set {item}: expected KEY=VALUE, such as --set regions.threshold=0.4")
    for group in groups:
        inner = table.setdefault(group, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {item}: {group} is no group of settings")
        table = cast(dict[str, object], inner)
    try:
        table[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = text.strip()


def fix_settings(look: LookOptions, fix: FixOptions) -> Settings:
    """As `look_settings`, with the options of `fix` on top.

    Raises:
        ConfigError: bad file or value.
        PluginError: unknown tool.
    """
    settings = look_settings(look)
    preference = settings.preference
    if fix.only:
        preference = replace(preference, only=_categories("--only", fix.only))
    if fix.skip:
        preference = replace(preference, skip=_categories("--skip", fix.skip))
    if fix.tools:
        preference = replace(preference, tools=_tools(fix.tools))
    if fix.avoid:
        preference = replace(preference, avoid=frozenset(_tools(fix.avoid)))
    budget = settings.time_budget_s if fix.time_budget_s is None else fix.time_budget_s
    if budget is not None and not (math.isfinite(budget) and budget > 0):
        raise ConfigError(f"--time-budget must be a positive number of seconds, got {budget}")
    return replace(
        settings,
        preference=preference,
        time_budget_s=budget,
        rounds=settings.rounds if fix.rounds is None else fix.rounds,
        seed=settings.seed if fix.seed is None else fix.seed,
    )


def _categories(option: str, names: Sequence[str]) -> frozenset[str]:
    """Categories as named; the name of a dimension stands for all of its categories."""
    found: set[str] = set()
    known = [*dict.fromkeys(c.dimension for c in taxonomy().values()), *taxonomy(), UNKNOWN]
    for name in names:
        if name not in known:
            raise ConfigError(f"{option}: unknown category {name!r}{nearest(name, known)}")
        found |= {c.name for c in taxonomy().values() if name in (c.name, c.dimension)} or {name}
    return frozenset(found)


def _tools(names: Sequence[str]) -> tuple[str, ...]:
    known = {plugin.name: plugin for plugin in plugins.discover("tool")}
    for name in names:
        plugin = known.get(name)
        if plugin is None:
            raise PluginError(f"unknown tool {name!r}{nearest(name, list(known))}")
        if plugin.error is not None:
            raise PluginError(f"tool {name!r} cannot be loaded: {plugin.error}")
    return tuple(names)
