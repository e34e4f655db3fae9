"""Conversations in a folder: images/*.png, sft.jsonl, grpo.jsonl, statistics.json.

Format, with a row of each kind: docs/reasoning-training.md.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from PIL import Image

import retoucher
from retoucher.data.folders import new_folder
from retoucher.data.sample import Sample
from retoucher.domain.diagnosis import Json
from retoucher.domain.taxonomy import NO_DEFECT, taxonomy
from retoucher.errors import InputError
from retoucher.reasoning.views import ViewSettings
from retoucher.train.balance import drawn, quotas, repeats
from retoucher.train.conversations import (
    ConversationSettings,
    Kind,
    Place,
    Row,
    completion_record,
    places_of,
    prompt_record,
    rows_of,
    shares,
    truth_record,
)
from retoucher.train.split import held_out

Record = dict[str, Json]
FORMAT_VERSION = 1
_AGENTS = ("transformers", "openai")
"""Reasoners that can serve a model of one's own."""


@dataclass(slots=True, eq=False)
class _Part:
    """The training or the validation part.

    Attributes:
        suffix: of its files' names.
        taken: how often each place is shown, by its key.
        first: number of a place's first showing; 0 shows the mark as it was drawn.
    """

    suffix: str
    places: list[Place]
    taken: dict[str, int]
    first: int


