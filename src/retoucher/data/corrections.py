"""What a second look at a labelled set adds to its labels, and takes away, kept apart from the set.

A file of JSON lines, one picture each; every list may be missing:

    {"id": "a1", "regions": [...], "clean_parts": [...], "drop": [[x0, y0, x1, y1], ...]}

`regions` and `clean_parts` are added, in the form of labels.jsonl; `drop` names labels to take away
by their boxes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from retoucher.data.jsonl import as_record, get_floats, get_list, get_str, read_records
from retoucher.data.ours import clean_part_of, region_of
from retoucher.data.sample import Sample
from retoucher.domain.geometry import Box
from retoucher.errors import InputError


def correct_labels(samples: Iterable[Sample], file: Path) -> list[Sample]:
    """The samples with the corrections of a file; those it does not name stay as they are.

    Raises:
        InputError: a line does not follow the format, names no sample or one twice, or drops a box
            that no label has.
    """
    corrected = {s.id: s for s in samples}
    done: set[str] = set()
    for where, record in read_records(file):
        name = get_str(record, "id", where)
        if name not in corrected:
            raise InputError(f"{where}: no picture has the id {name!r}; is this file of that set?")
        if name in done:
            raise InputError(f"{where}: {name!r} stands here a second time")
        done.add(name)
        sample = corrected[name]
        for value in get_list(record, "drop", where):
            sample = _without(sample, get_floats(value, "a dropped box", where, 4), where)
        size = sample.height, sample.width
        regions = [as_record(r, where) for r in get_list(record, "regions", where)]
        parts = [as_record(p, where) for p in get_list(record, "clean_parts", where)]
        try:
            corrected[name] = replace(
                sample,
                regions=(*sample.regions, *(region_of(r, *size, where) for r in regions)),
                clean_parts=(*sample.clean_parts, *(clean_part_of(p, *size, where) for p in parts)),
            )
        except ValueError as error:
            raise InputError(f"{where}: {error}") from None
    return list(corrected.values())


def _without(sample: Sample, xyxy: list[float], where: str) -> Sample:
    try:
        box = Box.from_xyxy(xyxy)
    except ValueError as error:
        raise InputError(f"{where}: a dropped box: {error}") from None
    regions = tuple(r for r in sample.regions if r.box != box)
    parts = tuple(p for p in sample.clean_parts if p.box != box)
    if len(regions) + len(parts) == len(sample.regions) + len(sample.clean_parts):
        raise InputError(f"{where}: {sample.id} has no label with the box {list(box.as_xyxy())}")
    return replace(sample, regions=regions, clean_parts=parts)
