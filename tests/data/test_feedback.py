from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from retoucher.cli.main import main
from retoucher.data.coco import read_coco
from retoucher.data.feedback import (
    Feedback,
    JudgedRegion,
    Opinion,
    keep_feedback,
    read_feedback,
)
from retoucher.data.open import open_dataset
from retoucher.data.ours import read_labels
from retoucher.domain.geometry import Box
from retoucher.errors import InputError, OutputError

RIGHT = Opinion(category="no_defect", severity=0, description="")
HAND = Opinion(category="hand_shape", severity=3, description="six fingers")
FACE = Opinion(category="face_feature", severity=1, description="an eye melts")


def region(box: Box, found: Opinion, said: Opinion, **rest) -> JudgedRegion:
    mask = np.ones((box.height, box.width), bool)
    mask[0, 0] = False
    options = {"drawn": False, "wanted": True, **rest}
    return JudgedRegion(box=box, mask_hw=mask, found=found, said=said, **options)


def feedback(id: str = "a", **rest) -> Feedback:
    picture = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    regions = (
        region(
            Box(2, 3, 12, 13),
            FACE,
            HAND,
            edits=(("lettering", "rolled_back"), ("fill", "rejected")),
        ),
        region(Box(20, 3, 30, 9), FACE, RIGHT, wanted=False),
        region(Box(20, 20, 40, 30), RIGHT, FACE, drawn=True, edits=(("fill", "accepted"),)),
        region(Box(50, 20, 58, 30), HAND, HAND, wanted=False),
    )
    fields = {
        "id": id,
        "picture_rgb": picture,
        "result_rgb": picture,
        "prompt": "a king",
        "software": "agentic-retoucher 0",
        "created_at": "2026-11-25T20:00:00+00:00",
        "regions": regions,
    }
    return Feedback(**{**fields, **rest})


def test_only_what_the_user_said_becomes_a_label(tmp_path: Path) -> None:
    given = feedback()
    keep_feedback(given, tmp_path)
    (sample,) = read_feedback(tmp_path)
    assert [(r.category, r.severity, r.description) for r in sample.regions] == [
        ("hand_shape", 3, "six fingers"),
        ("face_feature", 1, "an eye melts"),
    ]
    assert np.array_equal(sample.regions[0].mask_hw, given.regions[0].mask_hw)
    (part,) = sample.clean_parts
    assert (part.part, part.box) == ("face", given.regions[1].box)
    assert not sample.complete
    assert sample.prompt == "a king"
    assert np.array_equal(sample.load_rgb(), given.picture_rgb)


def test_a_later_judgement_takes_the_place_of_the_earlier(tmp_path: Path) -> None:
    keep_feedback(feedback(), tmp_path)
    keep_feedback(feedback(result_rgb=None, regions=feedback().regions[2:3]), tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["a"]
    assert not (tmp_path / "a" / "result.png").exists()
    (sample,) = read_feedback(tmp_path)
    assert [r.category for r in sample.regions] == ["face_feature"]


@pytest.mark.parametrize("form", ["labels", "coco"])
def test_the_command_makes_a_data_set_for_training(tmp_path: Path, form: str) -> None:
    kept, out = tmp_path / "kept", tmp_path / "out"
    for id in ("a", "b"):
        keep_feedback(feedback(id), kept)
    with pytest.raises(SystemExit) as ended:
        main(["data", "export", str(kept), str(out), "--format", form])
    assert ended.value.code == 0
    read = read_labels(out) if form == "labels" else read_coco(out / "annotations.json")
    assert sorted(s.id for s in read) == ["a", "b"]
    for sample in read:
        assert [r.category for r in sample.regions] == ["hand_shape", "face_feature"]
        assert np.array_equal(sample.regions[0].mask_hw, feedback().regions[0].mask_hw)
        assert np.array_equal(sample.load_rgb(), feedback().picture_rgb)
    rows = [json.loads(line) for line in (out / "outcomes.jsonl").read_text().splitlines()]
    assert [(r["category"], r["tool"], r["outcome"]) for r in rows if r["id"] == "a"] == [
        ("hand_shape", "lettering", "rolled_back"),
        ("hand_shape", "fill", "rejected"),
        ("face_feature", "fill", "accepted"),
    ]


def test_the_other_data_commands_read_it(tmp_path: Path) -> None:
    keep_feedback(feedback(), tmp_path)
    assert [s.id for s in open_dataset(tmp_path)] == ["a"]


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no feedback is here"):
        read_feedback(tmp_path)
    path = keep_feedback(feedback(), tmp_path) / "feedback.json"
    record = json.loads(path.read_text())
    path.write_text(json.dumps({**record, "schema_version": 99}))
    with pytest.raises(InputError, match="schema version 99"):
        read_feedback(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be kept"):
        keep_feedback(feedback(), tmp_path / "file" / "below")
