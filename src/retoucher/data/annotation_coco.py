"""Annotators' marks as COCO: a keypoint for the centre, box or mask for the extent, and under
"attributes" the note, the severity and who marked it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from retoucher.data.annotation import AnnotatedPicture, Mark, by_name, one_line
from retoucher.data.coco import annotation_row, category_names, decode_segmentation, file_name
from retoucher.data.folders import new_folder
from retoucher.data.jsonl import (
    Record,
    as_record,
    get_floats,
    get_int,
    get_list,
    get_str,
    read_json,
)
from retoucher.data.ours import box_in_picture
from retoucher.data.sample import Sample
from retoucher.domain import rle
from retoucher.domain.geometry import Box
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.errors import InputError


def write_coco_marks(pictures: Sequence[AnnotatedPicture], out: Path) -> Path:
    """Write `annotations.json` to a folder, whole or not at all.

    A mark of which only the centre is known has a box of one pixel and "centre_only": true.

    Raises:
        OutputError: something is there already, or it cannot be written.
    """
    ids = {name: i for i, name in enumerate((*taxonomy(), UNKNOWN), 1)}
    images: list[dict[str, object]] = []
    rows: list[dict[str, object]] = []
    with new_folder(out) as folder:
        for number, picture in enumerate(pictures, 1):
            sample = picture.sample
            images.append(
                {
                    "id": number,
                    "file_name": file_name(sample, folder),
                    "width": sample.width,
                    "height": sample.height,
                    "caption": sample.prompt,
                    "name": sample.id,
                    "annotators": list(picture.marks),
                }
            )
            for person, marks in picture.marks.items():
                for mark in marks:
                    row = _row(mark, sample, person)
                    number_of_row, category = len(rows) + 1, ids[mark.category]
                    shared = annotation_row(number_of_row, number, category, _box_of(mark, sample))
                    rows.append({**shared, **row})
        content = {
            "images": images,
            "annotations": rows,
            "categories": [
                {"id": i, "name": name, "keypoints": ["centre"], "skeleton": []}
                for name, i in ids.items()
            ],
        }
        text = json.dumps(content, ensure_ascii=False)
        (folder / "annotations.json").write_text(text, "utf-8")
    return out / "annotations.json"


def read_coco_marks(
    path: Path, samples: Sequence[Sample], categories: Mapping[str, str] | None = None
) -> list[AnnotatedPicture]:
    """The marks in a COCO file, by annotator.

    Who marked something stands in its "attributes", else the file's name is the annotator's. An
    image without annotations was looked at by those that it names as "annotators", else by
    everybody whom the file knows.

    Args:
        path: the file; one for all annotators, or one of several.
        samples: the pictures, found by their id or their file's name.
        categories: the file's category names to ours, where they differ.

    Raises:
        InputError: the file or a record is malformed, or a picture is not among the samples.
    """
    where = str(path)
    content = as_record(read_json(path), where)
    names = category_names(content, where)
    known = by_name(samples)
    images: dict[int, tuple[Sample, list[str] | None]] = {}
    for item in get_list(content, "images", where):
        image = as_record(item, where)
        here = f"{where}, image {image.get('id')}"
        people = image.get("annotators")
        named = list(map(str, get_list(image, "annotators", here))) if people is not None else None
        images[get_int(image, "id", here)] = _picture(image, known, here), named
    marks: dict[int, dict[str, list[Mark]]] = {key: {} for key in images}
    everybody: set[str] = set()
    for item in get_list(content, "annotations", where):
        record = as_record(item, where)
        here = f"{where}, annotation {record.get('id')}"
        key = get_int(record, "image_id", here)
        if key not in images:
            raise InputError(f"{here}: names image {key}, which is not there")
        attributes = as_record(record.get("attributes", {}), here)
        person = str(attributes.get("annotator") or path.stem)
        everybody.add(person)
        mark = _mark(record, attributes, names, categories or {}, images[key][0], here)
        marks[key].setdefault(person, []).append(mark)
    out: list[AnnotatedPicture] = []
    for key, (sample, named) in images.items():
        looked = named if named is not None else sorted(everybody or {path.stem})
        own = {**{person: [] for person in looked}, **marks[key]}
        people = {person: tuple(own[person]) for person in sorted(own)}
        out.append(AnnotatedPicture(sample=sample, marks=people))
    return out


def merged(parts: Sequence[Sequence[AnnotatedPicture]]) -> list[AnnotatedPicture]:
    """The same pictures out of several files, with everybody's marks.

    Raises:
        InputError: two files hold marks of one annotator on one picture.
    """
    samples: dict[str, Sample] = {}
    marks: dict[str, dict[str, tuple[Mark, ...]]] = {}
    for picture in (p for part in parts for p in part):
        key = picture.sample.id
        samples.setdefault(key, picture.sample)
        own = marks.setdefault(key, {})
        if twice := own.keys() & picture.marks.keys():
            raise InputError(f"{key}: annotator {min(twice)!r} comes from two files")
        own.update(picture.marks)
    return [
        AnnotatedPicture(sample=sample, marks=dict(sorted(marks[key].items())))
        for key, sample in samples.items()
    ]


def _box_of(mark: Mark, sample: Sample) -> Box:
    if mark.box is not None:
        return mark.box
    x = min(int(mark.centre_xy[0]), sample.width - 1)
    y = min(int(mark.centre_xy[1]), sample.height - 1)
    return Box(x, y, x + 1, y + 1)


def _row(mark: Mark, sample: Sample, person: str) -> dict[str, object]:
    """What an annotation has besides ids and box."""
    x, y = (round(v, 2) for v in mark.centre_xy)
    attributes: dict[str, object] = {"annotator": person, "note": mark.note}
    if mark.severity is not None:
        attributes["severity"] = mark.severity
    if mark.box is None:
        attributes["centre_only"] = True
    row: dict[str, object] = {
        "keypoints": [x, y, 2],
        "num_keypoints": 1,
        "attributes": attributes,
    }
    if mark.mask_hw is not None and mark.box is not None:
        full = np.zeros((sample.height, sample.width), bool)
        full[mark.box.slices] = mark.mask_hw
        row |= {"segmentation": rle.encode(full), "area": int(mark.mask_hw.sum())}
    return row


def _picture(image: Record, known: Mapping[str, Sample], where: str) -> Sample:
    name = get_str(image, "name", where, "")
    file = get_str(image, "file_name", where)
    for candidate in (name, file.rsplit(".", 1)[0], Path(file).stem):
        if candidate in known:
            return known[candidate]
    raise InputError(f"{where}: its picture {file!r} is not in the data set given")


def _mark(
    record: Record,
    attributes: Record,
    names: Mapping[int, str],
    categories: Mapping[str, str],
    sample: Sample,
    where: str,
) -> Mark:
    number = get_int(record, "category_id", where)
    name = names.get(number, "")
    category = categories.get(name, name)
    if category not in taxonomy() and category != UNKNOWN:
        raise InputError(f"{where}: category {name or number!r} is not in the taxonomy")
    note = one_line(get_str(attributes, "note", where, ""))
    severity = None
    if attributes.get("severity") is not None:
        severity = get_int(attributes, "severity", where)
    points = get_floats(record.get("keypoints", []), "'keypoints'", where)
    centre = (points[0], points[1]) if len(points) >= 3 and points[2] > 0 else None
    try:
        if segmentation := record.get("segmentation"):
            mask = decode_segmentation(segmentation, sample.height, sample.width, where)
            if mask is not None:
                return Mark.from_mask(mask, category, note, severity)
        if centre is not None and (attributes.get("centre_only") or "bbox" not in record):
            return Mark(centre_xy=centre, category=category, note=note, severity=severity)
        x, y, w, h = get_floats(record.get("bbox"), "'bbox'", where, 4)
        box = box_in_picture((x, y, x + w, y + h), sample.height, sample.width, where)
        return Mark.of_box(box, category, note, severity)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
