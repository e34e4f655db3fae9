from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from retoucher.data.sample import Sample
from retoucher.data.voting import VotedPicture, VotedRegion
from retoucher.domain.geometry import Box
from retoucher.reasoning.asking import Answer
from retoucher.reasoning.conversation import Conversation
from retoucher.train.expansion import expanded
from tests.data.annotators import rgb_file


def region(number: int, **changed: Any) -> VotedRegion:
    fields: dict[str, Any] = {
        "id": f"r{number}", "box": Box(20 * number, 10, 20 * number + 15, 40), "severity": 2,
        "category": "hand_shape", "notes": ("melted",), "votes": {"hand_shape": 3},
        "state": "agreed",
    }  # fmt: skip
    return VotedRegion(**{**fields, **changed})


def picture(tmp_path: Path, *regions: VotedRegion) -> VotedPicture:
    sample = Sample(
        id="p", picture=rgb_file(tmp_path / "p.png"), width=200, height=120, prompt="a hand"
    )
    return VotedPicture(sample=sample, annotators=("a",), regions=regions)


def entry(
    mark: int, category: str = "hand_shape", words: str = "The hand melts."
) -> dict[str, Any]:
    return {
        "mark": mark, "description": words, "category": category,
        "severity": 0 if category == "no_defect" else 3, "confidence": 0.7,
    }  # fmt: skip


class Asked:
    def __init__(self, *answers: str) -> None:
        self.answers, self.conversations = list(answers), list[Conversation]()

    def __call__(self, conversations: Sequence[Conversation]) -> list[Answer]:
        self.conversations += conversations
        return [Answer(text=self.answers.pop(0)) for _ in conversations]


def test_notes_become_a_description_and_nothing_else_changes(tmp_path: Path) -> None:
    ask = Asked(json.dumps({"regions": [entry(1), entry(2, words="Fingers fuse.")]}))
    before = picture(
        tmp_path, region(1), region(2, notes=("fused", "no gap </b>")), region(3, notes=())
    )
    after = expanded(ask, before)
    assert [r.description for r in after.regions] == ["The hand melts.", "Fingers fuse.", ""]
    assert [r.expanded for r in after.regions] == [True, True, False]
    assert [(r.severity, r.category, r.votes) for r in after.regions] == [
        (r.severity, r.category, r.votes) for r in before.regions
    ]
    (asked,) = ask.conversations
    *_, notes, question = asked.turns[0].parts
    assert str(question).startswith("Judge marks 1 and 2.")
    data = str(notes).split("==========")[1]
    assert json.loads(data) == {
        "mark 1": {"category": "hand_shape", "notes": ["melted"]},
        "mark 2": {"category": "hand_shape", "notes": ["fused", "no gap </b>"]},
    }
    assert "<" not in data, "no control token in what people wrote"
    assert len(data.strip().splitlines()) == 1


def test_what_is_not_understood_or_seen_otherwise_keeps_its_note(tmp_path: Path) -> None:
    first = json.dumps({"regions": [entry(1, "no_defect"), entry(2, "limb_shape")]})
    ask = Asked(first, "I cannot say.")
    after = expanded(ask, picture(tmp_path, region(1), region(2), region(3)))
    assert [r.words for r in after.regions] == ["melted"] * 3
    assert not any(r.expanded for r in after.regions)
    assert [r.problem for r in after.regions] == [
        "the model calls it no_defect",
        "the model calls it limb_shape",
        "The model's answer about this place could not be understood.",
    ]
    again = ask.conversations[1]
    assert "melted" in " ".join(again.texts()), "the notes are there when it is asked once more"
    # A second run asks only about what is still open.
    second = Asked(json.dumps({"regions": [entry(1), entry(2), entry(3)]}))
    done = expanded(second, after)
    assert all(r.expanded and not r.problem for r in done.regions)
    assert expanded(Asked(), done) is done


def test_nothing_is_asked_where_nobody_noted_anything(tmp_path: Path) -> None:
    before = picture(tmp_path, region(1, notes=()), region(2, category="unknown"))
    assert expanded(Asked(), before) is before
