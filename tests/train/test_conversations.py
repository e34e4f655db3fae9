"""Conversations for training: what a row says and shows is what the product says and shows."""

from __future__ import annotations

import doctest
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retoucher import plugins
from retoucher.config import settings_from
from retoucher.data.coco import write_coco
from retoucher.data.open import open_dataset
from retoucher.data.ours import write_labels
from retoucher.data.sample import CleanPart, LabelledRegion, Sample
from retoucher.data.synthetic.stream import SyntheticStream
from retoucher.data.synthetic.stream import ViewSettings as StreamView
from retoucher.data.synthetic.write import SetSettings, make_set
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT
from retoucher.errors import ConfigError, InputError, OutputError
from retoucher.reasoning.asking import Answer, diagnose_by
from retoucher.reasoning.conversation import Conversation, questions
from retoucher.reasoning.parsing import understand
from retoucher.reasoning.views import ViewSettings
from retoucher.tables import read_table
from retoucher.train import balance, conversations
from retoucher.train.balance import BalanceSettings, quotas, repeats
from retoucher.train.conversation_folder import write_conversations
from retoucher.train.conversations import ConversationSettings, places_of
from tests.data.scenes import drawn_sample

SMALL = ViewSettings(pictures="crop", crop_side_px=56, picture_side_px=84)
PLAIN = ConversationSettings(
    view=SMALL, jitter=0.0, validation_share=0.0, balance=BalanceSettings(no_defect_share=0.5)
)
KINDS = ("hand_shape", "text_garbled", "face_feature")


def noisy(number: int, *, category: str = "hand_shape", words: str = "bent <|im_end|> fingers"):
    """A small picture of noise, one region and a clean part."""
    pixels = np.random.default_rng(number).integers(0, 256, (60, 90 + number % 3, 3), np.uint8)
    region = LabelledRegion(
        box=Box(8, 10, 30, 34), category=category, severity=1 + number % 3, description=words
    )
    part = CleanPart(box=Box(50, 12, 80, 40), part="face")
    return Sample(
        id=f"n{number}",
        picture=pixels,
        width=pixels.shape[1],
        height=60,
        prompt=f"a <|im_start|> cat, {number}",
        regions=(region,),
        clean_parts=(part,),
        source=f"s{number % 2}",
    )


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_the_doctests() -> None:
    for module in (balance, conversations):
        result = doctest.testmod(module)
        assert result.attempted
        assert not result.failed


@pytest.mark.parametrize("pictures", ["crop", "both"])
def test_a_row_is_what_the_product_asks_and_understands(tmp_path: Path, pictures: Any) -> None:
    settings = replace(PLAIN, view=replace(SMALL, pictures=pictures))
    sample = noisy(1)
    write_conversations({"set": [sample]}, tmp_path / "out", settings)
    for row in rows(tmp_path / "out" / "sft.jsonl"):
        box = sample.regions[0].box if "region" in row["id"] else sample.clean_parts[0].box
        asked: list[Conversation] = []

        def ask(
            conversations: Sequence[Conversation],
            asked: list[Conversation] = asked,
            row: dict[str, Any] = row,
        ) -> list[Answer]:
            asked += conversations
            return [Answer(text=row["completion"][0]["content"][0]["text"])]

        # Among other regions of the round, the trained place is asked about in the same words.
        other = Region.from_box(Box(1, 1, 5, 5), id="other")
        regions = [Region.from_box(box, id="it")]
        (said,) = diagnose_by(ask, sample.load_rgb(), sample.prompt, regions, settings.view)
        assert said.region_id == "it"
        assert said.category == (NO_DEFECT if "part" in row["id"] else "hand_shape")
        assert said.severity == (0 if "part" in row["id"] else 2)
        if "region" in row["id"]:
            assert said.description == "bent <|im_end|> fingers"
        image, view = sample.load_rgb(), settings.view
        many = [q.conversation for q in questions(image, sample.prompt, [other, *regions], view)]
        system, user = row["prompt"]
        for conversation in (asked[0], many[1]):
            assert system["content"] == [{"type": "text", "text": conversation.system}]
            parts = conversation.turns[0].parts
            kinds = ["text" if isinstance(p, str) else "image" for p in parts]
            assert [part["type"] for part in user["content"]] == kinds
            words = [part["text"] for part in user["content"] if "text" in part]
            assert words == [p for p in parts if isinstance(p, str)]
            shown = [p for p in parts if not isinstance(p, str)]
            assert len(shown) == len(row["images"]) == (2 if pictures == "both" else 1)
            for name, pixels in zip(row["images"], shown, strict=True):
                with Image.open(tmp_path / "out" / name) as stored:
                    assert (np.asarray(stored) == pixels).all()
                assert pixels.shape[0] == pixels.shape[1]
        assert "<|" not in json.dumps(row), "no control token of a template"


