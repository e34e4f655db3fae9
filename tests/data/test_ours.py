from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retoucher.data.ours import read_hand_signs, read_labels, read_pool, write_labels
from retoucher.data.sample import LabelledRegion, Sample
from retoucher.domain.geometry import Box
from retoucher.errors import InputError, OutputError
from tests.data.scenes import drawn_sample


def record(**changes: object) -> dict[str, object]:
    row: dict[str, object] = {
        "id": "a",
        "file": "images/a.png",
        "prompt": "a hand",
        "width": 40,
        "height": 30,
        "source": "somewhere",
        "regions": [
            {
                "box": [1, 2, 20.5, 12],
                "category": "hand_shape",
                "severity": 3,
                "description": "melted",
            }
        ],
        "clean_parts": [{"box": [20, 0, 44, 30], "part": "face"}],
    }
    return {**row, **changes}


def write(folder: Path, *rows: object) -> Path:
    (folder / "images").mkdir(exist_ok=True)
    Image.new("RGB", (40, 30)).save(folder / "images" / "a.png")
    lines = [r if isinstance(r, str) else json.dumps(r) for r in rows]
    (folder / "labels.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_a_labelled_set_is_read(tmp_path: Path) -> None:
    (sample,) = read_labels(write(tmp_path, record(), ""))
    assert sample.prompt == "a hand"
    assert sample.regions[0].box == Box(1, 2, 21, 12)
    assert sample.regions[0].severity == 3
    assert sample.clean_parts[0].box == Box(20, 0, 40, 30)
    assert sample.load_rgb().shape == (30, 40, 3)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{broken", r"labels.jsonl:2: not JSON"),
        ("[1]", r"labels.jsonl:2: expected an object"),
        (record(id="b", width="wide"), r":2: 'width' must be a whole number"),
        (
            record(id="b", regions=[{"box": [1, 2, 3], "category": "hand_shape"}]),
            r":2: .*4 numbers",
        ),
        (
            record(id="b", regions=[{"box": [50, 2, 60, 9], "category": "hand_shape"}]),
            r":2: .*outside",
        ),
        (
            record(id="b", regions=[{"box": [1, 2, 3, 4], "category": "paw"}]),
            r":2: unknown category",
        ),
        (record(id="b", clean_parts=[{"box": [1, 2, 3, 4], "part": "paw"}]), r":2: unknown part"),
        (record(), r"two records have the id 'a'"),
    ],
)
def test_errors_name_the_line(tmp_path: Path, row: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_labels(write(tmp_path, record(), row))


def test_a_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_labels(tmp_path)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    mask = np.zeros((30, 40), bool)
    mask[3:20, 5:9] = True
    mask[10, 5:30] = True
    region = LabelledRegion.from_mask(mask, category="text_wrong", severity=1, description="slip")
    sample = replace(drawn_sample(), regions=(region,), source="here", licence="MIT")
    write_labels([sample], tmp_path / "set")
    (back,) = read_labels(tmp_path / "set")
    np.testing.assert_array_equal(back.load_rgb(), sample.load_rgb())
    assert (back.prompt, back.source, back.licence) == (sample.prompt, "here", "MIT")
    assert back.regions[0].box == region.box
    np.testing.assert_array_equal(back.regions[0].mask_hw, region.mask_hw)
    assert [p.box for p in back.clean_parts] == [p.box for p in sample.clean_parts]
    again = write_labels([back], tmp_path / "set").read_text()
    assert json.loads(again)["file"] == "images/drawn.png"


def test_pictures_outside_the_set_are_not_linked(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    sample = Sample(id="a", picture=tmp_path / "a.png", width=4, height=4)
    with pytest.raises(OutputError, match="outside"):
        write_labels([sample], tmp_path / "set")


def test_a_pool_gives_clean_parts_and_leaves_unlabelled_pictures_out(tmp_path: Path) -> None:
    boxes = [
        {"part": "wine glass", "box": [1.2, 2, 10, 12]},
        {"part": "hand?", "box": [0, 0, 8, 8]},
        {"part": "cup", "box": [39.99, 1, 40, 1]},
    ]
    base = {"file": "a.jpg", "source": "s", "licence": "MIT", "width": 40, "height": 30}
    rows = [
        {**base, "kind": "photo", "caption": "a table", "boxes": boxes},
        {**base, "file": "b.jpg", "kind": "t2i-mostly-clean", "boxes": []},
        {**base, "file": "c.jpg", "kind": "t2i-unlabelled", "boxes": []},
    ]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, rows)))
    first, second = read_pool(tmp_path)
    glass, hand = first.clean_parts
    assert (glass.part, glass.name, glass.exact) == ("object", "wine glass", True)
    assert (hand.part, hand.exact) == ("hand", False)
    assert first.is_clean
    assert not second.is_clean


def test_hand_signs_say_how_many_fingers_they_show(tmp_path: Path) -> None:
    for name in ("3_00.jpg", "7_01.jpg", "notes.jpg"):
        Image.new("RGB", (100, 90)).save(tmp_path / name)
    three, sign = read_hand_signs(tmp_path)
    assert "three fingers" in three.prompt
    assert "sign" in sign.prompt
    assert three.clean_parts[0].box == Box(0, 0, 100, 90)
    with pytest.raises(InputError, match="hand signs"):
        read_hand_signs(tmp_path / "empty")
