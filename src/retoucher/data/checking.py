"""The expert's check: a list of voted regions to confirm or correct, read back as labels.

Last of the paper's four stages of annotation (it reports over 95% agreement).
"""

from __future__ import annotations

import csv
import html
import io
import random
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias, get_args

from PIL import Image

from retoucher.data.annotation import one_line
from retoucher.data.folders import new_folder
from retoucher.data.jsonl import read_text
from retoucher.data.ours import write_labels
from retoucher.data.sample import CleanPart, LabelledRegion, Part, RgbArray, Sample
from retoucher.data.sheets import SheetSettings, contact_sheet
from retoucher.data.voting import VotedPicture, VotedRegion
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.errors import ConfigError, InputError, OutputError

Word: TypeAlias = Literal["ok", "changed", "no_defect"]
WORDS: tuple[Word, ...] = get_args(Word)

_COLUMNS = (
    "picture",
    "region",
    "crop",
    "state",
    "votes",
    "category",
    "severity",
    "description",
    "verdict",
    "new_category",
    "new_severity",
    "new_description",
)
_FORMULA = ("=", "+", "-", "@")
_PARTS: Mapping[str, Part] = {"hand": "hand", "face": "face", "text": "text", "limb": "person"}
_LOOK = SheetSettings(cell_px=320, columns=1, margin=0.6)


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckSettings:
    """What the expert is shown.

    Attributes:
        share: of the regions that the annotators agreed on; ties and minorities are always shown.
        seed: chooses them.
    """

    share: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.share <= 1.0:
            raise ConfigError(f"share must lie between 0 and 1, got {self.share}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """The expert's word on one region; None: as it was."""

    word: Word
    category: str | None = None
    severity: int | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """What became of the regions.

    Attributes:
        regions: all of them.
        checked, confirmed, changed, rejected: looked at; left as they were; corrected; no defect.
        agreed_percent: confirmed over checked, among those that the annotators agreed on; None:
            none was checked.
        undecided: ties and minorities that nobody checked, left out of the labels.
    """

    regions: int
    checked: int
    confirmed: int
    changed: int
    rejected: int
    agreed_percent: float | None
    undecided: int


def write_check_list(pictures: Sequence[VotedPicture], out: Path, settings: CheckSettings) -> int:
    """Write `check.csv` to fill in, `check.html` to look at, and a crop of each region.

    Returns:
        How many regions are listed.

    Raises:
        OutputError: something is there already, or it cannot be written.
        InputError: a picture cannot be read.
    """
    rows: list[dict[str, str]] = []
    with new_folder(out) as folder:
        (folder / "crops").mkdir()
        for picture in pictures:
            listed = [r for r in picture.regions if _is_listed(picture, r, settings)]
            if not listed:
                continue
            loaded = replace(picture.sample, picture=picture.sample.load_rgb())
            for region in listed:
                crop = f"crops/{len(rows):06d}.png"
                Image.fromarray(_crop(loaded, region)).save(folder / crop)
                rows.append(_row(picture, region, crop))
        text = io.StringIO(newline="")
        writer: csv.DictWriter[str] = csv.DictWriter(text, _COLUMNS)
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
        # The mark at the beginning tells spreadsheets that it is UTF-8.
        (folder / "check.csv").write_bytes(text.getvalue().encode("utf-8-sig"))
        (folder / "check.html").write_text(_page(rows), "utf-8")
    return len(rows)


def read_check_list(path: Path) -> dict[tuple[str, str], Checked]:
    """The expert's words, by picture and region; rows without a verdict are left out.

    Raises:
        InputError: a column is missing or a row is malformed, with its number.
    """
    text = read_text(path).removeprefix("\ufeff")
    separator = ";" if text.partition("\n")[0].count(";") >= len(_COLUMNS) - 1 else ","
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    needed = {"picture", "region", "verdict", "new_category", "new_severity", "new_description"}
    if missing := sorted(needed - set(reader.fieldnames or ())):
        raise InputError(f"{path}: the column {missing[0]!r} is missing")
    found: dict[tuple[str, str], Checked] = {}
    for number, row in enumerate(reader, 2):
        cells = {name: _plain(row.get(name) or "") for name in needed}
        checked = _checked(cells, f"{path}, row {number}")
        if checked is None:
            continue
        key = cells["picture"], cells["region"]
        if key in found:
            raise InputError(f"{path}, row {number}: {key[0]} {key[1]} has a verdict already")
        found[key] = checked
    return found


def apply_check(
    pictures: Sequence[VotedPicture], checked: Mapping[tuple[str, str], Checked]
) -> tuple[list[Sample], CheckReport]:
    """Labelled pictures: what annotators agreed on and the expert did not refuse, what the expert
    decided, and as clean parts what the expert called no defect.

    Raises:
        InputError: a verdict is about a region that is not there.
    """
    known = {(p.sample.id, region.id) for p in pictures for region in p.regions}
    if strange := sorted(set(checked) - known):
        raise InputError(
            f"the check list speaks of picture {strange[0][0]}, region {strange[0][1]}, "
            "which is not among the voted ones"
        )
    samples: list[Sample] = []
    words: Counter[str] = Counter()
    agreed: Counter[str] = Counter()
    undecided = 0
    for picture in pictures:
        regions: list[LabelledRegion] = []
        parts: list[CleanPart] = []
        open_before = undecided
        for region in picture.regions:
            said = checked.get((picture.sample.id, region.id))
            if said is None and region.state != "agreed":
                undecided += 1
                continue
            if said is not None:
                words[said.word] += 1
                agreed[said.word] += region.state == "agreed"
            if said is not None and said.word == "no_defect":
                parts.append(_clean(region))
            else:
                regions.append(_labelled(region, said))
        samples.append(
            replace(
                picture.sample,
                regions=tuple(regions),
                clean_parts=tuple(parts),
                complete=undecided == open_before,
            )
        )
    return samples, CheckReport(
        regions=len(known),
        checked=words.total(),
        confirmed=words["ok"],
        changed=words["changed"],
        rejected=words["no_defect"],
        agreed_percent=100 * agreed["ok"] / agreed.total() if agreed.total() else None,
        undecided=undecided,
    )


def write_checked(samples: Sequence[Sample], out: Path) -> Path:
    """A labelled set of our own form with copies of the pictures' files, whole or not at all.

    Raises:
        OutputError: something is there already, or it cannot be written.
    """
    with new_folder(out) as folder:
        (folder / "images").mkdir()
        moved: list[Sample] = []
        for number, sample in enumerate(samples):
            if not isinstance(sample.picture, Path):
                raise OutputError(f"{sample.id}: is in memory only")
            target = folder / "images" / f"{number:06d}{sample.picture.suffix}"
            shutil.copyfile(sample.picture, target)
            moved.append(replace(sample, picture=target))
        write_labels(moved, folder)
    return out / "labels.jsonl"


def _is_listed(picture: VotedPicture, region: VotedRegion, settings: CheckSettings) -> bool:
    if region.state != "agreed":
        return True
    drawn = random.Random(f"{settings.seed} {picture.sample.id} {region.id}").random()
    return drawn < settings.share


def _crop(sample: Sample, region: VotedRegion) -> RgbArray:
    label = LabelledRegion(
        box=region.box,
        category=region.category,
        severity=region.severity,
        description=region.category,
        mask_hw=region.mask_hw,
    )
    return contact_sheet([replace(sample, regions=(label,), clean_parts=())], settings=_LOOK)


def _row(picture: VotedPicture, region: VotedRegion, crop: str) -> dict[str, str]:
    return {
        "picture": picture.sample.id,
        "region": region.id,
        "crop": crop,
        "state": region.state,
        "votes": ", ".join(f"{name} {count}" for name, count in region.votes.items()),
        "category": region.category,
        "severity": str(region.severity),
        "description": region.words,
        **dict.fromkeys(_COLUMNS[-4:], ""),
    }


def _cell(value: str) -> str:
    """Words from outside must not become a formula of the spreadsheet that opens them."""
    return f"'{value}" if value.startswith(_FORMULA) else value


def _plain(cell: str) -> str:
    value = cell.strip()
    return value[1:] if value[:1] == "'" and value[1:].startswith(_FORMULA) else value


def _checked(cells: Mapping[str, str], where: str) -> Checked | None:
    word = cells["verdict"].lower().replace(" ", "_")
    category = cells["new_category"] or None
    severity = cells["new_severity"] or None
    description = one_line(cells["new_description"]) or None
    corrections = [v for v in (category, severity, description) if v is not None]
    if not word:
        if corrections:
            raise InputError(f"{where}: has a correction, but no verdict; write 'changed'")
        return None
    if word not in WORDS:
        raise InputError(f"{where}: the verdict must be one of {', '.join(WORDS)}, got {word!r}")
    if (word == "changed") != bool(corrections):
        raise InputError(f"{where}: 'changed' goes with a new category, severity or description")
    if category is not None and category not in taxonomy() and category != UNKNOWN:
        raise InputError(f"{where}: category {category!r} is not in the taxonomy")
    if severity is not None and severity not in ("1", "2", "3"):
        raise InputError(f"{where}: severity must be 1, 2 or 3, got {severity!r}")
    return Checked(
        word=word,
        category=category,
        severity=None if severity is None else int(severity),
        description=description,
    )


def _labelled(region: VotedRegion, said: Checked | None) -> LabelledRegion:
    said = said or Checked(word="ok")
    return LabelledRegion(
        box=region.box,
        category=said.category or region.category,
        severity=said.severity or region.severity,
        description=said.description or region.words,
        mask_hw=region.mask_hw,
    )


def _clean(region: VotedRegion) -> CleanPart:
    category = taxonomy().get(region.category)
    part = _PARTS.get(category.dimension, "object") if category else "object"
    return CleanPart(box=region.box, part=part, exact=False)


def _page(rows: Sequence[Mapping[str, str]]) -> str:
    """The list with its crops; everything that is not ours is escaped."""
    cards = "".join(
        f'<figure><img src="{row["crop"]}" alt=""><figcaption><b>'
        f"{html.escape(row['picture'])} {html.escape(row['region'])}</b> ({row['state']})<br>"
        f"{html.escape(row['category'])}, severity {row['severity']}<br>"
        f"{html.escape(row['description'])}<br><small>{html.escape(row['votes'])}</small>"
        "</figcaption></figure>"
        for row in rows
    )
    return (
        '<!doctype html><meta charset="utf-8"><title>Regions to check</title><style>'
        "body{font:14px sans-serif;display:flex;flex-wrap:wrap;gap:12px}"
        "figure{margin:0;width:320px}img{width:320px}</style>"
        f"{cards}\n"
    )