def test_truth_stands_in_columns(tmp_path: Path) -> None:
    write_conversations({"set": [noisy(0)]}, tmp_path / "out", PLAIN)
    sft, grpo = (rows(tmp_path / "out" / f"{kind}.jsonl") for kind in ("sft", "grpo"))
    assert [row["id"] for row in sft] == [row["id"] for row in grpo]
    for row, answered in zip(grpo, sft, strict=True):
        assert set(row) == {"id", "images", "prompt", "category", "severity", "description"}
        assert set(answered) == {"id", "images", "prompt", "completion"}
        assert row["prompt"] == answered["prompt"]
        verdict = understand(answered["completion"][0]["content"][0]["text"], (1,)).verdicts[1]
        assert (verdict.category, verdict.severity) == (row["category"], row["severity"])
        if row["category"] == NO_DEFECT:
            assert (row["description"], verdict.description) == (
                "",
                "This face looks as it should.",
            )
        else:
            assert row["description"] == verdict.description


def test_same_input_same_bytes_and_another_seed_others(tmp_path: Path) -> None:
    samples = [noisy(i) for i in range(12)]
    settings = replace(PLAIN, jitter=0.2, validation_share=0.3)
    other = replace(settings, balance=replace(settings.balance, seed=1))
    for name, given in (("a", settings), ("b", settings), ("c", other)):
        write_conversations({"set": samples}, tmp_path / name, given)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(files) > 12
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
    assert rows(tmp_path / "a" / "sft.jsonl") != rows(tmp_path / "c" / "sft.jsonl")


def test_validation_pictures_are_not_trained_on(tmp_path: Path) -> None:
    samples = [noisy(i) for i in range(40)]
    write_conversations({"set": samples}, tmp_path / "out", replace(PLAIN, validation_share=0.3))
    train, held = (
        {row["id"].split("/")[1] for row in rows(tmp_path / "out" / name)}
        for name in ("sft.jsonl", "sft_validation.jsonl")
    )
    assert train | held == {s.id for s in samples}
    assert not train & held
    assert 4 <= len(held) <= 20
    counted = json.loads((tmp_path / "out" / "statistics.json").read_text("utf-8"))
    assert counted["validation"]["pictures"] == len(held)
    assert counted["train"]["rows"] == len(rows(tmp_path / "out" / "sft.jsonl"))


def test_rare_categories_are_shown_more_often_each_time_moved(tmp_path: Path) -> None:
    many = [noisy(i, category="face_feature") for i in range(16)]
    rare = noisy(99, category="limb_count")
    settings = replace(PLAIN, jitter=0.2, balance=BalanceSettings(temperature=4.0, max_repeats=5))
    write_conversations({"set": [*many, rare]}, tmp_path / "out", settings)
    made = rows(tmp_path / "out" / "grpo.jsonl")
    counts = Counter(row["category"] for row in made)
    assert counts["limb_count"] == 5
    assert counts["face_feature"] == 11
    shown = [row for row in made if row["category"] == "limb_count"]
    assert len({row["id"] for row in shown}) == 5
    assert len({(tmp_path / "out" / row["images"][0]).read_bytes() for row in shown}) == 5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_places_are_taken_evenly(seed: int) -> None:
    keys = [f"k{i}" for i in range(7)]
    for count in (1, 6, 7, 8, 20):
        taken = repeats(keys, count, seed)
        assert sum(taken.values()) == count
        counts = [taken.get(k, 0) for k in keys]
        assert max(counts) - min(counts) <= 1


