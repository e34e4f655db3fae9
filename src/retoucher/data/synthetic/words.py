"""Words that signs carry, and how they come out wrong."""

from __future__ import annotations

import numpy as np

_SIGNS = """
    open closed coffee bakery hotel police taxi market library school museum station exit
    welcome sale books flowers pizza garden summer winter music dance cinema theatre pharmacy
    hospital airport parking restaurant kitchen fresh organic breakfast lunch dinner burger
    happy birthday love peace dream future history science nature travel holiday festival
    danger warning caution private public office service repair tools paint studio gallery
    fashion beauty barber bank post street avenue river mountain island beach ocean forest
    river tiger eagle dragon lion wolf rabbit butter honey cheese orange lemon cherry banana
    chocolate vanilla strawberry water juice wine beer whiskey espresso latte tea sugar
    social worker nurse doctor teacher builder driver captain champion winner team league
    camera radio guitar piano drums bicycle engine rocket planet galaxy comet season spring
    autumn friday sunday monday january february october november december support contact
    delivery express premium special limited edition collection original quality classic
    modern vintage royal golden silver crystal diamond phoenix harbor village country"""

SIGN_WORDS: tuple[str, ...] = tuple(_SIGNS.split())
_PRINT = "the and for with from your our new all best more now free every day home made"
PRINT_WORDS: tuple[str, ...] = (*SIGN_WORDS, *_PRINT.split())

_LOOKALIKES = {
    "a": "eo", "b": "dh", "c": "eo", "d": "bo", "e": "ac", "f": "tr", "g": "qy", "h": "nb",
    "i": "lj", "k": "xh", "l": "it", "m": "nw", "n": "mu", "o": "ca", "p": "qb", "q": "gp",
    "r": "nv", "s": "ez", "t": "fl", "u": "vn", "v": "uy", "w": "vm", "x": "ky", "y": "vg",
    "z": "s2",
}  # fmt: skip


def misspelled(rng: np.random.Generator, text: str) -> str:
    """The text with one to three slips: a letter doubled, dropped, exchanged or mistaken.

    Args:
        rng: chooses the slips.
        text: at least one letter long.
    """
    out = text
    while out == text:
        for _ in range(1 + int(rng.random() < 0.5) + int(rng.random() < 0.25)):
            places = [i for i, c in enumerate(out) if c.isalpha()]
            i = places[int(rng.integers(len(places)))]
            kind = int(rng.integers(4))
            if kind == 0:
                out = out[: i + 1] + out[i] + out[i + 1 :]
            elif kind == 1 and len(places) > 3:
                out = out[:i] + out[i + 1 :]
            elif kind == 2 and i + 1 < len(out) and out[i + 1].isalpha():
                out = out[:i] + out[i + 1] + out[i] + out[i + 2 :]
            else:
                near = _LOOKALIKES.get(out[i].lower(), "e")
                new = near[int(rng.integers(len(near)))]
                out = out[:i] + (new.upper() if out[i].isupper() else new) + out[i + 1 :]
    return out
