"""Tools, perceivers and reasoners by entry point. A broken one is listed, and stops nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal, cast

from retoucher.errors import ConfigError, PluginError
from retoucher.tables import from_table

Kind = Literal["tool", "perceiver", "reasoner"]
GROUPS: dict[Kind, str] = {
    "tool": "retoucher.tools",
    "perceiver": "retoucher.perceivers",
    "reasoner": "retoucher.reasoners",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plugin:
    """One registered plug-in.

    Attributes:
        kind, name: how the user names it; names are unique within a kind.
        target: "module:attribute" of the entry point.
        distribution: package that brings it, with its version.
        factory: class or function that makes it; None when it is broken.
        error: why it cannot be loaded, in one line; None when it can.
    """

    kind: Kind
    name: str
    target: str
    distribution: str
    factory: Callable[[], Any] | None
    error: str | None


def discover(kind: Kind) -> tuple[Plugin, ...]:
    """All plug-ins of a kind, sorted by name; of two with one name ours, or the first, counts."""
    found: dict[str, Plugin] = {}
    points = metadata.entry_points(group=GROUPS[kind])
    ours_first = sorted(
        points, key=lambda p: (p.name, not p.value.startswith("retoucher."), p.value)
    )
    for point in ours_first:
        plugin = _load(kind, point)
        if point.name in found:
            shadowed = found[point.name]
            error = f"the name is taken by {shadowed.target} ({shadowed.distribution})"
            name = f"{point.name} ({plugin.distribution})"
            plugin = Plugin(
                kind=kind,
                name=name,
                target=point.value,
                distribution=plugin.distribution,
                factory=None,
                error=error,
            )
        found[plugin.name] = plugin
    return tuple(found[name] for name in sorted(found))


def create(kind: Kind, name: str, options: Mapping[str, object] | None = None) -> Any:
    """Make the named plug-in.

    Args:
        kind, name: which.
        options: its settings by name. A plug-in that has some names their frozen dataclass as its
            attribute `settings_type`, and takes one as its only argument; None: its defaults.

    Raises:
        PluginError: unknown name (the known ones are listed) or broken plug-in (with its reason).
        ConfigError: the plug-in has no such setting, or the value is wrong.
    """
    plugins = {plugin.name: plugin for plugin in discover(kind)}
    plugin = plugins.get(name)
    if plugin is None:
        known = ", ".join(plugins) or "none"
        raise PluginError(f"unknown {kind} {name!r}; known: {known}")
    if plugin.factory is None:
        raise PluginError(f"{kind} {name!r} of {plugin.distribution} is broken: {plugin.error}")
    arguments = (_settings(plugin, options),) if options else ()
    try:
        return plugin.factory(*arguments)
    except Exception as error:
        raise PluginError(f"{kind} {name!r} cannot be started: {_one_line(error)}") from error


def _settings(plugin: Plugin, options: Mapping[str, object]) -> object:
    kind = getattr(plugin.factory, "settings_type", None)
    where = f"options.{plugin.kind}.{plugin.name}"
    if kind is None:
        raise ConfigError(f"{where}: {plugin.kind} {plugin.name!r} has no settings")
    return from_table(cast(type[object], kind), options, where)


def _load(kind: Kind, point: metadata.EntryPoint) -> Plugin:
    dist = point.dist
    distribution = f"{dist.name} {dist.version}" if dist else "unknown package"
    factory, error = None, None
    try:
        loaded = point.load()
        if callable(loaded):
            factory = loaded
        else:
            error = f"{point.value} is not callable"
    except Exception as problem:
        error = _one_line(problem)
    return Plugin(
        kind=kind,
        name=point.name,
        target=point.value,
        distribution=distribution,
        factory=factory,
        error=error,
    )


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
