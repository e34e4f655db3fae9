from __future__ import annotations

import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retoucher.data.ours import read_labels
from retoucher.data.sample import Sample
from retoucher.data.synthetic.stream import (
    HAND_SIGNS,
    SyntheticStream,
    ViewSettings,
    mosaic,
    random_view,
)
from retoucher.data.synthetic.write import SetSettings, make_set
from retoucher.errors import InputError
from tests.data.scenes import drawn_sample


def samples() -> list[Sample]:
    return [replace(drawn_sample(), id=f"s{i}", source=f"source {i % 2}") for i in range(3)]


def test_an_item_depends_on_seed_and_index_alone() -> None:
    first, second = SyntheticStream(samples(), seed=1), SyntheticStream(samples(), seed=1)
    later = [second.pair(i) for i in (5, 2)]
    earlier = [first.pair(i) for i in (2, 5)]
    for a, b in zip(earlier, reversed(later), strict=True):
        np.testing.assert_array_equal(a.defect.load_rgb(), b.defect.load_rgb())
        assert a.generators == b.generators
    other = SyntheticStream(samples(), seed=2).pair(2)
    assert not np.array_equal(other.defect.load_rgb(), earlier[0].defect.load_rgb())


def test_a_pickled_stream_is_the_same_stream() -> None:
    stream = SyntheticStream(samples(), seed=1)
    copy = pickle.loads(pickle.dumps(stream))
    np.testing.assert_array_equal(stream.pair(3).defect.load_rgb(), copy.pair(3).defect.load_rgb())


def test_views_are_square_and_of_the_wanted_size() -> None:
    stream = SyntheticStream(samples(), view=ViewSettings(size_px=160))
    for index in range(6):
        pair = stream.pair(index)
        assert pair.defect.load_rgb().shape == (160, 160, 3)
        assert stream.benign(index).load_rgb().shape == (160, 160, 3)
        assert not stream.clean(index).regions


def test_categories_come_by_their_weights() -> None:
    stream = SyntheticStream(samples(), seed=3, view=ViewSettings(size_px=160))
    first = Counter(stream.pair(i).defect.regions[0].category for i in range(60))
    assert len(first) >= 8
    assert first["hand_shape"] > first["interaction_physics"]
    assert stream.pair(0, "limb_count").defect.regions[0].category == "limb_count"


def test_what_cannot_be_made_is_an_error() -> None:
    with pytest.raises(InputError, match="no picture to spoil"):
        SyntheticStream([])
    faces = replace(drawn_sample(), clean_parts=drawn_sample().clean_parts[1:3])
    with pytest.raises(InputError, match="suits 'limb_count'"):
        SyntheticStream([faces]).pair(0, "limb_count")


def test_lettering_is_never_mirrored() -> None:
    sample = drawn_sample()
    text = next(p for p in sample.clean_parts if p.part == "text")
    view = ViewSettings(size_px=200, mirror=1.0, part_share=1.0, part_scale=(1.2, 1.3))
    for seed in range(4):
        cut = random_view(np.random.default_rng(seed), sample, view, [text])
        kept = next(p for p in cut.clean_parts if p.part == "text")
        # The drawn sign's first letters lie left of its middle, on the lighter plate's own side.
        assert kept.box.x0 < 100


def test_a_mosaic_keeps_the_parts_of_its_cells() -> None:
    signs = [replace(drawn_sample(), source=HAND_SIGNS, prompt=f"hand {i}") for i in range(3)]
    sheet = mosaic(np.random.default_rng(0), signs, 300)
    assert sheet.load_rgb().shape == (300, 300, 3)
    hands = [p for p in sheet.clean_parts if p.part == "hand"]
    assert len(hands) in (4, 9)
    for hand in hands:
        assert hand.points_xy is not None
        assert hand.box.expand(12).x0 <= hand.points_xy[:, 0].min()
        assert hand.points_xy[:, 0].max() <= hand.box.expand(12).x1


def test_a_written_set_is_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    stream = SyntheticStream(samples(), seed=4, view=ViewSettings(size_px=128))
    done: list[int] = []
    for workers in (1, 2):
        settings = SetSettings(count=5, workers=workers, categories=("hand_shape", "text_wrong"))
        make_set(stream, tmp_path / str(workers), settings, done.append)
    assert done == [1, 2, 3, 4, 5] * 2
    files = sorted(p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*.*"))
    assert len(files) == 11
    for file in files:
        assert (tmp_path / "1" / file).read_bytes() == (tmp_path / "2" / file).read_bytes()
    back = read_labels(tmp_path / "1")
    assert [len(s.regions) > 0 for s in back] == [True, False] * 5
    assert [s.regions[0].category for s in back[::2]][:2] == ["hand_shape", "text_wrong"]
    assert back[0].regions[0].mask_hw is not None
