"""Killed at any point, a batch goes on: nothing lost, nothing done twice, no half-written file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from retoucher.batch.journal import HOME
from tests.batch.pictures import PLUGIN, files_in, folder_of

PICTURES, KILLS = 100, 50

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="forks and kills by signal")


def torture(source: Path, out: Path, log: Path, kills: int) -> list[dict[str, object]]:
    script = Path(__file__).with_name("torture.py")
    environment = os.environ | {"PYTHONPATH": str(PLUGIN), "TINT_SLEEP_S": "0.015"}
    done = subprocess.run(
        [sys.executable, script, source, out, log, str(kills), "6"],
        env=environment, check=True, capture_output=True, text=True, timeout=900,
    )  # fmt: skip
    assert not done.stderr, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def results(out: Path) -> dict[str, bytes]:
    """The pictures; all else lies in our own folder."""
    return {k: v for k, v in files_in(out).items() if not k.startswith(f"{HOME}/")}


def kept(out: Path) -> dict[str, bytes]:
    """What was kept for a review, but for the records, which tell of times."""
    files = files_in(out / HOME / "review")
    return {name: b"" if name.endswith("/run.json") else data for name, data in files.items()}


def test_fifty_kills(tmp_path: Path):
    source = folder_of(tmp_path / "in", PICTURES)
    inputs = files_in(source)

    torture(source, tmp_path / "whole", tmp_path / "whole.log", 0)
    *told, last = torture(source, tmp_path / "out", tmp_path / "log", KILLS)

    assert last == {"exit": 0}
    assert len(told) == KILLS
    assert all(entry["gone"] for entry in told), "a worker outlived its dead parent"
    in_the_middle = [e for e in told if 0 < int(str(e["finished"])) < PICTURES]
    assert len(in_the_middle) >= KILLS // 2, f"the kills came too late to say anything: {told}"

    finished = Counter((tmp_path / "log").read_text().split())
    assert max(finished.values()) == 1, "a finished picture was done again"
    assert set(finished) <= set(inputs)

    assert results(tmp_path / "out") == results(tmp_path / "whole")
    assert set(results(tmp_path / "out")) == set(inputs)
    assert files_in(source) == inputs, "IN was written to"
    assert kept(tmp_path / "out") == kept(tmp_path / "whole")
    assert sum(name.endswith("run.json") for name in kept(tmp_path / "out")) == 75
    home = {n for n in files_in(tmp_path / "out" / HOME) if not n.startswith("review/")}
    traces = {f"traces/{name}.json" for name in inputs}
    assert home == traces | {"journal.sqlite3", "results.jsonl", "summary.csv"}
