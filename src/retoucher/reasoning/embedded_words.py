"""Words for what was measured or estimated; they never claim more than that.

Estimates say "looks": nobody counted fingers or measured a face. Measured are where the region
lies, how salient it and its surroundings are, and how much fine detail they hold.
"""

from __future__ import annotations

from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.reasoning.embedded_features import Measured
from retoucher.reasoning.embedded_model import Opinion

_LOOKS = {
    "hand_finger_count": "A hand {where} looks as if it had a wrong number of fingers",
    "hand_shape": "A hand {where} looks malformed",
    "face_feature": "A feature of the face {where} looks malformed",
    "face_asymmetry": "A face {where} looks asymmetric",
    "limb_count": "There look to be too many or too few limbs {where}",
    "limb_shape": "A limb {where} looks malformed",
    "text_garbled": "What looks like lettering {where} seems garbled",
    "text_wrong": "Lettering {where} looks wrong",
    "object_structure": "An object {where} looks wrongly built",
    "object_texture": "A surface {where} looks broken",
    "interaction_contact": "Things {where} look fused where they touch",
    "interaction_physics": "Things {where} look physically impossible",
    NO_DEFECT: "Nothing looks wrong {where}",
    UNKNOWN: "It could not be told what, if anything, is wrong {where}",
}
_ALSO_FROM = 0.2
"""Another category is named from this share on."""
_LIKELY = 0.5
"""Something is said to look wrong from this probability on."""
_STANDS_OUT = 0.15
"""By so much saliency a region stands out from its surroundings."""
_DETAIL_RATIO = 1.6
"""Fine detail is called different from this ratio on."""


def describe(
    category: str, opinion: Opinion, measured: Measured, where: str, *, unclear: bool
) -> str:
    """One sentence on a region judged by its looks.

    Args:
        category: of the taxonomy, no_defect or unknown.
        opinion: of the classifier.
        measured: what was measured.
        where: position in words.
        unclear: text was found in the region that could not be read.
    """
    parts = [_LOOKS[category].format(where=where)]
    if category == UNKNOWN and opinion.defect >= _LIKELY:
        parts = [f"Something looks wrong {where}, but not clearly what{_perhaps(opinion)}"]
    if category == "text_garbled":
        parts.append(
            "text was found there but could not be read" if unclear else "nothing was read there"
        )
    if category not in (NO_DEFECT, UNKNOWN):
        parts += _also(category, opinion)
    if category != NO_DEFECT:
        parts += _measurements(measured)
    return "; ".join(parts) + "."


def _also(category: str, opinion: Opinion) -> list[str]:
    others = {n: s for n, s in opinion.categories.items() if n != category and s >= _ALSO_FROM}
    if not others:
        return []
    phrase = taxonomy()[max(others, key=lambda n: others[n])].phrase
    return [f"it may also be {_article(phrase)} {phrase}".replace("  ", " ")]


def _perhaps(opinion: Opinion) -> str:
    """The likeliest categories, as far as they are worth naming."""
    ranked = sorted(opinion.categories, key=lambda n: -opinion.categories[n])[:2]
    named = [n for n in ranked if opinion.categories[n] >= _ALSO_FROM]
    phrases = [f"{_article(p)} {p}".strip() for p in (taxonomy()[n].phrase for n in named)]
    return f" (perhaps {' or '.join(phrases)})" if phrases else ""


def _article(phrase: str) -> str:
    """For a phrase of the taxonomy; what cannot be counted has none."""
    if phrase.endswith(("lettering", "texture")) or phrase.startswith("things"):
        return ""
    return "an" if phrase[0] in "aeiou" else "a"


def _measurements(measured: Measured) -> list[str]:
    parts: list[str] = []
    if measured.inside - measured.around >= _STANDS_OUT:
        numbers = f"saliency {measured.inside:.2f} inside, {measured.around:.2f} around"
        parts.append(f"it stands out from its surroundings ({numbers})")
    ratio = max(measured.detail_inside, 0.1) / max(measured.detail_around, 0.1)
    if ratio <= 1 / _DETAIL_RATIO:
        parts.append("it has much less fine detail than its surroundings")
    elif ratio >= _DETAIL_RATIO:
        parts.append("it has much more fine detail than its surroundings")
    return parts


def position(centre_xy: tuple[float, float], height: int, width: int) -> str:
    """Where a place lies, in words: thirds of the picture."""
    x, y = centre_xy
    row = ("at the top", "in the middle", "at the bottom")[min(2, int(3 * y / height))]
    column = ("left", "", "right")[min(2, int(3 * x / width))]
    if row == "in the middle":
        return f"on the {column}" if column else "in the centre"
    return f"{row} {column}".strip()
