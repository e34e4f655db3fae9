"""EvalMuse-Structure: pictures with boxes and polygons on structural errors, in one JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

from retoucher.data.coco import decode_segmentation
from retoucher.data.jsonl import Record, as_record, get_floats, get_list, get_str, read_json
from retoucher.data.ours import box_in_picture
from retoucher.data.sample import LabelledRegion, Sample, picture_size_wh
from retoucher.domain.taxonomy import UNKNOWN
from retoucher.errors import InputError

_PICTURE_KEYS = ("img_path", "img_name", "image", "image_path", "file_name")
_RECTANGLE, _POLYGON = 1, 2


def read_evalmuse(annotations: Path, pictures: Path | None = None) -> list[Sample]:
    """Samples of the JSON file: a list of records, or an object of records by picture name.

    A record holds `prompt_en`, `mos` (mean opinion, 1 to 5) and `bbox_info`: marks of type 1
    (rectangle: two corners) or 2 (polygon). `bbox_info` may hold one list of marks per annotator;
    all of them are kept, and where they overlap the target's maximum joins them. The data set
    states no category; severity comes from the mean opinion: below 2 glaring, below 3.5 clear.

    Args:
        annotations: the .json file.
        pictures: folder of the pictures; None: the file's own.

    Raises:
        InputError: a record is malformed or its picture is not there, with its number.
    """
    content = read_json(annotations)
    folder = pictures or annotations.parent
    rows: list[tuple[str, object]]
    if isinstance(content, list):
        rows = [("", item) for item in cast("list[object]", content)]
    else:
        rows = list(as_record(content, str(annotations)).items())
    samples: list[Sample] = []
    for index, (name, item) in enumerate(rows):
        where = f"{annotations}, record {index}"
        samples.append(_sample(as_record(item, where), name, folder, where))
    return samples


def _sample(record: Record, name: str, folder: Path, where: str) -> Sample:
    file = next((v for k in _PICTURE_KEYS if isinstance(v := record.get(k), str)), name)
    if not file:
        raise InputError(f"{where}: none of {', '.join(_PICTURE_KEYS)} names the picture")
    path = folder / file
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"{where}: {file!r} points out of {folder}")
    width, height = picture_size_wh(path)
    opinion = record.get("mos", 3.0)
    if isinstance(opinion, bool) or not isinstance(opinion, int | float):
        raise InputError(f"{where}: 'mos' must be a number, got {opinion!r}")
    severity = 3 if opinion < 2 else 2 if opinion < 3.5 else 1
    marks = _marks(get_list(record, "bbox_info", where), where)
    regions = [
        _region(mark, severity, height, width, f"{where}, mark {i}") for i, mark in enumerate(marks)
    ]
    return Sample(
        id=Path(file).stem,
        picture=path,
        width=width,
        height=height,
        prompt=get_str(record, "prompt_en", where, get_str(record, "prompt", where, "")),
        regions=tuple(regions),
        source="EvalMuse-Structure",
    )


def _marks(items: Sequence[object], where: str) -> list[Record]:
    """The marks of all annotators in one list."""
    marks: list[Record] = []
    for item in items:
        if isinstance(item, list):
            marks.extend(_marks(cast("list[object]", item), where))
        else:
            marks.append(as_record(item, where))
    return marks


def _region(mark: Record, severity: int, height: int, width: int, where: str) -> LabelledRegion:
    kind = mark.get("type", mark.get("bbox_type"))
    points = _points(mark, where)
    words = get_str(mark, "text", where, "")
    if kind == _RECTANGLE:
        xs, ys = points[0::2], points[1::2]
        box = box_in_picture((min(xs), min(ys), max(xs), max(ys)), height, width, where)
        return LabelledRegion(box=box, category=UNKNOWN, severity=severity, description=words)
    if kind == _POLYGON:
        mask = decode_segmentation([points], height, width, where)
        if mask is None:
            raise InputError(f"{where}: the polygon covers no pixel of the picture")
        return LabelledRegion.from_mask(
            mask, category=UNKNOWN, severity=severity, description=words
        )
    raise InputError(f"{where}: type must be 1 (rectangle) or 2 (polygon), got {kind!r}")


def _points(mark: Record, where: str) -> list[float]:
    """Corners as x, y, x, y, ...: from flat numbers, pairs, or top-left and bottom-right."""
    corners = [mark.get("top_left"), mark.get("bottom_right")]
    if corners[0] is not None and corners[1] is not None:
        return [v for c in corners for v in get_floats(c, "a corner", where, 2)]
    value = mark.get("points", mark.get("bbox"))
    if isinstance(value, list):
        items = cast("list[object]", value)
        if items and all(isinstance(p, list) for p in items):
            return [v for p in items for v in get_floats(p, "a point", where, 2)]
        flat = get_floats(items, "'points'", where)
        if len(flat) >= 4 and len(flat) % 2 == 0:
            return flat
    raise InputError(f"{where}: a mark needs 'top_left' and 'bottom_right', or 'points'")
