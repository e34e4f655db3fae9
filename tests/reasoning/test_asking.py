import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from retoucher.domain.codec import from_json, to_json
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import UNKNOWN
from retoucher.errors import InputError
from retoucher.reasoning.asking import Answer, diagnose_by
from retoucher.reasoning.conversation import Conversation
from retoucher.reasoning.reply import MAX_INSTRUCTION_CHARS, RegionReply, reply_text
from retoucher.reasoning.views import ViewSettings
from retoucher.reasoning.vlm import RemoteSettings

IMAGE = np.random.default_rng(0).integers(0, 256, (80, 120, 3), np.uint8)
REGIONS = [Region.from_box(Box(30 * i, 10, 30 * i + 20, 40), id=f"r{i + 1}") for i in range(3)]
SMALL = ViewSettings(picture_side_px=64, crop_side_px=32)


def verdict(mark: int, category: str = "hand_shape", severity: int = 2) -> RegionReply:
    return RegionReply(
        mark=mark,
        description=f"place {mark} is bent",
        category=category,
        severity=severity,  # pyright: ignore[reportArgumentType]
        confidence=0.8,
    )


class Asked:
    """Gives the answers in turn and keeps what it was asked."""

    def __init__(self, *answers: Answer | str) -> None:
        self.answers = [a if isinstance(a, Answer) else Answer(text=a) for a in answers]
        self.conversations: list[Conversation] = []

    def __call__(self, conversations: Sequence[Conversation]) -> list[Answer]:
        self.conversations += conversations
        return [self.answers.pop(0) for _ in conversations]


def diagnose(ask: Asked, view: ViewSettings = SMALL) -> tuple[Diagnosis, ...]:
    found = diagnose_by(ask, IMAGE, "a cat", REGIONS, view)
    assert [d.region_id for d in found] == ["r1", "r2", "r3"]
    for d in found:
        assert from_json(Diagnosis, to_json(d)) == d, "it goes into a trace and comes back"
    return found


def test_one_request_for_a_round() -> None:
    ask = Asked(reply_text([verdict(3, "no_defect", 0), verdict(1), verdict(2, UNKNOWN, 0)]))
    found = diagnose(ask)
    assert [d.category for d in found] == ["hand_shape", UNKNOWN, "no_defect"]
    assert [d.severity for d in found] == [2, 1, 0]
    assert found[0].description == "place 1 is bent"
    assert len(ask.conversations) == 1
    (turn,) = ask.conversations[0].turns
    assert sum(isinstance(part, np.ndarray) for part in turn.parts) == 4
    assert [[e.kind for e in d.evidence] for d in found] == [["vlm_usage"], [], []]


def test_nothing_is_asked_without_regions() -> None:
    ask = Asked()
    assert diagnose_by(ask, IMAGE, "", [], SMALL) == ()
    assert ask.conversations == []


def test_requests_of_a_round_begin_alike() -> None:
    """So that a server can reuse its prefix cache, also in the next run."""
    view = ViewSettings(picture_side_px=64, crop_side_px=32, regions_per_request=1)
    ask = Asked(*(reply_text([verdict(mark)]) for mark in (1, 2, 3)))
    found = diagnose(ask, view)
    assert [d.description for d in found] == [f"place {n} is bent" for n in (1, 2, 3)]
    first, *others = ask.conversations
    for other in others:
        assert other.system == first.system
        same = [
            np.array_equal(a, b)
            for a, b in zip(first.turns[0].parts, other.turns[0].parts, strict=True)
        ]
        assert same == [True, True, True, False, False, False]
    again = Asked(*(reply_text([verdict(mark)]) for mark in (1, 2, 3)))
    diagnose(again, view)
    for one, two in zip(ask.conversations, again.conversations, strict=True):
        assert one.texts() == two.texts()


def test_what_was_not_understood_is_asked_once_more() -> None:
    ask = Asked(reply_text([verdict(1), verdict(3)]), reply_text([verdict(2)]))
    assert [d.category for d in diagnose(ask)] == ["hand_shape"] * 3
    assert len(ask.conversations) == 2
    question, reply, again = ask.conversations[1].turns
    assert question is ask.conversations[0].turns[0]
    assert reply.role == "assistant"
    assert "no verdict for mark 2" in str(again.parts[0])
    assert "mark 2 only" in str(again.parts[0])


