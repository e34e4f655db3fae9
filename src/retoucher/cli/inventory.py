"""`retouch tools`: what can repair, and which plug-ins cannot be loaded."""

from __future__ import annotations

import json
from dataclasses import dataclass

from retoucher import plugins
from retoucher.agents import Tool, ToolSpec
from retoucher.cli.options import ExitCode
from retoucher.cli.plain import plain
from retoucher.domain.codec import to_json
from retoucher.errors import PluginError


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolEntry:
    """One registered tool: the plug-in, and its spec or why it has none."""

    plugin: plugins.Plugin
    spec: ToolSpec | None
    error: str | None


def tool_entries() -> tuple[ToolEntry, ...]:
    """All registered tools, started to read their specs."""
    return tuple(_entry(plugin) for plugin in plugins.discover("tool"))


def _entry(plugin: plugins.Plugin) -> ToolEntry:
    if plugin.error is not None:
        return ToolEntry(plugin=plugin, spec=None, error=plugin.error)
    try:
        tool = plugins.create("tool", plugin.name)
    except PluginError as error:
        return ToolEntry(plugin=plugin, spec=None, error=str(error))
    if not isinstance(tool, Tool):
        return ToolEntry(plugin=plugin, spec=None, error=f"{plugin.target} makes no tool")
    return ToolEntry(plugin=plugin, spec=tool.spec, error=None)


def broken_agents() -> tuple[plugins.Plugin, ...]:
    """Perceivers and reasoners that cannot be loaded."""
    kinds: tuple[plugins.Kind, ...] = ("perceiver", "reasoner")
    return tuple(p for kind in kinds for p in plugins.discover(kind) if p.error is not None)


def run_tools(*, as_json: bool) -> int:
    """Print the tools; broken plug-ins come last, with their reason."""
    entries = tool_entries()
    if as_json:
        for entry in entries:
            print(json.dumps(_record(entry), ensure_ascii=False))
        return ExitCode.OK
    for entry in entries:
        if entry.spec is not None:
            print(_block(entry.plugin, entry.spec))
    broken = [(e.plugin, e.error) for e in entries if e.error is not None]
    broken += [(plugin, plugin.error) for plugin in broken_agents()]
    if broken:
        print("Cannot be loaded:")
    for plugin, error in broken:
        print(
            f"  {plugin.kind} {plain(plugin.name)} ({plain(plugin.distribution)}): {plain(error)}"
        )
    return ExitCode.OK


def _block(plugin: plugins.Plugin, spec: ToolSpec) -> str:
    needs = f"needs {', '.join(sorted(spec.requires_evidence))}" if spec.requires_evidence else ""
    where = "sends the crop over the network" if spec.network else "runs on this machine"
    how = {"mask": "repaints a mask", "instruction": "follows an instruction"}[spec.kind]
    brings = f"extra [{spec.extra}]" if spec.extra else "part of the core"
    cost = f", about ${spec.cost_usd:.3f} an edit" if spec.cost_usd else ""
    facts = [
        ("for", ", ".join(sorted(spec.categories)) or "any defect"),
        (
            "how",
            "; ".join(filter(None, [f"{how} ({spec.kind})", needs, f"priority {spec.priority}"])),
        ),
        ("where", f"{where}{cost}"),
        ("when", "only where you name it" if spec.opt_in else "by itself"),
        ("from", f"{plugin.distribution}, {brings}; licence {spec.licence}"),
    ]
    lines = [f"{plain(spec.name)} {plain(spec.version)}: {plain(spec.summary)}"]
    lines += [f"  {name:<6} {plain(value)}" for name, value in facts]
    return "\n".join(lines) + "\n"


def _record(entry: ToolEntry) -> dict[str, object]:
    return {
        "name": entry.plugin.name,
        "distribution": entry.plugin.distribution,
        "target": entry.plugin.target,
        "error": entry.error,
        "spec": None if entry.spec is None else to_json(entry.spec),
    }
