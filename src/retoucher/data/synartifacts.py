"""Folders of pictures with one annotation file each, as SynArtifacts-1K comes.

    FOLDER/images/0001.png              any depth below images/, or beside the annotations
    FOLDER/annotations/0001.json        {"prompt" | "caption", "artifacts": [{...}]}

An artifact has a box or polygons in LabelMe's or COCO's way ("bbox": [x0, y0, x1, y1], or "points":
[[x, y], ...]), and a "label" (or "category") of which the words decide our category.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from retoucher.data.coco import decode_segmentation
from retoucher.data.jsonl import Record, as_record, get_floats, get_list, get_str, read_json
from retoucher.data.ours import box_in_picture
from retoucher.data.sample import LabelledRegion, Sample, picture_size_wh
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.errors import InputError

_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
_LISTS = ("artifacts", "annotations", "shapes", "regions")

_WORDS: tuple[tuple[str, str], ...] = (
    ("finger", "hand_finger_count"),
    ("hand", "hand_shape"),
    ("asymmetr", "face_asymmetry"),
    ("face", "face_feature"),
    ("facial", "face_feature"),
    ("eye", "face_feature"),
    ("duplicat", "object_structure"),
    ("omission", "object_structure"),
    ("missing limb", "limb_count"),
    ("extra limb", "limb_count"),
    ("limb", "limb_shape"),
    ("spell", "text_wrong"),
    ("text", "text_garbled"),
    ("letter", "text_garbled"),
    ("textur", "object_texture"),
    ("colo", "object_texture"),
    ("shadow", "interaction_physics"),
    ("reflect", "interaction_physics"),
    ("float", "interaction_physics"),
    ("fus", "interaction_contact"),
    ("distort", "object_structure"),
    ("structur", "object_structure"),
)


def category_of(label: str) -> str:
    """Our category for a free label: the first word of a fixed list that it contains; else unknown.

    >>> category_of("Distorted hands")
    'hand_shape'
    """
    if label in taxonomy():
        return label
    small = label.lower()
    return next((name for word, name in _WORDS if word in small), UNKNOWN)


def read_synartifacts(folder: Path) -> list[Sample]:
    """Samples of a folder of that layout, ordered by the pictures' names.

    A picture without an annotation file is taken as clean of labels, not as free of defects
    (`complete` False).

    Raises:
        InputError: no picture, an annotation without a picture, or a malformed one.
    """
    pictures = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
    if not pictures:
        raise InputError(f"{folder}: holds no picture")
    by_stem = {p.stem: p for p in pictures}
    records: dict[str, tuple[Path, Record]] = {}
    for path in sorted(folder.rglob("*.json")):
        if path.stem not in by_stem:
            raise InputError(f"{path}: there is no picture named {path.stem}")
        records[path.stem] = path, as_record(read_json(path), str(path))
    samples: list[Sample] = []
    for stem, picture in sorted(by_stem.items()):
        width, height = picture_size_wh(picture)
        path, record = records.get(stem, (picture, {}))
        where = str(path)
        key = next((k for k in _LISTS if k in record), _LISTS[0])
        rows = get_list(record, key, where)
        regions = [
            _region(as_record(r, where), height, width, f"{where}, artifact {i}")
            for i, r in enumerate(rows)
        ]
        samples.append(
            Sample(
                id=stem,
                picture=picture,
                width=width,
                height=height,
                prompt=get_str(record, "prompt", where, get_str(record, "caption", where, "")),
                regions=tuple(regions),
                source="SynArtifacts",
                complete=stem in records,
            )
        )
    return samples


def _region(record: Record, height: int, width: int, where: str) -> LabelledRegion:
    label = get_str(record, "label", where, get_str(record, "category", where, ""))
    words = get_str(record, "description", where, label)
    category = category_of(label)
    points = record.get("points")
    if isinstance(points, list) and len(cast("list[object]", points)) >= 3:
        rows = cast("list[object]", points)
        flat = [v for p in rows for v in get_floats(p, "a point", where, 2)]
        mask = decode_segmentation([flat], height, width, where)
        if mask is None:
            raise InputError(f"{where}: the polygon covers no pixel of the picture")
        return LabelledRegion.from_mask(mask, category=category, description=words)
    if isinstance(points, list) and len(cast("list[object]", points)) == 2:
        corners = [
            v for p in cast("list[object]", points) for v in get_floats(p, "a point", where, 2)
        ]
        xs, ys = corners[0::2], corners[1::2]
        xyxy = [min(xs), min(ys), max(xs), max(ys)]
    else:
        xyxy = get_floats(record.get("bbox", record.get("box")), "'bbox'", where, 4)
    box = box_in_picture(xyxy, height, width, where)
    return LabelledRegion(box=box, category=category, description=words)
