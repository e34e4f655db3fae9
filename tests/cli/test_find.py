"""`retouch find`: maps, overlays and JSON that other programs can use."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from retoucher.domain import rle
from tests.cli.conftest import BLOT, Command, blotted, clean, load, save

Scripted = Callable[..., Command]


def test_json_has_the_promised_fields(tmp_path: Path, scripted: Scripted):
    picture = save(tmp_path / "a.png", blotted())
    said = scripted()("find", picture, "--json", "--prompt", "a wall")
    assert (said.code, said.err) == (0, "")
    record = json.loads(said.out)
    assert {k: record[k] for k in ("file", "width", "height", "prompt")} == {
        "file": str(picture),
        "width": 96,
        "height": 64,
        "prompt": "a wall",
    }
    assert record["prompt_source"]
    (region,) = record["regions"]
    assert set(region) == {
        "id",
        "box_xyxy",
        "mask",
        "score",
        "category",
        "severity",
        "description",
        "confidence",
        "evidence",
    }
    mask = rle.decode(region["mask"])
    x0, y0, x1, y1 = region["box_xyxy"]
    assert mask.shape == (64, 96)
    assert mask[BLOT].all()
    assert mask[y0:y1, x0:x1].sum() == mask.sum()


def test_a_folder_gives_json_lines_in_the_order_of_names(tmp_path: Path, scripted: Scripted):
    for name in "cab":
        save(tmp_path / f"{name}.png", clean())
    lines = scripted()("find", tmp_path, "--json").out.splitlines()
    assert [Path(json.loads(line)["file"]).name for line in lines] == ["a.png", "b.png", "c.png"]


def test_maps_are_raw_float32_of_the_pictures_size(tmp_path: Path, scripted: Scripted):
    picture = save(tmp_path / "a.b.png", blotted())
    said = scripted()("find", picture, "--saliency-dir", tmp_path / "maps" / "new")
    assert said.code == 0
    values = np.load(tmp_path / "maps" / "new" / "a.b.npy", allow_pickle=False)
    assert (values.shape, values.dtype) == ((64, 96), np.float32)
    assert (values[BLOT] == np.float32(0.9)).all()
    assert values.sum() == np.float32(0.9) * np.ones((16, 30), np.float32).sum()


def test_overlays_show_the_picture_with_the_region(tmp_path: Path, scripted: Scripted):
    picture = save(tmp_path / "a.png", blotted())
    scripted()("find", picture, "--overlay-dir", tmp_path / "o")
    drawn = load(tmp_path / "o" / "a.png")
    assert drawn.shape == (64, 96, 3)
    assert (drawn[BLOT] != blotted()[BLOT]).any()
    assert np.array_equal(drawn[50:, 70:], blotted()[50:, 70:])


def test_words_for_people(tmp_path: Path, scripted: Scripted):
    save(tmp_path / "a.png", blotted())
    save(tmp_path / "b.png", clean())
    said = scripted()("find", tmp_path)
    assert "r1 at " in said.out
    assert "clear broken texture; scripted object_texture (90% sure)" in said.out
    assert "nothing found (peak saliency 0.00)" in said.out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png"]


def test_own_regions_are_diagnosed_in_their_order(tmp_path: Path, scripted: Scripted):
    picture = save(tmp_path / "a.png", clean())
    boxes = [[60, 40, 80, 60], [5, 5, 20, 20], [30, 10, 50, 30]]
    (tmp_path / "r.json").write_text(json.dumps([{"box_xyxy": box} for box in boxes]))
    said = scripted()("find", picture, "--regions", tmp_path / "r.json", "--json")
    assert [region["box_xyxy"] for region in json.loads(said.out)["regions"]] == boxes


def test_its_own_output_can_be_given_back_as_regions(tmp_path: Path, scripted: Scripted):
    picture = save(tmp_path / "a.png", blotted())
    first = scripted()("find", picture, "--json").out
    (tmp_path / "r.json").write_text(first)
    again = scripted()("find", picture, "--regions", tmp_path / "r.json", "--json").out
    one, two = json.loads(first)["regions"], json.loads(again)["regions"]
    assert [r["mask"] for r in one] == [r["mask"] for r in two]


def test_the_threshold_decides(tmp_path: Path, scripted: Scripted):
    picture = save(tmp_path / "a.png", blotted())
    found = [
        len(json.loads(scripted()("find", picture, "--json", "--threshold", t).out)["regions"])
        for t in (0.5, 0.95)
    ]
    assert found == [1, 0]
