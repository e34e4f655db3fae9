"""Crop, resize and mirror a sample: picture, boxes, masks and saliency by one geometry."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from retoucher.data.landmarks import mirrored_points
from retoucher.data.sample import BoolArray, CleanPart, FloatArray, LabelledRegion, RgbArray, Sample
from retoucher.domain.geometry import Box

MIN_VISIBLE_SHARE = 0.3
"""A region or part of which a crop keeps less than this share of its area is dropped."""


def crop_sample(
    sample: Sample,
    window: Box,
    size_wh: tuple[int, int] | None = None,
    min_visible_share: float = MIN_VISIBLE_SHARE,
) -> Sample:
    """The part of a sample inside `window`, resized to `size_wh` (None: as it is).

    A region cut by the border keeps its visible part. One that is cut to less than
    `min_visible_share` loses its label, since what is left need not look wrong.

    Args:
        sample: is left as it is; its picture is loaded.
        window: must lie inside the picture.
        size_wh: width and height of the result; another aspect ratio stretches.
        min_visible_share: see above.
    """
    whole = Box(0, 0, sample.width, sample.height)
    if not whole.contains(window):
        raise ValueError(f"{sample.id}: window {window.as_xyxy()} is not inside the picture")
    width, height = size_wh or (window.width, window.height)
    scale_xy = width / window.width, height / window.height
    rgb = resized_rgb(np.ascontiguousarray(sample.load_rgb()[window.slices]), (width, height))
    regions: list[LabelledRegion] = []
    for region in sample.regions:
        cut = _cut_region(region, window, scale_xy, min_visible_share)
        if cut is not None:
            regions.append(cut)
    parts: list[CleanPart] = []
    for part in sample.clean_parts:
        box = _cut_box(part.box, window, scale_xy, min_visible_share)
        if box is not None:
            points = part.points_xy
            if points is not None:
                points = ((points - (window.x0, window.y0)) * scale_xy).astype(np.float32)
            parts.append(replace(part, box=box, points_xy=points))
    return replace(
        sample,
        picture=rgb,
        width=width,
        height=height,
        regions=tuple(regions),
        clean_parts=tuple(parts),
        saliency_hw=_cut_saliency(sample, window, (width, height)),
        scores=sample.scores if window == whole else {},
    )


def resize_sample(sample: Sample, size_wh: tuple[int, int]) -> Sample:
    """The whole sample at another size."""
    return crop_sample(sample, Box(0, 0, sample.width, sample.height), size_wh)


def mirror_sample(sample: Sample) -> Sample:
    """Left and right exchanged. Mirrored lettering looks wrong: check `clean_parts` for text."""
    w = sample.width
    regions = tuple(
        replace(
            r,
            box=_mirrored(r.box, w),
            mask_hw=None if r.mask_hw is None else np.ascontiguousarray(r.mask_hw[:, ::-1]),
        )
        for r in sample.regions
    )
    saliency = sample.saliency_hw
    return replace(
        sample,
        picture=np.ascontiguousarray(sample.load_rgb()[:, ::-1]),
        regions=regions,
        clean_parts=tuple(_mirrored_part(p, w) for p in sample.clean_parts),
        saliency_hw=None if saliency is None else np.ascontiguousarray(saliency[:, ::-1]),
    )


def resized_rgb(rgb: RgbArray, size_wh: tuple[int, int]) -> RgbArray:
    """Area average when shrinking, bicubic when enlarging; the array itself when neither."""
    height, width = rgb.shape[:2]
    if (width, height) == size_wh:
        return rgb
    mode = cv2.INTER_AREA if size_wh[0] * size_wh[1] < width * height else cv2.INTER_CUBIC
    return cv2.resize(rgb, size_wh, interpolation=mode).astype(np.uint8, copy=False)


def _mirrored(box: Box, width: int) -> Box:
    return Box(width - box.x1, box.y0, width - box.x0, box.y1)


def _mirrored_part(part: CleanPart, width: int) -> CleanPart:
    points = part.points_xy
    if points is not None:
        points = mirrored_points(points, part.part, width)
    return replace(part, box=_mirrored(part.box, width), points_xy=points)


def _cut_box(
    box: Box, window: Box, scale_xy: tuple[float, float], min_visible_share: float
) -> Box | None:
    inside = box.intersection(window)
    if inside is None or inside.area_px < min_visible_share * box.area_px:
        return None
    return _scaled(inside.shift(-window.x0, -window.y0), scale_xy)


def _scaled(box: Box, scale_xy: tuple[float, float]) -> Box:
    sx, sy = scale_xy
    x0, y0 = round(box.x0 * sx), round(box.y0 * sy)
    return Box(x0, y0, max(round(box.x1 * sx), x0 + 1), max(round(box.y1 * sy), y0 + 1))


def _cut_region(
    region: LabelledRegion, window: Box, scale_xy: tuple[float, float], min_visible_share: float
) -> LabelledRegion | None:
    if region.mask_hw is None:
        box = _cut_box(region.box, window, scale_xy, min_visible_share)
        return None if box is None else replace(region, box=box)
    inside = region.box.intersection(window)
    if inside is None:
        return None
    mask = region.mask_hw[inside.shift(-region.box.x0, -region.box.y0).slices]
    if not mask.any() or mask.sum() < min_visible_share * region.mask_hw.sum():
        return None
    box = _scaled(inside.shift(-window.x0, -window.y0), scale_xy)
    return replace(region, box=box, mask_hw=_resized_mask(mask, (box.width, box.height)))


def _resized_mask(mask_hw: BoolArray, size_wh: tuple[int, int]) -> BoolArray:
    if mask_hw.shape == size_wh[::-1]:
        return mask_hw.copy()
    values = cv2.resize(mask_hw.astype(np.float32), size_wh, interpolation=cv2.INTER_AREA)
    small = values >= 0.5
    return small if bool(small.any()) else values >= values.max()


def _cut_saliency(sample: Sample, window: Box, size_wh: tuple[int, int]) -> FloatArray | None:
    saliency = sample.saliency_hw
    if saliency is None:
        return None
    height, width = saliency.shape
    sx, sy = width / sample.width, height / sample.height
    # The window's corners in the map's own (possibly coarser) grid, sampled between its pixels.
    xs = (window.x0 + (np.arange(size_wh[0]) + 0.5) * window.width / size_wh[0]) * sx - 0.5
    ys = (window.y0 + (np.arange(size_wh[1]) + 0.5) * window.height / size_wh[1]) * sy - 0.5
    map_x = np.tile(xs.astype(np.float32), (len(ys), 1))
    map_y = np.tile(ys.astype(np.float32)[:, None], (1, len(xs)))
    cut = cv2.remap(saliency, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.clip(cut, 0.0, 1.0).astype(np.float32)
