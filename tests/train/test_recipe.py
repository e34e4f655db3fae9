"""A run from its TOML file: settings, presets, data, resume and restart."""

from __future__ import annotations

import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from retoucher.data.ours import write_labels  # noqa: E402
from retoucher.data.sample import Sample  # noqa: E402
from retoucher.errors import ConfigError, InputError, MissingDependencyError  # noqa: E402
from retoucher.evaluation.models import named_model  # noqa: E402
from retoucher.perception.compact import CompactConfig, build_compact  # noqa: E402
from retoucher.perception.network import NetworkConfig  # noqa: E402
from retoucher.train.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from retoucher.train.imagenet import imagenet_file  # noqa: E402
from retoucher.train.placement import placement  # noqa: E402
from retoucher.train.recipe import build_model, load_groups, read_recipe, run_recipe  # noqa: E402
from retoucher.vision.tokenizer import HashTokenizer  # noqa: E402
from tests.train.test_training import sample  # noqa: E402

TINY = CompactConfig(
    trunk="tiny",
    network=NetworkConfig(token_width=16, heads=2, decoder_width=8, fusion_layers=1),
    tokenizer=HashTokenizer(buckets=64, max_tokens=8),
    text_width=16,
)
COMPACT = """
[network]
trunk = "tiny"
text_width = 16
network = { token_width = 16, heads = 2, decoder_width = 8, fusion_layers = 1 }
tokenizer = { buckets = 64, max_tokens = 8 }
"""
COMMON = """
out = "{folder}/run"
seed = 3
validation_share = 0.5
long_side_px = 96
{extra}
[groups.squares]
folder = "{folder}/set"
[batch]
size = 2
crops = {{ size_px = 64, min_side_px = 64, max_side_px = 160 }}
[schedule]
steps = 4
warmup = 1
evaluate_every = 2
save_every = 3
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    samples = [replace(sample(i), prompt=f"a square {i}") for i in range(12)]
    write_labels(samples, folder / "set")
    torch.manual_seed(0)
    save_checkpoint({"average": build_compact(TINY).state_dict()}, folder / "start.ckpt")
    return folder


def recipe_file(data: Path, tmp_path: Path, extra: str = "", more: str = COMPACT) -> Path:
    """A recipe whose run lies in `tmp_path`, on the data of the module."""
    if "start" not in extra and "preset" not in extra:
        extra += f'\nstart = "{data}/start.ckpt"'
    text = COMMON.format(folder=tmp_path, extra=extra) + more
    (tmp_path / "set").symlink_to(data / "set") if not (tmp_path / "set").exists() else None
    file = tmp_path / "recipe.toml"
    file.write_text(text, "utf-8")
    return file


def run(file: Path, **options: object) -> tuple[str, list[str]]:
    lines: list[str] = []
    return run_recipe(file, report=lines.append, **options), lines  # type: ignore[arg-type]


def test_a_run_pauses_goes_on_and_equals_an_uninterrupted_one(data: Path, tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    whole = recipe_file(data, tmp_path / "a")
    ending, lines = run(whole, watch=lambda done, end, _: steps.append((done, end)))
    assert ending == "finished"
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert lines[0].startswith("pictures: squares ")
    parted = recipe_file(data, tmp_path / "b")
    assert run(parted, stop_at=1)[0] == "paused"
    ending, lines = run(parted)
    assert ending == "finished"
    assert "goes on at step 1" in lines
    one, other = (load_checkpoint(tmp_path / x / "run" / "last.ckpt") for x in "ab")
    assert all(torch.equal(v, other["average"][k]) for k, v in one["average"].items())
    assert (tmp_path / "b" / "run" / "recipe.toml").read_text("utf-8") == parted.read_text("utf-8")


def test_restart_begins_anew_and_keeps_the_earlier_run(data: Path, tmp_path: Path) -> None:
    file = recipe_file(data, tmp_path)
    run(file, stop_at=1)
    ending, lines = run(file, stop_at=1, restart=True)
    assert ending == "paused"
    assert not any("goes on" in line for line in lines)
    assert load_checkpoint(tmp_path / "run.old-1" / "last.ckpt")["step"] == 1
    run(file, stop_at=1, restart=True)
    assert (tmp_path / "run.old-2").is_dir()


def test_a_changed_recipe_is_said(data: Path, tmp_path: Path) -> None:
    file = recipe_file(data, tmp_path)
    run(file, stop_at=1)
    file.write_text(file.read_text("utf-8").replace("warmup = 1", "warmup = 2"), "utf-8")
    assert any("not the one" in line for line in run(file, stop_at=2)[1])


def test_a_trained_run_can_be_evaluated_by_its_folder(data: Path, tmp_path: Path) -> None:
    run(recipe_file(data, tmp_path))
    model = named_model(str(tmp_path / "run"))
    values = model.predict(sample(0))
    assert values.shape == (120, 160)
    assert model.about["preset"] == "compact"
    silent = named_model(str(tmp_path / "run"), prompt=False).predict(sample(0))
    assert not np.array_equal(values, silent)


def test_tensorboard_gets_the_same_figures(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="needs tensorboard (extra train)")
    run(recipe_file(data, tmp_path, "tensorboard = true"))
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    assert {"training/total", "validation/score"} <= set(events.Tags()["scalars"])
    assert [e.step for e in events.Scalars("validation/score")] == [2, 4]


def test_tensorboard_is_not_left_out_silently(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retoucher.train.extras.find_spec", lambda _name: None)
    with pytest.raises(MissingDependencyError, match="tensorboard"):
        run(recipe_file(data, tmp_path, "tensorboard = true"))


def test_pictures_need_not_be_held_in_memory(data: Path, tmp_path: Path) -> None:
    file = recipe_file(data, tmp_path)
    held = load_groups(read_recipe(file))
    text = file.read_text("utf-8").replace("[batch]", "in_memory = false\n[batch]")
    file.write_text(text, "utf-8")
    on_disk = load_groups(read_recipe(file))
    assert all(isinstance(s.picture, np.ndarray) for s in held[0][0].samples)
    assert all(isinstance(s.picture, Path) for s in on_disk[0][0].samples)
    assert [s.id for s in on_disk[1]] == [s.id for s in held[1]] != []


def test_a_group_can_be_learnt_whole_and_its_labels_corrected(data: Path, tmp_path: Path) -> None:
    """The labels lie apart from their pictures here, and a second look added to one of them."""
    file = recipe_file(data, tmp_path)
    (tmp_path / "labels.jsonl").write_bytes((data / "set" / "labels.jsonl").read_bytes())
    (tmp_path / "second.jsonl").write_text(
        '{"id": "a1", "regions": [{"box": [2, 3, 22, 23], "category": "hand_shape"}]}', "utf-8"
    )
    apart = f"""
