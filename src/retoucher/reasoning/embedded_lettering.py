"""What the lettering in a region says: measured by reading it, and so heard before any guess."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from retoucher.domain.diagnosis import Diagnosis, Evidence, Json
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT
from retoucher.lettering.asked import AskedPhrase
from retoucher.lettering.judge import GARBLED, WRONG, JudgedUnit, Judgement
from retoucher.lettering.quads import grow_quad
from retoucher.lettering.units import QuadArray
from retoucher.reasoning.embedded_words import position

_MIN_UNIT_SHARE = 0.3
"""A unit belongs to a region that covers so much of it."""
_MIN_REGION_SHARE = 0.3
"""Or of which the unit covers so much: a small box drawn inside of large letters."""
_GLARING_SHARE = 0.01
_SUBTLE_SHARE = 0.002
"""Share of the picture from which on defective lettering is glaring, and below which subtle."""
_STRONG = 0.85
_MAX_QUOTED_CHARS = 60
_GROW = 0.25
"""Lettering fills its quad and so much around it, in heights: what a box drawn on it would hold."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The judged lettering in a region.

    Attributes:
        diagnosis: what it says of the region, with evidence; None where no lettering was judged.
        share: of the region that the lettering fills, 0 to 1.
        unclear: text was found in the region that could not be judged.
    """

    diagnosis: Diagnosis | None
    share: float
    unclear: bool


def read_region(region: Region, judgement: Judgement, height: int, width: int) -> Reading:
    """What the judgement of a picture, height x width, says of one region."""
    here = [u for u in judgement.units if _belongs(u, region)]
    inside = [u for u in here if u.judged]
    return Reading(
        diagnosis=_diagnosis(region, inside, judgement.asked, height, width) if inside else None,
        share=_filled_share(inside, region),
        unclear=any(not u.judged for u in here),
    )


def _diagnosis(
    region: Region,
    inside: list[JudgedUnit],
    asked: Sequence[AskedPhrase],
    height: int,
    width: int,
) -> Diagnosis:
    defective = [u for u in inside if u.category != NO_DEFECT]
    evidence = _evidence(inside, asked)
    main = max(defective or inside, key=lambda u: (u.intended is not None, u.defect * _area_px(u)))
    x, y = main.quad_xy.mean(0).tolist()
    where = position((x, y), height, width)
    if not defective:
        return _fine(region, inside, where, evidence)
    worst = max(defective, key=lambda u: (u.defect, _area_px(u)))
    category = WRONG if all(u.category == WRONG for u in defective) else GARBLED
    return Diagnosis(
        region_id=region.id,
        category=category,
        severity=_severity(defective, height * width),
        description=_description(category, main, len(defective) - 1, asked, where),
        confidence=float(np.clip(worst.defect, 0.0, 1.0)),
        evidence=evidence,
    )


def _fine(
    region: Region, inside: list[JudgedUnit], where: str, evidence: tuple[Evidence, ...]
) -> Diagnosis:
    """Lettering in which nothing is wrong."""
    read = _quoted(" ".join(u.read for u in inside))
    return Diagnosis(
        region_id=region.id,
        category=NO_DEFECT,
        severity=0,
        description=f"Lettering {where} reads {read}; no mistake was found in it.",
        confidence=float(np.clip(1.0 - max(u.defect for u in inside), 0.0, 1.0)),
        evidence=evidence,
    )


def _belongs(unit: JudgedUnit, region: Region) -> bool:
    """The unit lies mostly in the region's mask, or fills much of it."""
    drawn, common = _overlap_px(unit.quad_xy, region)
    share = common / max(drawn, 1)
    return share >= _MIN_UNIT_SHARE or common >= _MIN_REGION_SHARE * region.area_px


