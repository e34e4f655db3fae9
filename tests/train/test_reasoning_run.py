"""Preset `smoke`, whole: SFT and GRPO of a tiny random Qwen2.5-VL by TRL, on a CPU."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from retoucher.domain.region import Region
from retoucher.errors import ConfigError, InputError, OutputError
from retoucher.reasoning.transformers_vlm import TransformersReasoner, TransformersSettings
from retoucher.train.reasoning import Stage, read_reasoning_recipe, recipe_file

for module in ("torch", "transformers", "peft", "datasets", "trl"):
    pytest.importorskip(module, reason="needs the extra train")

import torch  # noqa: E402
from datasets.utils.logging import disable_progress_bar  # noqa: E402
from safetensors.torch import load_file  # noqa: E402
from torch import Tensor  # noqa: E402
from transformers import AutoModelForImageTextToText  # noqa: E402
from transformers.utils import logging  # noqa: E402

from retoucher.train.reasoning_data import read_rows  # noqa: E402
from retoucher.train.reasoning_export import merge_adapter  # noqa: E402
from retoucher.train.reasoning_model import (  # noqa: E402
    check_image_tokens,
    check_reference,
    load_base,
    with_trained_adapter,
)
from retoucher.train.reasoning_run import last_checkpoint, run_reasoning  # noqa: E402
from retoucher.train.reasoning_trl import (  # noqa: E402
    grpo_config,
    grpo_trainer,
    sft_config,
    sft_trainer,
    trl_rewards,
)
from retoucher.train.tiny_vlm import (  # noqa: E402
    REGION,
    TINY_VIEW,
    load_tiny_processor,
    tiny_picture,
    tiny_recipe,
)

# peft and trl read attributes that transformers has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*gradient_checkpointing. is deprecated")


@pytest.fixture(autouse=True, scope="module")
def _no_bars() -> None:
    disable_progress_bar()
    logging.disable_progress_bar()


def recipe_in(folder: Path, **changed: str) -> Path:
    """The preset's text with another folder, and lines changed."""
    text = recipe_file("smoke").read_text("utf-8")
    for old, new in {'out = "runs/reasoning_smoke"': f'out = "{folder}/run"', **changed}.items():
        assert old in text
        text = text.replace(old, new)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "r.toml").write_text(text, "utf-8")
    return folder / "r.toml"


def run(stage: Stage, file: Path, **told: Any) -> tuple[str, list[str]]:
    lines: list[str] = []
    return run_reasoning(stage, file, report=lines.append, **told), lines


def log_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "log.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def adapter_of(stage_folder: Path) -> dict[str, Tensor]:
    return load_file(stage_folder / "adapter" / "adapter_model.safetensors")


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the preset after both stages."""
    folder = tmp_path_factory.mktemp("smoke")
    file = recipe_in(folder)
    assert run("sft", file)[0] == "finished"
    assert run("grpo", file)[0] == "finished"
    return folder / "run"


def trained(smoke: Path, adapter: Path | None) -> TransformersReasoner:
    settings = TransformersSettings(
        model=str(smoke / "tiny" / "model"),
        adapter=None if adapter is None else str(adapter),
        local_files_only=True,
        device="cpu",
        max_new_tokens=24,
        lettering=False,
        view=TINY_VIEW,
    )
    return TransformersReasoner(settings, make_processor=load_tiny_processor)


def diagnoses(reasoner: TransformersReasoner) -> list[tuple[str, str]]:
    """Category and words for the four pictures."""
    region = Region.from_box(REGION, id="r")
    said = [reasoner.diagnose(tiny_picture(number), "", [region])[0] for number in range(4)]
    return [(d.category, d.description) for d in said]


def test_sft_learns_the_pictures_by_heart_and_the_reasoner_answers(smoke: Path) -> None:
    losses = [float(row["loss"]) for row in log_of(smoke / "sft")]
    assert len(losses) == 64
    assert losses[0] > 2.0
    assert losses[-1] < 0.2
    lines = (smoke / "tiny/data/grpo.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    truth = [(row["category"], row["description"]) for row in rows]
    assert diagnoses(trained(smoke, smoke / "sft" / "adapter")) == truth
    assert diagnoses(trained(smoke, None)) != truth


def test_the_adapter_of_grpo_loads_too_and_is_another_one(smoke: Path) -> None:
    assert not same(adapter_of(smoke / "sft"), adapter_of(smoke / "grpo"))
    assert len(diagnoses(trained(smoke, smoke / "grpo" / "adapter"))) == 4


def test_every_part_of_the_reward_is_logged(smoke: Path) -> None:
    rows = log_of(smoke / "grpo")
    parts = ("format", "category", "description", "invention")
    assert all(f"rewards/{part}/mean" in rows[0] for part in parts)
    weights = (0.2, 0.4, 0.4, 0.4)
    for row in rows:
        pairs = zip(weights, parts, strict=True)
        total = sum(w * float(row[f"rewards/{p}/mean"]) for w, p in pairs)
        assert float(row["reward"]) == pytest.approx(total, abs=1e-5)
    assert sum(float(row["reward_std"]) for row in rows) > 0, "some replies were better than others"


def prepared(smoke: Path, stage: Stage, folder: Path) -> Any:
    """A stage's trainer, over the model and samples of `smoke`."""
    recipe = tiny_recipe(read_reasoning_recipe(smoke.parent / "r.toml"))
    base = load_base(recipe)
    rows = read_rows(Path(recipe.data), stage)
    processor = load_tiny_processor(base.settings)
    if stage == "sft":
        return sft_trainer(recipe, sft_config(recipe, folder), rows, base, processor)
    return grpo_trainer(recipe, grpo_config(recipe, folder), rows, base, processor)


