"""`retouch train perception`: the command around `run_recipe`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Command


def test_without_torch_one_line_says_what_to_install(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("retoucher.train.extras.find_spec", lambda _name: None)
    said = command("train", "perception", tmp_path / "recipe.toml")
    assert said.code == 2
    assert said.complaints == [
        "retouch: training needs torch, which is not installed: "
        "pip install 'agentic-retoucher[train]'"
    ]


def test_a_run_pauses_goes_on_and_starts_anew(command: Command, tmp_path: Path):
    torch = pytest.importorskip("torch", reason="training needs torch (extra train)")
    from retoucher.data.ours import write_labels
    from retoucher.perception.compact import build_compact
    from retoucher.train.checkpoint import load_checkpoint, save_checkpoint
    from tests.train.test_recipe import COMMON, COMPACT, TINY
    from tests.train.test_training import sample

    write_labels([sample(i) for i in range(3)], tmp_path / "set")
    torch.manual_seed(0)
    save_checkpoint({"average": build_compact(TINY).state_dict()}, tmp_path / "start.ckpt")
    extra = f'start = "{tmp_path}/start.ckpt"'
    file = tmp_path / "recipe.toml"
    text = COMMON.format(folder=tmp_path, extra=extra) + COMPACT
    file.write_text(text.replace("validation_share = 0.5", "validation_share = 0.0"), "utf-8")

    def step() -> int:
        return load_checkpoint(tmp_path / "run" / "last.ckpt")["step"]

    said = command("train", "perception", file, "--stop-at", 2)
    assert said.code == 0, said.err
    assert "pictures: squares 3" in said.err
    assert "paused at step 2" in said.err
    assert step() == 2
    assert "goes on at step 2" in command("train", "perception", file, "--stop-at", 3).err
    assert step() == 3
    said = command("train", "perception", file, "--restart", "--stop-at", 1, "--quiet")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert step() == 1


def test_a_wrong_recipe_is_one_line(command: Command, tmp_path: Path):
    pytest.importorskip("torch", reason="training needs torch (extra train)")
    file = tmp_path / "recipe.toml"
    file.write_text('out = "x"\nstepps = 3\n', "utf-8")
    said = command("train", "perception", file)
    assert said.code == 2
    assert len(said.complaints) == 1
    assert "stepps is no setting" in said.complaints[0]
