from __future__ import annotations

import doctest
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from retoucher.data import agreement as module
from retoucher.data.agreement import agreement, cohen_kappa, fleiss_kappa
from retoucher.data.annotation import AnnotatedPicture, Mark
from retoucher.data.sample import Sample
from retoucher.data.voting import (
    VoteSettings,
    agreement_of,
    clusters,
    read_voted,
    vote,
    write_voted,
)
from retoucher.domain.geometry import Box
from retoucher.errors import ConfigError, InputError
from tests.data.annotators import rgb_file

SAMPLE = Sample(id="s", picture=Path("s.png"), width=300, height=400)
HERE, NEAR, AWAY = Box(50, 50, 110, 110), Box(58, 54, 118, 114), Box(200, 300, 260, 360)


def at(x: float, y: float, category: str = "hand_shape", note: str = "") -> Mark:
    return Mark(centre_xy=(x, y), category=category, note=note)


def box(place: Box, category: str = "hand_shape", note: str = "", severity: int = 2) -> Mark:
    return Mark.of_box(place, category, note, severity)


def seen(**marks: tuple[Mark, ...]) -> AnnotatedPicture:
    return AnnotatedPicture(sample=SAMPLE, marks=marks)


def test_the_doctests() -> None:
    result = doctest.testmod(module)
    assert result.attempted >= 6
    assert not result.failed


def test_kappa_against_an_independent_count() -> None:
    """Agreement beyond chance, by enumeration of all pairs, with exact fractions."""
    from fractions import Fraction

    draw = random.Random(3)
    for _ in range(30):
        pairs = [(draw.choice("abc"), draw.choice("abcd")) for _ in range(25)]
        observed = Fraction(sum(a == b for a, b in pairs), 25)
        chance = Fraction(sum(a == b for a, _ in pairs for _, b in pairs), 25 * 25)
        expected = (observed - chance) / (1 - chance)
        assert cohen_kappa(pairs) == pytest.approx(float(expected))
        # Fleiss' kappa of two raters is Scott's pi: chance from both raters' pooled shares.
        pooled = [name for pair in pairs for name in pair]
        share = Fraction(sum(a == b for a in pooled for b in pooled), 50 * 50)
        scott = (observed - share) / (1 - share)
        assert fleiss_kappa([Counter(pair) for pair in pairs]) == pytest.approx(float(scott))


def test_kappa_has_no_value_where_chance_explains_all() -> None:
    assert fleiss_kappa([{"a": 3}, {"a": 3}]) is None
    assert fleiss_kappa([]) is None
    assert cohen_kappa([]) is None
    figures = agreement([{"x": "a"}, {}])
    assert (figures.items, figures.percent, figures.pairs) == (0, None, ())


def test_marks_of_one_place_are_joined_whatever_they_are_drawn_with() -> None:
    picture = seen(
        ann=(box(HERE), at(230, 330)), bob=(box(NEAR, "limb_shape"), box(AWAY)), cay=(at(85, 80),)
    )
    found = clusters(picture, VoteSettings())
    assert sorted(sorted(c) for c in found) == [["ann", "bob"], ["ann", "bob", "cay"]]


def test_two_marks_of_one_person_stay_two_and_the_category_decides() -> None:
    picture = seen(
        ann=(box(HERE, "hand_shape"), box(HERE, "interaction_contact")),
        bob=(box(NEAR, "interaction_contact"), box(HERE, "hand_shape")),
    )
    found = clusters(picture, VoteSettings())
    assert len(found) == 2
    for cluster in found:
        assert len({mark.category for mark in cluster.values()}) == 1


def test_centres_far_apart_are_two_places() -> None:
    reach = VoteSettings().max_distance * 500
    for apart, places in ((0.9 * reach, 1), (1.1 * reach, 2)):
        picture = seen(ann=(at(100, 100),), bob=(at(100 + apart, 100),))
        assert len(clusters(picture, VoteSettings())) == places