folder = "{tmp_path}/labels.jsonl"
pictures = "{data}/set"
corrections = "{tmp_path}/second.jsonl"
hold_out = false
"""
    text = file.read_text("utf-8").replace(f'folder = "{tmp_path}/set"', apart)
    file.write_text(text, "utf-8")
    (group,), validation = load_groups(read_recipe(file))
    assert validation == []
    assert len(group.samples) == 12
    assert [s.id for s in group.samples if len(s.regions) + len(s.clean_parts) > 1] == ["a1"]


@pytest.mark.parametrize(
    ("extra", "more", "words"),
    [
        ('presett = "compact"', COMPACT, "did you mean 'preset'"),
        ('preset = "large"', COMPACT, "preset is one of compact, paper"),
        ('device = "cuda:1"', COMPACT, "device is 'cpu' or 'auto'"),
        ('start = ""', COMPACT, "give `imagenet`"),
        ("", COMPACT + "[losses]\nalpha = 2.0", "alpha"),
        ("", '[groups.x]\nfolder = "."\nkind = "xml"\n' + COMPACT, "kind is one of photos"),
        ("", '[groups.x]\nfolder = "."\nshares = 1\n' + COMPACT, "did you mean 'share'"),
        ("", COMPACT.replace("heads = 2", "heads = 2, decoder_stride = 4"), "batch.stride is 8"),
        ("threads = 0", COMPACT, "at least 1"),
        ('preset = "paper"', "paper.network.decoder_stride = 8", "frozen_levels"),
    ],
)
def test_a_wrong_recipe_is_said_before_anything_is_done(
    data: Path, tmp_path: Path, extra: str, more: str, words: str
) -> None:
    with pytest.raises(ConfigError) as raised:
        run(recipe_file(data, tmp_path, extra, more))
    assert words in str(raised.value)
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_nothing_to_validate_on_is_said(data: Path, tmp_path: Path) -> None:
    file = recipe_file(data, tmp_path)
    text = file.read_text("utf-8").replace("validation_share = 0.5", "validation_share = 0.2")
    file.write_text(text, "utf-8")
    ending, lines = run(file)
    assert ending == "finished"
    assert any("no best.ckpt" in line for line in lines)
    assert not (tmp_path / "run" / "best.ckpt").exists()
    file.write_text(text.replace("warmup = 1", "warmup = 1\npatience = 1"), "utf-8")
    with pytest.raises(ConfigError, match="patience"):
        run(file)


def test_missing_files_are_named(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml"):
        run(tmp_path / "none.toml")
    file = recipe_file(data, tmp_path, "", '[groups.x]\nfolder = "nowhere"\n' + COMPACT)
    with pytest.raises(InputError, match=r"groups\.x: nowhere"):
        run(file)


def test_installed_imagenet_weights_are_found_by_the_trunks_name() -> None:
    assert imagenet_file("some.pth", "lite0") == Path("some.pth")
    with pytest.raises(MissingDependencyError, match="efficientnet-lite9-pytorch-model"):
        imagenet_file("installed", "lite9")


def test_several_processes_need_accelerate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="device = 'auto'"):
        placement("cpu", amp=True)
    monkeypatch.delenv("WORLD_SIZE")
    monkeypatch.setattr("retoucher.train.extras.find_spec", lambda _name: None)
    with pytest.raises(MissingDependencyError, match=r"accelerate.*\[train\]"):
        placement("auto", amp=True)


def tiny_encoders(folder: Path) -> None:
    """A ViT and a T5 with random weights and a tokenizer of a few words, as folders on disk."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing
    from transformers import (
        PreTrainedTokenizerFast,
        T5Config,
        T5EncoderModel,
        ViTConfig,
        ViTModel,
    )

    torch.manual_seed(1)
    shape = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    vit = ViTConfig(hidden_size=16, image_size=32, patch_size=16, **shape)
    ViTModel(vit, add_pooling_layer=False).save_pretrained(folder / "vit")
    t5 = T5Config(vocab_size=8, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    T5EncoderModel(t5).save_pretrained(folder / "t5")
    words = Tokenizer(WordLevel({"<pad>": 0, "</s>": 1, "<unk>": 2, "a": 3, "square": 4}, "<unk>"))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder / "t5")


