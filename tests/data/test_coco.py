from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retoucher.data.coco import decode_segmentation, read_coco, write_coco
from retoucher.data.sample import LabelledRegion
from retoucher.domain import rle
from retoucher.domain.geometry import Box
from retoucher.errors import InputError
from tests.data.scenes import drawn_sample


def content() -> dict[str, list[dict[str, object]]]:
    return {
        "images": [{"id": 5, "file_name": "a.png", "width": 40, "height": 30}],
        "categories": [{"id": 1, "name": "cat"}, {"id": 2, "name": "hand_shape"}],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 1, "bbox": [1, 2, 10.5, 5]},
            {"id": 2, "image_id": 5, "category_id": 2, "bbox": [3, 4, 10, 10], "segmentation": []},
            {"id": 3, "image_id": 5, "category_id": 2, "bbox": [0, 0, 9, 9], "iscrowd": 1},
        ],
    }


def write(path: Path, data: object) -> Path:
    Image.new("RGB", (40, 30)).save(path.parent / "a.png")
    path.write_text(json.dumps(data))
    return path


def test_categories_decide_between_defects_and_clean_parts(tmp_path: Path) -> None:
    path = write(tmp_path / "c.json", content())
    (sample,) = read_coco(path)
    assert [p.name for p in sample.clean_parts] == ["cat"]
    assert sample.clean_parts[0].box == Box(1, 2, 12, 7)
    assert [r.box for r in sample.regions] == [Box(3, 4, 13, 14)]
    (mapped,) = read_coco(path, categories={"cat": "limb_shape", "hand_shape": "hand"})
    assert [r.category for r in mapped.regions] == ["limb_shape"]
    assert [p.part for p in mapped.clean_parts] == ["hand"]


def test_a_polygon_covers_its_pixels() -> None:
    square = decode_segmentation([[10, 5, 30, 5, 30, 25, 10, 25]], 40, 50, "here")
    expected = np.zeros((40, 50), bool)
    expected[5:25, 10:30] = True
    np.testing.assert_array_equal(square, expected)
    two = decode_segmentation([[0, 0, 5, 0, 5, 5], [20, 20, 30, 20, 30, 30]], 40, 50, "here")
    assert two is not None
    assert two[1, 3]
    assert two[22, 28]
    assert not two[15, 15]


def test_both_kinds_of_run_lengths() -> None:
    mask = np.zeros((6, 5), bool)
    mask[2:4, 1:3] = True
    flat = np.concatenate([[0], mask.ravel(order="F").astype(int), [0]])
    edges = np.flatnonzero(np.diff(flat))
    counts = np.diff(np.concatenate([[0], edges, [mask.size]])).tolist()
    for value in ({"size": [6, 5], "counts": counts}, rle.encode(mask)):
        decoded = decode_segmentation(value, 6, 5, "here")
        np.testing.assert_array_equal(decoded, mask)
    with pytest.raises(InputError, match="RLE of"):
        decode_segmentation({"size": [6, 5], "counts": counts}, 5, 6, "here")


def test_round_trip_keeps_masks_words_and_parts(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mask = rng.random((420, 520)) > 0.7
    mask[:, :200] = False
    region = LabelledRegion.from_mask(mask, category="text_wrong", severity=3, description="slip")
    plain = LabelledRegion(box=Box(5, 6, 50, 60), category="unknown", severity=1)
    sample = replace(drawn_sample(), regions=(region, plain), source="s", licence="MIT")
    path = write_coco([sample], tmp_path / "set")
    (back,) = read_coco(path)
    np.testing.assert_array_equal(back.load_rgb(), sample.load_rgb())
    assert (back.id, back.prompt, back.source, back.licence) == ("drawn", sample.prompt, "s", "MIT")
    for a, b in zip(back.regions, sample.regions, strict=True):
        assert (a.box, a.category, a.severity, a.description) == (
            b.box,
            b.category,
            b.severity,
            b.description,
        )
        assert (a.mask_hw is None) == (b.mask_hw is None)
    np.testing.assert_array_equal(back.regions[0].mask_hw, region.mask_hw)
    assert [(p.part, p.box, p.name) for p in back.clean_parts] == [
        (p.part, p.box, p.name) for p in sample.clean_parts
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"category_id": 9}, "annotation 1: category 9"),
        ({"bbox": [1, 2]}, "annotation 1: 'bbox' must be 4 numbers"),
        ({"image_id": 6}, "name image 6"),
        ({"category_id": 2, "segmentation": [[1, 2, 3]]}, "annotation 1: a polygon needs"),
        ({"category_id": 2, "segmentation": "x"}, "annotation 1: a segmentation is"),
    ],
)
def test_errors_name_the_annotation(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    data = content()
    data["annotations"][0].update(change)
    with pytest.raises(InputError, match=message):
        read_coco(write(tmp_path / "c.json", data))
