"""The composition root: which tools take part."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata

import pytest

from retoucher import plugins
from retoucher.agents import EditRequest, RgbArray, ToolSpec
from retoucher.api import Retoucher
from retoucher.config import Settings, settings_from


@dataclass(frozen=True, kw_only=True)
class BrushSettings:
    width_px: int = 1


class Brush:
    """Needs to be asked for."""

    settings_type = BrushSettings

    def __init__(self, settings: BrushSettings | None = None) -> None:
        self.settings = settings or BrushSettings()

    @property
    def spec(self) -> ToolSpec:
        return ToolSpec(name="brush", version="1", kind="mask", summary="a brush", opt_in=True)

    def edit(self, request: EditRequest) -> RgbArray:
        return request.crop_rgb.copy()


@pytest.fixture(autouse=True)
def _with_brush(monkeypatch: pytest.MonkeyPatch) -> None:
    installed = metadata.entry_points

    def entry_points(group: str) -> metadata.EntryPoints:
        found = list(installed(group=group))
        if group == "retoucher.tools":
            found.append(metadata.EntryPoint("brush", f"{__name__}:Brush", group))
        return metadata.EntryPoints(found)

    monkeypatch.setattr(plugins.metadata, "entry_points", entry_points)


def tools_of(settings: Mapping[str, object]) -> set[str]:
    return set(Retoucher.from_profile("embedded", settings_from(settings)).agents.tools)


def test_an_opt_in_tool_waits_to_be_named() -> None:
    assert "brush" not in tools_of({})
    assert "brush" in tools_of({"preference": {"tools": ["brush"]}})
    assert {"brush", "lettering"} <= tools_of({"options": {"tool": {"brush": {}}}})


def test_options_reach_the_tool_they_name() -> None:
    settings = settings_from({"options": {"tool": {"brush": {"width_px": 9}}}})
    brush = Retoucher.from_profile("embedded", settings).agents.tools["brush"]
    assert isinstance(brush, Brush)
    assert brush.settings.width_px == 9


def test_your_own_tool_wins_a_name() -> None:
    mine = Brush(BrushSettings(width_px=4))
    settings = Settings(options={"tool": {"brush": {"width_px": 9}}})
    made = Retoucher.from_profile("embedded", settings, tools=[mine])
    assert made.agents.tools["brush"] is mine
