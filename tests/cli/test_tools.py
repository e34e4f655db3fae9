"""`retouch tools --history` as data and as text."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from retoucher.cli.tools import run_history
from retoucher.domain.plan import ToolOutcome
from retoucher.planning.learned import LearningSettings
from retoucher.planning.outcomes import OutcomeStore


def outcome(tool: str, *, accepted: bool) -> ToolOutcome:
    return ToolOutcome(
        category="hand_shape",
        side_px=90.0,
        tool=tool,
        tool_version="2",
        accepted=accepted,
        improvement=0.6 if accepted else 0.0,
        seconds=3.0,
        cost_usd=0.04,
    )


def test_history_as_table_and_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = LearningSettings(enabled=True, path=str(tmp_path / "o.sqlite3"))
    store = OutcomeStore(settings.file, now=lambda: 1_000_000_000.0)
    for accepted in (True, True, False):
        store.add(outcome("flux", accepted=accepted))
    store.add(outcome("cloud", accepted=False))
    assert run_history(settings, as_json=False) == 0
    header, flux, cloud, note = capsys.readouterr().out.strip().split("\n")
    assert header.split() == ["defect", "tool", "edits", "kept", "gain", "seconds", "USD", "last"]
    expected = ["hand_shape", "flux", "2", "3", "67%", "0.40", "3.0", "0.040", "2001-09-09"]
    assert flux.split() == expected
    assert cloud.split()[:5] == ["hand_shape", "cloud", "2", "1", "0%"]
    assert str(settings.file) in note
    assert run_history(settings, as_json=True) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.strip().split("\n")]
    assert [(r["tool"], r["edits"], r["accepted"]) for r in rows] == [
        ("flux", 3, 2),
        ("cloud", 1, 0),
    ]


def test_an_empty_history_says_how_it_comes_about(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = LearningSettings(path=str(tmp_path / "o.sqlite3"))
    assert run_history(settings, as_json=False) == 0
    assert "set learning.enabled = true" in capsys.readouterr().out
    assert not (tmp_path / "o.sqlite3").exists()
