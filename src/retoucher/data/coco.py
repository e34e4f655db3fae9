"""COCO: instances with boxes, polygons or run-length masks, read and written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

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
from retoucher.data.sample import PARTS, BoolArray, CleanPart, LabelledRegion, Part, Sample
from retoucher.domain import rle
from retoucher.domain.geometry import Box
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.errors import InputError


def read_coco(
    annotations: Path, pictures: Path | None = None, categories: Mapping[str, str] | None = None
) -> list[Sample]:
    """Samples of a COCO instances file, in the order of its images.

    An annotation becomes a region where its category's name is in the taxonomy (after
    `categories`), and a clean part where it is not: an object of the picture that is as it should
    be. Crowd annotations mark no single thing and are left out.

    Args:
        annotations: the .json file.
        pictures: folder of the pictures; None: the file's own.
        categories: COCO category name to a category of the taxonomy, "unknown", or a kind of part.

    Raises:
        InputError: the file or one of its records is malformed, with the annotation's id.
    """
    content = as_record(read_json(annotations), str(annotations))
    folder = pictures or annotations.parent
    names = category_names(content, str(annotations))
    by_image: dict[int, list[Record]] = {}
    for item in get_list(content, "annotations", str(annotations)):
        record = as_record(item, str(annotations))
        where = f"{annotations}, annotation {record.get('id')}"
        if record.get("iscrowd", 0) != 1:
            by_image.setdefault(get_int(record, "image_id", where), []).append(record)
    samples: list[Sample] = []
    for item in get_list(content, "images", str(annotations)):
        image = as_record(item, str(annotations))
        where = f"{annotations}, image {image.get('id')}"
        key = get_int(image, "id", where)
        own = by_image.pop(key, [])
        samples.append(_sample(image, own, folder, names, categories or {}, where))
    if by_image:
        raise InputError(
            f"{annotations}: annotations name image {min(by_image)}, which is not there"
        )
    return samples


def write_coco(samples: Iterable[Sample], folder: Path) -> Path:
    """Write `annotations.json`, and pictures held in memory as PNG in images/.

    Regions keep their masks as compressed RLE, and severity and description under "attributes".
    Clean parts are annotations, too, in categories named as the part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [*taxonomy(), UNKNOWN, *PARTS]
    ids = {name: i for i, name in enumerate(names, 1)}
    images: list[dict[str, object]] = []
    rows: list[dict[str, object]] = []
    for number, sample in enumerate(samples, 1):
        images.append(
            {
                "id": number,
                "file_name": file_name(sample, folder),
                "width": sample.width,
                "height": sample.height,
                "caption": sample.prompt,
                "source": sample.source,
                "licence": sample.licence,
                "name": sample.id,
            }
        )
        for region in sample.regions:
            row = annotation_row(len(rows) + 1, number, ids[region.category], region.box)
            row["attributes"] = {"severity": region.severity, "description": region.description}
            if region.mask_hw is not None:
                full = np.zeros((sample.height, sample.width), bool)
                full[region.box.slices] = region.mask_hw
                row["segmentation"], row["area"] = rle.encode(full), int(region.mask_hw.sum())
            rows.append(row)
        for part in sample.clean_parts:
            row = annotation_row(len(rows) + 1, number, ids[part.part], part.box)
            row["attributes"] = {"name": part.name}
            rows.append(row)
    content = {
        "images": images,
        "annotations": rows,
        "categories": [{"id": i, "name": name} for name, i in ids.items()],
    }
    path = folder / "annotations.json"
    path.write_text(json.dumps(content, ensure_ascii=False), "utf-8")
    return path


def decode_segmentation(value: object, height: int, width: int, where: str) -> BoolArray | None:
    """A COCO segmentation as bool (height, width); None for an empty one.

    Args:
        value: polygons [[x, y, x, y, ...], ...], or RLE with counts as text or as a list.
        height: of the picture.
        width: of the picture.
        where: for error messages.

    Raises:
        InputError: it is neither, or of another size.
    """
    if isinstance(value, Mapping):
        try:
            mask = rle.decode(cast("Mapping[str, object]", value))
        except ValueError as error:
            raise InputError(f"{where}: {error}") from None
        if mask.shape != (height, width):
            raise InputError(f"{where}: RLE of {mask.shape[::-1]} in a {width}x{height} picture")
        return mask if bool(mask.any()) else None
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise InputError(f"{where}: a segmentation is a list of polygons or an RLE")
    out = np.zeros((height, width), bool)
    for ring in cast("Sequence[object]", value):
        flat = get_floats(ring, "a polygon", where)
        if len(flat) < 6 or len(flat) % 2:
            raise InputError(f"{where}: a polygon needs at least three x, y pairs")
        _fill(out, np.array(flat).reshape(-1, 2))
    return out if bool(out.any()) else None