PAPER = Path(__file__).parents[2] / "recipes" / "perception_paper.toml"


def with_values(text: str, values: dict[str, object]) -> str:
    """The TOML text with other values for keys, each of which it must have once."""
    for key, value in values.items():
        written = f'"{value}"' if isinstance(value, str | Path) else value
        text, count = re.subn(rf"(?m)^{key} = .*$", f"{key} = {written}", text)
        assert count == 1, key
    return text


def test_the_papers_recipe_trains_tiny_encoders_from_folders(data: Path, tmp_path: Path) -> None:
    """The recipe as it stands, but for sizes, places and the device."""
    pytest.importorskip("transformers", reason="preset paper needs transformers (extra torch)")
    tiny_encoders(tmp_path)
    places = {"out": tmp_path / "run", "folder": data / "set", "kind": "labels", "device": "cpu"}
    encoders = {"image_model": tmp_path / "vit", "text_model": tmp_path / "t5", "threads": 1}
    sizes = {"token_width": 16, "heads": 2, "decoder_width": 8, "long_side_px": 96, "size": 2}
    crops = {"size_px": 64, "min_side_px": 64, "max_side_px": 64, "prompt_tokens": 6}
    steps = {"steps": 4, "warmup": 1, "evaluate_every": 2, "save_every": 3, "workers": 2}
    text = with_values(PAPER.read_text("utf-8"), places | encoders | sizes | crops | steps)
    text = text.replace("seed = 0", "seed = 0\nvalidation_share = 0.5")
    file = tmp_path / "recipe.toml"
    file.write_text(text.replace("[paper]", "[paper]\nlocal_files_only = true"), "utf-8")

    recipe = read_recipe(file)
    assert (recipe.schedule.rate, recipe.schedule.trunk_rate) == (2e-5, 2e-5)
    off = (recipe.losses.bce, recipe.losses.part, recipe.losses.rank, recipe.batch.pairs)
    assert off == (0, 0, 0, 0)
    assert run(file, stop_at=3)[0] == "paused"
    assert run(file)[0] == "finished"
    before = build_model(recipe).net.state_dict()
    after = load_checkpoint(tmp_path / "run" / "last.ckpt")["net"]
    assert all(bool(torch.isfinite(v).all()) for v in after.values())
    changed = {k.split(".")[0] for k, v in before.items() if not torch.equal(v, after[k])}
    assert {"image", "text", "fusion", "decoder", "head"} <= changed
    model = named_model(str(tmp_path / "run"))
    assert model.predict(sample(0)).shape == (120, 160)
    empty = Sample(id="e", picture=sample(0).load_rgb(), width=160, height=120)
    assert np.isfinite(model.predict(empty)).all()


