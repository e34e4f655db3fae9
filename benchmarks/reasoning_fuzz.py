"""Mutated replies of a vision-language model: does one raise, or yield what it did not say?

    python benchmarks/reasoning_fuzz.py [--replies 20000] [--seed 0] [--json]

Sound replies about one to four marks are written in many styles (keys, quotes, fences, prose,
thinking), then mutated up to six times: characters deleted, doubled, swapped or replaced, text cut
off or spliced in from another reply, values replaced by wrong ones, brackets nested by the
thousand. Each goes through the whole way from replies to diagnoses, a second one as the answer to
the request to answer again.

A verdict counts as *invented* when the reply does not hold it: its words are nowhere in the text,
or its mark, category, severity or confidence do not stand between the same braces as the words.
An instruction ("make"; half of the entries have one) is invented when its words are not there too.
This is checked on the text alone, without the parser.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from difflib import SequenceMatcher

import numpy as np

from retoucher.domain.diagnosis import REPAIR_INSTRUCTION
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.reasoning.asking import Answer, diagnose_by
from retoucher.reasoning.conversation import Conversation
from retoucher.reasoning.parsing import understand
from retoucher.reasoning.reply import RegionReply
from retoucher.reasoning.views import ViewSettings

CATEGORIES = (*taxonomy(), NO_DEFECT, UNKNOWN)
WORDS = [
    "hand",
    "finger",
    "thumb",
    "eye",
    "ear",
    "lettering",
    "cup",
    "strap",
    "wheel",
    "shadow",
    "leg",
    "wrong",
    "bent",
    "fused",
    "twice",
]
KEYS = {
    "mark": ("mark", "Mark", "id", "region", "mark_id"),
    "description": ("description", "Description", "desc", "explanation", "why"),
    "category": ("category", "Category", "type", "defect_type", "label"),
    "severity": ("severity", "Severity", "level"),
    "confidence": ("confidence", "Confidence", "probability", "score"),
}
SEVERITY_WORDS = {
    0: ("none",),
    1: ("subtle", "mild", "minor", "low", "slight"),
    2: ("clear", "moderate", "medium"),
    3: ("glaring", "severe", "high", "major"),
}
FINE = ("none", "ok", "fine", "clean", "normal", "no defect", "correct")
VIEW = ViewSettings(picture_side_px=32, crop_side_px=28, regions_per_request=4)


def sound_verdict(rng: random.Random, mark: int) -> RegionReply:
    category = rng.choice(CATEGORIES)
    severity = 0 if category == NO_DEFECT else rng.randint(1, 3)
    words = " ".join(rng.choice(WORDS) for _ in range(rng.randint(4, 12)))
    return RegionReply(
        mark=mark,
        description=f"{words} {rng.randrange(10**6):06d}x",
        category=category,
        severity=severity,
        confidence=rng.randint(0, 100) / 100,
    )


def spelled(rng: random.Random, category: str) -> str:
    """A category as models write it."""
    known = taxonomy().get(category)
    forms = [category, category.upper(), category.replace("_", " "), category.replace("_", "-")]
    forms.append("".join(part.title() for part in category.split("_")))
    if known:
        forms += [known.phrase, f"{known.dimension}/{category}"]
    if category == NO_DEFECT:
        forms += ["none", "fine"]
    return rng.choice(forms) if rng.random() < 0.5 else category


def written(rng: random.Random, verdicts: Sequence[RegionReply]) -> str:
    """A sound reply in one of many styles."""
    entries: list[dict[str, object]] = []
    for v in verdicts:
        pairs: dict[str, object] = {
            "mark": rng.choice((v.mark, str(v.mark), f"#{v.mark}", float(v.mark))),
            "description": v.description,
            "category": spelled(rng, v.category),
            "severity": rng.choice((v.severity, str(v.severity), *SEVERITY_WORDS[v.severity])),
            "confidence": rng.choice(
                (v.confidence, str(v.confidence), f"{v.confidence * 100:.0f}%")
            ),
        }
        strange = rng.random() < 0.3
        named = {rng.choice(KEYS[k]) if strange else k: value for k, value in pairs.items()}
        if rng.random() < 0.5:
            named["make"] = f"a {rng.choice(WORDS)} {rng.randrange(10**6):06d}y"
        entries.append(named)
    content: object = {"regions": entries}
    shape = rng.random()
    if shape < 0.15:
        content = entries
    elif shape < 0.25:
        content = {"result": {"answers": entries}, "note": "done"}
    text = json.dumps(content, indent=rng.choice((None, None, 2)), ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.15:
        text = text.replace('"', "'")
    if rng.random() < 0.1:
        text = text.replace("}", ",}")
    wraps: tuple[Callable[[str], str], ...] = (
        lambda t: t,
        lambda t: f"```json\n{t}\n```",
        lambda t: f"Here's what I see:\n{t}\nLet me know {{if}} you need more.",
        lambda t: f"<think>\nmark 1 may be a {rng.choice(CATEGORIES)}\n</think>\n{t}",
        lambda t: f"\ufeff {t}\n\n# end",
    )
    return rng.choice(wraps)(text)


def mutate(rng: random.Random, text: str, other: str) -> str:
    """One change, small or large."""
    if not text:
        return other
    at = rng.randrange(len(text))
    to = min(len(text), at + rng.randint(1, 40))
    junk = rng.choice(
        ['"', "'", "{", "}", "[", "]", ",", ":", "\\", "\n", "\x00", "\u202e", "😀", "NaN", "null",
         "-1", "99", '"no_defect"', '{"mark": 1, "category": "no_defect"}', "//", "```", "1e999",
         "not ", "_", "\\u0000", "\\ud800", "“", "</think>", "<think>"]
    )  # fmt: skip
    changes: tuple[Callable[[], str], ...] = (
        lambda: text[:at],
        lambda: text[:at] + text[to:],
        lambda: text[:at] + text[at : at + 1] + text[at:],
        lambda: text[:at] + junk + text[at:],
        lambda: text[:at] + junk + text[at + 1 :],
        lambda: text[:at] + text[at:to] * 2 + text[to:],
        lambda: text[:at] + other[rng.randrange(len(other) + 1) :],
        lambda: text + other,
        lambda: re.sub(r"\d+(\.\d+)?", lambda m: junk if rng.random() < 0.2 else m[0], text),
        lambda: re.sub(r"[\"']", lambda m: "" if rng.random() < 0.1 else m[0], text),
        lambda: "[" * rng.randint(1, 5000) + text,
        lambda: text.replace("{", '{"a":{', 1),
        lambda: re.sub(r"\w+_\w+", lambda m: rng.choice(CATEGORIES), text, count=1),
        lambda: "".join(
            chr(ord(c) ^ 1) if rng.random() < 0.01 and c != "\x01" else c for c in text
        ),
    )
    return rng.choice(changes)()


def held(text: str, verdict: RegionReply, marks: Sequence[int]) -> bool:
    """The text holds this verdict, all of it between the same braces.

    Of a single mark the number may be missing: it is clear which one is meant.
    """
    flat = one_space(text)
    words = one_space(verdict.description)
    ends = [m.end() for m in re.finditer(re.escape(words.rstrip("…")), flat)]
    number = None if len(marks) == 1 else verdict.mark
    return any(_chunk_holds(flat, end - len(words), end, verdict, number) for end in ends)


def beside(text: str, verdict: RegionReply, make: str) -> bool:
    """The instruction's words stand between the same braces as the verdict's."""
    flat, words = one_space(text), one_space(verdict.description).rstrip("…")
    said = one_space(make).rstrip("…")
    places = [(m.start(), m.end()) for m in re.finditer(re.escape(words), flat)]
    return any(
        said in flat[left:right]
        for start, end in places
        for left in _before(flat, start)
        for right in _after(flat, end)
    )


def one_space(text: str) -> str:
    for escape, char in (('\\"', '"'), ("\\'", "'"), ("\\\\", "\\"), ("\\/", "/")):
        text = text.replace(escape, char)
    text = re.sub(r"\\[nrtbf]", " ", text)
    text = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m[1], 16)), text)
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def _chunk_holds(flat: str, start: int, end: int, verdict: RegionReply, number: int | None) -> bool:
    """Between the braces around the words (with the key before them)."""
    return any(_holds(flat[max(0, left - 12) : right], verdict, number)
               for left in _before(flat, start) for right in _after(flat, end))  # fmt: skip


def _before(flat: str, start: int) -> list[int]:
    """The last opening brace before the words, and the one before it: a brace may be a letter."""
    last = flat.rfind("{", 0, start)
    second = flat.rfind("{", 0, max(last, 0))
    both = second >= 0 and "}" not in flat[second:last]
    return [max(last, 0), second] if both else [max(last, 0)]


def _after(flat: str, end: int) -> list[int]:
    first = flat.find("}", end)
    if first < 0:
        return [len(flat)]
    second = flat.find("}", first + 1)
    return [first, second] if second >= 0 and "{" not in flat[first:second] else [first]


def _holds(chunk: str, verdict: RegionReply, number: int | None) -> bool:
    numbers = {float(n) for n in re.findall(r"\d+(?:\.\d+)?|\.\d+", chunk) if len(n) < 40}
    words = re.findall(r"[a-z]+", chunk.lower().replace("'", ""))
    named = any(word in words for word in SEVERITY_WORDS[verdict.severity])
    scaled = [n * scale for n in numbers for scale in (1, 0.01)]
    confidence = any(abs(verdict.confidence - n) < 1e-9 for n in scaled)
    scientific = re.search(r"\d[eE]-?\d", chunk) is not None
    return (
        (number is None or number in numbers)
        and (named or verdict.severity in numbers)
        and (confidence or scientific)
        and _names(chunk, verdict.category)
    )


def _names(chunk: str, category: str) -> bool:
    folded = re.sub(r"[^a-z0-9]+", "", chunk.lower())
    known = taxonomy().get(category)
    forms = [category, *([known.phrase] if known else [])]
    forms += FINE if category == NO_DEFECT else ()
    forms += ("unsure", "unclear", "uncertain", "cannot tell") if category == UNKNOWN else ()
    squeezed = [re.sub(r"[^a-z0-9]+", "", form) for form in forms]
    if any(form in folded for form in squeezed):
        return True
    return any(_nearly(form, folded) for form in squeezed[: 2 if known else 1])


def _nearly(form: str, folded: str) -> bool:
    """The form with one slip of a letter."""
    starts = range(max(1, len(folded) - len(form) + 1))
    pieces = (folded[i : i + len(form)] for i in starts)
    return any(SequenceMatcher(None, form, piece).ratio() > 0.85 for piece in pieces)


@dataclass(slots=True)
class Figures:
    replies: int = 0
    exceptions: int = 0
    verdicts: int = 0
    instructions: int = 0
    invented: int = 0
    understood_unmutated: float = 0.0
    regions: int = 0
    unknown: int = 0
    slowest_ms: float = 0.0
    seconds: float = 0.0


def shown(text: str) -> str:
    return re.sub(r"\[{9,}", "[...[", text)[:1500]


def check_parsing(text: str, marks: Sequence[int], figures: Figures, bad: list[str]) -> None:
    began = time.perf_counter()
    try:
        understood = understand(text, marks)
    except Exception as error:
        figures.exceptions += 1
        bad.append(f"{type(error).__name__}: {error}: {shown(text)!r}")
        return
    figures.slowest_ms = max(figures.slowest_ms, 1000 * (time.perf_counter() - began))
    for mark, verdict in understood.verdicts.items():
        figures.verdicts += 1
        if mark not in marks or mark != verdict.mark or not held(text, verdict, marks):
            figures.invented += 1
            bad.append(f"invented {verdict!r} from {shown(text)!r}")
    for mark, make in understood.instructions.items():
        figures.instructions += 1
        verdict = understood.verdicts.get(mark)
        if verdict is None or not beside(text, verdict, make):
            figures.invented += 1
            bad.append(f"invented {make!r} for mark {mark} from {shown(text)!r}")


def run(replies: int, seed: int) -> tuple[Figures, list[str]]:
    rng = random.Random(seed)
    image = np.zeros((40, 40, 3), np.uint8)
    figures, bad, sound = Figures(), list[str](), Counter[bool]()
    began = time.perf_counter()
    while figures.replies < replies:
        count = rng.randint(1, 4)
        marks = list(range(1, count + 1))
        regions = [Region.from_box(Box(8 * m, 4, 8 * m + 6, 20), id=f"r{m}") for m in range(count)]
        texts: list[str] = []
        for _ in range(2):
            verdicts = [sound_verdict(rng, mark) for mark in marks]
            text = written(rng, verdicts)
            sound[understand(text, marks).verdicts == {v.mark: v for v in verdicts}] += 1
            other = written(rng, [sound_verdict(rng, mark) for mark in marks])
            for _ in range(rng.randint(1, 6)):
                text = mutate(rng, text, other)
            texts.append(text)
            figures.replies += 1
            check_parsing(text, marks, figures, bad)
        given = iter(texts)

        def ask(asked: Sequence[Conversation], given: object = given) -> list[Answer]:
            return [Answer(text=next(given)) for _ in asked]  # type: ignore[call-overload]

        try:
            diagnoses = diagnose_by(ask, image, "", regions, VIEW, write_instructions=True)
        except Exception as error:
            figures.exceptions += 1
            bad.append(f"{type(error).__name__}: {error}: {texts!r}")
            continue
        figures.regions += len(diagnoses)
        figures.unknown += sum(d.category == UNKNOWN for d in diagnoses)
        for region, d in zip(regions, diagnoses, strict=True):
            words = [str(e.data["make"]) for e in d.evidence if e.kind == REPAIR_INSTRUCTION]
            words += [] if d.category == UNKNOWN else [d.description]
            known = all(any(w.rstrip("…") in one_space(t) for t in texts) for w in words)
            if d.region_id != region.id or not known:
                figures.invented += 1
                bad.append(f"invented {d!r} from {texts!r}")
    figures.understood_unmutated = sound[True] / sound.total()
    figures.seconds = time.perf_counter() - began
    return figures, bad


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replies", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures, bad = run(args.replies, args.seed)
    for line in bad[:10]:
        print(line, file=sys.stderr)
    if args.json:
        print(json.dumps(asdict(figures)))
    else:
        for name, value in asdict(figures).items():
            print(f"{name:22} {value:.3f}" if isinstance(value, float) else f"{name:22} {value}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