def _overlap_px(quad_xy: QuadArray, region: Region) -> tuple[int, int]:
    """Pixels of a quad, and those of them in the region's mask."""
    box = region.box
    low = np.floor(quad_xy.min(0)).astype(int)
    high = np.ceil(quad_xy.max(0)).astype(int) + 1
    x0, y0 = min(low[0], box.x0), min(low[1], box.y0)
    if high[0] <= box.x0 or low[0] >= box.x1 or high[1] <= box.y0 or low[1] >= box.y1:
        return 0, 0
    size = (max(high[1], box.y1) - y0, max(high[0], box.x1) - x0)
    drawn = np.zeros(size, np.uint8)
    cv2.fillConvexPoly(drawn, np.round(quad_xy - [x0, y0] - 0.5).astype(np.int32), 1)
    mask = drawn[box.shift(-int(x0), -int(y0)).slices]
    return int(drawn.sum()), int((mask.astype(bool) & region.mask_hw).sum())


def _filled_share(units: Sequence[JudgedUnit], region: Region) -> float:
    drawn = np.zeros((region.box.height, region.box.width), np.uint8)
    for unit in units:
        quad = grow_quad(unit.quad_xy, _GROW * unit.height_px)
        corner = np.array([region.box.x0, region.box.y0])
        cv2.fillConvexPoly(drawn, np.round(quad - corner - 0.5).astype(np.int32), 1)
    return float(np.count_nonzero(drawn[region.mask_hw])) / region.area_px


def _evidence(units: Sequence[JudgedUnit], asked: Sequence[AskedPhrase]) -> tuple[Evidence, ...]:
    out: list[Evidence] = []
    phrases: list[Json] = [p.text for p in asked]
    for unit in units:
        quad: Json = [[round(float(x), 2), round(float(y), 2)] for x, y in unit.quad_xy]
        out.append(
            Evidence(
                kind="lettering",
                data={
                    "quad_xy": quad,
                    "read": unit.read,
                    "confidence": round(unit.confidence, 4),
                    "defect": round(unit.defect, 4),
                    "intended": unit.intended,
                    "source": unit.source,
                    "asked": phrases,
                },
            )
        )
    for unit in units:
        if unit.intended is not None:
            quad = [[round(float(x), 2), round(float(y), 2)] for x, y in unit.quad_xy]
            out.append(
                Evidence(
                    kind="intended_text",
                    data={
                        "quad_xy": quad,
                        "read": unit.read,
                        "intended": unit.intended,
                        "source": unit.source,
                    },
                )
            )
    return tuple(out)


def _severity(defective: Sequence[JudgedUnit], picture_area_px: int) -> int:
    share = sum(_area_px(u) for u in defective) / picture_area_px
    strong = max(u.defect for u in defective) >= _STRONG
    if share < _SUBTLE_SHARE:
        return 2 if strong and share >= _SUBTLE_SHARE / 2 else 1
    return 3 if share >= _GLARING_SHARE and strong else 2


def _area_px(unit: JudgedUnit) -> float:
    return float(cv2.contourArea(unit.quad_xy.astype(np.float32)))


def _description(
    category: str, main: JudgedUnit, others: int, asked: Sequence[AskedPhrase], where: str
) -> str:
    kind = "Garbled" if category == GARBLED else "Wrong"
    text = f"{kind} lettering {where} reads {_quoted(main.read)}"
    if main.intended is not None:
        text += f" {_why(main, asked)}"
    elif category == GARBLED:
        text += f", recognised with a confidence of {main.confidence:.0%}"
    if others:
        text += f"; {others} more {'place' if others == 1 else 'places'} here {_are(others)} wrong"
    return text + "."


def _why(unit: JudgedUnit, asked: Sequence[AskedPhrase]) -> str:
    right = _quoted(unit.intended or "")
    if unit.source == "dictionary":
        return f"instead of the word {right}"
    folded = (unit.intended or "").casefold()
    if any(folded in p.text.casefold() for p in asked):
        return f"where the prompt asks for {right}"
    return f"instead of {right}, a word of the prompt"


def _are(count: int) -> str:
    return "is" if count == 1 else "are"


def _quoted(text: str) -> str:
    short = text if len(text) <= _MAX_QUOTED_CHARS else text[: _MAX_QUOTED_CHARS - 1] + "…"
    return f'"{short}"'
