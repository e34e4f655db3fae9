"""Trials for `retouch doctor`: every agent and tool is really asked for something small."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from retoucher import plugins
from retoucher.agents import EditRequest, Perceiver, Reasoner, Tool
from retoucher.cli.doctor import Finding
from retoucher.cli.inventory import ToolEntry, tool_entries
from retoucher.config import Settings
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.errors import RetoucherError

SIDE_PX = 64


def try_agents() -> list[Finding]:
    """The default perceivers and reasoner, really asked about a blank picture; then the others."""
    chosen: dict[plugins.Kind, tuple[str, ...]] = {
        "perceiver": Settings().perceivers,
        "reasoner": (Settings().reasoner,),
    }
    findings: list[Finding] = []
    for kind, names in chosen.items():
        known = {plugin.name for plugin in plugins.discover(kind)}
        findings += [_tried(f"{kind} {name}", lambda k=kind, n=name: _look(k, n)) for name in names]
        for plugin in plugins.discover(kind):
            if plugin.name in known and plugin.name not in names:
                words = plugin.error or f"{plugin.distribution}; not in the default profile"
                findings.append(Finding(what=f"{kind} {plugin.name}", ok=None, words=words))
    return findings


def _look(kind: plugins.Kind, name: str) -> str:
    image = np.full((SIDE_PX, SIDE_PX, 3), 255, np.uint8)
    agent = plugins.create(kind, name)
    if isinstance(agent, Perceiver):
        agent.perceive(image, "")
    elif isinstance(agent, Reasoner):
        agent.diagnose(image, "", [Region.from_box(Box(8, 8, 40, 24), id="r1")])
    return f"version {agent.info.version}, on {agent.info.device}"


def try_tools() -> list[Finding]:
    """Every installed tool, made to repair a blot where that costs nothing."""
    return [_try_tool(entry) for entry in tool_entries()]


def _try_tool(entry: ToolEntry) -> Finding:
    what, spec = f"tool {entry.plugin.name}", entry.spec
    if spec is not None and spec.opt_in:
        needs = f"; extra [{spec.extra}]" if spec.extra else ""
        return Finding(what=what, ok=None, words=f"waits to be named{needs}: {spec.summary}")
    return _tried(what, lambda: _use(entry.plugin.name))


def _use(name: str) -> str:
    """Make one small edit where that is free of charge and needs no evidence."""
    tool: Tool = plugins.create("tool", name)
    spec = tool.spec
    about = f"version {spec.version}, {spec.summary}"
    if spec.network:
        return f"{about} (network: not tried)"
    if spec.requires_evidence:
        return f"{about} (starts; an edit needs evidence)"
    crop = np.full((SIDE_PX, SIDE_PX, 3), 200, np.uint8)
    crop[24:40, 24:40] = 0
    mask = np.zeros((SIDE_PX, SIDE_PX), bool)
    mask[22:42, 22:42] = True
    diagnosis = Diagnosis(
        region_id="r1",
        category=min(spec.categories, default="object_texture"),
        severity=1,
        description="a blot, for a trial",
        confidence=1.0,
    )
    request = EditRequest(
        crop_rgb=crop,
        mask_hw=mask,
        crop_box=Box.of_picture(SIDE_PX, SIDE_PX),
        diagnosis=diagnosis,
    )
    tool.edit(request)
    return about


def _tried(what: str, attempt: Callable[[], str]) -> Finding:
    """Whatever a plug-in raises is its finding: a doctor does not fall ill."""
    began = time.perf_counter()
    try:
        words = attempt()
    except RetoucherError as error:
        return Finding(what=what, ok=False, words=str(error))
    except Exception as bug:
        return Finding(what=what, ok=False, words=f"{type(bug).__name__}: {bug}")
    return Finding(what=what, ok=True, words=f"{words} ({time.perf_counter() - began:.1f} s)")
