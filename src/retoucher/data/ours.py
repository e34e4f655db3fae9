"""Our own formats: labels.jsonl (a labelled set), manifest.jsonl (a pool), hand-sign folders."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
from PIL import Image

from retoucher.data.jsonl import (
    Record,
    as_record,
    get_floats,
    get_int,
    get_list,
    get_str,
    read_records,
)
from retoucher.data.sample import (
    PARTS,
    CleanPart,
    LabelledRegion,
    Part,
    Sample,
    picture_size_wh,
)
from retoucher.domain import rle
from retoucher.domain.geometry import Box
from retoucher.errors import InputError, OutputError

CLEAN_KINDS = ("photo", "t2i-mostly-clean")
"""Kinds of pool pictures that may stand in for clean ones."""

_FINGERS = (
    "no finger",
    "one finger",
    "two fingers",
    "three fingers",
    "four fingers",
    "five fingers",
)


def read_labels(folder: Path, pictures: Path | None = None) -> list[Sample]:
    """A labelled set: `labels.jsonl` in `folder`, pictures beside it, loaded when asked.

    Args:
        folder: or the file itself, of any name.
        pictures: folder that the records' `file` names start from; None: where the file lies.

    Raises:
        InputError: a line does not follow the format, with its number.
    """
    path = folder / "labels.jsonl" if folder.is_dir() else folder
    root = pictures or path.parent
    samples = [_sample(record, root, where) for where, record in read_records(path)]
    seen: set[str] = set()
    for sample in samples:
        if sample.id in seen:
            raise InputError(f"{path}: two records have the id {sample.id!r}")
        seen.add(sample.id)
    return samples


def read_pool(folder: Path, kinds: Collection[str] = CLEAN_KINDS) -> list[Sample]:
    """The pictures of a pool whose kind is in `kinds`, with their boxes as clean parts.

    Guessed boxes ("hand?") come as parts with `exact` False. Kind "t2i-mostly-clean" comes with
    `complete` False: its pictures are not checked.

    Raises:
        InputError: a line does not follow the format, with its number.
    """
    path = folder / "manifest.jsonl" if folder.is_dir() else folder
    samples: list[Sample] = []
    for where, record in read_records(path):
        kind = get_str(record, "kind", where)
        if kind not in kinds:
            continue
        width, height = get_int(record, "width", where), get_int(record, "height", where)
        file = get_str(record, "file", where)
        boxes = [as_record(b, where) for b in get_list(record, "boxes", where)]
        parts = [_pool_part(b, height, width, where) for b in boxes]
        samples.append(
            Sample(
                id=Path(file).stem,
                picture=path.parent / file,
                width=width,
                height=height,
                prompt=get_str(record, "caption", where, ""),
                clean_parts=tuple(p for p in parts if p is not None),
                source=get_str(record, "source", where, ""),
                licence=get_str(record, "licence", where, ""),
                complete=kind == "photo",
            )
        )
    return samples


def read_hand_signs(folder: Path) -> list[Sample]:
    """Photographs named DIGIT_*.jpg, each of one hand; 0 to 5 show that many fingers.

    Raises:
        InputError: the folder holds no such file.
    """
    samples: list[Sample] = []
    for path in sorted(folder.glob("*.jpg")):
        found = re.fullmatch(r"(\d)_\w+", path.stem)
        if found is None:
            continue
        digit = int(found[1])
        width, height = picture_size_wh(path)
        shows = f"showing {_FINGERS[digit]}" if digit < len(_FINGERS) else "making a sign"
        samples.append(
            Sample(
                id=path.stem,
                picture=path,
                width=width,
                height=height,
                prompt=f"a photo of a hand {shows}",
                clean_parts=(CleanPart(box=Box(0, 0, width, height), part="hand", exact=False),),
                source="ardamavi/Sign-Language-Digits-Dataset",
                licence="Apache-2.0",
            )
        )
    if not samples:
        raise InputError(f"{folder}: no picture named like 3_17.jpg; give the folder of hand signs")
    return samples


def write_labels(samples: Iterable[Sample], folder: Path) -> Path:
    """Write `labels.jsonl` and, for samples held in memory, their pictures as PNG in images/.

    Pictures that are files already are named by their path, relative to `folder` where they lie in
    it. Masks are kept as COCO RLE. A sample's own saliency map has no place in this format.

    Raises:
        OutputError: a picture lies outside `folder`, or a sample has a saliency map.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(_record(s, folder), ensure_ascii=False) for s in samples]
    path = folder / "labels.jsonl"
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def box_in_picture(
    xyxy: Iterable[float], height: int, width: int, where: str, *, what: str = "box"
) -> Box:
    """A box of whole pixels, clipped to the picture.

    Raises:
        InputError: it is empty or lies outside the picture.
    """
    values = list(xyxy)
    try:
        box = Box.from_xyxy(values).clip(height, width)
    except ValueError as error:
        raise InputError(f"{where}: {what}: {error}") from None
    if box is None:
        raise InputError(f"{where}: {what} {values} lies outside the {width}x{height} picture")
    return box


