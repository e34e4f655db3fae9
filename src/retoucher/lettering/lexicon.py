"""Is this a word, and if not, which word was meant?

Built on wordfreq's word lists (code Apache-2.0, data CC BY-SA 4.0). They are made from real text,
so they hold names, brands and abbreviations, and common misspellings too, at low frequency.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from retoucher.lettering.edits import edit_distance, edit_distances, fold, reading_noise

_KNOWN_ZIPF = 3.0
"""In the list of a language from here on: once in a million words."""
_ENGLISH_ZIPF = 2.2
"""English has a longer list; "recieve" (2.75) and its like are caught by `nearest` below."""
_TARGET_ZIPF = 3.6
"""A correction is at least this frequent: generators are mostly asked for common words."""
_TARGET_GAP = 1.5
"""A rare word counts as a slip of one that is so much (a factor of 30) more frequent."""
_MIN_LENGTH = 4
_LONG = 8
"""From this length on, two edits are still unmistakable."""

_LANGUAGES = (
    "es", "fr", "de", "it", "pt", "nl", "pl", "sv", "da", "nb", "fi", "cs", "ro", "hu", "tr", "id",
    "ca", "sh", "sk", "sl", "lt", "lv", "fil", "is", "ms", "vi",
)  # fmt: skip

_SLIPS = frozenset({"teh", "hte", "adn", "taht", "thier", "wich", "untill", "becuase", "whcih"})
"""Misspellings so common that the lists hold them above the bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correction:
    """The word that was meant.

    Attributes:
        word: in lower case.
        edits: letters inserted, left out, replaced or swapped, 1 or 2.
        zipf: frequency of the word, log10 per billion words.
        reading_noise: every edit is one that a reader makes by itself in difficult lettering.
    """

    word: str
    edits: int
    zipf: float
    reading_noise: bool


def core(token: str) -> str:
    """A token without the marks around it, its possessive ending and its outer apostrophes."""
    bare = token.strip().replace("’", "'")
    while bare and not bare[0].isalnum():
        bare = bare[1:]
    while bare and not bare[-1].isalnum():
        bare = bare[:-1]
    for ending in ("'s", "'S"):
        bare = bare.removesuffix(ending)
    return bare


@cache
def _zipf() -> Callable[[str, str], float]:
    import wordfreq

    return lambda word, lang: float(
        wordfreq.zipf_frequency(word, lang, wordlist="best" if lang == "en" else "small")
    )


@cache
def is_word(token: str) -> bool:
    """A word, name or abbreviation of English or another language in Latin script.

    Tokens that are no words at all (numbers, prices, times, codes, initials, other scripts) count
    as words: there is nothing to misspell in them.
    """
    bare = core(token)
    if len(bare) < 3 or not bare.isalpha() or not _is_latin_word(bare):
        return True
    return _is_listed(bare.casefold()) and nearest(token) is None


@cache
def _is_listed(word: str) -> bool:
    if word in _SLIPS:
        return False
    frequency = _zipf()
    if frequency(word, "en") >= _ENGLISH_ZIPF or _foreign_zipf(word) >= _KNOWN_ZIPF:
        return True
    return _is_inflected(word) or bool(split_words(word))


def _is_inflected(word: str) -> bool:
    """A regular form of a word that is listed without its ending ("midnights")."""
    stems = (word.removesuffix(e) for e in ("s", "es", "ing", "ed", "er", "ly", "ness"))
    return any(len(s) >= 4 and s != word and _zipf()(s, "en") >= _KNOWN_ZIPF + 0.5 for s in stems)


@cache
def _foreign_zipf(word: str) -> float:
    """Greatest frequency in the other languages; signs in capitals often lack their accents."""
    plain = fold(word)
    return max(max(_zipf()(word, lang), _unaccented(lang).get(plain, 0.0)) for lang in _LANGUAGES)


@cache
def _unaccented(lang: str) -> dict[str, float]:
    import wordfreq

    listed = wordfreq.get_frequency_dict(lang, "small")
    return {
        fold(word): float(wordfreq.freq_to_zipf(freq))
        for word, freq in listed.items()
        if not word.isascii() and wordfreq.freq_to_zipf(freq) >= _KNOWN_ZIPF
    }


def _is_latin_word(bare: str) -> bool:
    return all(unicodedata.name(c, "").startswith("LATIN ") for c in bare)


