"""What is thought of each piece of lettering in a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from retoucher.lettering.asked import AskedPhrase
from retoucher.lettering.quads import quad_height_px

QuadArray = NDArray[np.float64]
Source = Literal["prompt", "dictionary"]

GARBLED = "text_garbled"
WRONG = "text_wrong"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JudgedUnit:
    """A line, or a single word of a line, with what is thought of it.

    Attributes:
        quad_xy: float (4, 2), picture pixels, clockwise from the text's own top-left.
        read: what it says; may be empty.
        confidence: of the reading, 0 to 1.
        defect: probability that it is garbled or wrong, 0 to 1.
        category: "text_garbled", "text_wrong" or "no_defect".
        intended: what it should say, where that is known.
        source: where `intended` comes from.
        judged: False where it is too small, or too little was read, to say anything; such a unit
            is never called a defect.
    """

    quad_xy: QuadArray
    read: str
    confidence: float
    defect: float
    category: str
    intended: str | None = None
    source: Source | None = None
    judged: bool = True

    @property
    def height_px(self) -> float:
        return quad_height_px(self.quad_xy)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """All units of a picture, top to bottom, and the phrases that its prompt asks for."""

    units: tuple[JudgedUnit, ...]
    asked: tuple[AskedPhrase, ...]
