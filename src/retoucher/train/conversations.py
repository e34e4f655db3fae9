"""Labelled sets as conversations for TRL: SFT (prompt and completion) and GRPO (prompt and truth).

Words and pictures are those of the product: `reasoning.conversation.questions` puts each question
with the view settings that the trained model is asked with later, `reasoning.reply.reply_text`
writes the answer. One conversation asks about one region.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

import numpy as np

from retoucher.data.sample import CleanPart, LabelledRegion, RgbArray, Sample
from retoucher.domain.diagnosis import Json
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.errors import ConfigError
from retoucher.reasoning.conversation import Conversation, escaped, questions
from retoucher.reasoning.parsing import clean_words
from retoucher.reasoning.reply import RegionReply, reply_text
from retoucher.reasoning.views import ViewSettings
from retoucher.train.balance import BalanceSettings, drawn

Kind: TypeAlias = Literal["sft", "grpo"]
MARK = 1
"""Number of the mark that every conversation asks about."""

_SPOILED_SHARE = 0.2
"""A clean part that shares so much of the smaller area with a marked defect is not shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationSettings:
    """What is made of a labelled set.

    Attributes:
        view: what each conversation shows; `pictures` must be "crop" or "both". The trained model
            must be asked with the same.
        balance: how many rows of which category the training part gets.
        min_severity: milder regions are left out.
        wordless: regions that nobody described: "skip" leaves them out of conversations with an
            answer, "phrase" answers with the category's phrase.
        jitter: each side of a mark is moved by up to this share of the mark's own length, as
            perception's regions are never so exact as people's; in the training part only.
        confidence: the answer's confidence where nothing is wrong, and at severity 1, 2 and 3: how
            far such labels can be trusted, by judgement. It is not calibrated.
        validation_share: held out by `split.held_out`; neither balanced nor jittered.

    Raises:
        ConfigError: a value is out of range.
    """

    view: ViewSettings = field(default_factory=lambda: ViewSettings(pictures="crop"))
    balance: BalanceSettings = field(default_factory=BalanceSettings)
    min_severity: int = 1
    wordless: Literal["skip", "phrase"] = "skip"
    jitter: float = 0.1
    confidence: tuple[float, float, float, float] = (0.8, 0.6, 0.85, 0.95)
    validation_share: float = 0.1

    def __post_init__(self) -> None:
        if self.view.pictures == "round":
            raise ConfigError('view.pictures must be "crop" or "both" for training')
        if not 1 <= self.min_severity <= 3:
            raise ConfigError(f"min_severity must be 1, 2 or 3, got {self.min_severity}")
        if not 0.0 <= self.jitter <= 0.4:
            raise ConfigError(f"jitter must lie between 0 and 0.4, got {self.jitter}")
        if not all(0.0 <= c <= 1.0 for c in self.confidence):
            raise ConfigError(f"confidence must lie between 0 and 1, got {self.confidence}")
        if not 0.0 <= self.validation_share < 1.0:
            raise ConfigError(f"validation_share must lie in [0, 1), got {self.validation_share}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """A region or clean part to ask about, and what is true of it.

    Attributes:
        key: unique among the sets: set, sample, and the place's number.
        sample: its picture.
        box: in the picture, clipped to it.
        category, severity: "no_defect" and 0 for a clean part.
        description: a person's words; "" where nobody wrote any, and for clean parts.
        words: what an answer says.
    """

    key: str
    sample: Sample
    box: Box
    category: str
    severity: int
    description: str
    words: str


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Row:
    """One conversation with its pictures, each uint8 (h, w, 3), in their order.

    `repeat` is the number of the place's showing; 0: with the mark as it was drawn.
    """

    place: Place
    repeat: int
    conversation: Conversation
    pictures: tuple[RgbArray, ...]


def places_of(
    name: str, samples: Sequence[Sample], settings: ConversationSettings, *, answered: bool
) -> tuple[list[Place], Counter[str]]:
    """The places of a set that can be asked about, and how many were left out for which reason.

    Args:
        name: of the set.
        samples: its pictures.
        settings: see `ConversationSettings`.
        answered: an answer is needed, so that what nobody described may be left out.
    """
    places: list[Place] = []
    left_out: Counter[str] = Counter()
    for sample in samples:
        for number, region in enumerate(sample.regions, 1):
            reason = _unusable(region, settings, answered=answered)
            box = region.box.clip(sample.height, sample.width)
            if reason or box is None:
                left_out[reason or "outside the picture"] += 1
                continue
            words = clean_words(region.description)
            places.append(
                Place(
                    key=f"{name}/{sample.id}/region{number}",
                    sample=sample,
                    box=box,
                    category=region.category,
                    severity=region.severity,
                    description=words,
                    words=words or _sentence(taxonomy()[region.category].phrase),
                )
            )
        for number, part in enumerate(sample.clean_parts, 1):
            box = part.box.clip(sample.height, sample.width)
            if box is None or _spoiled(part, sample.regions):
                left_out["a clean part over a defect"] += 1
                continue
            places.append(
                Place(
                    key=f"{name}/{sample.id}/part{number}",
                    sample=sample,
                    box=box,
                    category=NO_DEFECT,
                    severity=0,
                    description="",
                    words=right_words(part),
                )
            )
    return places, left_out


def right_words(part: CleanPart) -> str:
    """What is said of a part that is as it should be; it names no more than the label does.

    >>> right_words(CleanPart(box=Box(0, 0, 1, 1), part="object", name="wine glass"))
    'This wine glass looks as it should.'
    """
    if not part.exact:
        return "Nothing looks wrong here."
    name = clean_words(part.name) or {"text": "lettering"}.get(part.part, part.part)
    return f"This {name} looks as it should."


def rows_of(
    sample: Sample, places: Sequence[tuple[Place, int]], settings: ConversationSettings
) -> Iterator[Row]:
    """The conversations about places of one picture, which is loaded once.

    Args:
        sample: the picture.
        places: each with the number of its showing; 0 shows the mark as it was drawn, any other
            moves it.
        settings: see `ConversationSettings`.
    """
    image_rgb = sample.load_rgb()
    for place, repeat in places:
        box = place.box if not repeat else _jittered(place, repeat, settings)
        region = Region.from_box(box, id=f"r{MARK}")
        (question,) = questions(image_rgb, sample.prompt, [region], settings.view)
        assert question.marks == (MARK,)
        parts = question.conversation.turns[0].parts
        pictures = tuple(p for p in parts if not isinstance(p, str))
        yield Row(place=place, repeat=repeat, conversation=question.conversation, pictures=pictures)


def prompt_record(conversation: Conversation) -> list[dict[str, Json]]:
    """TRL's messages of a question; its pictures are placeholders, in their order."""
    turns = [("system", (conversation.system,))]
    turns += [(turn.role, turn.parts) for turn in conversation.turns]
    return [
        {
            "role": role,
            "content": [
                {"type": "text", "text": part} if isinstance(part, str) else {"type": "image"}
                for part in parts
            ],
        }
        for role, parts in turns
    ]


def completion_record(place: Place, settings: ConversationSettings) -> list[dict[str, Json]]:
    """TRL's message of the answer: the canonical reply about the mark."""
    reply = RegionReply(
        mark=MARK,
        description=place.words,
        category=place.category,
        severity=cast(Literal[0, 1, 2, 3], place.severity),
        confidence=settings.confidence[place.severity],
    )
    text = escaped(reply_text([reply]))
    return [{"role": "assistant", "content": [{"type": "text", "text": text}]}]


def truth_record(place: Place) -> dict[str, Json]:
    """The truth columns of a prompt without an answer."""
    return {
        "category": place.category,
        "severity": place.severity,
        "description": place.description,
    }


def _unusable(
    region: LabelledRegion, settings: ConversationSettings, *, answered: bool
) -> str | None:
    if region.category == UNKNOWN:
        return "no category"
    if region.severity < settings.min_severity:
        return "too mild"
    if answered and settings.wordless == "skip" and not clean_words(region.description):
        return "no words"
    return None


def _spoiled(part: CleanPart, regions: Sequence[LabelledRegion]) -> bool:
    for region in regions:
        common = part.box.intersection(region.box)
        smaller = min(part.box.area_px, region.box.area_px)
        if common is not None and common.area_px >= _SPOILED_SHARE * smaller:
            return True
    return False


def _sentence(phrase: str) -> str:
    return f"{phrase[0].upper()}{phrase[1:]}."


def _jittered(place: Place, repeat: int, settings: ConversationSettings) -> Box:
    """The mark with its sides moved; never empty, as each moves by less than half its length."""
    rng = np.random.default_rng(drawn(settings.balance.seed, f"{place.key} {repeat}"))
    box, sample = place.box, place.sample
    left, top, right, bottom = rng.uniform(-settings.jitter, settings.jitter, 4).tolist()
    moved = (
        box.x0 + left * box.width,
        box.y0 + top * box.height,
        box.x1 + right * box.width,
        box.y1 + bottom * box.height,
    )
    clipped = Box.from_xyxy(moved).clip(sample.height, sample.width)
    assert clipped is not None
    return clipped


def shares(counts: Mapping[str, int]) -> dict[str, float]:
    """Counts over their sum."""
    total = sum(counts.values())
    return {name: round(count / total, 4) for name, count in counts.items()} if total else {}
