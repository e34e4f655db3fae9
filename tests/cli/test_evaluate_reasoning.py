"""`retouch eval reasoning` on a small labelled set on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from retoucher import plugins
from retoucher.cli.evaluate_reasoning import reasoning
from retoucher.data.ours import write_labels
from retoucher.data.sample import CleanPart, LabelledRegion, Sample
from retoucher.domain.geometry import Box
from retoucher.errors import InputError
from retoucher.testing import ScriptedReasoner

app = typer.Typer()
app.command()(reasoning)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    image = np.zeros((64, 96, 3), np.uint8)
    marked = LabelledRegion(
        box=Box(20, 10, 60, 40), category="hand_shape", severity=3, description="a bent hand"
    )
    samples = [
        Sample(
            id=f"s{i}",
            picture=image,
            width=96,
            height=64,
            regions=(marked,) if i else (),
            clean_parts=(CleanPart(box=Box(0, 0, 12, 12), part="hand"),),
        )
        for i in range(3)
    ]
    write_labels(samples, tmp_path / "set")
    return tmp_path / "set"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> tuple[Any, list[Any]]:
    made: list[Any] = []

    def create(kind: str, name: str, options: object = None) -> ScriptedReasoner:
        made.append((kind, name, options))
        return ScriptedReasoner([("hand_shape", 2)])

    monkeypatch.setattr(plugins, "create", create)
    return CliRunner().invoke(app, [str(a) for a in arguments]), made


def test_tables_and_files(dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = tmp_path / "glove.txt"
    vectors.write_text("hand 1 0\nshape 0 1\nbent 0 1\nscripted 1 0\n", "utf-8")
    result, made = run(
        monkeypatch, dataset, "--reasoner", "openai", "--quiet",
        "--set", "options.reasoner.openai.model=m", "--word-vectors", vectors,
        "--json", tmp_path / "out" / "f.json", "--markdown", tmp_path / "f.md",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert made == [("reasoner", "openai", {"model": "m"})]
    assert "| openai | 5 (2 defects) | 40.0% | 100.0% |" in result.output
    assert "cosine, mean of glove" in result.output
    figures = json.loads((tmp_path / "out" / "f.json").read_text("utf-8"))
    assert figures["pictures"] == 3
    openai = figures["reasoners"]["openai"]
    assert openai["clean_called_defective"] == 1.0
    assert openai["wording"]["meteor"] is None
    assert "| hand_shape | 2 | 5 | 40.0% | 100.0% | 0.5714 |" in (tmp_path / "f.md").read_text()


def test_fewer_places(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, made = run(monkeypatch, dataset, "--limit", 2, "--no-clean-parts", "-q")
    assert result.exit_code == 0, result.output
    assert made == [("reasoner", "embedded", None)]
    assert "| embedded | 1 (1 defects) | 100.0% |" in result.output


def test_nothing_to_judge(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    result, _ = run(monkeypatch, dataset, "--limit", 1, "--no-clean-parts", "-q")
    assert isinstance(result.exception, InputError)
    result, _ = run(monkeypatch, dataset, "--format", "nonsense", "-q")
    assert isinstance(result.exception, InputError)