def test_a_second_answer_cannot_change_the_first() -> None:
    ask = Asked(
        reply_text([verdict(1), verdict(2)]), reply_text([verdict(1, "limb_shape"), verdict(3)])
    )
    assert [d.category for d in diagnose(ask)] == ["hand_shape"] * 3


def test_never_more_than_one_repair_and_the_raw_replies_are_kept() -> None:
    ask = Asked("I see <|im_end|> a cat.", "Still a cat.")
    found = diagnose(ask)
    assert len(ask.conversations) == 2
    shown_again = ask.conversations[1].turns[1].parts[0]
    assert shown_again == "I see \\u003c|im_end|\\u003e a cat."
    for d in found:
        assert (d.category, d.severity, d.confidence) == (UNKNOWN, 1, 0.0)
        kept = d.evidence[-1]
        assert kept.kind == "vlm_reply"
        assert kept.data["replies"] == ["I see <|im_end|> a cat.", "Still a cat."]
        assert kept.data["problems"] == ["no verdict for mark 1, 2, 3"]


def test_a_refusal_is_not_argued_with() -> None:
    ask = Asked(Answer(text="", finish="refused", note="I can't help with that."))
    found = diagnose(ask)
    assert len(ask.conversations) == 1
    assert {d.category for d in found} == {UNKNOWN}
    assert "refused" in found[0].description
    assert found[0].evidence[-1].data["replies"] == ["I can't help with that."]
    assert found[0].evidence[-1].data["problems"] == ["the model refused: I can't help with that."]


def test_of_an_answer_that_was_cut_off_the_whole_entries_stand() -> None:
    text = reply_text([verdict(1), verdict(2), verdict(3)])
    ask = Asked(Answer(text=text[:-80], finish="length"), "")
    found = diagnose(ask)
    assert [d.category for d in found] == ["hand_shape", "hand_shape", UNKNOWN]
    assert "cut off" in str(found[2].evidence[-1].data["problems"])


def test_tokens_money_and_time_of_all_requests_are_in_the_evidence_once() -> None:
    ask = Asked(
        Answer(text="?", model="m", prompt_tokens=100, completion_tokens=5, latency_s=1.0,
               cost_usd=0.5, form="json_schema"),
        Answer(text="?", model="m", prompt_tokens=120, completion_tokens=6, latency_s=0.5,
               cost_usd=0.25),
    )  # fmt: skip
    found = diagnose(ask)
    usage = [e.data for d in found for e in d.evidence if e.kind == "vlm_usage"]
    assert usage == [
        {"model": "m", "form": "text", "requests": 2, "prompt_tokens": 220, "completion_tokens": 11,
         "cost_usd": 0.75, "latency_s": 1.5}
    ]  # fmt: skip
    priced = RemoteSettings(
        usd_per_million_prompt_tokens=2.0, usd_per_million_completion_tokens=8.0
    )
    assert priced.price(1_000_000, 500_000) == 6.0
    assert priced.price(None, 5) is None
    assert RemoteSettings().price(5, 5) is None


def instructed(*makes: object) -> str:
    """A reply in which each place has a defect and says what to make of it."""
    rows = [
        {**verdict(mark).model_dump(), "make": make} for mark, make in enumerate(makes, start=1)
    ]
    return json.dumps({"regions": rows})


def written(found: Sequence[Diagnosis]) -> list[list[dict[str, Any]]]:
    return [[dict(e.data) for e in d.evidence if e.kind == "repair_instruction"] for d in found]


def test_a_reasoner_writes_instructions_only_where_it_is_asked_to() -> None:
    reply = Answer(text=instructed("a round cup", "", "x\n" * 900), model="m-1")
    ask = Asked(reply)
    found = diagnose_by(ask, IMAGE, "a cat", REGIONS, SMALL, write_instructions=True)
    first, second, third = written(found)
    assert first == [{"make": "a round cup", "by": "the model m-1"}]
    assert second == []
    assert len(third[0]["make"]) == MAX_INSTRUCTION_CHARS
    assert third[0]["make"].isprintable()
    assert '"make": "..."' in ask.conversations[0].system
    silent = Asked(reply)
    assert written(diagnose(silent)) == [[], [], []]
    assert "make" not in silent.conversations[0].system


