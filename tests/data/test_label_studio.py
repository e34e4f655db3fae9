from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from retoucher.data.annotation import AnnotatedPicture, read_annotations, write_annotations
from retoucher.data.label_studio import (
    TaskSettings,
    labelling_config,
    read_export,
    write_tasks,
)
from retoucher.data.label_studio_brush import decode_brush
from retoucher.data.ours import read_labels
from retoucher.domain.geometry import Box
from retoucher.domain.taxonomy import taxonomy
from retoucher.errors import InputError, OutputError
from tests.data.annotators import HEIGHT, WIDTH, exported, percent, pictures, point, rectangle

# A mask of 5 rows and 6 columns, rows 1 and 2, columns 2 to 4 set, as label_studio_sdk 2.1
# encodes it (converter.brush.encode_rle of its RGBA samples).
BRUSH = [0, 0, 0, 120, 57, 27, 254, 31, 0, 183, 255, 108, 2, 223, 254, 51, 0, 0]


def export(tmp_path: Path, results: list[dict[str, Any]], **changed: Any) -> Path:
    """An export of picture "b" with one annotation."""
    task = exported({"data": {"image": "x", "picture": "b"}}, 0, {3: results})
    task["annotations"][0].update(changed)
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task]), "utf-8")
    return path


def marks(tmp_path: Path, results: list[dict[str, Any]]) -> tuple[Any, ...]:
    samples = read_labels(pictures(tmp_path / "set"))
    (picture,) = read_export(export(tmp_path, results), samples)
    return picture.marks["3"]


def test_the_interface_offers_the_taxonomy_and_only_names_that_exist() -> None:
    root = ElementTree.fromstring(labelling_config())
    for tag in ("KeyPointLabels", "RectangleLabels"):
        labels = root.find(tag)
        assert labels is not None
        assert [label.get("value") for label in labels] == list(taxonomy())
    image = root.find("Image")
    assert image is not None
    to = {e.get("toName") for e in root.iter() if e.get("toName")}
    assert to == {image.get("name")}
    assert image.get("value") == "$image"
    per_region = {e.get("name") for e in root.iter() if e.get("perRegion") == "true"}
    assert per_region == {"note", "severity"}


def test_tasks_name_pictures_as_label_studio_serves_them(tmp_path: Path) -> None:
    samples = read_labels(pictures(tmp_path / "my set"))
    root = tmp_path
    assert write_tasks(samples, tmp_path / "out", TaskSettings(root=root)) == 3
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text("utf-8"))
    assert tasks[0]["data"] == {
        "image": "/data/local-files/?d=my%20set/images/a.png",
        "picture": "a",
        "prompt": "a a",
    }
    assert "predictions" not in tasks[0]
    write_tasks(samples, tmp_path / "embedded", TaskSettings(embed=True))
    embedded = json.loads((tmp_path / "embedded" / "tasks.json").read_text("utf-8"))
    head, data = embedded[1]["data"]["image"].split(",")
    assert head == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert (np.asarray(picture) == samples[1].load_rgb()).all()
    with pytest.raises(OutputError, match="outside"):
        write_tasks(samples, tmp_path / "no", TaskSettings(root=tmp_path / "elsewhere"))
    assert not (tmp_path / "no").exists()


def test_predictions_come_back_as_they_were(tmp_path: Path) -> None:
    samples = read_labels(pictures(tmp_path / "set"))
    settings = TaskSettings(root=tmp_path, predictions=True)
    write_tasks(samples, tmp_path / "out", settings)
    tasks = json.loads((tmp_path / "out" / "tasks.json").read_text("utf-8"))
    accepted = [
        exported(task, i, {1: task["predictions"][0]["result"] if "predictions" in task else []})
        for i, task in enumerate(tasks)
    ]
    (tmp_path / "export.json").write_text(json.dumps(accepted), "utf-8")
    read = read_export(tmp_path / "export.json", samples)
    assert [p.sample.id for p in read] == ["a", "b", "c"]
    for picture, sample in zip(read, samples, strict=True):
        for mark, region in zip(picture.marks["1"], sample.regions, strict=True):
            assert mark.box == region.box
            assert (mark.category, mark.severity) == (region.category, region.severity)
            assert mark.note == region.description


