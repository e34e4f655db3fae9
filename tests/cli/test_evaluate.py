"""`retouch eval perception` on a small labelled set on disk."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from retoucher.data.ours import write_labels
from retoucher.data.sample import CleanPart, LabelledRegion, Sample
from retoucher.domain.geometry import Box
from tests.cli.conftest import Command

BOX = Box(20, 10, 60, 40)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for_all = {"width": 96, "height": 64, "prompt": "a hand"}
    samples = [
        Sample(
            id=f"s{i}",
            picture=rng.integers(0, 256, (64, 96, 3), np.uint8),
            regions=(LabelledRegion(box=BOX, category="hand_shape", severity=3),) if i else (),
            clean_parts=(CleanPart(box=Box(0, 0, 12, 12), part="hand"),),
            **for_all,
        )
        for i in range(3)
    ]
    write_labels(samples, tmp_path / "set")
    return tmp_path / "set"


def test_tables_files_and_curves(command: Command, dataset: Path, tmp_path: Path):
    pytest.importorskip("matplotlib", reason="--curves needs matplotlib (extra eval)")
    out = tmp_path / "out"
    said = command(
        *("eval", "perception", dataset, "--model", "centre", "--model", "saliency", "-q"),
        *("--json", out / "f.json", "--markdown", out / "f.md"),
        *("--curves", out / "curves", "--maps", out / "maps"),
    )
    assert said.code == 0, said.err
    assert [line.split(" | ")[0] for line in said.out.splitlines()[2:]] == [
        "| centre",
        "| saliency",
    ]
    record = json.loads((out / "f.json").read_text("utf-8"))
    assert record["pictures"] == 3
    assert record["models"]["centre"]["saliency"]["pictures"] == 2
    assert record["models"]["saliency"]["about"]["weights"]
    assert len(record["models"]["saliency"]["curves"]["recall"]) == 19
    assert "### Clean pictures" in (out / "f.md").read_text("utf-8")
    assert np.load(out / "maps" / "centre" / "s1.npy").shape == (64, 96)
    assert len(list((out / "curves").iterdir())) == 3


def test_baselines_come_first_and_once(command: Command, dataset: Path):
    said = command("eval", "perception", dataset, "--baselines", "--model", "uniform", "-q")
    rows = [line.split(" | ")[0] for line in said.out.splitlines()[2:]]
    assert rows == ["| uniform", "| centre", "| text-boxes"]


def test_the_prompt_can_be_withheld(command: Command, dataset: Path, tmp_path: Path):
    maps = []
    for flag in ("--prompt", "--no-prompt"):
        folder = tmp_path / flag
        assert command("eval", "perception", dataset, flag, "-q", "--maps", folder).code == 0
        maps.append(np.load(folder / "saliency" / "s1.npy"))
    assert not np.array_equal(*maps)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "nobody"], "unknown perceiver 'nobody'"),
        (["--model", "."], "holds no exported weights"),
        (["--format", "xml"], "unknown format 'xml'"),
    ],
)
def test_bad_options_say_what_is_wrong(
    command: Command, dataset: Path, arguments: list[str], words: str
):
    said = command("eval", "perception", dataset, *arguments)
    assert said.code == 2
    assert words in said.err


def test_missing_data_and_missing_matplotlib(
    command: Command, dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    said = command("eval", "perception", tmp_path / "none")
    assert said.code == 2
    assert "no such file or folder" in said.err
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr("retoucher.train.extras.find_spec", lambda _name: None)
    said = command("eval", "perception", dataset, "--curves", tmp_path / "c")
    assert said.code == 2
    assert "agentic-retoucher[eval]" in said.err
