"""Finding in what was read the phrases that the prompt asks for, right or with mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from retoucher.lettering.asked import AskedPhrase
from retoucher.lettering.edits import edit_distance, fold, same_but_look_alikes

_MIN_LIKENESS = 0.65
"""Share of equal characters from which on a line is a distorted form of a phrase."""
_MAX_RANGE_WORDS = 8
_MAX_COMPARISONS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedMatch:
    """A line of the picture that shows some consecutive words of an asked phrase.

    Attributes:
        line: index of the line.
        phrase: index of the phrase.
        start, end: the words of the phrase, as a half-open range.
        edits: 0 where the line is right (but for look-alike characters).
        likeness: 1 minus edits over length.
    """

    line: int
    phrase: int
    start: int
    end: int
    edits: int
    likeness: float


def match_phrases(texts: Sequence[str], phrases: Sequence[AskedPhrase]) -> dict[int, AskedMatch]:
    """The best match of each line that has one, by the line's index.

    A phrase may be spread over several lines, each with some of its words; spaces are ignored,
    since they are often not read. An exact match is preferred to a longer, inexact one.
    """
    spans = _spans(phrases)
    budget = _MAX_COMPARISONS
    found: dict[int, AskedMatch] = {}
    for i, text in enumerate(texts):
        read = fold(text)
        if not read:
            continue
        best: AskedMatch | None = None
        for phrase, start, end, meant in spans:
            if budget <= 0:
                break
            if abs(len(meant) - len(read)) > (1 - _MIN_LIKENESS) * max(len(meant), len(read)):
                continue
            budget -= 1
            edits = 0 if same_but_look_alikes(read, meant) else edit_distance(read, meant)
            likeness = 1 - edits / max(len(meant), len(read))
            close = edits == 0 or (likeness >= _MIN_LIKENESS and min(len(meant), len(read)) >= 3)
            if close and (best is None or (likeness, -best.edits) > (best.likeness, -edits)):
                best = AskedMatch(
                    line=i, phrase=phrase, start=start, end=end, edits=edits, likeness=likeness
                )
        if best is not None:
            found[i] = best
    return found


def _spans(phrases: Sequence[AskedPhrase]) -> list[tuple[int, int, int, str]]:
    spans: list[tuple[int, int, int, str]] = []
    for p, phrase in enumerate(phrases):
        words = phrase.words
        for start in range(len(words)):
            for end in range(start + 1, min(len(words), start + _MAX_RANGE_WORDS) + 1):
                meant = fold("".join(words[start:end]))
                if meant:
                    spans.append((p, start, end, meant))
        if len(words) > _MAX_RANGE_WORDS:
            spans.append((p, 0, len(words), fold("".join(words))))
    return spans


def shown_exactly(matches: Sequence[AskedMatch], phrases: Sequence[AskedPhrase]) -> set[int]:
    """Indices of the phrases all of whose words stand in the picture as asked."""
    shown: set[int] = set()
    for p, phrase in enumerate(phrases):
        words: set[int] = set()
        for match in matches:
            if match.phrase == p and match.edits == 0:
                words.update(range(match.start, match.end))
        if len(words) == len(phrase.words):
            shown.add(p)
    return shown