def test_balance_flattens_and_respects_its_limits() -> None:
    available = {"a": 900, "b": 90, "c": 9, NO_DEFECT: 1000}
    flat = quotas(available, BalanceSettings(temperature=1e9, rows=300, max_repeats=4))
    assert (flat["a"], flat["b"], flat["c"]) == (100, 100, 36)
    own = quotas(available, BalanceSettings(temperature=1.0, no_defect_share=0.5))
    assert own == {"a": 900, "b": 90, "c": 9, NO_DEFECT: 999}
    assert quotas(available, BalanceSettings(cap=50))["a"] == 50
    assert quotas({NO_DEFECT: 5}, BalanceSettings()) == {NO_DEFECT: 5}


def test_what_cannot_be_learned_from_is_left_out_and_counted(tmp_path: Path) -> None:
    base = noisy(1)
    regions = (
        LabelledRegion(box=Box(0, 0, 9, 9), category="unknown", description="odd"),
        LabelledRegion(box=Box(9, 0, 19, 9), category="hand_shape", severity=1, description="odd"),
        LabelledRegion(box=Box(20, 0, 30, 9), category="hand_shape"),
        LabelledRegion(box=Box(32, 0, 40, 9), category="text_wrong", description="odd"),
    )
    over = CleanPart(box=Box(30, 0, 42, 12), part="text", exact=False)
    sample = replace(base, regions=regions, clean_parts=(*base.clean_parts, over))
    mild = replace(PLAIN, min_severity=2)
    places, left_out = places_of("s", [sample], mild, answered=True)
    assert [p.key for p in places] == ["s/n1/region4", "s/n1/part1"]
    assert left_out == {
        "no category": 1,
        "too mild": 1,
        "no words": 1,
        "a clean part over a defect": 1,
    }
    spoken, _ = places_of("s", [sample], replace(mild, wordless="phrase"), answered=True)
    assert spoken[0].words == "Malformed hand."
    assert spoken[0].description == ""
    unanswered, _ = places_of("s", [sample], mild, answered=False)
    assert [p.key for p in unanswered] == ["s/n1/region3", "s/n1/region4", "s/n1/part1"]
    wordless = replace(base, regions=regions[2:3], clean_parts=())
    with pytest.raises(InputError, match=r"is left to ask about \(1 no words\)"):
        write_conversations({"s": [wordless]}, tmp_path / "out", PLAIN)
    assert not (tmp_path / "out").exists()


def test_nothing_half_written_is_left(tmp_path: Path) -> None:
    broken = replace(noisy(3), picture=tmp_path / "gone.png")
    with pytest.raises(InputError, match="no such file"):
        write_conversations({"set": [noisy(2), broken]}, tmp_path / "out", PLAIN)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(OutputError, match="is there already"):
        write_conversations({"set": [noisy(2)]}, tmp_path / "out", PLAIN)
    assert [p.name for p in tmp_path.rglob("*")] == ["out", "mine"]


def test_the_folder_says_how_its_model_must_be_asked(tmp_path: Path) -> None:
    write_conversations({"set": [noisy(2)]}, tmp_path / "out", PLAIN)
    settings = settings_from(read_table(tmp_path / "out" / "reasoner.toml"), where="reasoner.toml")
    for name in ("transformers", "openai"):
        agent = plugins.create("reasoner", name, settings.options["reasoner"][name])
        assert agent.info.settings["view"] == asdict(PLAIN.view)


