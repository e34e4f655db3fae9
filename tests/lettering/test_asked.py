import time

import pytest

from retoucher.lettering.asked import asked_phrases


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ('a sign that says "Fresh Coffee"', ["Fresh Coffee"]),
        ("a neon sign reading OPEN 24 HOURS in the rain", ["OPEN 24 HOURS"]),
        ("a dog's bowl labeled 'REX', it's red", ["REX"]),
        ("the shop's sign says 'Joe's Diner' at night", ["Joe's Diner"]),
        ("ein Schild mit „Bäckerei Müller“", ["Bäckerei Müller"]),
        ("une enseigne «\u00a0Boulangerie\u00a0» ancienne", ["Boulangerie"]),
        ("with the text “HELLO WORLD” and “foo”", ["HELLO WORLD", "foo"]),
        ("poster titled The Last Dance, vintage", ["The Last Dance"]),
        ("the word love written in sand", ["love"]),
        ("a STOP sign on a road, 8K UHD, masterpiece", ["STOP"]),
        ('"A" then "B" then "A"', ["A", "B"]),
    ],
)
def test_finds_what_is_to_be_written(prompt: str, expected: list[str]) -> None:
    assert [p.text for p in asked_phrases(prompt)] == expected


@pytest.mark.parametrize(
    "prompt",
    [
        "",
        "A picture of a police officer",
        "a man reading a book about physics",
        "girls' night at the boys' club",
        "HDR DSLR photo of an NYC street, 4K",
        "A PHOTO OF A DOG IN ALL CAPS",
    ],
)
def test_description_is_not_taken_for_lettering(prompt: str) -> None:
    assert asked_phrases(prompt) == ()


def test_capitals_and_bare_verbs_are_not_explicit() -> None:
    phrases = asked_phrases('a STOP sign, a girl reading Harry Potter, a mug that says "Tea"')
    assert {p.text: p.explicit for p in phrases} == {
        "STOP": False,
        "Harry Potter": False,
        "Tea": True,
    }


@pytest.mark.parametrize("piece", ['"', "'a ", "sign says ", "«", "A ", "AB-", "reading X, "])
def test_hostile_prompts_take_no_time(piece: str) -> None:
    began = time.process_time()
    asked_phrases(piece * 20_000)
    assert time.process_time() - began < 2.0
