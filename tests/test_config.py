"""Settings: what is accepted, and how clearly the rest is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from retoucher.config import Settings, load_settings, settings_from
from retoucher.errors import ConfigError


def test_a_toml_file_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "retouch.toml"
    file.write_text(
        "rounds = 2\ntime_budget_s = 30\n[regions]\nthreshold = 0.6\n"
        '[preference]\nskip = ["hand_shape"]\ntools = ["lettering"]\n'
    )
    settings = load_settings(file)
    assert settings.rounds == 2
    assert settings.time_budget_s == 30.0
    assert settings.regions.threshold == 0.6
    assert settings.preference.skip == frozenset({"hand_shape"})
    assert settings.preference.tools == ("lettering",)
    assert settings.verify == Settings().verify


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"round": 2}, "settings: round is no setting; did you mean 'rounds'?"),
        ({"regions": {"treshold": 0.4}}, "did you mean 'threshold'?"),
        ({"rounds": "two"}, "settings: rounds: Input should be a valid integer, got 'two'"),
        ({"rounds": True}, "rounds"),
        ({"rounds": 0}, "rounds must lie between 1 and 100, got 0"),
        ({"regions": 3}, "must be a table"),
        ({"regions": {"threshold": 1.5}}, "threshold"),
        ({"time_budget_s": -1}, "must be positive"),
        ({"seed": -1}, "seed"),
        ({"preference": {"only": ["hand_shap"]}}, "did you mean 'hand_shape'?"),
        ({"preference": {"tools": "lettering"}}, "tools"),
        ({"verify": {"margin": 0}}, "margin must lie in (0, 1], got 0"),
        ({"perceivers": []}, "name at least one"),
        ({"options": {"tools": {}}}, "options: 'tools' is no kind; did you mean 'tool'?"),
        ({"options": {"tool": 3}}, "options"),
    ],
)
def test_bad_settings_are_refused_in_one_line(data: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        settings_from(data)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read settings"):
        load_settings(tmp_path / "absent.toml")
    bad = tmp_path / "bad.toml"
    bad.write_text("rounds = = 2")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_settings(bad)
