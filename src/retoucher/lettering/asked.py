"""Which words does a prompt ask for? A prompt is data: it is searched, never obeyed."""

from __future__ import annotations

import re
from dataclasses import dataclass

_MAX_PROMPT_CHARS = 20_000
"""Longer prompts are searched only so far."""
_MAX_PHRASE_CHARS = 120
_MAX_PHRASES = 24

_QUOTES = (
    ("“", "”"), ("„", "“"), ("„", "”"), ("”", "”"), ("«", "»"), ("»", "«"), ("‹", "›"),
    ("「", "」"), ("『", "』"), ("〝", "〞"), ('"', '"'), ("``", "''"), ("`", "`"),
)  # fmt: skip
_QUOTED = re.compile(
    "|".join(f"{re.escape(a)}\\s*([^{re.escape(a + b)}\n]+?)\\s*{re.escape(b)}" for a, b in _QUOTES)
)
_SINGLE_QUOTED = re.compile(
    # An opening mark has no letter before it, a closing one none behind it: no apostrophes.
    r"(?<![\w'’])['‘‚]\s*(\S(?:[^'‘’‚\n]|(?<=\w)['’](?=\w))*?)\s*['’‘](?!\w)"
)
_INTRODUCED = re.compile(
    r"""\b(?:
        (?:sign|board|billboard|banner|poster|label|plate|shirt|t-shirt|card|screen|letters|text|logo
           |neon|sticker|tattoo|graffiti|note|headline|caption|title|lettering|cap|hat|mug|book
        )s?\s+(?:that\s+|which\s+)?(?:says?|said|saying|reads?|reading)
        | (?:that|which)\s+(?:says?|reads?)
        | saying | reading | labell?ed(?:\s+(?:as|with))? | titled | entitled | captioned | lettered
        | spelling(?:\s+out)? | spells(?:\s+out)?
        | (?:with|in|has|having|bearing|showing|displaying)\s+the\s+(?:text|words?|letters|lettering
           |title|caption|name|inscription|slogan|headline|phrase)
        | the\s+(?:words?|text|lettering|inscription|phrase|slogan|letters)
        | written\s+on\s+it | (?:text|words?|inscription)\s*:
        | mit\s+der\s+Aufschrift | avec\s+l['’]inscription | que\s+dice | con\s+la\s+scritta
    )\s*[:,]?\s+(?=\S)""",
    re.IGNORECASE | re.VERBOSE,
)
_END = re.compile(
    r"""[,.;:!?()\[\]{}|\n]|\s[-–—]\s
    | \s(?:in|on|at|above|below|under|behind|beside|next|near|over|with|and|by|from
        |of\s+(?:a|an|the)|while|hanging|held|holding|written|painted|standing|against|outside|inside|made|is|are|for
        |across|glowing|lit|drawn|printed)\s""",
    re.IGNORECASE | re.VERBOSE,
)
_CAPITALS = re.compile(r"(?<![\w'’-])[^\W\d_a-z]{2,}(?:[ '’&-]+[^\W\d_a-z]{2,})*(?![\w'’-])")
_STYLE_WORDS = frozenset(
    """
    4K 8K 16K AD AI BBC BC BW BREAK CCTV CD CGI CRT DC DIY DNA DOF DSLR DVD EOS ESRB EU FX
    GPU GTA HD HDR HQ ISO JPEG LA LED LEGO LORA LSD MRI NASA NSFW NY NYC OK OOTD PBR PC
    PNG POV PS RAW RGB RPG RTX SD SDXL SFW SUV TV UHD UI UK UE US USA USB UV UX VFX VHS VR
    WWI WWII XL AND BUT NOT THE WITH FOR OR MASTERPIECE BEST QUALITY ULTRA DETAILED
    """.split()  # noqa: SIM905
)
_LEADING = re.compile(r"^(?:the\s+(?:words?|text|letters|name|phrase)|the\s+following)\s+", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedPhrase:
    """Words that the picture is to show.

    Attributes:
        text: as the prompt spells it, without its quotes.
        explicit: quoted or introduced ("sign that says"); False: only written in capitals.
    """

    text: str
    explicit: bool

    @property
    def words(self) -> tuple[str, ...]:
        return tuple(self.text.split())


def asked_phrases(prompt: str) -> tuple[AskedPhrase, ...]:
    """Phrases that a prompt asks to be written in the picture, in their order, each once.

    Quoted text of any usual kind of quotes; text introduced by words like "sign that says",
    "reading", "titled", "the word"; runs of capitals that are no usual abbreviation.
    """
    text = prompt[:_MAX_PROMPT_CHARS]
    taken: list[tuple[int, int, str, bool]] = []

    def add(start: int, end: int, phrase: str, explicit: bool) -> None:
        phrase = " ".join(phrase.strip(" \t,.;:").split())
        free = all(end <= s or start >= e for s, e, _, _ in taken)
        if free and 0 < len(phrase) <= _MAX_PHRASE_CHARS and any(c.isalnum() for c in phrase):
            taken.append((start, end, phrase, explicit))

    for pattern in (_QUOTED, _SINGLE_QUOTED):
        for match in pattern.finditer(text):
            phrase = next(g for g in match.groups() if g is not None)
            add(match.start(), match.end(), phrase, True)
    for match in _INTRODUCED.finditer(text):
        start, phrase = _introduced(text, match.end())
        if phrase:
            # "Reading" and "saying" alone may speak of people, not of lettering.
            explicit = not match.group().casefold().startswith(("reading", "saying"))
            add(start, start + len(phrase), phrase, explicit)
    for match in _capital_runs(text):
        add(match.start(), match.end(), match.group(), False)
    return _ordered(taken)


def _introduced(text: str, start: int) -> tuple[int, str]:
    """The unquoted phrase at a position: up to a mark or a word that goes on with the scene."""
    lead = _LEADING.match(text[start:])
    start += lead.end() if lead else 0
    rest = text[start : start + _MAX_PHRASE_CHARS]
    if rest[:1] in {pair[0][0] for pair in _QUOTES} | {"'", "‘", "‚"}:
        return start, ""
    end = _END.search(rest)
    phrase = (rest[: end.start()] if end else rest).rstrip()
    words = phrase.split()
    # A long run of small words is description ("reading a book about ...") more than lettering.
    capital = phrase[:1].isupper() or phrase[:1].isdigit()
    if not words or (not capital and (len(words) > 4 or words[0] in _ARTICLES)):
        return start, ""
    return start, phrase


_ARTICLES = frozenset(
    {"a", "an", "the", "his", "her", "their", "its", "my", "your", "that", "this", "to", "of", "is"}
)


def _capital_runs(text: str) -> list[re.Match[str]]:
    """Runs of capitals in a prompt that is not written in capitals throughout."""
    letters = [c for c in text if c.isalpha()]
    if not letters or sum(c.isupper() for c in letters) > 0.6 * len(letters):
        return []
    runs = _CAPITALS.finditer(text)
    return [
        m
        for m in runs
        if len(m.group()) > 2
        and m.group().isupper()
        and any(w not in _STYLE_WORDS for w in re.split(r"[ '’&-]+", m.group()))
    ]


def _ordered(taken: list[tuple[int, int, str, bool]]) -> tuple[AskedPhrase, ...]:
    seen: set[str] = set()
    out: list[AskedPhrase] = []
    for _, _, phrase, explicit in sorted(taken):
        if phrase.casefold() not in seen:
            seen.add(phrase.casefold())
            out.append(AskedPhrase(text=phrase, explicit=explicit))
    return tuple(out[:_MAX_PHRASES])
