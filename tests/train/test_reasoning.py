"""Recipes of the reasoner's training, and the data they read."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from retoucher.errors import ConfigError, InputError
from retoucher.train.reasoning import (
    PRESETS,
    GrpoSettings,
    LoraSettings,
    ReasoningRecipe,
    RewardSettings,
    StageSettings,
    VllmSettings,
    read_reasoning_recipe,
    recipe_file,
)
from retoucher.train.reasoning_data import order, read_rows


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_what_the_paper_says(preset: str) -> None:
    recipe = read_reasoning_recipe(recipe_file(preset))
    assert (recipe.lora.rank, recipe.lora.alpha) == (64, 32)
    assert recipe.grpo.beta > 0
    assert recipe.grpo.start == "sft"
    assert recipe.model.load_in_4bit == (preset == "single-gpu")
    assert recipe.tiny == (preset == "smoke")


def test_the_large_presets_make_whole_groups() -> None:
    for preset, processes in (("paper", 8), ("single-gpu", 1)):
        grpo = read_reasoning_recipe(recipe_file(preset)).grpo
        assert grpo.run.batch * grpo.run.accumulate * processes % grpo.group_size == 0


def test_a_name_that_is_neither_preset_nor_file() -> None:
    with pytest.raises(ConfigError, match="did you mean 'paper'"):
        recipe_file("papr")


def test_unknown_settings_are_named(tmp_path: Path) -> None:
    file = tmp_path / "r.toml"
    file.write_text('out = "x"\ndata = "y"\n[grpo.rewards]\nformt = 1.0\n', "utf-8")
    with pytest.raises(ConfigError, match="did you mean 'format'"):
        read_reasoning_recipe(file)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: ReasoningRecipe(out="x"), "data is missing"),
        (lambda: ReasoningRecipe(out="x", data="y", threads=0), "threads"),
        (lambda: LoraSettings(rank=0), "rank"),
        (lambda: StageSettings(keep=1), "keep"),
        (lambda: StageSettings(rate=0.0), "rate"),
        (lambda: GrpoSettings(beta=0.0), "beta"),
        (lambda: GrpoSettings(group_size=1), "group_size"),
        (lambda: GrpoSettings(temperature=0.0), "temperature"),
        (lambda: GrpoSettings(iterations=3), "multiple of iterations"),
        (lambda: RewardSettings(category=-1.0), "weights"),
        (lambda: RewardSettings(dimension_credit=2.0), "dimension_credit"),
        (lambda: VllmSettings(use=True, mode="server"), "address"),
        (lambda: VllmSettings(memory_share=1.0), "memory_share"),
    ],
)
def test_wrong_settings_say_so(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_four_bits_need_a_gpu() -> None:
    recipe = read_reasoning_recipe(recipe_file("single-gpu"))
    with pytest.raises(ValueError, match="load_in_4bit"):
        replace(recipe, device="cpu")


def test_the_order_shows_every_sample_once_a_pass_and_never_the_same_pass_twice() -> None:
    places = order(50, 170, seed=3)
    passes = [places[i : i + 50] for i in range(0, 150, 50)]
    assert all(sorted(one) == list(range(50)) for one in passes)
    assert passes[0] != passes[1] != passes[2]
    assert places[:70] == order(50, 70, seed=3), "a longer run begins like a shorter one"
    assert places != order(50, 170, seed=4)


def row(**changed: Any) -> dict[str, Any]:
    """A sample that serves both stages."""
    made: dict[str, Any] = {
        "id": "a",
        "images": ["images/a.png"],
        "prompt": [
            {"role": "system", "content": [{"type": "text", "text": "Judge."}]},
            {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Mark 1?"}]},
        ],
        "completion": [{"role": "assistant", "content": [{"type": "text", "text": "{}"}]}],
        "category": "no_defect",
        "severity": 0,
        "description": "",
    }
    return {**made, **changed}


def folder(root: Path, *rows: object, sizes: tuple[int, ...] = (28, 28)) -> Path:
    (root / "images").mkdir(parents=True)
    for name, size in zip("ab", sizes, strict=True):
        Image.new("RGB", (size, 28)).save(root / "images" / f"{name}.png")
    text = "\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows)
    for stage in ("sft", "grpo"):
        (root / f"{stage}.jsonl").write_text(text, "utf-8")
    return root


def test_rows_are_read_with_their_pictures(tmp_path: Path) -> None:
    made = folder(tmp_path / "set", row(), row(id="b", images=["images/b.png"]))
    for stage in ("sft", "grpo"):
        rows = read_rows(made, stage)
        assert [r.id for r in rows] == ["a", "b"]
        assert all(Path(r.images[0]).is_file() for r in rows)


@pytest.mark.parametrize(
    ("stage", "rows", "words"),
    [
        ("sft", ["not json"], "line 1: no JSON"),
        ("sft", [row(completion=None)], "completion is missing"),
        ("sft", [row(images=[])], "images"),
        ("sft", [row(images=["images/a.png"] * 2)], "2 pictures, but 1 places"),
        ("sft", [row(images=["images/none.png"])], "is not in the folder"),
        ("sft", [row(images=["../outside.png"])], "is not in the folder"),
        ("sft", [row(images=["/etc/hostname"])], "is not in the folder"),
        ("sft", [row(), row(prompt="text")], "line 2: prompt"),
        ("grpo", [row(category="unknown")], "category is one of the taxonomy"),
        ("grpo", [row(category="bad")], "category is one of the taxonomy"),
        ("grpo", [row(category=None)], "category is one of the taxonomy"),
        ("grpo", [row(description=None)], "description is missing"),
        ("grpo", [], "holds no samples"),
    ],
)
def test_what_cannot_be_learned_from_is_named(
    tmp_path: Path, stage: Any, rows: list[object], words: str
) -> None:
    Image.new("RGB", (28, 28)).save(tmp_path / "outside.png")
    made = folder(tmp_path / "set", *rows)
    with pytest.raises(InputError, match=words):
        read_rows(made, stage)


def test_mixed_sizes_are_refused(tmp_path: Path) -> None:
    made = folder(tmp_path / "set", row(), row(images=["images/b.png"]), sizes=(28, 56))
    with pytest.raises(InputError, match=r"line 2 shows pictures of \[\(56, 28\)\]"):
        read_rows(made, "sft")


def test_a_folder_without_samples_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="retouch data conversations"):
        read_rows(tmp_path, "sft")
