"""From a diagnosis to the words and numbers of a repair, by the templates of instructions.toml.

What comes from a diagnosis or a prompt is data: only letters, digits, spaces, hyphens and
apostrophes of it get into the words, and never more than a few of them. The one exception is
lettering that is to be set, which is quoted.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any, cast

from retoucher.agents import ToolSpec
from retoucher.domain.diagnosis import BY_USER, REPAIR_INSTRUCTION, Diagnosis, Json
from retoucher.domain.plan import Preference
from retoucher.domain.taxonomy import taxonomy

_MOST_WRITTEN_CHARS = 300
_SEVERITY_SHARE = {1: 0.8, 2: 0.9, 3: 1.0}
"""A milder defect gives up less of the old picture."""

_VERBS = (
    "holding|gripping|grasping|clutching|carrying|touching|resting|leaning|pointing|waving|playing|"
    "wearing|shaking|pouring|throwing|catching|writing|typing|petting|hugging"
)
_STOP = (
    "has|have|had|is|are|was|were|with|but|and|while|which|that|shows?|seems?|looks?|appears?|ends?"
    "|bends?|merges?|melts?|in|by|near|at|under"
)
_DOING = re.compile(rf"\b({_VERBS})\b((?:\s+(?!(?:{_STOP})\b)[\w'-]+){{0,4}})", re.IGNORECASE)
_SIDE = re.compile(r"\b(left|right)\b(?=(?:\s+[\w'-]+){0,2}?\s+(?:hand|arm|leg|foot|wrist))", re.I)
_WHOSE = re.compile(
    r"\b(?:the|a|an|of the)\s+(man|woman|boy|girl|child|baby|person|king|queen|soldier|dancer|"
    r"player|chef|doctor|nurse|teacher|worker|artist|musician|singer|figure)(?:'s)?\b",
    re.IGNORECASE,
)
_FEATURE = re.compile(
    r"\b(pupils?|iris(?:es)?|eyes?|eyebrows?|nose|mouth|lips|teeth|ears?|chin|cheeks?)\b", re.I
)
_LIMB = re.compile(r"\b(arm|leg|foot|feet|elbow|knee|shoulder|wrist|ankle)s?\b", re.IGNORECASE)
_THING = re.compile(
    rf"^\W*(?:the|a|an)\s+((?:(?!(?:{_STOP})\b)[\w'-]+\s+){{0,2}}(?!(?:{_STOP})\b)[\w'-]+)"
    rf"\s+(?:{_STOP})\b",
    re.IGNORECASE,
)
_PLURAL = {"foot": "feet"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How a repair is put to a tool.

    Attributes:
        instruction: what the place should look like.
        params: `Step.params` for this tool.
        context_factor: `Step.context_factor` for this tool.
        by: who wrote what the place should look like; None: our template.
    """

    instruction: str
    params: dict[str, Json] = field(default_factory=dict[str, Json])
    context_factor: float | None = None
    by: str | None = None


def word(diagnosis: Diagnosis, prompt: str, spec: ToolSpec, preference: Preference) -> Wording:
    """The words and numbers for one repair by one tool.

    What the place should look like, the first that there is: the user's own words, the lettering
    that is known to belong there, what the reasoner wrote (evidence of kind "repair_instruction",
    as the user's), our template.

    Args:
        diagnosis: what is wrong; its description and evidence fill the template.
        prompt: of the picture, "" when unknown; says what a hand does, and the style.
        spec: a tool that reads no prompt gets the words for the record only, and no params.
        preference: `keep_identity` decides about faces.
    """
    row = _row(diagnosis.category)
    make, by = _written(diagnosis) or ("", None)
    known = _known(row, diagnosis)
    if known is not None and by != BY_USER:
        make, by = known, None
    if not make:
        make = _made(row, diagnosis, prompt)
    keeps_face = preference.keep_identity and _dimension(diagnosis.category) == "face"
    if keeps_face:
        make = f"{make}, {row['same_person']}"
    if not spec.uses_prompt:
        return Wording(instruction=make, by=by)
    make = ", ".join([make, *_style_words(prompt)])
    params: dict[str, Json] = {"negative_prompt": str(row["negative"])}
    if spec.kind == "mask":
        strength = float(row["strength"]) * _SEVERITY_SHARE.get(diagnosis.severity, 1.0)
        if keeps_face:
            strength = min(strength, float(row["identity_strength"]))
        params["strength"] = round(strength, 2)
    else:
        make = str(row["instruct"]).format(make=make)
    return Wording(instruction=make, params=params, context_factor=row.get("context"), by=by)


