"""Rewards of GRPO as pure functions of replies and truths (paper: category and description).

Each takes the replies as text and, in the same order, what people said; each gives one figure per
reply. Format is judged strictly; what a reply says is read as the product reads it (`understand`),
so a reply from which the product would learn nothing earns nothing. Every sample asks about one
mark, number `MARK`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.evaluation.wording import cosine
from retoucher.reasoning.parsing import understand
from retoucher.reasoning.reply import RegionReply

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
"""Sentences to vectors, (n, width); zeros for a sentence of which it knows nothing."""

MARK = 1
"""The number of the mark that a training sample asks about."""


class _WholeReply(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    regions: list[RegionReply] = Field(min_length=1, max_length=1)


def format_reward(completions: Sequence[str]) -> list[float]:
    """1 for one JSON object alone that fits the reply's schema and speaks of the mark, else 0.

    >>> good = (
    ...     '{"regions": [{"mark": 1, "description": "Six fingers on the hand", '
    ...     '"category": "hand_finger_count", "severity": 2, "confidence": 0.9}]}'
    ... )
    >>> format_reward([good, f"Sure! {good}", good.replace("0.9", '"high"'), ""])
    [1.0, 0.0, 0.0, 0.0]
    """
    return [float(_fits(text)) for text in completions]


def category_reward(
    completions: Sequence[str], category: Sequence[str], *, dimension_credit: float = 0.0
) -> list[float]:
    """1 for the right category (`no_defect` counts as one), else 0.

    Args:
        completions: replies.
        category: the right ones.
        dimension_credit: 0 to 1, earned by another category of the right dimension.

    >>> said = (
    ...     '{{"mark": 1, "description": "x", "category": "{}", "severity": {}, "confidence": 0.8}}'
    ... )
    >>> replies = [said.format("hand_shape", 2), said.format("text_wrong", 1), "no idea"]
    >>> category_reward(replies, ["hand_finger_count", "text_wrong", "no_defect"])
    [0.0, 1.0, 0.0]
    >>> category_reward(replies, ["hand_finger_count"] * 3, dimension_credit=0.25)
    [0.25, 0.0, 0.0]
    """
    known = taxonomy()
    rewards: list[float] = []
    for text, right in zip(completions, category, strict=True):
        said = _said(text)
        if said is None:
            rewards.append(0.0)
        elif said.category == right:
            rewards.append(1.0)
        elif said.category in known and right in known:
            same = known[said.category].dimension == known[right].dimension
            rewards.append(dimension_credit if same else 0.0)
        else:
            rewards.append(0.0)
    return rewards


def description_reward(
    completions: Sequence[str], description: Sequence[str], *, encode: Encode
) -> list[float]:
    """Cosine of the embeddings of the reply's words and a person's, 0 to 1 (negative ones count 0).

    A reply that cannot be understood earns 0, and so does every reply where nobody described
    anything ("").

    Args:
        completions: replies.
        description: a person's words.
        encode: see `Encode`.

    >>> def letters(sentences):
    ...     return np.array([[s.count(x) for x in "abc"] for s in sentences], np.float32)
    >>> said = (
    ...     '{{"mark": 1, "description": "{}", "category": "no_defect", "severity": 0, '
    ...     '"confidence": 0.8}}'
    ... )
    >>> replies = [said.format("aab"), said.format("c"), "aab"]
    >>> description_reward(replies, ["baa", "ab", "aab"], encode=letters)
    [1.0, 0.0, 0.0]
    """
    rewards = [0.0] * len(completions)
    pairs: list[tuple[int, str, str]] = []
    for row, (text, truth) in enumerate(zip(completions, description, strict=True)):
        said = _said(text)
        if said is not None and truth:
            pairs.append((row, said.description, truth))
    if not pairs:
        return rewards
    near = cosine(encode([words for _, words, _ in pairs]), encode([truth for *_, truth in pairs]))
    for (row, *_), value in zip(pairs, near.tolist(), strict=True):
        rewards[row] = min(max(float(value), 0.0), 1.0)
    return rewards


def invention_penalty(completions: Sequence[str], category: Sequence[str]) -> list[float]:
    """-1 for a defect named where nothing is wrong, else 0. ("unknown" names none.)

    Args:
        completions: replies.
        category: the right ones.

    >>> said = (
    ...     '{{"mark": 1, "description": "x", "category": "{}", "severity": {}, "confidence": 0.8}}'
    ... )
    >>> replies = [said.format("hand_shape", 2), said.format("no_defect", 0), "a bad hand"]
    >>> invention_penalty(replies, ["no_defect"] * 3)
    [-1.0, 0.0, 0.0]
    >>> invention_penalty(replies, ["text_wrong"] * 3)
    [0.0, 0.0, 0.0]
    """
    penalties: list[float] = []
    for text, right in zip(completions, category, strict=True):
        said = _said(text) if right == NO_DEFECT else None
        invented = said is not None and said.category not in (NO_DEFECT, UNKNOWN)
        penalties.append(-1.0 if invented else 0.0)
    return penalties


def _said(text: str) -> RegionReply | None:
    """The verdict that the product would read in a reply."""
    return understand(text, [MARK]).verdicts.get(MARK)


def _fits(text: str) -> bool:
    try:
        reply = _WholeReply.model_validate(json.loads(text, object_pairs_hook=_once))
    except (ValueError, ValidationError, RecursionError):
        return False
    return reply.regions[0].mark == MARK


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object whose keys are each given once."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key is given twice")
    return dict(pairs)
