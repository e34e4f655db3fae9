"""Words claim what was measured, and say "looks" of the rest."""

from __future__ import annotations

import pytest

from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.reasoning.embedded_features import Measured
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
