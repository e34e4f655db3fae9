"""What annotators mark: centre (or extent), category and a short note; kept as lines of JSON.

First of the paper's four stages of annotation (section 4): several people mark each picture.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from retoucher.data.jsonl import (
    Record,
    as_record,
    get_floats,
    get_int,
    get_list,
    get_str,
    read_records,
)
from retoucher.data.ours import box_in_picture
from retoucher.data.sample import BoolArray, LabelledRegion, Sample, picture_size_wh
from retoucher.domain import rle
from retoucher.domain.geometry import Box
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.errors import InputError, OutputError

MAX_NOTE_CHARS = 400
_ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".avif", ".bmp", ".gif")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Mark:
    """One defect as one annotator marked it.

    Attributes:
        centre_xy: in the picture's pixels.
        category: of the taxonomy, or "unknown".
        note: a few words; may be empty.
        severity: 1 subtle, 2 clear, 3 glaring; None: not said.
        box: its extent, inside the picture; None: only the centre was given.
        mask_hw: bool (box.height, box.width), where an area was painted or outlined.

    Raises:
        ValueError: unknown category, severity out of range, or a mask without its box.
    """

    centre_xy: tuple[float, float]
    category: str
    note: str = ""
    severity: int | None = None
    box: Box | None = None
    mask_hw: BoolArray | None = None

    def __post_init__(self) -> None:
        if self.category not in taxonomy() and self.category != UNKNOWN:
            raise ValueError(f"unknown category {self.category!r}; known: {', '.join(taxonomy())}")
        if self.severity not in (None, 1, 2, 3):
            raise ValueError(f"severity must be 1, 2 or 3, got {self.severity!r}")
        if self.mask_hw is not None:
            expected = None if self.box is None else (self.box.height, self.box.width)
            if self.mask_hw.shape != expected or not self.mask_hw.any():
                raise ValueError(f"a mask must fill its box: {self.mask_hw.shape} for {expected}")

    @classmethod
    def of_box(cls, box: Box, category: str, note: str = "", severity: int | None = None) -> Mark:
        return cls(
            centre_xy=box.centre_xy, category=category, note=note, severity=severity, box=box
        )

    @classmethod
    def from_mask(
        cls, mask_hw: BoolArray, category: str, note: str = "", severity: int | None = None
    ) -> Mark:
        """From a mask of the whole picture, bool (H, W) with at least one pixel set."""
        region = LabelledRegion.from_mask(mask_hw, category=category)
        mark = cls.of_box(region.box, category, note, severity)
        return replace(mark, mask_hw=region.mask_hw)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AnnotatedPicture:
    """A picture with the marks of everybody who looked at it.

    Attributes:
        sample: the picture; regions and parts of it are not used.
        marks: by annotator, sorted by name; no marks: looked at, nothing found.
    """

    sample: Sample
    marks: Mapping[str, tuple[Mark, ...]]


def one_line(text: str) -> str:
    """Words from outside as one printable line of at most `MAX_NOTE_CHARS`."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line[:MAX_NOTE_CHARS]


