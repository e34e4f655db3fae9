"""`retouch train`: the commands around `run_recipe` and `run_reasoning`."""

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


@pytest.mark.parametrize("stage", ["sft", "grpo"])
def test_a_reasoners_training_without_trl_names_the_extra(
    command: Command, stage: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("retoucher.train.extras.find_spec", lambda name: name != "trl" or None)
    said = command("train", stage, "smoke")
    assert said.code == 2
    assert said.complaints == [
        "retouch: training a reasoner needs trl, which is not installed: "
        "pip install 'agentic-retoucher[train]'"
    ]


@pytest.fixture
def trl():
    for module in ("torch", "peft", "datasets", "trl"):
        pytest.importorskip(module, reason="training a reasoner needs the extra train")


@pytest.mark.usefixtures("trl")
@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing. is deprecated")
def test_a_reasoners_training_pauses_and_goes_on(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    said = command("train", "sft", "smoke", "--stop-at", 1)
    assert said.code == 0, said.err
    assert "samples: 4" in said.err
    assert "paused at step 1" in said.err
    said = command("train", "sft", "smoke", "--stop-at", 2)
    assert "goes on at step 1" in said.err
    assert (tmp_path / "runs" / "reasoning_smoke" / "sft" / "checkpoint-2").is_dir()
    said = command("train", "grpo", "smoke")
    assert said.code == 2
    assert "run `retouch train sft` to its end first" in said.complaints[0]


@pytest.mark.usefixtures("trl")
def test_what_is_no_recipe_and_no_adapter_is_one_line(command: Command, tmp_path: Path):
    said = command("train", "sft", "papr")
    assert (said.code, len(said.complaints)) == (2, 1)
    assert "did you mean 'paper'?" in said.complaints[0]
    said = command("train", "merge", tmp_path, tmp_path / "out")
    assert (said.code, len(said.complaints)) == (2, 1)
    assert "holds no adapter" in said.complaints[0]
