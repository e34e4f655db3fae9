"""Reading recognition posteriors: the best string, its words, and the weight of another string.

The recogniser gives at each of T steps along a line a probability for every character and for
"blank" (connectionist temporal classification, CTC).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float32]

_FLOOR = 1e-6
"""Least probability a character gets at a step, so that one unlikely one does not decide alone."""


@dataclass(frozen=True, slots=True)
class DecodedWord:
    """A word with the fractions of the line's length between which it stands."""

    text: str
    start: float
    end: float
    char_confidences: tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The best string of a line and what is kept of its posterior.

    Attributes:
        text: the best string, "" where nothing was recognised.
        confidence: mean probability of its characters, 0 to 1, 0 when empty.
        words: its words, left to right.
        log_prob: natural log of the probability of the best path.
        latin_tc: float32 (T, C), probabilities of the characters of a `LatinAlphabet`.
    """

    text: str
    confidence: float
    words: tuple[DecodedWord, ...]
    log_prob: float
    latin_tc: FloatArray


class LatinAlphabet:
    """The recogniser's columns that asked or intended words can be written with."""

    def __init__(self, alphabet: tuple[str, ...]) -> None:
        columns = [0, *(i for i, c in enumerate(alphabet) if i and is_latin(c))]
        self.columns: NDArray[np.int64] = np.array(columns, np.int64)
        self.index: dict[str, int] = {}
        for i, column in enumerate(columns[1:], 1):
            self.index.setdefault(alphabet[column], i)


@cache
def is_latin(char: str) -> bool:
    """Latin letters, and the digits and marks that go with them."""
    if len(char) != 1:
        return False
    if char.isascii() or char in "«»„“”‘’–—…€£¥°·•№©®™½¼¾":
        return True
    return unicodedata.name(char, "").startswith("LATIN ")


def decode(probs_tc: FloatArray, alphabet: tuple[str, ...], latin: LatinAlphabet) -> Decoded:
    """The most probable character at each step, repeats and blanks removed."""
    best: list[int] = probs_tc.argmax(1).tolist()
    peak = probs_tc[np.arange(len(best)), best]
    chars: list[tuple[str, float, float]] = []
    step = 0
    while step < len(best):
        end = step
        while end < len(best) and best[end] == best[step]:
            end += 1
        if best[step] != 0:
            chars.append((alphabet[best[step]], (step + end) / 2, float(peak[step:end].max())))
        step = end
    letters = [c[2] for c in chars if not c[0].isspace()]
    return Decoded(
        "".join(c[0] for c in chars).strip(),
        float(np.mean(letters)) if letters else 0.0,
        _words(chars, len(best)),
        float(np.log(np.maximum(peak, _FLOOR)).sum()),
        np.ascontiguousarray(probs_tc[:, latin.columns]),
    )


def _words(chars: list[tuple[str, float, float]], steps: int) -> tuple[DecodedWord, ...]:
    groups: list[list[tuple[str, float, float]]] = [[]]
    for char in chars:
        if char[0].isspace():
            groups.append([])
        else:
            groups[-1].append(char)
    groups = [g for g in groups if g]
    if not groups:
        return ()
    words: list[DecodedWord] = []
    for i, group in enumerate(groups):
        # A step marks about the middle of a character: half a character's pitch belongs outside.
        pitch = (group[-1][1] - group[0][1]) / (len(group) - 1) if len(group) > 1 else 2.5
        before = (groups[i - 1][-1][1] + group[0][1]) / 2 if i else 0.0
        after = (group[-1][1] + groups[i + 1][0][1]) / 2 if i + 1 < len(groups) else float(steps)
        start = max(before, group[0][1] - 0.75 * pitch) if i else 0.0
        end = min(after, group[-1][1] + 0.75 * pitch) if i + 1 < len(groups) else float(steps)
        words.append(
            DecodedWord(
                "".join(c[0] for c in group),
                start / steps,
                max(end, start + 0.5) / steps,
                tuple(c[2] for c in group),
            )
        )
    return tuple(words)


def alignment_log_prob(latin_tc: FloatArray, text: str, index: Mapping[str, int]) -> float:
    """Natural log of the probability of the best alignment of `text` with the steps.

    The best alignment instead of the sum over all: it compares fairly with the decoded string,
    which is a best path too. A character the recogniser does not know gets the floor.
    """
    labels = [index.get(c, -1) for c in text]
    log_probs = np.log(np.maximum(latin_tc, _FLOOR))
    states = np.full((len(log_probs), 2 * len(labels) + 1), np.log(_FLOOR))
    states[:, 0::2] = log_probs[:, :1]
    for i, label in enumerate(labels):
        if label >= 0:
            states[:, 2 * i + 1] = log_probs[:, label]
    return _viterbi(states, labels)


def _viterbi(log_emit_ts: NDArray[np.float64], labels: list[int]) -> float:
    count = log_emit_ts.shape[1]
    may_skip = np.zeros(count, bool)
    for i in range(1, len(labels)):
        may_skip[2 * i + 1] = labels[i] != labels[i - 1]
    score = np.full(count, -np.inf)
    score[: min(2, count)] = log_emit_ts[0, : min(2, count)]
    for emit in log_emit_ts[1:]:
        one = np.concatenate(([-np.inf], score[:-1]))
        two = np.where(may_skip, np.concatenate(([-np.inf, -np.inf], score[:-2]))[:count], -np.inf)
        score = np.maximum(np.maximum(score, one), two) + emit
    return float(score[-2:].max())