def read_pictures(folder: Path, prompt_of: Callable[[Path], str] = lambda _: "") -> list[Sample]:
    """The picture files of a folder, in the order of their names, as unlabelled samples.

    Args:
        folder: is searched with its sub-folders.
        prompt_of: tells a picture's prompt.

    Raises:
        InputError: there is none.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _ENDINGS and p.is_file())
    samples: list[Sample] = []
    for path in files:
        width, height = picture_size_wh(path)
        samples.append(
            Sample(
                id=path.relative_to(folder).with_suffix("").as_posix(),
                picture=path,
                width=width,
                height=height,
                prompt=prompt_of(path),
                source=folder.name,
                complete=False,
            )
        )
    if not samples:
        raise InputError(f"{folder}: holds no picture")
    return samples


def write_annotations(pictures: Iterable[AnnotatedPicture], path: Path) -> None:
    """Write a .jsonl file: one picture a line, its file's place relative to the .jsonl's folder.

    Raises:
        OutputError: a picture is not a file, or the place cannot be written.
    """
    write_lines(
        (
            {
                **picture_record(picture.sample, path.parent),
                "marks": {
                    name: [_mark_record(mark) for mark in marks]
                    for name, marks in picture.marks.items()
                },
            }
            for picture in pictures
        ),
        path,
    )


def read_annotations(path: Path) -> list[AnnotatedPicture]:
    """What `write_annotations` wrote.

    Raises:
        InputError: a line does not follow the format, with its number.
    """
    out: list[AnnotatedPicture] = []
    for where, record in read_records(path):
        sample = picture_of(record, path.parent, where)
        if "marks" not in record:
            raise InputError(f"{where}: has no 'marks'; give the file that `annotate import` wrote")
        people = as_record(record["marks"], where)
        marks = {
            name: tuple(
                _mark(as_record(item, where), sample, where)
                for item in get_list(people, name, where)
            )
            for name in sorted(people)
        }
        out.append(AnnotatedPicture(sample=sample, marks=marks))
    return out


def write_lines(records: Iterable[Mapping[str, object]], path: Path) -> None:
    """A file of JSON lines, whole or not at all.

    Raises:
        OutputError: the place cannot be written.
    """
    beside = path.with_name(f".{path.name}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with beside.open("w", encoding="utf-8") as file:
            file.writelines(f"{json.dumps(r, ensure_ascii=False)}\n" for r in records)
        beside.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        beside.unlink(missing_ok=True)


def picture_record(sample: Sample, folder: Path) -> dict[str, object]:
    """What identifies a picture in a line of JSON in `folder`."""
    if not isinstance(sample.picture, Path):
        raise OutputError(f"{sample.id}: is in memory only; write the set to a folder first")
    return {
        "id": sample.id,
        "file": Path(os.path.relpath(sample.picture.resolve(), folder.resolve())).as_posix(),
        "prompt": sample.prompt,
        "width": sample.width,
        "height": sample.height,
        "source": sample.source,
        "licence": sample.licence,
    }


def picture_of(record: Record, folder: Path, where: str) -> Sample:
    """The picture of such a line."""
    try:
        return Sample(
            id=get_str(record, "id", where),
            picture=folder / get_str(record, "file", where),
            width=get_int(record, "width", where),
            height=get_int(record, "height", where),
            prompt=get_str(record, "prompt", where, ""),
            source=get_str(record, "source", where, ""),
            licence=get_str(record, "licence", where, ""),
            complete=False,
        )
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def extent_of(record: Record, sample: Sample, where: str) -> tuple[Box | None, BoolArray | None]:
    """The box and mask of a record, each None where it has none."""
    box = mask = None
    if (value := record.get("box")) is not None:
        xyxy = get_floats(value, "a box", where, 4)
        box = box_in_picture(xyxy, sample.height, sample.width, where)
    if (value := record.get("mask")) is not None:
        try:
            mask = rle.decode(as_record(value, where))
        except ValueError as error:
            raise InputError(f"{where}: a mask: {error}") from None
    return box, mask


def extent_record(box: Box | None, mask_hw: BoolArray | None) -> dict[str, object]:
    """The other way round."""
    record: dict[str, object] = {}
    if box is not None:
        record["box"] = list(box.as_xyxy())
    if mask_hw is not None:
        record["mask"] = rle.encode(mask_hw)
    return record


def _mark_record(mark: Mark) -> dict[str, object]:
    record: dict[str, object] = {
        "centre": [round(v, 2) for v in mark.centre_xy],
        "category": mark.category,
        "note": mark.note,
        **extent_record(mark.box, mark.mask_hw),
    }
    if mark.severity is not None:
        record["severity"] = mark.severity
    return record


def _mark(record: Record, sample: Sample, where: str) -> Mark:
    x, y = get_floats(record.get("centre"), "a mark's centre", where, 2)
    box, mask = extent_of(record, sample, where)
    severity = record.get("severity")
    try:
        return Mark(
            centre_xy=(x, y),
            category=get_str(record, "category", where),
            note=one_line(get_str(record, "note", where, "")),
            severity=None if severity is None else get_int(record, "severity", where),
            box=box,
            mask_hw=mask,
        )
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def by_name(samples: Sequence[Sample]) -> dict[str, Sample]:
    """Samples by id and, where it is one picture's only, by the file's name without its ending."""
    found = {sample.id: sample for sample in samples}
    stems: dict[str, Sample | None] = {}
    for sample in samples:
        if isinstance(sample.picture, Path):
            stem = sample.picture.stem
            stems[stem] = None if stem in stems else sample
    return {**{stem: sample for stem, sample in stems.items() if sample}, **found}