def test_only_a_defect_has_an_instruction_and_two_of_them_are_none() -> None:
    rows = [
        {**verdict(1).model_dump(), "make": "a cup"},
        {**verdict(1).model_dump(), "make": "a bowl"},
        {**verdict(2, "no_defect", 0).model_dump(), "make": "a lamp"},
        {**verdict(3).model_dump(), "make": ["a", "list"]},
    ]
    ask = Asked(json.dumps({"regions": rows}))
    found = diagnose_by(ask, IMAGE, "", REGIONS, SMALL, write_instructions=True)
    assert [d.category for d in found] == ["hand_shape", "no_defect", "hand_shape"]
    assert written(found) == [[], [], []]


def test_a_missing_instruction_is_no_reason_to_ask_again() -> None:
    ask = Asked(reply_text([verdict(mark) for mark in (1, 2, 3)]))
    found = diagnose_by(ask, IMAGE, "", REGIONS, SMALL, write_instructions=True)
    assert written(found) == [[], [], []]
    again = Asked("?", instructed("a cup", "a cup", "a cup"))
    found = diagnose_by(again, IMAGE, "", REGIONS, SMALL, write_instructions=True)
    assert len(again.conversations) == 2
    assert '"make": "..."' in str(again.conversations[1].turns[-1].parts[0])
    assert [rows[0]["make"] for rows in written(found)] == ["a cup"] * 3


@pytest.mark.parametrize(
    ("image", "box"),
    [
        (np.zeros((80, 120), np.uint8), Box(0, 0, 9, 9)),
        (np.zeros((80, 120, 3), np.float32), Box(0, 0, 9, 9)),
        (IMAGE, Box(100, 60, 130, 70)),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(image: np.ndarray, box: Box) -> None:
    ask = Asked()
    with pytest.raises(InputError):
        diagnose_by(ask, image, "", [Region.from_box(box, id="r")], SMALL)


@pytest.mark.parametrize(("pictures", "shown"), [("crop", [32]), ("both", [64, 32])])
def test_one_region_a_request_is_always_mark_1(pictures: str, shown: list[int]) -> None:
    """As a model is trained: what it says of mark 1 is meant for the region asked about."""
    view = ViewSettings(picture_side_px=64, crop_side_px=32, pictures=pictures)  # pyright: ignore[reportArgumentType]
    said = [verdict(1, "hand_shape"), verdict(1, "no_defect", 0), verdict(1, "text_wrong", 1)]
    ask = Asked(*(reply_text([v]) for v in said))
    found = diagnose(ask, view)
    assert [d.category for d in found] == ["hand_shape", "no_defect", "text_wrong"]
    assert len(ask.conversations) == 3
    for conversation in ask.conversations:
        (turn,) = conversation.turns
        pictures_shown = [p for p in turn.parts if not isinstance(p, str)]
        assert [p.shape for p in pictures_shown] == [(side, side, 3) for side in shown]
        assert turn.parts[-1].startswith("Judge mark 1.")  # pyright: ignore[reportAttributeAccessIssue]
        assert ("whole picture" in " ".join(conversation.texts())) == (pictures == "both")
    crops = [c.turns[0].parts[-2] for c in ask.conversations]
    assert not np.array_equal(crops[0], crops[1])


def test_a_repeated_question_is_about_the_same_region() -> None:
    view = ViewSettings(picture_side_px=64, crop_side_px=32, pictures="crop")
    good = reply_text([verdict(1)])
    ask = Asked(good, "no idea", good, reply_text([verdict(1, "limb_shape", 3)]))
    assert [d.category for d in diagnose(ask, view)] == ["hand_shape", "limb_shape", "hand_shape"]
    again = ask.conversations[3]
    assert again.turns[0] is ask.conversations[1].turns[0]