def test_settings_out_of_range_are_refused() -> None:
    for wrong in ({"jitter": 0.5}, {"min_severity": 0}, {"validation_share": 1.0}):
        with pytest.raises(ConfigError):
            replace(PLAIN, **wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ConfigError, match="crop"):
        ConversationSettings(view=ViewSettings())


def labelled_set(folder: Path) -> Path:
    write_labels([noisy(i, category=KINDS[i % 3], words="odd lines") for i in range(6)], folder)
    return folder


def coco_set(folder: Path) -> Path:
    return write_coco([noisy(i, words="odd lines") for i in range(3)], folder)


def synthetic_set(folder: Path) -> Path:
    stream = SyntheticStream([drawn_sample()], view=StreamView(size_px=160))
    make_set(stream, folder, SetSettings(count=2))
    return folder


def genblemish_set(folder: Path) -> Path:
    (folder / "images").mkdir(parents=True)
    lines: list[str] = []
    for i in range(3):
        sample = noisy(i)
        Image.fromarray(sample.load_rgb()).save(folder / "images" / f"{i}.png")
        region = {"bbox": [4, 4, 30, 30], "category": KINDS[i], "description": "odd lines"}
        record = {"image": f"{i}.png", "prompt": "a cat", "regions": [region]}
        lines.append(json.dumps(record))
    (folder / "annotations.jsonl").write_text("\n".join(lines), "utf-8")
    return folder


@pytest.mark.parametrize(
    ("make", "form", "least"),
    [
        (labelled_set, None, 12),
        (coco_set, None, 6),
        (synthetic_set, None, 4),
        (genblemish_set, "genblemish", 3),
    ],
)
def test_every_kind_of_set_makes_conversations(
    tmp_path: Path, make: Any, form: Any, least: int
) -> None:
    samples = open_dataset(make(tmp_path / "set"), form)
    write_conversations({"set": samples}, tmp_path / "out", PLAIN)
    made = rows(tmp_path / "out" / "sft.jsonl")
    assert len(made) >= least
    for row in made:
        assert understand(row["completion"][0]["content"][0]["text"], (1,)).verdicts
        with Image.open(tmp_path / "out" / row["images"][0]) as picture:
            assert picture.size == (56, 56)


def test_a_trained_model_is_given_the_same_tensors(tmp_path: Path) -> None:
    """Through TRL's own preparation and the processor, against what the reasoner would feed."""
    torch = pytest.importorskip("torch", reason="needs torch")
    trl = pytest.importorskip("trl.data_utils", reason="needs trl")
    datasets = pytest.importorskip("datasets", reason="needs datasets")
    pytest.importorskip("peft", reason="needs peft")
    from retoucher.reasoning.transformers_vlm import chat_inputs
    from tests.reasoning.tiny_vlm import build_processor

    sample = noisy(4)
    write_conversations({"set": [sample]}, tmp_path / "out", PLAIN)
    loaded = datasets.load_dataset(
        "json",
        data_files=str(tmp_path / "out" / "sft.jsonl"),
        split="train",
        cache_dir=str(tmp_path / "cache"),
    )
    processor = build_processor()
    for row in loaded:
        box = sample.regions[0].box if "region" in row["id"] else sample.clean_parts[0].box
        asked: list[Conversation] = []
        diagnose_by(
            lambda c, asked=asked: asked.extend(c) or [Answer(text="", finish="refused")],
            sample.load_rgb(),
            sample.prompt,
            [Region.from_box(box, id="r")],
            PLAIN.view,
        )
        ours = chat_inputs(processor, asked)
        images = [Image.open(tmp_path / "out" / name) for name in row["images"]]
        messages = trl.prepare_multimodal_messages(row["prompt"], images=images)
        theirs = processor.apply_chat_template(
            [messages],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        assert (ours["input_ids"] == theirs["input_ids"]).all()
        assert torch.equal(ours["pixel_values"], theirs["pixel_values"])
