"""Misspelling as generators do it: a letter dropped, doubled, swapped or replaced."""

from __future__ import annotations

import numpy as np

ALIKE = {
    "a": "oe", "b": "hd", "c": "eo", "d": "bl", "e": "ac", "f": "t", "g": "q", "h": "nb", "i": "l",
    "k": "h", "l": "i", "m": "n", "n": "mr", "o": "ae", "p": "q", "r": "n", "s": "c", "t": "f",
    "u": "v", "v": "u", "w": "v", "y": "v", "z": "s",
}  # fmt: skip


def is_word(word: str) -> bool:
    """Would a reader take it for an English word?"""
    from wordfreq import zipf_frequency

    return zipf_frequency(word.lower(), "en") >= 2.0


def _once(word: str, rng: np.random.Generator) -> str:
    k = int(rng.integers(1, len(word)))
    kind = rng.choice(["drop", "double", "swap", "replace"])
    if kind == "drop":
        return word[:k] + word[k + 1 :]
    if kind == "double":
        return word[:k] + word[k] + word[k:]
    if kind == "swap":
        j = min(k, len(word) - 2)
        return word[:j] + word[j + 1] + word[j] + word[j + 2 :]
    letter = word[k]
    other = str(rng.choice(list(ALIKE.get(letter.lower(), "aeo"))))
    return word[:k] + (other.upper() if letter.isupper() else other) + word[k + 1 :]


def misspell(phrase: str, rng: np.random.Generator) -> tuple[str, int]:
    """Spoil one word of a phrase, so that no other word results.

    Returns:
        The phrase and the index of the spoilt word.
    """
    words = phrase.split(" ")
    long = [i for i, w in enumerate(words) if len(w) >= 4 and w.isalpha()]
    at = int(rng.choice(long))
    for _ in range(200):
        wrong = _once(words[at], rng)
        # Twice in long words, now and then: generators seldom stop at one letter.
        if len(wrong) > 6 and rng.random() < 0.3:
            wrong = _once(wrong, rng)
        if wrong.lower() != words[at].lower() and not is_word(wrong):
            words[at] = wrong
            return " ".join(words), at
    raise RuntimeError(f"no misspelling of {phrase!r} found")
