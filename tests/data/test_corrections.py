"""Labels of a second look, added and dropped from a file of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from retoucher.data.corrections import correct_labels
from retoucher.data.ours import read_labels
from retoucher.data.sample import CleanPart, LabelledRegion, Sample
from retoucher.domain.geometry import Box
from retoucher.errors import InputError
from retoucher.train.split import held_out

HAND = LabelledRegion(box=Box(1, 2, 11, 12), category="hand_shape", description="bent")
FACE = CleanPart(box=Box(20, 2, 30, 14), part="face")


def sample(name: str) -> Sample:
    picture = np.zeros((40, 50, 3), np.uint8)
    return Sample(
        id=name, picture=picture, width=50, height=40, regions=(HAND,), clean_parts=(FACE,)
    )


def written(tmp_path: Path, *records: dict[str, object]) -> Path:
    file = tmp_path / "second.jsonl"
    file.write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")
    return file


def test_labels_join_and_leave(tmp_path: Path) -> None:
    new = {"box": [5, 20, 15, 30], "category": "face_feature", "severity": 3, "description": "two"}
    part = {"box": [30, 20, 45, 38], "part": "hand"}
    file = written(
        tmp_path,
        {"id": "b", "regions": [new], "clean_parts": [part], "drop": [[20, 2, 30, 14]]},
    )
    one, two = correct_labels([sample("a"), sample("b")], file)
    assert (one.regions, one.clean_parts) == ((HAND,), (FACE,))
    assert two.regions[0] is HAND
    assert (two.regions[1].category, two.regions[1].severity) == ("face_feature", 3)
    assert [(p.part, p.box.as_xyxy()) for p in two.clean_parts] == [("hand", (30, 20, 45, 38))]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": "c"}, "2: no picture has the id 'c'"),
        ({"id": "a"}, "2: 'a' stands here a second time"),
        ({"id": "b", "drop": [[1, 2, 3, 4]]}, "2: b has no label with the box"),
        ({"id": "b", "drop": [[3, 2, 1, 4]]}, "2: a dropped box"),
        ({"id": "b", "regions": [{"box": [1, 2, 9, 9], "category": "nose"}]}, "unknown category"),
        ({"id": "b", "clean_parts": [{"box": [90, 2, 99, 9], "part": "hand"}]}, "outside"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, record: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        correct_labels([sample("a"), sample("b")], written(tmp_path, {"id": "a"}, record))


ANNOTATIONS = Path(__file__).parents[2] / "recipes" / "annotations"
DATA = Path(__file__).parents[3] / "shared" / "data"


def test_the_pools_labels_follow_the_format() -> None:
    samples = read_labels(ANNOTATIONS / "pool_labels.jsonl", DATA / "pool")
    assert len(samples) == 166
    assert sum(len(s.regions) for s in samples) == 298
    assert all(r.category != "unknown" for s in samples for r in s.regions)


@pytest.mark.skipif(not (DATA / "real_train").exists(), reason="needs ../shared/data/real_train")
def test_the_second_look_belongs_to_its_set() -> None:
    before = read_labels(DATA / "real_train")
    after = correct_labels(before, ANNOTATIONS / "real_train_second.jsonl")
    changed = sum(a is not b for a, b in zip(before, after, strict=True))
    assert changed == 174
    _, held = held_out(before, 0.12, 0)
    names = {s.id for s in held}
    assert all(a is b for a, b in zip(before, after, strict=True) if a.id in names)