def test_pixels_reach_the_model_and_tokens_match_the_grid(smoke: Path, tmp_path: Path) -> None:
    trainer = prepared(smoke, "sft", tmp_path)
    batch = next(iter(trainer.get_train_dataloader()))
    token = trainer.model.config.image_token_id
    assert batch["image_grid_thw"].shape == (4, 3)
    per_row = (batch["input_ids"] == token).sum(1)
    assert torch.equal(per_row, batch["image_grid_thw"].prod(1) // 4)
    assert int(per_row[0]) == 4, "56 x 56 pixels are 4 x 4 patches of 14, 2 x 2 of them a token"
    with torch.no_grad():
        inputs = {name: batch[name] for name in batch if name != "labels"}
        shown = trainer.model(**inputs).logits
        other = trainer.model(**{**inputs, "pixel_values": -batch["pixel_values"]}).logits
        assert not torch.allclose(shown[:, -1], other[:, -1])
        one_too_many = batch["input_ids"].clone()
        one_too_many[1, -1] = token
        with pytest.raises(InputError, match=r"\[4, 5, 4, 4\] picture tokens"):
            trainer.model(**{**inputs, "input_ids": one_too_many})


def test_pictures_in_the_wrong_prompt_are_noticed() -> None:
    """As many tokens as pictures need in all, but not row by row: the model itself accepts that."""
    grids = torch.tensor([[1, 4, 4], [1, 4, 8]])
    fits = torch.tensor([[9, 9, 9, 9, 0, 0, 0, 0], [9] * 8])
    check_image_tokens(fits, grids, token=9, merge=2)
    with pytest.raises(InputError, match=r"\[8, 4\] picture tokens .* \[4, 8\]"):
        check_image_tokens(fits.flip(0), grids, token=9, merge=2)
    with pytest.raises(InputError, match="3 pictures"):
        check_image_tokens(fits, torch.cat([grids, grids[:1]]), token=9, merge=2)


def test_only_the_reply_is_learned_and_nothing_is_cut(smoke: Path, tmp_path: Path) -> None:
    trainer = prepared(smoke, "sft", tmp_path)
    assert trainer.args.max_length is None
    batch = next(iter(trainer.get_train_dataloader()))
    tokenizer = trainer.processing_class.tokenizer
    for ids, labels in zip(batch["input_ids"], batch["labels"], strict=True):
        learned = tokenizer.decode(ids[labels != -100])
        assert learned.startswith('{"regions": [{"mark": 1,')
        assert learned.rstrip().endswith("}]}<|im_end|>")
    names = [name for name, value in trainer.model.named_parameters() if value.requires_grad]
    assert names
    assert all("language_model" in name and "lora_" in name for name in names)


def test_the_reference_policy_is_the_sft_model(smoke: Path, tmp_path: Path) -> None:
    """Its log-probabilities, as TRL computes them after the policy has moved away."""
    trainer = prepared(smoke, "grpo", tmp_path)
    for name, value in trainer.model.named_parameters():
        if ".default." in name and "lora_B" in name:
            value.data += 0.02  # a policy that has learned
    kept: list[dict[str, Any]] = []
    make: Callable[..., dict[str, Any]] = trainer._generate_and_score_completions

    def keep(inputs: Any) -> dict[str, Any]:
        kept.append(make(inputs))
        return kept[-1]

    trainer._generate_and_score_completions = keep
    trainer.model.train()
    trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    (batch,) = kept
    base = smoke / "tiny" / "model"
    expected = {
        name: log_probabilities(trained_model(base, adapter), batch, trainer.temperature)
        for name, adapter in (("sft", smoke / "sft" / "adapter"), ("base", None))
    }
    mask = batch["completion_mask"].bool()
    found = batch["ref_per_token_logps"]
    assert torch.allclose(found[mask], expected["sft"][mask], atol=1e-4)
    assert not torch.allclose(found[mask], expected["base"][mask], atol=0.1)
    policy = log_probabilities(trainer.model, batch, trainer.temperature)
    assert not torch.allclose(found[mask], policy[mask], atol=1e-3)


def test_a_reference_that_is_not_the_start_is_refused(smoke: Path, tmp_path: Path) -> None:
    model = prepared(smoke, "grpo", tmp_path).model
    check_reference(model)
    weights = dict(model.named_parameters())
    name = next(name for name in weights if ".ref." in name)
    weights[name].data += 1.0
    with pytest.raises(ConfigError, match="not the adapter that GRPO starts from"):
        check_reference(model)
    alone = with_trained_adapter(
        AutoModelForImageTextToText.from_pretrained(smoke / "tiny" / "model"),
        smoke / "sft" / "adapter",
    )
    with pytest.raises(ConfigError, match="not the adapter that GRPO starts from"):
        check_reference(alone)


def trained_model(base: Path, adapter: Path | None) -> Any:
    from peft import PeftModel

    model = AutoModelForImageTextToText.from_pretrained(base).eval()
    return model if adapter is None else PeftModel.from_pretrained(model, adapter)


def log_probabilities(model: Any, batch: dict[str, Any], temperature: float) -> Tensor:
    """Of the completions' tokens, (replies, length)."""
    ids = torch.cat([batch["prompt_ids"], batch["completion_ids"]], 1)
    inputs = {
        "input_ids": ids,
        "attention_mask": torch.cat([batch["prompt_mask"], batch["completion_mask"]], 1),
        "pixel_values": batch["pixel_values"],
        "image_grid_thw": batch["image_grid_thw"],
        "mm_token_type_ids": (ids == model.config.image_token_id).int(),
    }
    width = batch["completion_ids"].shape[1]
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    with torch.no_grad():
        hidden = base.model(**inputs).last_hidden_state[:, -width - 1 : -1]
        logits = base.lm_head(hidden) / temperature
    return logits.log_softmax(-1).gather(-1, batch["completion_ids"][..., None])[..., 0]


def test_the_reference_stays_the_sft_model_to_the_end(smoke: Path) -> None:
    checkpoint = last_checkpoint(smoke / "grpo")
    assert checkpoint is not None
    reference = load_file(checkpoint / "ref" / "adapter_model.safetensors")
    assert same(reference, adapter_of(smoke / "sft"))
    kl = [float(row["kl"]) for row in log_of(smoke / "grpo")]
    assert kl[0] == pytest.approx(0.0, abs=1e-6)
    assert kl[-1] > 0


SHORT = {
    "steps = 64": "steps = 6",
    "save_every = 32": "save_every = 4",
}


def test_sft_that_paused_equals_sft_that_did_not(tmp_path: Path) -> None:
    """Step 3 of 6, of a run that mixes its four samples in batches of three."""
    changed = {**SHORT, "batch = 4": "batch = 3", "rank = 64": "rank = 8\ndropout = 0.2"}
    whole = recipe_in(tmp_path / "whole", **changed)
    assert run("sft", whole)[0] == "finished"
    parts = recipe_in(tmp_path / "parts", **changed)
    assert run("sft", parts, stop_at=3)[0] == "paused"
    half = tmp_path / "parts/run/sft/checkpoint-5"  # as a crash leaves it
    half.mkdir()
    ending, lines = run("sft", parts)
    assert ending == "finished"
    assert "goes on at step 3" in lines
    assert not half.exists()
    ours, theirs = tmp_path / "parts/run/sft", tmp_path / "whole/run/sft"
    assert same(adapter_of(ours), adapter_of(theirs))
    assert (ours / "log.csv").read_text() == (theirs / "log.csv").read_text()
    assert len(log_of(ours)) == 6


def test_grpo_that_paused_equals_grpo_that_did_not(smoke: Path, tmp_path: Path) -> None:
    """Two steps on the same replies: asked to pause after step 1, it pauses after step 2."""
    changed = {
        'out = "runs/reasoning_smoke"': f'out = "{tmp_path}/{{}}/run"',
        "[grpo]": f'[grpo]\niterations = 2\nstart = "{smoke}/sft/adapter"',
    }
    files = {
        name: recipe_in(tmp_path / name, **{k: v.format(name) for k, v in changed.items()})
        for name in ("whole", "parts")
    }
    assert run("grpo", files["whole"])[0] == "finished"
    assert run("grpo", files["parts"], stop_at=1)[0] == "paused"
    ours, theirs = tmp_path / "parts/run/grpo", tmp_path / "whole/run/grpo"
    assert [row["step"] for row in log_of(ours)] == ["1.0", "2.0"]
    assert run("grpo", files["parts"])[0] == "finished"
    assert same(adapter_of(ours), adapter_of(theirs))
    assert not same(adapter_of(ours), adapter_of(smoke / "sft"))
    timeless = [
        [{k: v for k, v in row.items() if k != "step_time"} for row in log_of(folder)]
        for folder in (ours, theirs)
    ]
    assert timeless[0] == timeless[1]


def test_a_cancelled_run_keeps_its_step_and_restart_keeps_the_old_one(tmp_path: Path) -> None:
    file = recipe_in(tmp_path, **SHORT)
    folder = tmp_path / "run" / "sft"
    assert run("sft", file, cancelled=lambda: True)[0] == "cancelled"
    last = last_checkpoint(folder)
    assert last is not None
    assert last.name == "checkpoint-1"
    assert not (folder / "adapter").exists()
    assert run("sft", file, restart=True, stop_at=2)[0] == "paused"
    assert (tmp_path / "run" / "sft.old-1" / "checkpoint-1").is_dir()
    with pytest.raises(InputError, match="run `retouch train sft` to its end first"):
        run("grpo", file)
    (folder / "last.json").write_text("{", "utf-8")
    with pytest.raises(InputError, match="use --restart"):
        last_checkpoint(folder)


def test_the_adapter_folder_holds_weights_settings_and_a_card_without_figures(smoke: Path) -> None:
    folder = smoke / "grpo" / "adapter"
    assert sorted(file.name for file in folder.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    config = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == str(smoke / "tiny" / "model")
    assert (config["r"], config["lora_alpha"], config["inference_mode"]) == (64, 32, True)
    card = (folder / "README.md").read_text("utf-8")
    assert "GRPO (beta 0.04, groups of 4) from sft" in card
    assert "--max-lora-rank 64" in card
    assert "accuracy" not in card


def test_a_merged_model_answers_like_base_and_adapter(smoke: Path, tmp_path: Path) -> None:
    adapter, out = smoke / "sft" / "adapter", tmp_path / "merged"
    merge_adapter(adapter, out, make_processor=load_tiny_processor)
    settings = TransformersSettings(
        model=str(out), device="cpu", max_new_tokens=24, lettering=False, view=TINY_VIEW
    )
    merged = TransformersReasoner(settings, make_processor=load_tiny_processor)
    assert diagnoses(merged) == diagnoses(trained(smoke, adapter))
    with pytest.raises(OutputError, match="is there already"):
        merge_adapter(adapter, out, make_processor=load_tiny_processor)
    with pytest.raises(InputError, match="holds no adapter"):
        merge_adapter(tmp_path, tmp_path / "other", make_processor=load_tiny_processor)


def test_rewards_are_in_the_order_of_their_weights(smoke: Path) -> None:
    recipe = read_reasoning_recipe(smoke.parent / "r.toml")
    rewards = trl_rewards(recipe.grpo.rewards, lambda s: torch.zeros(len(s), 2).numpy())
    assert [r.__name__ for r in rewards] == ["format", "category", "description", "invention"]
    config = grpo_config(recipe, smoke)
    assert config.reward_weights == [0.2, 0.4, 0.4, 0.4]
    assert (config.loss_type, config.beta, config.scale_rewards) == ("grpo", 0.04, "group")
