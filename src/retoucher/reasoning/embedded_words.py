"""Words for what was measured or estimated; they never claim more than that.

Estimates say "looks": nobody counted fingers or measured a face. Measured are where the region
lies, how salient it and its surroundings are, how much fine detail they hold, and how sure and how
steady a network of right hands is of a hand there.
"""

from __future__ import annotations

from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.reasoning.embedded_features import Measured
from retoucher.reasoning.embedded_hands import HandMeasured
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
_SURE_HAND, _STEADY_HAND = 0.9, 0.02
"""Presence from which on, and disagreement up to which, a hand is as most right ones are."""
_STANDS_OUT = 0.15
"""By so much saliency a region stands out from its surroundings."""
_DETAIL_RATIO = 1.6
"""Fine detail is called different from this ratio on."""


def describe(
    category: str,
    opinion: Opinion,
    measured: Measured,
    where: str,
    *,
    unclear: bool,
    hand: HandMeasured | None = None,
) -> str:
    """One sentence on a region judged by its looks.

    Args:
        category: of the taxonomy, no_defect or unknown.
        opinion: of the classifier.
        measured: what was measured.
        where: position in words.
        unclear: text was found in the region that could not be read.
        hand: as measured in the region, where one was found.
    """
    parts = [_LOOKS[category].format(where=where)]
    if category == UNKNOWN and opinion.defect >= _LIKELY:
        parts = [f"Something looks wrong {where}, but not clearly what{_perhaps(opinion)}"]
    if category == "text_garbled":
        parts.append(
            "text was found there but could not be read" if unclear else "nothing was read there"
        )
    if hand is not None and _about_hands(category, opinion):
        parts.append(_hand(hand, sound=category == NO_DEFECT))
    if category not in (NO_DEFECT, UNKNOWN):
        parts += _also(category, opinion)
    if category != NO_DEFECT:
        parts += _measurements(measured)
    return "; ".join(parts) + "."


def _about_hands(category: str, opinion: Opinion) -> bool:
    """A measured hand is spoken of where the verdict is on a hand, or on what looks like one."""
    if category in (NO_DEFECT, UNKNOWN):
        return opinion.hand >= _LIKELY
    return taxonomy()[category].dimension == "hand"


def _hand(hand: HandMeasured, *, sound: bool) -> str:
    """The numbers of a measured hand, and what they are like on right ones."""
    percent = "less than 1%" if hand.presence < 0.01 else f"{hand.presence:.0%}"
    sure, moves = f"{percent} sure of a hand there", f"{hand.disagreement:.1%} of a palm"
    if hand.presence >= _SURE_HAND and hand.disagreement <= _STEADY_HAND:
        joined = "" if sound else "yet "
        return (
            f"{joined}the hand network is {sure} and finds its joints in the same places from "
            f"three angles (within {moves})"
        )
    doubts: list[str] = []
    if hand.presence < _SURE_HAND:
        doubts.append(f"is {'' if hand.presence < 0.01 else 'only '}{sure}")
    if hand.disagreement > _STEADY_HAND:
        doubts.append(f"moves its joints by {moves} when the view is turned")
    return f"the hand network {' and '.join(doubts)}"


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
