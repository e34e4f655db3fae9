"""Words claim what was measured, and say "looks" of the rest."""

from __future__ import annotations

import numpy as np
import pytest

from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.reasoning.embedded_features import Measured
from retoucher.reasoning.embedded_hands import HandMeasured
from retoucher.reasoning.embedded_model import Opinion
from retoucher.reasoning.embedded_words import describe, position

QUIET = Measured(
    inside=0.1, around=0.1, peak=0.2, picture=0.1, detail_inside=5.0, detail_around=5.0
)
LOUD = Measured(
    inside=0.62, around=0.08, peak=0.9, picture=0.1, detail_inside=2.0, detail_around=9.0
)


def opinion(defect: float = 0.9, **shares: float) -> Opinion:
    return Opinion(
        defect=defect, categories={n: shares.get(n, 0.0) for n in taxonomy()}, severity=2
    )


@pytest.mark.parametrize("category", [*taxonomy(), NO_DEFECT, UNKNOWN])
def test_every_verdict_is_one_sentence_with_its_place(category: str) -> None:
    text = describe(category, opinion(), QUIET, "at the top left", unclear=False)
    assert "at the top left" in text
    assert text.endswith(".")
    assert text.count(".") == 1
    assert "saliency" not in text
    assert "detail" not in text


@pytest.mark.parametrize("category", sorted(taxonomy()))
def test_looks_are_called_looks(category: str) -> None:
    text = describe(category, opinion(), QUIET, "in the centre", unclear=False)
    assert any(word in text for word in ("look", "seems"))


def test_what_was_measured_is_said_with_its_numbers() -> None:
    text = describe("hand_shape", opinion(), LOUD, "in the centre", unclear=False)
    assert "saliency 0.62 inside, 0.08 around" in text
    assert "much less fine detail" in text
    assert "stands out" not in describe(NO_DEFECT, opinion(), LOUD, "in the centre", unclear=False)


def test_a_close_second_is_named() -> None:
    sure = opinion(hand_shape=0.8, limb_shape=0.1)
    torn = opinion(hand_shape=0.55, limb_shape=0.3)
    assert "may also" not in describe("hand_shape", sure, QUIET, "x", unclear=False)
    assert "it may also be a malformed limb" in describe(
        "hand_shape", torn, QUIET, "x", unclear=False
    )


def test_unsure_of_the_kind_is_not_unsure_of_the_defect() -> None:
    torn = opinion(0.9, hand_shape=0.4, object_texture=0.35)
    text = describe(UNKNOWN, torn, QUIET, "on the left", unclear=False)
    assert text.startswith("Something looks wrong on the left")
    assert "perhaps a malformed hand or broken texture" in text
    lost = describe(UNKNOWN, opinion(0.3), QUIET, "on the left", unclear=False)
    assert lost.startswith("It could not be told")


def test_garbled_looks_say_what_reading_found() -> None:
    said = [describe("text_garbled", opinion(), QUIET, "x", unclear=u) for u in (True, False)]
    assert "found there but could not be read" in said[0]
    assert "nothing was read there" in said[1]


@pytest.mark.parametrize(
    ("centre", "words"),
    [
        ((1, 1), "at the top left"),
        ((50, 50), "in the centre"),
        ((99, 50), "on the right"),
        ((50, 99), "at the bottom"),
    ],
)
def test_places_have_names(centre: tuple[float, float], words: str) -> None:
    assert position(centre, 100, 100) == words


def hand(presence: float, disagreement: float) -> HandMeasured:
    points = np.zeros((21, 2), np.float32)
    return HandMeasured(palm=0.9, presence=presence, disagreement=disagreement, points_xy=points)


def said(category: str, measured: HandMeasured | None, **shares: float) -> str:
    return describe(category, opinion(**shares), QUIET, "on the left", unclear=False, hand=measured)


def test_a_measured_hand_is_told_with_its_numbers() -> None:
    bad = said("hand_shape", hand(0.123, 0.0567))
    assert "only 12% sure of a hand there" in bad
    assert "moves its joints by 5.7% of a palm when the view is turned" in bad
    assert "is less than 1% sure" in said("hand_shape", hand(0.004, 0.1))
    unsteady = said("hand_shape", hand(0.95, 0.0567))
    assert "sure" not in unsteady
    assert "5.7%" in unsteady
    steady = said("hand_shape", hand(0.97, 0.012))
    assert "yet the hand network is 97% sure" in steady
    assert "yet" not in said(NO_DEFECT, hand(0.97, 0.012), hand_shape=0.9)


@pytest.mark.parametrize("category", ["hand_finger_count", "hand_shape", NO_DEFECT, UNKNOWN])
def test_no_number_of_fingers_is_ever_claimed(category: str) -> None:
    text = said(category, hand(0.4, 0.05), hand_finger_count=0.9)
    assert "hand network" in text
    for word in ("one", "two", "three", "four", "five", "six", "extra", "missing", "counted"):
        assert f" {word} " not in text


def test_hands_are_not_spoken_of_where_nothing_looks_like_one() -> None:
    assert "hand network" not in said("face_feature", hand(0.1, 0.1))
    assert "hand network" not in said(UNKNOWN, hand(0.1, 0.1), object_structure=0.9)
    assert "hand network" not in said("hand_shape", None)
