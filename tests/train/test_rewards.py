"""Rewards: strict in form, and in content what the product would read."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from retoucher.domain.taxonomy import NO_DEFECT, taxonomy
from retoucher.reasoning.reply import RegionReply, reply_text
from retoucher.train.rewards import (
    category_reward,
    description_reward,
    format_reward,
    invention_penalty,
)


def reply(category: str = "hand_shape", words: str = "a bent hand", **changed: object) -> str:
    severity = 0 if category == NO_DEFECT else 2
    entry = RegionReply(
        mark=1, description=words, category=category, severity=severity, confidence=0.75
    )
    if not changed:
        return reply_text([entry])
    return json.dumps({"regions": [{**entry.model_dump(), **changed}]})


def letters(sentences: Sequence[str]) -> np.ndarray:
    return np.array([[s.count(x) for x in "abcdefghij"] for s in sentences], np.float32)


GOOD = reply()
LATIN = "Schöne Hände – 手"


@pytest.mark.parametrize(
    "text",
    [GOOD, f"\n{GOOD}\n", reply(words=LATIN), reply(confidence=1), reply(NO_DEFECT)],
)
def test_what_fits_the_schema_is_well_formed(text: str) -> None:
    assert format_reward([text]) == [1.0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "NaN",
        f"```json\n{GOOD}\n```",
        f"{GOOD} Done.",
        GOOD * 2,
        GOOD.replace('"', "'"),
        '{"regions": []}',
        '{"regions": [[]]}',
        json.dumps({"regions": json.loads(GOOD)["regions"] * 2}),
        json.dumps({**json.loads(GOOD), "more": 1}),
        json.dumps(json.loads(GOOD)["regions"][0]),
        GOOD.replace('"severity": 2', '"severity": 2, "severity": 2'),
        reply(mark=2),
        reply(mark="1"),
        reply(mark=True),
        reply(severity=4),
        reply(severity=0),
        reply(severity="2"),
        GOOD.replace("hand_shape", "Hand shape"),
        reply(confidence=1.5),
        reply(confidence="high"),
        reply(confidence=float("nan")),
        reply(description=""),
        reply(description="x" * 401),
        reply(extra=1),
        "[" * 100_000,
        '{"regions": [{"mark": ' + "9" * 5000 + "}]}",
    ],
)
def test_anything_else_is_not(text: str) -> None:
    assert format_reward([text]) == [0.0]


def test_every_category_is_right_for_itself_only() -> None:
    names = [*taxonomy(), NO_DEFECT]
    replies = [reply(name) for name in names]
    for right in names:
        earned = category_reward(replies, [right] * len(names))
        assert earned == [float(name == right) for name in names]


def test_credit_is_for_another_category_of_the_right_dimension() -> None:
    replies = [reply("hand_shape"), reply("face_feature"), reply(NO_DEFECT), reply("unknown")]
    truth = ["hand_finger_count"] * 4
    assert category_reward(replies, truth, dimension_credit=0.3) == [0.3, 0.0, 0.0, 0.0]
    assert category_reward(replies, [NO_DEFECT] * 4, dimension_credit=0.3) == [0, 0, 1, 0]


def test_a_category_counts_as_the_product_would_read_it() -> None:
    loose = f"Sure:\n```json\n{GOOD.replace('hand_shape', 'Hand shape')}\n```"
    assert format_reward([loose]) == [0.0]
    assert category_reward([loose], ["hand_shape"]) == [1.0]
    both = GOOD + reply("text_wrong")  # two different verdicts are none
    assert category_reward([both], ["hand_shape"]) == [0.0]


def test_words_earn_their_cosine_in_any_batch() -> None:
    replies = [reply(words="abc"), "no reply", reply(words="aab"), reply(words="j")]
    truth = ["abc", "abc", "abb", "a"]
    together = description_reward(replies, truth, encode=letters)
    assert together == pytest.approx([1.0, 0.0, 4 / 5, 0.0])
    alone = [
        description_reward([r], [t], encode=letters)[0] for r, t in zip(replies, truth, strict=True)
    ]
    assert together == pytest.approx(alone)


def test_words_that_nobody_wrote_or_that_oppose_earn_nothing() -> None:
    assert description_reward([reply()], [""], encode=letters) == [0.0]
    opposed = {"yes": [1.0, 0.0], "no": [-1.0, 0.0]}

    def encode(sentences: Sequence[str]) -> np.ndarray:
        return np.array([opposed[s] for s in sentences], np.float32)

    assert description_reward([reply(words="yes")], ["no"], encode=encode) == [0.0]


def test_only_a_defect_named_on_a_clean_part_is_invented() -> None:
    replies = [reply(), reply(NO_DEFECT), reply("unknown"), "a bad hand"]
    assert invention_penalty(replies, [NO_DEFECT] * 4) == [-1, 0, 0, 0]
    assert invention_penalty(replies, ["text_wrong"] * 4) == [0, 0, 0, 0]


def test_lists_of_different_length_are_refused() -> None:
    for call in (
        lambda: category_reward([GOOD], []),
        lambda: invention_penalty([GOOD], []),
        lambda: description_reward([GOOD], [], encode=letters),
    ):
        with pytest.raises(ValueError, match="shorter"):
            call()
