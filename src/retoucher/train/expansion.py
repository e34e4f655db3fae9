"""Annotators' short notes become descriptions, by a vision-language model that sees the picture.

Second of the paper's four stages of annotation. The question is the product's own, with the notes
as data before its last line, so every back end that can be asked (`reasoning.asking.Asks`) serves,
and its answer is read as tolerantly and as strictly as any.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib import resources

from retoucher.data.voting import VotedPicture, VotedRegion
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import UNKNOWN
from retoucher.reasoning.asking import Answer, Ask, diagnose_by
from retoucher.reasoning.conversation import Conversation, escaped
from retoucher.reasoning.views import ViewSettings


def expanded(ask: Ask, picture: VotedPicture, view: ViewSettings | None = None) -> VotedPicture:
    """The picture with descriptions for all regions that have a note and none yet.

    A region of which the answer cannot be understood, or whose category the model calls another
    one, keeps its notes; `problem` says why.

    Args:
        ask: the back end.
        picture: as voted on; it is loaded.
        view: what the model is shown; None: the defaults.

    Raises:
        RetoucherError: the back end gives no answer, or the picture cannot be read.
    """
    todo = [r for r in picture.regions if r.notes and not r.expanded and r.category != UNKNOWN]
    if not todo:
        return picture
    notes = _notes(todo)

    def ask_with_notes(conversations: Sequence[Conversation]) -> Sequence[Answer]:
        return ask([_with(conversation, notes) for conversation in conversations])

    diagnoses = diagnose_by(
        ask_with_notes,
        picture.sample.load_rgb(),
        picture.sample.prompt,
        [Region.from_box(region.box, id=region.id) for region in todo],
        view or ViewSettings(),
    )
    done = {r.id: _described(r, d) for r, d in zip(todo, diagnoses, strict=True)}
    return replace(picture, regions=tuple(done.get(r.id, r) for r in picture.regions))


def _described(region: VotedRegion, said: Diagnosis) -> VotedRegion:
    if said.category == region.category:
        return replace(region, description=said.description, expanded=True, problem="")
    if said.category == UNKNOWN:
        problem = said.description
    else:
        problem = f"the model calls it {said.category}"
    return replace(region, problem=problem)


def _notes(regions: Sequence[VotedRegion]) -> str:
    """Category and notes of every mark, as JSON that can end neither its fence nor its message."""
    table = {
        f"mark {number}": {"category": region.category, "notes": list(region.notes)}
        for number, region in enumerate(regions, 1)
    }
    return _words().format(notes_json=escaped(json.dumps(table, ensure_ascii=False)))


def _with(conversation: Conversation, notes: str) -> Conversation:
    """The conversation with the notes before the question itself."""
    first, *rest = conversation.turns
    *before, question = first.parts
    return replace(conversation, turns=(replace(first, parts=(*before, notes, question)), *rest))


@cache
def _words() -> str:
    text = (resources.files("retoucher.train") / "expansion.toml").read_text("utf-8")
    return str(tomllib.loads(text)["notes"]).strip()
