import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from retoucher.lettering.edits import (
    edit_distance,
    fold,
    reading_noise,
    same_but_look_alikes,
    with_case_of,
)

WORDS = st.text("abcde", max_size=7)


def slow_distance(a: str, b: str) -> int:
    """The textbook recursion for optimal string alignment."""
    if not a or not b:
        return len(a) + len(b)
    best = min(
        slow_distance(a[:-1], b) + 1,
        slow_distance(a, b[:-1]) + 1,
        slow_distance(a[:-1], b[:-1]) + (a[-1] != b[-1]),
    )
    if len(a) > 1 and len(b) > 1 and a[-1] == b[-2] and a[-2] == b[-1]:
        best = min(best, slow_distance(a[:-2], b[:-2]) + 1)
    return best


@settings(max_examples=60, deadline=None)
@given(a=st.text("abc", max_size=5), b=st.text("abc", max_size=5))
def test_distance_agrees_with_the_textbook(a: str, b: str) -> None:
    assert edit_distance(a, b) == slow_distance(a, b)


@settings(max_examples=60, deadline=None)
@given(a=WORDS, b=WORDS)
def test_distance_is_symmetric_and_zero_only_for_equals(a: str, b: str) -> None:
    assert edit_distance(a, b) == edit_distance(b, a)
    assert (edit_distance(a, b) == 0) == (a == b)


def test_look_alikes_are_the_same_string() -> None:
    assert same_but_look_alikes("C0FFEE", "coffee")
    assert same_but_look_alikes("rnore", "more")
    assert same_but_look_alikes("Café", "CAFE")
    assert not same_but_look_alikes("police", "pollice")
    assert not same_but_look_alikes("police", "polite")


def test_soft_confusions_are_noise_and_others_are_not() -> None:
    assert reading_noise("expeditioms", "expeditions")
    assert not reading_noise("schaal", "school")


@pytest.mark.parametrize(
    ("meant", "read", "expected"),
    [
        ("police", "POLLICE", "POLICE"),
        ("POLICE", "pollice", "police"),
        ("coffee", "Cofee", "Coffee"),
        ("iPhone", "iPhnoe", "iPhone"),
        ("x", "Y", "x"),
    ],
)
def test_case_follows_the_picture(meant: str, read: str, expected: str) -> None:
    assert with_case_of(meant, read) == expected


def test_fold_keeps_letters_and_digits_only() -> None:
    letters = list("É-t é '24!")
    random.Random(1).shuffle(letters)
    assert sorted(fold("".join(letters))) == sorted("ete24")
