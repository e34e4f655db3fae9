"""When a reading says the words that should stand there."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence


def letters(text: str) -> str:
    """Only what a reader compares: letters and digits, caseless, compatibility forms folded."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum())


def says(readings: Sequence[str], intended: str) -> bool:
    """True where the readings, in their order, hold exactly the intended words in a row.

    Case, spaces inside and punctuation do not count. A reading may hold more words before and
    after, since a unit may be read with its line: "SUMMER FESTIVAL" says "festival", "FESTIVALS"
    does not.
    """
    wanted = letters(intended)
    words = [w for w in (letters(t) for reading in readings for t in reading.split()) if w]
    for first in range(len(words)):
        joined = ""
        for word in words[first:]:
            joined += word
            if joined == wanted:
                return True
            if len(joined) >= len(wanted):
                break
    return False


def remnants(readings: Sequence[str], old: str, intended: str) -> tuple[str, ...]:
    """Words of the old lettering that are still read and were not to stand there."""
    now = {letters(word) for reading in readings for word in reading.split()}
    wanted = {letters(word) for word in intended.split()}
    left = (word for word in old.split() if len(letters(word)) > 1)
    return tuple(w for w in left if letters(w) in now and letters(w) not in wanted)