SCORED = """
[losses]
saliency = 0.0
score = 1.0
"""


def scored(i: int) -> Sample:
    """A picture that its prompt praises or not, and people with it."""
    word, score = ("fine", 0.9) if i % 3 else ("poor", 0.1)
    return replace(sample(i), prompt=f"a {word} square {i}", scores={"overall": score})


def scored_recipe(tmp_path: Path, more: str = SCORED) -> Path:
    """A recipe with a score head, on whole pictures."""
    write_labels([scored(i) for i in range(24)], tmp_path / "set")
    heads = COMPACT.replace("fusion_layers = 1 }", 'fusion_layers = 1, score_heads = ["overall"] }')
    head = COMMON.format(folder=tmp_path, extra=f'start = "{tmp_path}/start.ckpt"')
    head = head.replace("max_side_px = 160 }", "max_side_px = 64, part_share = 0.0 }")
    head = head.replace("size = 2", "size = 2\nprompt_dropout = 0.0")
    head = head.replace("steps = 4", "steps = 60\nrate = 1e-2\naverage_decay = 0.9")
    head = head.replace("evaluate_every = 2", "evaluate_every = 60")
    file = tmp_path / "recipe.toml"
    file.write_text(head + heads + more, "utf-8")
    torch.manual_seed(0)
    shape = replace(TINY, network=replace(TINY.network, score_heads=("overall",)))
    save_checkpoint({"average": build_compact(shape).state_dict()}, tmp_path / "start.ckpt")
    return file


def test_score_heads_learn_what_people_scored(tmp_path: Path) -> None:
    file = scored_recipe(tmp_path)
    assert run(file)[0] == "finished"
    best = load_checkpoint(tmp_path / "run" / "best.ckpt")
    assert best["overall_plcc"] > 0.95
    assert best["overall_srcc"] > 0.75
    header = (tmp_path / "run" / "log.csv").read_text("utf-8").splitlines()[0]
    assert header.endswith(",rank,score")


def test_score_heads_without_scores_or_loss_are_said(tmp_path: Path) -> None:
    file = scored_recipe(tmp_path, more="")
    with pytest.raises(ConfigError, match="set both or neither"):
        read_recipe(file)
    file = scored_recipe(tmp_path)
    write_labels([sample(i) for i in range(12)], tmp_path / "set")
    with pytest.raises(ConfigError, match=r"no picture has a score overall \(they have none\)"):
        run(file)


def test_preset_paper_says_what_is_missing(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="preset paper needs transformers (extra torch)")
    more = f"""
frozen_levels = 0
style_chance = 0.0
[paper]
image_model = "{tmp_path}/nowhere"
local_files_only = true
network = {{ decoder_stride = 8 }}
"""
    with pytest.raises(ConfigError, match="nowhere"):
        run(recipe_file(data, tmp_path, 'preset = "paper"', more))
    assert "transformers" in sys.modules
