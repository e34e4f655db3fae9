from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from retoucher.data.annotation import AnnotatedPicture, Mark, read_pictures
from retoucher.data.annotation_coco import merged, read_coco_marks, write_coco_marks
from retoucher.data.coco import read_coco
from retoucher.data.sample import Sample
from retoucher.domain.geometry import Box
from retoucher.errors import InputError
from tests.data.annotators import rgb_file


def annotated(tmp_path: Path) -> list[AnnotatedPicture]:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        rgb_file(tmp_path / "in" / f"{name}.png")
    first, second = read_pictures(tmp_path / "in", lambda path: f"prompt of {path.stem}")
    mask = np.zeros((120, 200), bool)
    mask[30:50, 60:90] = True
    marks = {
        "ann": (
            Mark.of_box(Box(10, 20, 40, 60), "hand_shape", "six fingers", 3),
            Mark(centre_xy=(150.5, 70.25), category="face_feature", note="odd eye"),
        ),
        "bob": (Mark.from_mask(mask, "unknown"),),
    }
    return [
        AnnotatedPicture(sample=first, marks=marks),
        AnnotatedPicture(sample=second, marks={"ann": (), "bob": ()}),
    ]


def samples(pictures: list[AnnotatedPicture]) -> list[Sample]:
    return [p.sample for p in pictures]


def test_marks_go_out_and_come_back(tmp_path: Path) -> None:
    before = annotated(tmp_path)
    path = write_coco_marks(before, tmp_path / "out")
    after = read_coco_marks(path, samples(before))
    assert [p.sample.id for p in after] == ["a", "b"]
    assert after[1].marks == {"ann": (), "bob": ()}
    for person in ("ann", "bob"):
        for one, other in zip(before[0].marks[person], after[0].marks[person], strict=True):
            for name in ("centre_xy", "category", "note", "severity", "box"):
                assert getattr(other, name) == getattr(one, name)
    mask = after[0].marks["bob"][0].mask_hw
    assert mask is not None
    assert mask.all()
    content = json.loads(path.read_text("utf-8"))
    assert content["images"][0]["caption"] == "prompt of a"
    centre = content["annotations"][1]
    assert (centre["keypoints"], centre["num_keypoints"]) == ([150.5, 70.25, 2], 1)
    assert (centre["bbox"], centre["attributes"]["centre_only"]) == ([150, 70, 1, 1], True)
    # Any reader of COCO gets the pictures and the boxes.
    plain = read_coco(path)
    assert len(plain[0].regions) == 3


def test_a_file_of_one_annotator_is_named_after_them(tmp_path: Path) -> None:
    before = annotated(tmp_path)
    content = {
        "images": [
            {"id": 7, "file_name": "any/a.png", "width": 200, "height": 120},
            {"id": 8, "file_name": "b.png", "width": 200, "height": 120},
        ],
        "categories": [{"id": 4, "name": "bad hand"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 4, "bbox": [10, 20, 30, 40]},
            {"id": 2, "image_id": 7, "category_id": 4, "keypoints": [50, 60, 2]},
            {
                "id": 3,
                "image_id": 8,
                "category_id": 4,
                "bbox": [0, 0, 9, 9],
                "segmentation": [[10, 10, 30, 10, 30, 40, 10, 40]],
            },
        ],
    }
    for person in ("cay", "dan"):
        (tmp_path / f"{person}.json").write_text(json.dumps(content), "utf-8")
    names = {"bad hand": "hand_shape"}
    both = [
        read_coco_marks(tmp_path / f"{person}.json", samples(before), names)
        for person in ("dan", "cay")
    ]
    first, second = merged(both)
    assert list(first.marks) == ["cay", "dan"]
    drawn, clicked = first.marks["cay"]
    assert drawn.box == Box(10, 20, 40, 60)
    assert (clicked.box, clicked.centre_xy) == (None, (50.0, 60.0))
    assert second.marks["dan"][0].box == Box(10, 10, 30, 40)
    with pytest.raises(InputError, match="'cay' comes from two files"):
        merged([both[1], both[1]])
    with pytest.raises(InputError, match="'bad hand' is not in the taxonomy"):
        read_coco_marks(tmp_path / "cay.json", samples(before))


def test_pictures_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    rgb_file(tmp_path / "deep" / "x.jpg", (30, 20))
    (tmp_path / "note.txt").touch()
    (sample,) = read_pictures(tmp_path)
    assert (sample.id, sample.width, sample.height) == ("deep/x", 30, 20)
    assert not sample.complete
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no picture"):
        read_pictures(tmp_path / "empty")
