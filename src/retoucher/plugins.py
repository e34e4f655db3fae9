"""Tools, perceivers and reasoners by entry point. A broken one is listed, and stops nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from typing import Any, Literal

from retoucher.errors import PluginError

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


def create(kind: Kind, name: str) -> Any:
    """Make the named plug-in; its factory is called without arguments.

    Raises:
        PluginError: unknown name (the known ones are listed) or broken plug-in (with its reason).
    """
    plugins = {plugin.name: plugin for plugin in discover(kind)}
    plugin = plugins.get(name)
    if plugin is None:
        known = ", ".join(plugins) or "none"
        raise PluginError(f"unknown {kind} {name!r}; known: {known}")
    if plugin.factory is None:
        raise PluginError(f"{kind} {name!r} of {plugin.distribution} is broken: {plugin.error}")
    try:
        return plugin.factory()
    except Exception as error:
        raise PluginError(f"{kind} {name!r} cannot be started: {_one_line(error)}") from error


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
