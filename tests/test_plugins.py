"""Plug-ins: ours are found, broken ones are listed with their reason and stop nothing."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata

import pytest

from retoucher import plugins
from retoucher.errors import ConfigError, PluginError


def points(*specs: tuple[str, str]) -> metadata.EntryPoints:
    return metadata.EntryPoints(
        metadata.EntryPoint(name=name, value=value, group="retoucher.tools")
        for name, value in specs
    )


@pytest.fixture
def with_points(monkeypatch: pytest.MonkeyPatch):
    def use(*specs: tuple[str, str]) -> None:
        monkeypatch.setattr(plugins.metadata, "entry_points", lambda group: points(*specs))

    return use


def test_our_own_plugins_load() -> None:
    for kind in ("tool", "perceiver", "reasoner"):
        found = plugins.discover(kind)
        assert found
        assert [p for p in found if p.error] == []


def test_broken_plugins_are_listed_with_their_reason(with_points) -> None:
    with_points(
        ("good", "collections:OrderedDict"),
        ("no-module", "retoucher_nowhere:Tool"),
        ("no-attribute", "collections:Nothing"),
        ("not-callable", "retoucher.plugins:GROUPS"),
    )
    found = {p.name: p for p in plugins.discover("tool")}
    assert found["good"].error is None
    assert "retoucher_nowhere" in str(found["no-module"].error)
    assert "Nothing" in str(found["no-attribute"].error)
    assert "not callable" in str(found["not-callable"].error)


def test_create_explains_itself(with_points) -> None:
    with_points(("good", "collections:OrderedDict"), ("broken", "retoucher_nowhere:Tool"))
    assert plugins.create("tool", "good") == {}
    with pytest.raises(PluginError, match="unknown tool 'bad'; known: broken, good"):
        plugins.create("tool", "bad")
    with pytest.raises(PluginError, match="is broken: ModuleNotFoundError"):
        plugins.create("tool", "broken")


def test_a_factory_that_fails_is_a_plugin_error(with_points) -> None:
    with_points(("needy", "fractions:Fraction.from_float"))
    with pytest.raises(PluginError, match="tool 'needy' cannot be started: TypeError"):
        plugins.create("tool", "needy")


def test_ours_wins_a_name_and_the_other_is_listed(with_points) -> None:
    with_points(("text", "collections:OrderedDict"), ("text", "retoucher.plugins:discover"))
    found = {p.name: p for p in plugins.discover("tool")}
    assert found["text"].target == "retoucher.plugins:discover"
    (other,) = (p for p in found.values() if p.target == "collections:OrderedDict")
    assert "name is taken" in str(other.error)


@dataclass(frozen=True, kw_only=True)
class KnobSettings:
    level: int = 1


class Knob:
    settings_type = KnobSettings

    def __init__(self, settings: KnobSettings = KnobSettings()) -> None:
        self.settings = settings


def test_a_plugin_gets_its_settings_checked(with_points) -> None:
    with_points(("knob", f"{__name__}:Knob"), ("plain", "collections:OrderedDict"))
    assert plugins.create("tool", "knob").settings.level == 1
    assert plugins.create("tool", "knob", {}).settings.level == 1
    assert plugins.create("tool", "knob", {"level": 3}).settings.level == 3
    with pytest.raises(ConfigError, match=r"options\.tool\.knob: levle .* mean 'level'"):
        plugins.create("tool", "knob", {"levle": 3})
    with pytest.raises(ConfigError, match="tool 'plain' has no settings"):
        plugins.create("tool", "plain", {"level": 3})