def split_words(word: str) -> tuple[str, ...]:
    """Two or three frequent words run together ("stopsign"), or none: spaces are often not read."""
    frequency = _zipf()

    def known(part: str) -> bool:
        return frequency(part, "en") >= (_TARGET_ZIPF if len(part) > 3 else 5.0)

    if len(word) > 40:
        return ()
    for i in range(2, len(word) - 1):
        head, tail = word[:i], word[i:]
        if not known(head):
            continue
        if known(tail):
            return head, tail
        for j in range(2, len(tail) - 1):
            if len(tail) >= 5 and known(tail[:j]) and known(tail[j:]):
                return head, tail[:j], tail[j:]
    return ()


@cache
def nearest(token: str) -> Correction | None:
    """The one frequent English word that a misspelled token was meant to be.

    None where the token is a word, where no frequent word is near, where several are about equally
    likely, or where the token could be a part of the word cut off at its start or end.
    """
    word = core(token).casefold()
    if len(word) < _MIN_LENGTH or not word.isascii() or not word.isalpha():
        return None
    own = _zipf()(word, "en")
    if (own >= _KNOWN_ZIPF and word not in _SLIPS) or _is_inflected(word):
        return None
    found = _candidates(word)
    if not found:
        return None
    best, rest = found[0], found[1:]
    if any(c.edits == best.edits and c.zipf > best.zipf - 1.0 for c in rest):
        return None
    if best.zipf < max(_TARGET_ZIPF, own + _TARGET_GAP) or _is_cut_off(word, best.word):
        return None
    if _foreign_zipf(word) >= _KNOWN_ZIPF and best.zipf < _foreign_zipf(word) + _TARGET_GAP:
        return None
    return None if split_words(word) and own < 1.0 else best


def _is_cut_off(word: str, whole: str) -> bool:
    return whole.startswith(word) or whole.endswith(word)


def _candidates(word: str) -> list[Correction]:
    """Words within one edit, or within two that are mostly doublings; fewest edits first."""
    frequency = _zipf()
    single = _undoubled(word)
    found: list[Correction] = []
    for other, edits in _vocabulary().within(word, 2 if len(word) >= _LONG else 1):
        if other == word:
            continue
        if edits == 2 and edit_distance(single, _undoubled(other)) > 1:
            continue
        zipf = frequency(other, "en")
        noise = reading_noise(word, other)
        found.append(Correction(word=other, edits=edits, zipf=zipf, reading_noise=noise))
    return sorted(found, key=lambda c: (c.edits, -c.zipf))


def _undoubled(word: str) -> str:
    return "".join(c for i, c in enumerate(word) if not i or word[i - 1] != c)


class _Vocabulary:
    """Frequent English words as an array, searched by edit distance all at once."""

    def __init__(self, words: list[str]) -> None:
        self._words = np.array(words)
        self._lengths = np.array([len(w) for w in words])
        width = int(self._lengths.max())
        self._codes = np.zeros((len(words), width), np.uint32)
        for i, word in enumerate(words):
            self._codes[i, : len(word)] = list(word.encode("ascii"))

    def within(self, word: str, max_edits: int) -> list[tuple[str, int]]:
        rows = np.flatnonzero(np.abs(self._lengths - len(word)) <= max_edits)
        if not rows.size:
            return []
        width = len(word) + max_edits
        letters = np.array(list(word.encode("ascii")), np.uint32)
        edits = edit_distances(letters, self._codes[rows, :width])
        edits = edits[np.arange(rows.size), self._lengths[rows]]
        hits = np.flatnonzero(edits <= max_edits)
        return [(str(self._words[rows[i]]), int(edits[i])) for i in hits]


@cache
def _vocabulary() -> _Vocabulary:
    import wordfreq

    top = wordfreq.top_n_list("en", 50000)
    return _Vocabulary([w for w in top if w.isascii() and w.isalpha() and len(w) >= _MIN_LENGTH])


@cache
def _bigrams() -> NDArray[np.float64]:
    """Natural log of how frequent each letter pair is in frequent words, (27, 27); 26 is an end."""
    import wordfreq

    counts = np.full((27, 27), 0.5)
    for word in wordfreq.top_n_list("en", 8000):
        if word.isascii() and word.isalpha():
            codes = [26, *(ord(c) - 97 for c in word), 26]
            for a, b in pairwise(codes):
                counts[a, b] += 1
    return np.log(counts / counts.sum(1, keepdims=True))


def plausibility(text: str) -> float:
    """Mean log probability of the letter pairs of the ASCII letters in a text; 0 without any.

    About -2.4 for English words, below -3.5 for random letters.
    """
    table = _bigrams()
    pairs: list[float] = []
    for token in text.casefold().split():
        letters = [ord(c) - 97 for c in token if "a" <= c <= "z"]
        if letters:
            codes = [26, *letters, 26]
            pairs += [float(table[a, b]) for a, b in pairwise(codes)]
    return float(np.mean(pairs)) if pairs else 0.0