def test_every_outline_is_read(tmp_path: Path) -> None:
    polygon = {
        "id": "p", "type": "polygonlabels", "from_name": "x", "to_name": "image",
        "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0,
        "value": {"points": [[10, 10], [30, 10], [30, 50], [10, 50]], "closed": True,
                  "polygonlabels": ["limb_shape"]},
    }  # fmt: skip
    turned = {
        "id": "t", "type": "rectanglelabels", "from_name": "box", "to_name": "image",
        "original_width": WIDTH, "original_height": HEIGHT, "image_rotation": 0,
        "value": {**percent(100, 40, 140, 60), "rotation": 90, "rectanglelabels": ["text_wrong"]},
    }  # fmt: skip
    click = {**turned, "id": "c", "value": {**percent(30, 40, 30, 40), "rectanglelabels": []}}
    found = marks(
        tmp_path,
        [
            *rectangle("r", (20, 30, 60, 90), "hand_shape", "no <b>thumb</b>\n", "glaring"),
            *point("k", 150, 60, "face_feature", "odd eye"),
            polygon,
            turned,
            click,
            {"type": "relation", "from_id": "r", "to_id": "k", "direction": "right"},
            {"id": "whole", "type": "choices", "from_name": "good", "value": {"choices": ["yes"]}},
        ],
    )
    box, centre, area, rotated, clicked = found
    assert (box.box, box.category, box.severity) == (Box(20, 30, 60, 90), "hand_shape", 3)
    assert box.note == "no <b>thumb</b>"
    assert centre.box is None
    assert centre.centre_xy == (150, 60)
    assert (centre.note, centre.severity) == ("odd eye", None)
    assert area.box == Box(20, 12, 60, 60)
    assert area.mask_hw.all()
    # Clockwise about the top left corner (100, 40): it hangs to the left of it.
    assert rotated.box == Box(80, 40, 100, 80)
    assert (clicked.box, clicked.category, clicked.centre_xy) == (None, "unknown", (30, 40))


def test_a_brush_mask_is_read_as_label_studio_writes_it() -> None:
    expected = np.zeros((5, 6), bool)
    expected[1:3, 2:5] = True
    assert (decode_brush(BRUSH, 5, 6) == expected).all()
    with pytest.raises(ValueError, match="cut off"):
        decode_brush(BRUSH[:9], 5, 6)
    with pytest.raises(ValueError, match="120 values in a picture of 6x6"):
        decode_brush(BRUSH, 6, 6)


