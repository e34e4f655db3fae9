"""What the small model writes, and how it becomes the product's own reply.

It writes the two fields that are scored, {"category": "...", "description": "..."}: severity,
confidence and the mark's number would double the tokens and nothing here is measured on them. The
fixed ones are put in before the product's parser and the rewards read the reply, so what counts as
a verdict, and as the right form, is decided by the product.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN
from retoucher.evaluation.reasoning import Judged
from retoucher.reasoning.parsing import understand
from retoucher.train.rewards import MARK
from strategies.places import Place


def target(place: Place) -> str:
    """What a perfect model writes of a place.

    >>> target(Place(split="train", sample="s", prompt="", category="hand_shape", severity=2,
    ...              words="Six fingers", thing="", mirrored=False))
    '{"category": "hand_shape", "description": "Six fingers"}'
    """
    words = place.words or f"The {place.thing} looks right"
    return compact(place.category, words)


def compact(category: str, words: str) -> str:
    """The two fields as JSON."""
    return json.dumps({"category": category, "description": words}, ensure_ascii=False)


def full_reply(text: str) -> str:
    """The product's reply out of a compact one; what is not closed stays as it is.

    The last closing brace gets the fixed fields put before it, the whole goes into the list of
    regions: a flaw of form stays a flaw. Severity is 0 where only that makes it a verdict.

    >>> full_reply('{"category": "hand_shape", "description": "x"}')
    '{"regions": [{"category": "hand_shape", "description": "x", "mark": 1, "severity": 2, \
"confidence": 1.0}]}'
    >>> full_reply('{"category": "hand_sh')
    '{"category": "hand_sh'
    """
    head, brace, tail = text.rpartition("}")
    if not brace:
        return text
    replies = [
        f'{{"regions": [{head}, "mark": {MARK}, "severity": {severity}, "confidence": 1.0'
        f"}}{tail}]}}"
        for severity in (2, 0)
    ]
    return next((r for r in replies if understand(r, [MARK]).verdicts), replies[0])


def judged(places: Sequence[Place], texts: Sequence[str]) -> list[Judged]:
    """Truth and verdict of each place, for the product's evaluation.

    A reply in which the product would find no verdict is "unknown", without words.
    """
    out: list[Judged] = []
    for row, (place, text) in enumerate(zip(places, texts, strict=True)):
        verdict = understand(full_reply(text), [MARK]).verdicts.get(MARK)
        category = verdict.category if verdict else UNKNOWN
        diagnosis = Diagnosis(
            region_id=f"r{row}",
            category=category,
            severity=0 if category == NO_DEFECT else 2,
            description=verdict.description if verdict else "",
            confidence=1.0 if verdict else 0.0,
        )
        out.append(
            Judged(
                sample=place.sample,
                truth=place.category,
                truth_words=place.words,
                diagnosis=diagnosis,
            )
        )
    return out
