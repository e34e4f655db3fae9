"""The user's own regions instead of perception's: a mask picture, a list of boxes, or COCO.

A file is read and checked once (`load_mask`, `load_regions`), then fitted to each picture.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.domain import rle
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.errors import InputError

BoolArray = NDArray[np.bool_]

WHITE = 128
"""A mask's pixel from this value on is "edit"."""

MAX_PARTS = 1000
"""A mask in more pieces than this is taken for a mistake: a photograph, or noise."""

EXPECTED = (
    'expected a list of {"box_xyxy": [x0, y0, x1, y1]}, the output of `retouch find --json`, '
    "or COCO annotations"
)


class OwnRegions(Protocol):
    """Regions that fit any one picture, or do not."""

    def for_picture(self, file_name: str, height: int, width: int) -> tuple[Region, ...]:
        """In the user's order, named r1, r2, ...

        Raises:
            InputError: they do not fit a picture of this size, or none is for this picture.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MaskRegions:
    """The connected parts of a mask, from top to bottom."""

    path: Path
    mask_hw: BoolArray

    def for_picture(self, file_name: str, height: int, width: int) -> tuple[Region, ...]:
        """See `OwnRegions`."""
        have_h, have_w = self.mask_hw.shape
        if (have_h, have_w) != (height, width):
            raise InputError(
                f"mask {self.path.name} is {have_w}x{have_h}, but the picture is {width}x{height} "
                "(upright); they must be the same size"
            )
        count, labels, bounds, _ = cv2.connectedComponentsWithStats(
            self.mask_hw.astype(np.uint8), connectivity=8
        )
        if count - 1 > MAX_PARTS:
            raise InputError(
                f"mask {self.path.name} is in {count - 1} separate pieces, at most {MAX_PARTS} "
                "make sense; is it really a mask?"
            )
        regions: list[Region] = []
        for i in range(1, count):
            x, y, w, h = (int(v) for v in bounds[i][:4])
            box = Box(x, y, x + w, y + h)
            regions.append(Region(id=f"r{i}", box=box, mask_hw=labels[box.slices] == i, score=1.0))
        return tuple(regions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Spot:
    """One entry of a regions file, not yet fitted to a picture.

    Attributes:
        where: how to call it in a message ("regions.json: entry 2").
        box_xyxy: bounds as given.
        polygons: (N, 2) corner points each, or ().
        run_lengths: COCO RLE of the picture's size, or None.
        image_id: COCO's id of the picture it belongs to, or None.
    """

    where: str
    box_xyxy: tuple[float, float, float, float] | None
    polygons: tuple[tuple[tuple[float, float], ...], ...] = ()
    run_lengths: Mapping[str, object] | None = None
    image_id: object = None

    def fit(self, id: str, height: int, width: int) -> Region:
        """The region in a picture of this size; what reaches beyond its edges is cut off."""
        if self.run_lengths is not None:
            return self._from_run_lengths(id, height, width)
        if self.polygons:
            mask = np.zeros((height, width), np.uint8)
            corners = [np.array(points, np.float64).round() for points in self.polygons]
            cv2.fillPoly(mask, [p.clip(-32000, 32000).astype(np.int32) for p in corners], 1)
            if mask.any():
                return Region.from_mask(mask.astype(bool), id=id, score=1.0)
            raise self._outside("polygon", height, width)
        assert self.box_xyxy is not None
        box = Box.from_xyxy(self.box_xyxy).clip(height, width)
        if box is None:
            raise self._outside(f"box {list(self.box_xyxy)}", height, width)
        return Region.from_box(box, id=id)

    def _from_run_lengths(self, id: str, height: int, width: int) -> Region:
        assert self.run_lengths is not None
        size = self.run_lengths["size"]
        if size != [height, width]:
            raise InputError(
                f"{self.where}: the RLE mask is for a picture of [height, width] = {size}, "
                f"this one is [{height}, {width}]"
            )
        try:
            mask = rle.decode(self.run_lengths)
        except (ValueError, TypeError) as error:
            raise InputError(f"{self.where}: {error}") from error
        if not mask.any():
            raise InputError(f"{self.where}: the RLE mask is empty")
        return Region.from_mask(mask, id=id, score=1.0)

    def _outside(self, what: str, height: int, width: int) -> InputError:
        return InputError(f"{self.where}: {what} lies outside the picture of {width}x{height}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedRegions:
    """Regions from a JSON file.

    Attributes:
        path: of the file.
        spots: in the file's order.
        image_ids: file name to COCO image id, where the file lists its pictures; else empty.
    """

    path: Path
    spots: tuple[Spot, ...]
    image_ids: Mapping[str, object]

    def for_picture(self, file_name: str, height: int, width: int) -> tuple[Region, ...]:
        """See `OwnRegions`."""
        spots = self.spots
        if self.image_ids:
            if file_name not in self.image_ids:
                raise InputError(f"{self.path.name} lists no picture named {file_name}")
            wanted = self.image_ids[file_name]
            spots = tuple(spot for spot in spots if spot.image_id == wanted)
        elif len({str(spot.image_id) for spot in spots}) > 1:
            raise InputError(
                f"{self.path.name} holds annotations of several pictures; it needs the COCO list "
                "'images' with their file names"
            )
        if not spots:
            raise InputError(f"{self.path.name} holds no region for {file_name}")
        return tuple(spot.fit(f"r{i}", height, width) for i, spot in enumerate(spots, 1))


def mask_regions(path: Path, luma_hw: NDArray[np.uint8]) -> MaskRegions:
    """Regions from a mask's grey values: white is "edit", black is "keep".

    Raises:
        InputError: nothing is white.
    """
    mask = luma_hw >= WHITE
    if not mask.any():
        raise InputError(f"mask {path} has no white pixel; white marks what to edit")
    return MaskRegions(path=path, mask_hw=mask)


def load_regions(path: Path) -> ListedRegions:
    """Read a regions file.

    Raises:
        InputError: unreadable, not JSON, or an entry is malformed; the message names the entry.
    """
    try:
        data = cast("object", json.loads(path.read_text("utf-8")))
    except OSError as error:
        raise InputError(f"cannot read regions {path}: {error.strerror}") from error
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not valid JSON: {error}") from error
    image_ids: dict[str, object] = {}
    entries = data
    if isinstance(data, Mapping):
        record = cast("Mapping[str, object]", data)
        entries = record.get("regions", record.get("annotations"))
        image_ids = _image_ids(path, record.get("images", []))
    if not isinstance(entries, list):
        raise InputError(f"{path}: {EXPECTED}")
    spots = [
        _spot(f"{path.name}: entry {i}", entry)
        for i, entry in enumerate(cast("list[object]", entries), 1)
    ]
    if not spots:
        raise InputError(f"{path}: the list of regions is empty")
    return ListedRegions(path=path, spots=tuple(spots), image_ids=image_ids)


def _image_ids(path: Path, images: object) -> dict[str, object]:
    ids: dict[str, object] = {}
    for image in _list_of_records(f"{path.name}: images", images):
        if "id" not in image or not isinstance(image.get("file_name"), str):
            raise InputError(f"{path.name}: every entry of 'images' needs 'id' and 'file_name'")
        ids[Path(cast("str", image["file_name"])).name] = image["id"]
    return ids


def _spot(where: str, entry: object) -> Spot:
    if not isinstance(entry, Mapping):
        raise InputError(f"{where} is no object; {EXPECTED}")
    record = cast("Mapping[str, object]", entry)
    shape = record.get("segmentation", record.get("mask"))
    run_lengths, polygons = None, ()
    if isinstance(shape, Mapping):
        run_lengths = _run_lengths(where, cast("Mapping[str, object]", shape))
    elif shape:
        polygons = tuple(_polygon(where, p) for p in _list(f"{where}: segmentation", shape))
    box = _box(where, record)
    if box is None and run_lengths is None and not polygons:
        raise InputError(f"{where} has no 'box_xyxy', 'bbox' or 'segmentation'; {EXPECTED}")
    return Spot(
        where=where,
        box_xyxy=box,
        polygons=polygons,
        run_lengths=run_lengths,
        image_id=record.get("image_id"),
    )


def _box(where: str, record: Mapping[str, object]) -> tuple[float, float, float, float] | None:
    if "box_xyxy" in record:
        x0, y0, x1, y1 = _numbers(f"{where}: box_xyxy", record["box_xyxy"], count=4)
        if not (x0 < x1 and y0 < y1):
            raise InputError(f"{where}: box_xyxy needs x0 < x1 and y0 < y1, got {[x0, y0, x1, y1]}")
        return x0, y0, x1, y1
    if "bbox" in record:
        x, y, w, h = _numbers(f"{where}: bbox", record["bbox"], count=4)
        if not (w > 0 and h > 0):
            raise InputError(f"{where}: bbox is [x, y, width, height], got {[x, y, w, h]}")
        return x, y, x + w, y + h
    return None


def _run_lengths(where: str, shape: Mapping[str, object]) -> Mapping[str, object]:
    _numbers(f"{where}: RLE size", shape.get("size"), count=2)
    if not isinstance(shape.get("counts"), str | list):
        raise InputError(f"{where}: RLE needs 'counts', a string or a list of whole numbers")
    return shape


def _polygon(where: str, points: object) -> tuple[tuple[float, float], ...]:
    flat = _numbers(f"{where}: polygon", points)
    if len(flat) < 6 or len(flat) % 2:
        raise InputError(f"{where}: a polygon is [x1, y1, x2, y2, x3, y3, ...], got {points!r:.80}")
    return tuple(zip(flat[::2], flat[1::2], strict=True))


def _numbers(where: str, values: object, *, count: int | None = None) -> list[float]:
    items = _list(where, values)
    numbers = [v for v in items if isinstance(v, int | float) and not isinstance(v, bool)]
    good = len(numbers) == len(items) and all(math.isfinite(v) for v in numbers)
    if not good or (count is not None and len(numbers) != count):
        wanted = f"{count} finite numbers" if count else "finite numbers"
        raise InputError(f"{where} needs {wanted}, got {json.dumps(values):.80}")
    return [float(v) for v in numbers]


def _list(where: str, values: object) -> Sequence[object]:
    if not isinstance(values, list):
        raise InputError(f"{where} must be a list, got {json.dumps(values):.80}")
    return cast("list[object]", values)


def _list_of_records(where: str, values: object) -> list[Mapping[str, object]]:
    items = _list(where, values)
    if not all(isinstance(item, Mapping) for item in items):
        raise InputError(f"{where} must be a list of objects")
    return cast("list[Mapping[str, object]]", list(items))
