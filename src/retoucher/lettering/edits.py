"""Comparing spellings: folding, edit distance, and the differences that reading itself makes."""

from __future__ import annotations

import unicodedata

import numpy as np
from numpy.typing import NDArray

LOOK_ALIKES: tuple[frozenset[str], ...] = tuple(
    frozenset(group)
    for group in ("0oq", "1li|!", "5s", "8b", "2z", "6gb", "9gq", "4a", "7t", "uv", "vy", "cg")
)
"""Characters (folded) that many fonts draw alike: mixing them up is noise of reading."""

SOFT_ALIKES: tuple[frozenset[str], ...] = tuple(
    frozenset(group) for group in ("nm", "nh", "un", "ce", "co", "eo", "tf", "ij", "bh", "vw")
)
"""Pairs that a reader mixes up in small, blurred or ornate lettering."""

_LIGATURES = (("rn", "m"), ("vv", "w"), ("cl", "d"))


def fold(text: str) -> str:
    """Case folded, accents removed, only letters and digits kept."""
    plain = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in plain if c.isalnum())


def look_alike(a: str, b: str) -> bool:
    """Two folded characters that fonts draw alike, or the same one."""
    return a == b or any(a in g and b in g for g in LOOK_ALIKES)


def same_but_look_alikes(a: str, b: str) -> bool:
    """The same string but for characters that fonts draw alike ("C0FFEE", "rnore")."""
    x, y = _without_ligatures(a), _without_ligatures(b)
    return len(x) == len(y) and all(look_alike(p, q) for p, q in zip(x, y, strict=True))


def reading_noise(read: str, meant: str) -> bool:
    """Every difference is one that a reader may make by itself in difficult lettering."""
    x, y = _without_ligatures(read), _without_ligatures(meant)
    return len(x) == len(y) and all(_mixed_up(p, q) for p, q in zip(x, y, strict=True))


def _mixed_up(a: str, b: str) -> bool:
    return look_alike(a, b) or any(a in g and b in g for g in SOFT_ALIKES)


def _without_ligatures(text: str) -> str:
    folded = fold(text)
    for pair, single in _LIGATURES:
        folded = folded.replace(pair, single)
    return folded


def edit_distance(a: str, b: str) -> int:
    """Characters inserted, left out, replaced, or swapped with their neighbour."""
    if not a or not b:
        return len(a) + len(b)
    codes = np.array([[ord(c) for c in b]], np.uint32)
    return int(edit_distances(np.array([ord(c) for c in a], np.uint32), codes)[0, -1])


def edit_distances(word: NDArray[np.uint32], codes: NDArray[np.uint32]) -> NDArray[np.int16]:
    """Edits from `word` (L,) to every prefix of every row of `codes` (N, M): (N, M + 1)."""
    count, width = codes.shape
    before: NDArray[np.int16] | None = None
    row = np.tile(np.arange(width + 1, dtype=np.int16), (count, 1))
    for i, letter in enumerate(word):
        new = np.empty_like(row)
        new[:, 0] = i + 1
        for j in range(width):
            cost = np.minimum(row[:, j + 1], new[:, j]) + 1
            cost = np.minimum(cost, row[:, j] + (codes[:, j] != letter))
            if before is not None and j:
                swapped = (codes[:, j - 1] == letter) & (codes[:, j] == word[i - 1])
                cost = np.where(swapped, np.minimum(cost, before[:, j - 1] + 1), cost)
            new[:, j + 1] = cost
        before, row = row, new
    return row


def with_case_of(meant: str, read: str) -> str:
    """`meant` in the case pattern of `read`; as it is where `read` shows no pattern."""
    letters = [c for c in read if c.isalpha()]
    if len(letters) < 2:
        return meant
    if all(c.isupper() for c in letters):
        return meant.upper()
    if all(c.islower() for c in letters):
        return meant.lower()
    if letters[0].isupper() and all(c.islower() for c in letters[1:]):
        return meant[:1].upper() + meant[1:].lower()
    return meant