def _sample(record: Record, folder: Path, where: str) -> Sample:
    width, height = get_int(record, "width", where), get_int(record, "height", where)
    regions = [as_record(r, where) for r in get_list(record, "regions", where)]
    parts = [as_record(p, where) for p in get_list(record, "clean_parts", where)]
    try:
        return Sample(
            id=get_str(record, "id", where),
            picture=folder / get_str(record, "file", where),
            width=width,
            height=height,
            prompt=get_str(record, "prompt", where, ""),
            regions=tuple(region_of(r, height, width, where) for r in regions),
            clean_parts=tuple(clean_part_of(p, height, width, where) for p in parts),
            source=get_str(record, "source", where, ""),
            licence=get_str(record, "licence", where, ""),
            scores={
                name: get_floats([value], f"score {name!r}", where, 1)[0]
                for name, value in as_record(record.get("scores", {}), where).items()
            },
        )
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def region_of(record: Record, height: int, width: int, where: str) -> LabelledRegion:
    """A record of `regions`, in a picture of that size.

    Raises:
        InputError: it does not follow the format. (ValueError: unknown category or severity.)
    """
    xyxy = get_floats(record.get("box"), "a region's box", where, 4)
    box = box_in_picture(xyxy, height, width, where)
    mask = None
    if (encoded := record.get("mask")) is not None:
        try:
            mask = rle.decode(as_record(encoded, where))
        except ValueError as error:
            raise InputError(f"{where}: a region's mask: {error}") from None
    return LabelledRegion(
        box=box,
        category=get_str(record, "category", where),
        severity=get_int(record, "severity", where, 2),
        description=get_str(record, "description", where, ""),
        mask_hw=mask,
    )


def clean_part_of(record: Record, height: int, width: int, where: str) -> CleanPart:
    """A record of `clean_parts`, in a picture of that size.

    Raises:
        InputError: it does not follow the format.
    """
    part = get_str(record, "part", where)
    if part not in PARTS:
        raise InputError(f"{where}: unknown part {part!r}; known: {', '.join(PARTS)}")
    xyxy = get_floats(record.get("box"), "a clean part's box", where, 4)
    return CleanPart(
        box=box_in_picture(xyxy, height, width, where),
        part=part,
        name=get_str(record, "name", where, ""),
    )


def _pool_part(record: Record, height: int, width: int, where: str) -> CleanPart | None:
    """A pool's box; None where less than a pixel of it is left inside the picture."""
    word = get_str(record, "part", where)
    name = word.removesuffix("?")
    xyxy = get_floats(record.get("box"), "a box", where, 4)
    try:
        box = Box.from_xyxy(xyxy).clip(height, width)
    except ValueError:
        box = None
    if box is None:
        return None
    part: Part = name if name in PARTS else "object"
    return CleanPart(box=box, part=part, name=name, exact=not word.endswith("?"))


def _record(sample: Sample, folder: Path) -> dict[str, object]:
    if sample.saliency_hw is not None:
        raise OutputError(f"{sample.id}: a saliency map cannot be written to labels.jsonl")
    record: dict[str, object] = {
        "id": sample.id,
        "file": _stored_file(sample, folder),
        "prompt": sample.prompt,
        "width": sample.width,
        "height": sample.height,
        "source": sample.source,
        "licence": sample.licence,
        "regions": [_region_record(r) for r in sample.regions],
        "clean_parts": [
            {"box": list(p.box.as_xyxy()), "part": p.part, "name": p.name}
            for p in sample.clean_parts
        ],
    }
    if sample.scores:
        record["scores"] = dict(sample.scores)
    return record


def _region_record(region: LabelledRegion) -> dict[str, object]:
    record: dict[str, object] = {
        "box": list(region.box.as_xyxy()),
        "category": region.category,
        "severity": region.severity,
        "description": region.description,
    }
    if region.mask_hw is not None:
        record["mask"] = rle.encode(region.mask_hw)
    return record


def _stored_file(sample: Sample, folder: Path) -> str:
    if isinstance(sample.picture, np.ndarray):
        file = f"images/{sample.id}.png"
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.picture).save(path)
        return file
    try:
        return sample.picture.resolve().relative_to(folder.resolve()).as_posix()
    except ValueError:
        raise OutputError(
            f"{sample.picture} lies outside {folder}; load the picture to have it written there"
        ) from None