def _known(row: dict[str, Any], diagnosis: Diagnosis) -> str | None:
    """The lettering that belongs there; read, or asked for, it is no matter of opinion."""
    intended = [str(e.data["intended"]) for e in diagnosis.evidence if e.kind == "intended_text"]
    if not intended or "make_known" not in row:
        return None
    return str(row["make_known"]).format(intended=" ".join(intended))


def _made(row: dict[str, Any], diagnosis: Diagnosis, prompt: str) -> str:
    words = str(row["make"]).format(**_fields(diagnosis, prompt))
    return re.sub(r"\s+([,.])", r"\1", " ".join(words.split())).strip(" ,")


def _fields(diagnosis: Diagnosis, prompt: str) -> dict[str, str]:
    """What the template's braces stand for; the diagnosis is asked first, then the prompt."""
    said = diagnosis.description
    category = taxonomy().get(diagnosis.category)
    doing = _DOING.search(said) or _DOING.search(prompt)
    side, whose = _SIDE.search(said), _WHOSE.search(said)
    feature, limb, thing = _FEATURE.search(said), _LIMB.search(said), _THING.search(said)
    part = limb.group(1).lower() if limb else ""
    if diagnosis.category == "limb_count":
        part = _PLURAL.get(part, f"{part}s") if part and part != "feet" else part or "limbs"
    return {
        "phrase": category.phrase if category else "defect",
        "side": side.group(1).lower() if side else "",
        "doing": " ".join(doing.group(0).split()) if doing else "",
        "whose": f"of the {whose.group(1).lower()}" if whose else "",
        "feature": feature.group(1).lower() if feature else "features",
        "limb": part or "limb",
        "thing": thing.group(1) if thing else "object",
    }


def _written(diagnosis: Diagnosis) -> tuple[str, str] | None:
    """The reasoner's own words, as one short line of plain text, and who it is; None without."""
    for evidence in diagnosis.evidence:
        if evidence.kind == REPAIR_INSTRUCTION:
            text = _plain(evidence.data.get("make"), r"[^\w\s,.'\"()-]")[:_MOST_WRITTEN_CHARS]
            if text:
                return text, _plain(evidence.data.get("by"), r"[^\w\s.:/-]") or "the reasoner"
    return None


def _plain(words: Json, unwanted: str) -> str:
    return " ".join(re.sub(unwanted, " ", words).split()) if isinstance(words, str) else ""


def _style_words(prompt: str) -> list[str]:
    """Words of the prompt that say how the picture looks, in its order; no part of another one."""
    style = _templates()["style"]
    spans: list[tuple[int, int, str]] = []
    for known in cast("list[str]", style["words"]):
        match = re.search(rf"\b{re.escape(known)}\b", prompt, re.IGNORECASE)
        if match:
            spans.append((match.start(), match.end(), known))
    kept = [
        (start, known)
        for start, end, known in spans
        if not any(s <= start and end <= e and (s, e) != (start, end) for s, e, _ in spans)
    ]
    return [known for _, known in sorted(kept)][: int(style["most"])]


def _dimension(category: str) -> str | None:
    row = taxonomy().get(category)
    return row.dimension if row else None


def _row(category: str) -> dict[str, Any]:
    templates = _templates()
    return {**templates["default"], **templates.get(category, {})}


@cache
def _templates() -> dict[str, dict[str, Any]]:
    text = (resources.files("retoucher.planning") / "instructions.toml").read_text("utf-8")
    return tomllib.loads(text)