def write_conversations(
    sets: Mapping[str, Sequence[Sample]],
    out: Path,
    settings: ConversationSettings,
    kinds: Sequence[Kind] = ("sft", "grpo"),
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the conversations of some labelled sets; the same bytes for the same input.

    Args:
        sets: labelled pictures by the set's name, which row ids begin with.
        out: is made; must be empty or not there. Appears whole or not at all.
        settings: see `ConversationSettings`.
        kinds: which files are written.
        progress: is told the number of pictures done, and of all.

    Returns:
        The path of `statistics.json`.

    Raises:
        InputError: nothing can be asked about, or a picture cannot be read.
        OutputError: it cannot be written there.
    """
    parts, left_out = _parts(sets, settings, answered="sft" in kinds)
    jobs = [(part, sample, places) for part in parts for sample, places in _by_picture(part)]
    with new_folder(out) as folder:
        (folder / "images").mkdir()
        rows: dict[str, list[tuple[str, Record, Record]]] = {part.suffix: [] for part in parts}
        sizes: set[tuple[tuple[int, int], ...]] = set()
        for done, (part, sample, places) in enumerate(jobs, 1):
            for row in rows_of(sample, places, settings):
                number = sum(map(len, rows.values()))
                rows[part.suffix].append(_records(row, number, folder, settings))
                sizes.add(tuple(picture.shape[:2] for picture in row.pictures))
            progress(done, len(jobs))
        assert len(sizes) == 1, f"pictures of different sizes: {sizes}"
        for part in parts:
            _write_rows(rows[part.suffix], part, folder, settings, kinds)
        statistics = {
            "format_version": FORMAT_VERSION,
            "software": f"retoucher {retoucher.__version__}",
            "pictures_of_a_row_hw": [list(size) for size in sizes.pop()],
            "settings": asdict(settings),
            "datasets": {name: len(samples) for name, samples in sets.items()},
            "left_out": dict(sorted(left_out.items())),
            **{part.suffix.strip("_") or "train": _statistics(part) for part in parts},
        }
        text = json.dumps(statistics, ensure_ascii=False, indent=2)
        (folder / "statistics.json").write_text(text + "\n", "utf-8")
        (folder / "reasoner.toml").write_text(_reasoner_toml(settings.view), "utf-8")
    return out / "statistics.json"


def _parts(
    sets: Mapping[str, Sequence[Sample]], settings: ConversationSettings, *, answered: bool
) -> tuple[list[_Part], Counter[str]]:
    """Training part, balanced, and validation part, where there is one."""
    train: list[Place] = []
    validation: list[Place] = []
    left_out: Counter[str] = Counter()
    for name, samples in sets.items():
        halves = held_out(samples, settings.validation_share, settings.balance.seed)
        for places, half in zip((train, validation), halves, strict=True):
            found, missed = places_of(name, half, settings, answered=answered)
            places.extend(found)
            left_out += missed
    if not train:
        reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
        raise InputError(
            f"no labelled region or clean part is left to ask about ({reasons or 'none is there'})"
        )
    names: dict[str, list[str]] = defaultdict(list)
    for place in train:
        names[place.category].append(place.key)
    seed = settings.balance.seed
    taken: dict[str, int] = {}
    for category, rows in quotas({c: len(k) for c, k in names.items()}, settings.balance).items():
        taken |= repeats(names[category], rows, seed) if rows else {}
    parts = [_Part("", train, taken, 1)]
    if validation:
        parts.append(_Part("_validation", validation, {p.key: 1 for p in validation}, 0))
    return parts, left_out


def _by_picture(part: _Part) -> list[tuple[Sample, list[tuple[Place, int]]]]:
    """The places that are shown, with the number of each showing, by picture."""
    found: dict[int, tuple[Sample, list[tuple[Place, int]]]] = {}
    for place in part.places:
        _, shown = found.setdefault(id(place.sample), (place.sample, []))
        shown += [(place, part.first + i) for i in range(part.taken.get(place.key, 0))]
    return [(sample, shown) for sample, shown in found.values() if shown]


def _records(
    row: Row, number: int, folder: Path, settings: ConversationSettings
) -> tuple[str, Record, Record]:
    """Id, row with the truth and row with the answer; the pictures are written."""
    images: list[Json] = []
    for index, picture in enumerate(row.pictures):
        name = f"images/{number:06d}-{index}.png"
        # As lossless as any other level, and by far the fastest.
        Image.fromarray(picture).save(folder / name, compress_level=1)
        images.append(name)
    key = row.place.key if row.repeat < 2 else f"{row.place.key}/{row.repeat}"
    asked: Record = {"id": key, "images": images, "prompt": [*prompt_record(row.conversation)]}
    truth = {**asked, **truth_record(row.place)}
    return key, truth, {**asked, "completion": [*completion_record(row.place, settings)]}


def _write_rows(
    rows: Sequence[tuple[str, Record, Record]],
    part: _Part,
    folder: Path,
    settings: ConversationSettings,
    kinds: Sequence[Kind],
) -> None:
    """One file per kind, in an order that mixes pictures and categories."""
    mixed = sorted(rows, key=lambda row: drawn(settings.balance.seed, row[0]))
    for kind in kinds:
        records = [answered if kind == "sft" else truth for _, truth, answered in mixed]
        with (folder / f"{kind}{part.suffix}.jsonl").open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(r, ensure_ascii=False)}\n" for r in records)


def _statistics(part: _Part) -> Record:
    available = Counter(place.category for place in part.places)
    shown = [place for place in part.places if part.taken.get(place.key)]
    distinct = Counter(place.category for place in shown)
    rows: Counter[str] = Counter()
    for place in shown:
        rows[place.category] += part.taken[place.key]
    names = [name for name in (*taxonomy(), NO_DEFECT) if available[name]]
    share = shares(rows)
    lengths = [len(place.description.split()) for place in shown if place.description]
    return {
        "pictures": len({id(place.sample) for place in shown}),
        "rows": rows.total(),
        "words_of_a_description": round(fmean(lengths), 1) if lengths else None,
        "by_category": {
            name: {
                "places": available[name],
                "shown": distinct[name],
                "rows": rows[name],
                "share": share.get(name, 0.0),
            }
            for name in names
        },
    }


def _reasoner_toml(view: ViewSettings) -> str:
    """Settings with which a model trained on the folder is asked as it was trained."""
    lines = ["# A model trained on this folder must be asked with these settings."]
    for agent in _AGENTS:
        lines += ["", f"[options.reasoner.{agent}.view]"]
        lines += [f"{name} = {json.dumps(value)}" for name, value in asdict(view).items()]
    return "\n".join(lines) + "\n"
