"""Masks, boxes and COCO become regions in the user's order, or one clear line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from retoucher.cli.own_regions import load_regions, mask_regions
from retoucher.domain import rle
from retoucher.errors import InputError

SIZE = (60, 80)


def from_json(tmp_path: Path, data: object, name: str = "a.png"):
    path = tmp_path / "r.json"
    path.write_text(data if isinstance(data, str) else json.dumps(data))
    return load_regions(path).for_picture(name, *SIZE)


def boxes(regions) -> list[tuple[int, int, int, int]]:
    return [region.box.as_xyxy() for region in regions]


def test_boxes_keep_the_order_of_the_file(tmp_path: Path):
    given = [[50, 40, 60, 50], [0, 0, 10, 10], [20.5, 5, 30.2, 9]]
    regions = from_json(tmp_path, [{"box_xyxy": box} for box in given])
    assert boxes(regions) == [(50, 40, 60, 50), (0, 0, 10, 10), (20, 5, 31, 9)]
    assert [region.id for region in regions] == ["r1", "r2", "r3"]
    assert all(region.mask_hw.all() and region.score == 1.0 for region in regions)


def test_what_reaches_beyond_the_picture_is_cut_off(tmp_path: Path):
    assert boxes(from_json(tmp_path, [{"box_xyxy": [-5, 50, 1000, 70]}])) == [(0, 50, 80, 60)]


def test_coco_boxes_polygons_and_both_kinds_of_rle(tmp_path: Path):
    mask = np.zeros(SIZE, bool)
    mask[10:20, 30:50] = True
    mask[10, 30] = False
    flat = mask.ravel(order="F").astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    annotations = [
        {"bbox": [1, 2, 3, 4], "image_id": 7, "segmentation": []},
        {"bbox": [0, 0, 9, 9], "image_id": 7, "segmentation": [[40, 5, 60, 5, 60, 25, 40, 25]]},
        {"image_id": 7, "segmentation": dict(rle.encode(mask))},
        {"image_id": 7, "segmentation": {"size": list(SIZE), "counts": runs}},
    ]
    regions = from_json(tmp_path, {"annotations": annotations})
    assert boxes(regions)[0] == (1, 2, 4, 6)
    assert boxes(regions)[1] == (40, 5, 61, 26)
    for region in regions[2:]:
        assert np.array_equal(region.full_mask(*SIZE), mask)


def test_a_coco_file_of_many_pictures_gives_each_its_own(tmp_path: Path):
    data = {
        "images": [{"id": 1, "file_name": "sub/a.png"}, {"id": 2, "file_name": "b.png"}],
        "annotations": [
            {"bbox": [1, 1, 5, 5], "image_id": 2},
            {"bbox": [2, 2, 5, 5], "image_id": 1},
            {"bbox": [3, 3, 5, 5], "image_id": 2},
        ],
    }
    assert boxes(from_json(tmp_path, data, "a.png")) == [(2, 2, 7, 7)]
    assert boxes(from_json(tmp_path, data, "b.png")) == [(1, 1, 6, 6), (3, 3, 8, 8)]
    with pytest.raises(InputError, match=r"no picture named c\.png"):
        from_json(tmp_path, data, "c.png")


def test_what_find_prints_can_be_read_back(tmp_path: Path):
    mask = np.zeros(SIZE, bool)
    mask[5:9, 7:20] = True
    entry = {"id": "r1", "box_xyxy": [7, 5, 20, 9], "mask": dict(rle.encode(mask)), "score": 0.4}
    regions = from_json(tmp_path, {"file": "a.png", "regions": [entry]})
    assert np.array_equal(regions[0].full_mask(*SIZE), mask)


BAD = {
    "not json": ("{", "not valid JSON"),
    "binary": ("\x00", "not valid JSON"),
    "a number": (3, "expected a list"),
    "an object without regions": ({"a": 1}, "expected a list"),
    "empty": ([], "is empty"),
    "no object": ([[1, 2, 3, 4]], "entry 1 is no object"),
    "no box": ([{"box_xyxy": [0, 0, 1, 1]}, {"label": "x"}], "entry 2 has no 'box_xyxy'"),
    "three numbers": ([{"box_xyxy": [0, 0, 1]}], "entry 1: box_xyxy needs 4 finite numbers"),
    "words": ([{"box_xyxy": ["0", 0, 1, 1]}], "needs 4 finite numbers"),
    "not a number": ('[{"box_xyxy": [NaN, 0, 1, 1]}]', "needs 4 finite numbers"),
    "truth values": ([{"box_xyxy": [False, False, True, True]}], "needs 4 finite numbers"),
    "an empty box": ([{"box_xyxy": [5, 5, 5, 9]}], "x0 < x1 and y0 < y1"),
    "an empty COCO box": ([{"bbox": [5, 5, 0, 9]}], r"bbox is \[x, y, width, height\]"),
    "outside": ([{"box_xyxy": [100, 5, 120, 9]}], "outside the picture of 80x60"),
    "a polygon outside": ([{"segmentation": [[200, 200, 210, 200, 210, 210]]}], "lies outside"),
    "a line": ([{"segmentation": [[0, 0, 5, 5]]}], "a polygon is"),
    "an odd polygon": ([{"segmentation": [[0, 0, 5, 5, 3, 3, 1]]}], "a polygon is"),
    "another size": ([{"segmentation": {"size": [9, 9], "counts": [0, 81]}}], "for a picture of"),
    "a huge RLE": ([{"mask": {"size": [10**9, 10**9], "counts": [0]}}], "for a picture of"),
    "a short RLE": ([{"mask": {"size": [60, 80], "counts": [3, 4]}}], "do not fill"),
    "RLE of words": ([{"mask": {"size": [60, 80], "counts": [None]}}], "entry 1"),
    "an empty RLE": ([{"mask": {"size": [60, 80], "counts": [4800]}}], "is empty"),
    "RLE without counts": ([{"mask": {"size": [60, 80]}}], "needs 'counts'"),
    "images without names": ({"images": [{"id": 1}], "annotations": []}, "'file_name'"),
    "two pictures, no list": (
        [{"bbox": [0, 0, 1, 1], "image_id": 1}, {"bbox": [0, 0, 1, 1], "image_id": 2}],
        "several pictures",
    ),
}


@pytest.mark.parametrize(("data", "message"), BAD.values(), ids=BAD.keys())
def test_bad_files_say_what_is_wrong(tmp_path: Path, data: object, message: str):
    with pytest.raises(InputError, match=message):
        from_json(tmp_path, data)


def test_a_missing_file_is_an_input_error(tmp_path: Path):
    with pytest.raises(InputError, match="cannot read regions"):
        load_regions(tmp_path / "none.json")


def test_the_parts_of_a_mask_become_regions_from_top_to_bottom():
    grey = np.zeros(SIZE, np.uint8)
    grey[40:50, 10:20] = 255
    grey[5:10, 60:70] = 200
    grey[10:12, 70:72] = 255  # touches the one above by a corner
    grey[0:3, 0:3] = 100  # too dark to count
    regions = mask_regions(Path("m.png"), grey).for_picture("a.png", *SIZE)
    assert boxes(regions) == [(60, 5, 72, 12), (10, 40, 20, 50)]
    united = sum(region.full_mask(*SIZE) for region in regions)
    assert np.array_equal(united == 1, grey >= 128)


def test_a_mask_must_fit_and_must_not_be_black_or_noise():
    with pytest.raises(InputError, match="no white pixel"):
        mask_regions(Path("m.png"), np.zeros(SIZE, np.uint8))
    mask = mask_regions(Path("m.png"), np.full((60, 81), 255, np.uint8))
    with pytest.raises(InputError, match=r"is 81x60, but the picture is 80x60"):
        mask.for_picture("a.png", *SIZE)
    dots = np.zeros((200, 200), np.uint8)
    dots[::4, ::4] = 255
    with pytest.raises(InputError, match="2500 separate pieces"):
        mask_regions(Path("m.png"), dots).for_picture("a.png", 200, 200)
