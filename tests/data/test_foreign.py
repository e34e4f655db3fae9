"""RichHF-18K, GenBlemish-27K (mapped fields), EvalMuse-Structure and SynArtifacts-style folders."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from retoucher.data.evalmuse import read_evalmuse
from retoucher.data.mapped import FieldMap, load_field_map, read_mapped
from retoucher.data.open import guess_format, open_dataset
from retoucher.data.richhf import read_richhf_records
from retoucher.data.synartifacts import category_of, read_synartifacts
from retoucher.domain import rle
from retoucher.domain.geometry import Box
from retoucher.errors import ConfigError, InputError
from tests.data.wire import example, tfrecord


def picture(path: Path, size: tuple[int, int] = (80, 60)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (90, 90, 90)).save(path)
    return path


def png(values: np.ndarray) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()


def test_richhf_records_meet_their_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "abc.png", (768, 512))
    (tmp_path / "train" / "abc.txt").write_text("a dog with a hat\n")
    heat = np.zeros((512, 512), np.uint8)
    heat[100:200, 50:150] = 255
    row = example(
        filename=b"train/abc.png",
        artifact_map=png(heat),
        misalignment_map=png(heat.T.copy()),
        artifact_score=0.75,
        aesthetics_score=0.5,
        prompt_misalignment_label=b"1 1 0 1 1",
    )
    (tmp_path / "a.tfrecord").write_bytes(tfrecord(row))
    (record,) = read_richhf_records(tmp_path / "a.tfrecord", tmp_path)
    sample = record.sample
    assert (sample.id, sample.width, sample.height) == ("abc", 768, 512)
    assert sample.prompt == "a dog with a hat"
    assert sample.saliency_hw is not None
    assert sample.saliency_hw[150, 100] == 1.0
    assert record.misalignment_hw[100, 150] == 1.0
    assert sample.scores == {"plausibility": 0.75, "aesthetics": 0.5}
    assert record.misaligned_words == (1, 1, 0, 1, 1)
    assert not sample.is_clean
    (opened,) = open_dataset(tmp_path / "a.tfrecord", pictures=tmp_path)
    assert opened.id == "abc"


def test_richhf_says_what_is_missing(tmp_path: Path) -> None:
    heat = png(np.zeros((512, 512), np.uint8))
    cases = {
        "not below": example(filename=b"../../abc.png", artifact_map=heat, misalignment_map=heat),
        "'filename' must hold text": example(artifact_map=heat),
        "record 0: 'artifact_map' is no 512": example(
            filename=b"train/ok.png", artifact_map=b"x", misalignment_map=heat
        ),
        "'misalignment_map' is missing": example(filename=b"ok.png", artifact_map=heat),
    }
    picture(tmp_path / "ok.png")
    for message, row in cases.items():
        (tmp_path / "a.tfrecord").write_bytes(tfrecord(row))
        with pytest.raises(InputError, match=message):
            list(read_richhf_records(tmp_path / "a.tfrecord", tmp_path))


NAMES = FieldMap(
    source="Some set",
    records="all.json",
    pictures="pics",
    picture="image.path",
    id="uid",
    prompt="caption",
    regions="labels.blemishes",
    mask="segmentation",
    box="where",
    category="kind",
    severity="grade",
    description="why",
    box_format="cxcywh",
    box_unit="per_mille",
    categories={"Bad Hand": "hand_shape"},
    severities={"mild": 1},
)


def mapped_record(**region: object) -> dict[str, object]:
    row = {
        "where": [500, 500, 250, 500],
        "kind": "Bad Hand",
        "grade": "mild",
        "why": "fused",
        **region,
    }
    return {
        "uid": 7,
        "image": {"path": "a.png"},
        "caption": "hello",
        "labels": {"blemishes": [row]},
    }


def test_fields_are_configuration(tmp_path: Path) -> None:
    picture(tmp_path / "pics" / "a.png")
    mask = np.zeros((60, 80), bool)
    mask[5:10, 20:40] = True
    rows = [mapped_record(), mapped_record(segmentation=rle.encode(mask), grade="3")]
    (tmp_path / "all.json").write_text(json.dumps(rows))
    first, second = read_mapped(tmp_path, NAMES)
    assert (first.id, first.prompt, first.source) == ("7", "hello", "Some set")
    assert first.regions[0].box == Box(30, 15, 50, 45)
    assert (first.regions[0].category, first.regions[0].severity) == ("hand_shape", 1)
    assert second.regions[0].box == Box(20, 5, 40, 10)
    assert second.regions[0].severity == 3


def test_a_mask_may_be_a_file_and_must_fit(tmp_path: Path) -> None:
    picture(tmp_path / "pics" / "a.png")
    mask = np.zeros((60, 80), np.uint8)
    mask[5:10, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    (tmp_path / "all.json").write_text(json.dumps([mapped_record(segmentation="m.png")]))
    (sample,) = read_mapped(tmp_path, NAMES)
    assert sample.regions[0].box == Box(20, 5, 40, 10)
    Image.fromarray(mask[:30]).save(tmp_path / "m.png")
    with pytest.raises(InputError, match="is 80x30, not 80x60"):
        read_mapped(tmp_path, NAMES)


@pytest.mark.parametrize(
    ("region", "message"),
    [
        ({"kind": "Worse Hand"}, r"record 0, region 0: category 'Worse Hand' is not in"),
        ({"grade": "awful"}, r"severity 'awful' is not in"),
        ({"where": [1, 2]}, r"'where' must be 4 numbers"),
        ({"segmentation": "../m.png"}, r"points out of"),
    ],
)
def test_mapped_errors_name_the_record(
    tmp_path: Path, region: dict[str, object], message: str
) -> None:
    picture(tmp_path / "pics" / "a.png")
    (tmp_path / "all.json").write_text(json.dumps([mapped_record(**region)]))
    with pytest.raises(InputError, match=message):
        read_mapped(tmp_path, NAMES)


def test_the_shipped_field_map_reads_a_set_that_follows_it(tmp_path: Path) -> None:
    names = load_field_map()
    picture(tmp_path / names.pictures / "a.png")
    row = {
        names.picture: "a.png",
        names.prompt: "hi",
        names.regions: [
            {names.box: [1, 2, 30, 40], names.category: "limb_count", names.description: "two"}
        ],
    }
    (tmp_path / names.records).write_text(json.dumps(row))
    (sample,) = open_dataset(tmp_path, "genblemish")
    assert sample.regions[0].category == "limb_count"
    assert sample.regions[0].box == Box(1, 2, 30, 40)


def test_a_field_map_with_a_slip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    base = 'source="a"\nrecords="r"\npicture="p"\nregions="q"\nbox="b"\n'
    for text, message in (
        (base + 'boxformat="xyxy"', "unknown keys boxformat"),
        (base + 'box_format="yx"', "box_format must be"),
        ('source="a"', "missing"),
        (base + '[categories]\n"x"="paw"', "categories map to paw"),
        ("=", "m.toml"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=message):
            load_field_map(path)


def test_evalmuse_rectangles_and_polygons(tmp_path: Path) -> None:
    picture(tmp_path / "a.png")
    picture(tmp_path / "b.png")
    rows = [
        {
            "img_path": "a.png",
            "prompt_en": "two cats",
            "mos": 1.5,
            "bbox_info": [
                [{"type": 1, "top_left": [10, 5], "bottom_right": [30, 25]}],
                [{"type": 2, "points": [[40, 10], [70, 10], [70, 40]]}],
            ],
        },
        {"img_path": "b.png", "prompt_en": "", "mos": 4.2, "bbox_info": []},
    ]
    path = tmp_path / "e.json"
    path.write_text(json.dumps(rows))
    assert guess_format(path) == "evalmuse"
    first, second = read_evalmuse(path)
    assert [r.box for r in first.regions] == [Box(10, 5, 30, 25), Box(40, 10, 70, 40)]
    assert first.regions[0].mask_hw is None
    triangle = first.regions[1].mask_hw
    assert triangle is not None
    assert triangle.sum() == pytest.approx(450, rel=0.05)
    assert first.regions[0].severity == 3
    assert second.is_clean
    rows[0]["bbox_info"] = [{"type": 3, "points": [1, 2, 3, 4]}]
    path.write_text(json.dumps(rows))
    with pytest.raises(InputError, match="record 0, mark 0: type must be 1"):
        read_evalmuse(path)


def test_synartifacts_folders(tmp_path: Path) -> None:
    picture(tmp_path / "images" / "x" / "1.png")
    picture(tmp_path / "images" / "x" / "2.png")
    note = {
        "caption": "a man",
        "artifacts": [
            {"label": "Distorted hands", "bbox": [1, 2, 21, 22]},
            {"label": "Duplication", "points": [[30, 30], [60, 30], [60, 50], [30, 50]]},
        ],
    }
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "1.json").write_text(json.dumps(note))
    assert guess_format(tmp_path) == "synartifacts"
    first, second = read_synartifacts(tmp_path)
    assert [r.category for r in first.regions] == ["hand_shape", "object_structure"]
    assert first.prompt == "a man"
    assert not second.is_clean
    (tmp_path / "annotations" / "3.json").write_text("{}")
    with pytest.raises(InputError, match="no picture named 3"):
        read_synartifacts(tmp_path)


def test_free_labels_become_categories() -> None:
    assert category_of("six fingers") == "hand_finger_count"
    assert category_of("Awkward facial expression") == "face_feature"
    assert category_of("limb_count") == "limb_count"
    assert category_of("something else") == "unknown"


def test_a_format_that_cannot_be_told_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="labels, pool, signs"):
        guess_format(tmp_path)
    with pytest.raises(InputError, match="no such file or folder"):
        open_dataset(tmp_path / "none")