def _fill(mask_hw: BoolArray, ring_xy: NDArray[np.float64]) -> None:
    """Set the pixels of which a polygon covers at least half, in place.

    Drawn four times as large, because OpenCV sets every pixel that the outline touches.
    """
    low, high = ring_xy.min(axis=0), ring_xy.max(axis=0)
    covered = Box.from_xyxy((low[0] - 1, low[1] - 1, high[0] + 1, high[1] + 1))
    box = covered.clip(*mask_hw.shape)
    if box is None:
        return
    fine = np.zeros((box.height * 4, box.width * 4), np.uint8)
    # COCO's coordinates name pixel corners, OpenCV's pixel centres: half a (fine) pixel apart.
    points = ((ring_xy - (box.x0, box.y0)) * 4 - 0.5) * 256
    cv2.fillPoly(fine, [np.round(points).astype(np.int32)], 1, cv2.LINE_8, 8)
    share = fine.reshape(box.height, 4, box.width, 4).mean(axis=(1, 3))
    mask_hw[box.slices] |= share >= 0.5


def category_names(content: Record, where: str) -> dict[int, str]:
    """Names of a file's categories by their id."""
    rows = [as_record(c, where) for c in get_list(content, "categories", where)]
    return {get_int(c, "id", where): get_str(c, "name", where) for c in rows}


def _sample(
    image: Record,
    annotations: Sequence[Record],
    folder: Path,
    names: Mapping[int, str],
    categories: Mapping[str, str],
    where: str,
) -> Sample:
    width, height = get_int(image, "width", where), get_int(image, "height", where)
    file = get_str(image, "file_name", where)
    regions: list[LabelledRegion] = []
    parts: list[CleanPart] = []
    for record in annotations:
        here = f"{where}, annotation {record.get('id')}"
        number = get_int(record, "category_id", here)
        if number not in names:
            raise InputError(f"{here}: category {number} is not among the file's categories")
        name = categories.get(names[number], names[number])
        if name in taxonomy() or name == UNKNOWN:
            regions.append(_region(record, name, height, width, here))
        else:
            attributes = as_record(record.get("attributes", {}), here)
            part: Part = name if name in PARTS else "object"
            box = _box(record, height, width, here)
            own = get_str(attributes, "name", here, "" if name in PARTS else name)
            parts.append(CleanPart(box=box, part=part, name=own))
    return Sample(
        id=get_str(image, "name", where, Path(file).stem),
        picture=folder / file,
        width=width,
        height=height,
        prompt=get_str(image, "caption", where, ""),
        regions=tuple(regions),
        clean_parts=tuple(parts),
        source=get_str(image, "source", where, "COCO"),
        licence=get_str(image, "licence", where, ""),
    )


def _box(record: Record, height: int, width: int, where: str) -> Box:
    x, y, w, h = get_floats(record.get("bbox"), "'bbox'", where, 4)
    return box_in_picture((x, y, x + w, y + h), height, width, where)


def _region(record: Record, name: str, height: int, width: int, where: str) -> LabelledRegion:
    attributes = as_record(record.get("attributes", {}), where)
    severity = get_int(attributes, "severity", where, 2)
    words = get_str(attributes, "description", where, "")
    segmentation = record.get("segmentation")
    mask = None
    if segmentation:
        mask = decode_segmentation(segmentation, height, width, where)
    try:
        if mask is not None:
            return LabelledRegion.from_mask(
                mask, category=name, severity=severity, description=words
            )
        box = _box(record, height, width, where)
        return LabelledRegion(box=box, category=name, severity=severity, description=words)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def annotation_row(number: int, image: int, category: int, box: Box) -> dict[str, object]:
    """An annotation of a whole box; ids of itself, its image and its category."""
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [box.x0, box.y0, box.width, box.height],
        "area": box.area_px,
        "iscrowd": 0,
    }


def file_name(sample: Sample, folder: Path) -> str:
    """Where a picture lies; one held in memory is written below `folder` first."""
    if not isinstance(sample.picture, np.ndarray):
        return str(sample.picture.resolve())
    name = f"images/{sample.id}.png"
    (folder / "images").mkdir(exist_ok=True)
    Image.fromarray(sample.picture).save(folder / name)
    return name