def test_a_brush_region_becomes_a_mark(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    Image.new("RGB", (6, 5)).save(folder / "b.png")
    record = {"id": "b", "file": "b.png", "width": 6, "height": 5}
    (folder / "labels.jsonl").write_text(json.dumps(record), "utf-8")
    result = {
        "id": "m", "type": "brushlabels", "original_width": 6, "original_height": 5,
        "value": {"format": "rle", "rle": BRUSH, "brushlabels": ["hand_shape"]},
    }  # fmt: skip
    samples = read_labels(folder)
    (picture,) = read_export(export(tmp_path, [result]), samples)
    (mark,) = picture.marks["3"]
    assert mark.box == Box(2, 1, 5, 3)
    write_annotations([picture], tmp_path / "marks.jsonl")
    (again,) = read_annotations(tmp_path / "marks.jsonl")
    assert again.marks["3"][0].box == mark.box
    assert (again.marks["3"][0].mask_hw == mark.mask_hw).all()


def test_who_skipped_does_not_count_and_later_work_replaces_earlier(tmp_path: Path) -> None:
    samples = read_labels(pictures(tmp_path / "set"))
    first = exported({"data": {"image": "x", "picture": "a"}}, 0, {1: [], 2: []})
    first["annotations"][0]["was_cancelled"] = True
    later = dict(first["annotations"][1])
    later["result"] = point("k", 5, 5, "hand_shape")
    later["completed_by"] = {"id": 2, "email": "someone@example.org"}
    first["annotations"].append(later)
    (tmp_path / "export.json").write_text(json.dumps([first]), "utf-8")
    (picture,) = read_export(tmp_path / "export.json", samples)
    assert list(picture.marks) == ["2"], "a number, no address"
    assert len(picture.marks["2"]) == 1


@pytest.mark.parametrize(
    "address",
    [
        "/data/local-files/?d=any/place/b.png",
        "/data/upload/7/0a1b2c3d-b.png",
        "https://h.org/b.jpg",
    ],
)
def test_pictures_are_found_by_their_files_names_too(tmp_path: Path, address: str) -> None:
    samples = read_labels(pictures(tmp_path / "set"))
    task = exported({"data": {"image": address}}, 0, {1: []})
    (tmp_path / "export.json").write_text(json.dumps([task]), "utf-8")
    (picture,) = read_export(tmp_path / "export.json", samples)
    assert picture.sample.id == "b"


def broken(**changed: Any) -> list[dict[str, Any]]:
    (result,) = rectangle("r", (20, 30, 60, 90), "hand_shape")
    value = {**result["value"], **changed.pop("value", {})}
    return [{**result, **changed, "value": value}]


@pytest.mark.parametrize(
    ("results", "message"),
    [
        (broken(type="ellipselabels"), "ellipselabels"),
        (broken(image_rotation=90), "rotated"),
        (broken(original_width=999), "marked on 999x120"),
        (broken(value={"rectanglelabels": ["nose"]}), "'nose' is not in the taxonomy"),
        (broken(value={"rectanglelabels": ["hand_shape", "limb_shape"]}), "2 categories"),
        (broken(value={"x": 300}), "outside the picture"),
        (broken(value={"x": "wide"}), "x, y, width, height must be"),
    ],
)
def test_what_cannot_be_understood_is_named(
    tmp_path: Path, results: list[dict[str, Any]], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        marks(tmp_path, results)


def test_another_export_is_refused_with_the_one_that_is_needed(tmp_path: Path) -> None:
    samples = read_labels(pictures(tmp_path / "set"))
    path = tmp_path / "min.json"
    path.write_text(json.dumps([{"image": "b.png", "id": 1, "label": []}]), "utf-8")
    with pytest.raises(InputError, match="not as JSON-MIN"):
        read_export(path, samples)
    path.write_text(json.dumps({"images": []}), "utf-8")
    with pytest.raises(InputError, match="list of tasks"):
        read_export(path, samples)
    path.write_text(json.dumps([exported({"data": {"image": "z.png"}}, 0, {1: []})]), "utf-8")
    with pytest.raises(InputError, match="'z' is not in the data set"):
        read_export(path, samples)


def test_marks_go_into_a_file_and_come_back(tmp_path: Path) -> None:
    samples = read_labels(pictures(tmp_path / "set"))
    results = [
        *rectangle("r", (20, 30, 60, 90), "hand_shape", "x"),
        *point("k", 5.25, 6, "limb_count"),
    ]
    (picture,) = read_export(export(tmp_path, results), samples)
    other = AnnotatedPicture(sample=samples[2], marks={"3": ()})
    write_annotations([picture, other], tmp_path / "deep" / "marks.jsonl")
    again, empty = read_annotations(tmp_path / "deep" / "marks.jsonl")
    assert (again.sample.load_rgb() == samples[1].load_rgb()).all()
    assert (again.sample.prompt, again.sample.source) == ("a b", "made")
    assert [m.box for m in again.marks["3"]] == [Box(20, 30, 60, 90), None]
    assert again.marks["3"][1].centre_xy == (5.25, 6.0)
    assert empty.marks == {"3": ()}