@pytest.mark.parametrize(
    ("said", "category", "state"),
    [
        (("hand_shape", "hand_shape", "limb_shape"), "hand_shape", "agreed"),
        (("hand_shape", "hand_shape", None), "hand_shape", "agreed"),
        (("hand_shape", "limb_shape", None), "hand_shape", "tie"),
        (("hand_shape", "limb_shape", "text_wrong"), "hand_shape", "tie"),
        (("limb_shape", None, None), "limb_shape", "minority"),
        (("limb_shape", None), "limb_shape", "tie"),
        (("limb_shape",), "limb_shape", "agreed"),
        (("unknown", "unknown", "limb_shape"), "limb_shape", "agreed"),
        (("unknown", "unknown", None), "unknown", "tie"),
    ],
)
def test_the_majority_decides(said: tuple[str | None, ...], category: str, state: str) -> None:
    marks = {f"p{i}": (box(HERE, name),) if name else () for i, name in enumerate(said)}
    (region,) = vote(seen(**marks)).regions
    assert (region.category, region.state) == (category, state)
    assert sum(region.votes.values()) == len(said)
    assert region.votes.get("no_defect", 0) == said.count(None)


def test_a_region_takes_extent_severity_and_notes_from_those_who_won() -> None:
    picture = seen(
        ann=(box(HERE, note="six fingers", severity=3),),
        bob=(box(NEAR, note="one too many", severity=2),),
        cay=(box(Box(54, 52, 114, 112), "limb_shape", note="bent arm", severity=1),),
    )
    (region,) = vote(picture).regions
    assert region.box == Box(54, 52, 114, 112), "the median of all who marked the place"
    assert region.notes == ("six fingers", "one too many")
    assert region.severity == 2
    assert region.words == "six fingers; one too many"


def test_masks_vote_pixel_by_pixel() -> None:
    def painted(x0: int, x1: int) -> Mark:
        mask = np.zeros((400, 300), bool)
        mask[10:30, x0:x1] = True
        return Mark.from_mask(mask, "hand_shape")

    picture = seen(ann=(painted(10, 40),), bob=(painted(20, 50),), cay=(painted(22, 60),))
    (region,) = vote(picture).regions
    assert region.box == Box(20, 10, 50, 30)
    assert region.mask_hw is not None
    assert region.mask_hw.all()


def test_centres_alone_become_a_square_inside_the_picture() -> None:
    picture = seen(ann=(at(2, 100),), bob=(at(6, 104),))
    (region,) = vote(picture, VoteSettings(point_side=0.1)).regions
    half = 0.1 * (300 * 400) ** 0.5 / 2
    assert region.box == Box.from_xyxy((0, 102 - half, 4 + half, 102 + half))


def test_agreement_is_about_categories_and_about_places() -> None:
    picture = seen(
        ann=(box(HERE), box(AWAY, "text_wrong")),
        bob=(box(NEAR), box(AWAY, "text_garbled")),
        cay=(box(HERE),),
    )
    category, place = agreement_of([picture])
    assert (category.items, place.items) == (2, 2)
    assert category.percent == pytest.approx(50.0)
    assert place.percent == pytest.approx(50.0)
    ann_cay = next(p for p in place.pairs if (p.first, p.second) == ("ann", "cay"))
    assert (ann_cay.items, ann_cay.percent) == (2, 50.0)
    ann_cay = next(p for p in category.pairs if (p.first, p.second) == ("ann", "cay"))
    assert (ann_cay.items, ann_cay.percent, ann_cay.cohen_kappa) == (1, 100.0, None)


def test_voted_pictures_go_into_a_file_and_come_back(tmp_path: Path) -> None:
    sample = replace(SAMPLE, picture=rgb_file(tmp_path / "s.png", (300, 400)))
    mask = np.zeros((400, 300), bool)
    mask[10:30, 5:9] = True
    marks = {"ann": (Mark.from_mask(mask, "hand_shape", "odd"), box(AWAY, "text_wrong"))}
    voted = vote(AnnotatedPicture(sample=sample, marks=marks))
    write_voted([voted], tmp_path / "voted.jsonl")
    (again,) = read_voted(tmp_path / "voted.jsonl")
    assert again.annotators == ("ann",)
    for before, after in zip(voted.regions, again.regions, strict=True):
        for name in ("id", "box", "category", "severity", "notes", "votes", "state", "expanded"):
            assert getattr(after, name) == getattr(before, name)
    assert (again.regions[0].mask_hw == mask[again.regions[0].box.slices]).all()
    broken = (tmp_path / "voted.jsonl").read_text("utf-8").replace('"agreed"', '"maybe"')
    (tmp_path / "voted.jsonl").write_text(broken, "utf-8")
    with pytest.raises(InputError, match=r"voted.jsonl:1: .*state"):
        read_voted(tmp_path / "voted.jsonl")


def test_settings_out_of_range_are_refused() -> None:
    with pytest.raises(ConfigError, match="min_iou"):
        VoteSettings(min_iou=0.0)
