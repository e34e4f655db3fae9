"""What the network's features say about a region, zoomed in on it, and what can be measured there.

The classifier of `embedded_model` is trained on exactly these vectors.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from retoucher.agents import BoolArray, FloatArray, RgbArray
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.vision.runtime import TOKEN_STRIDE, SaliencyNetwork, View

ZOOM_PX = 224
"""Longer side at which a region's surroundings are shown."""
ZOOM_CONTEXT = 1.8
"""Side of the zoomed square over the region's longer side."""
ZOOM_MAX_ENLARGEMENT = 3.0
_AROUND = 0.6
"""Width of the surroundings on each side, over the region's longer side."""


_VIEW = ("long_side_px", "context_side_px", "context_weight", "scale", "shift")
"""What the perceiver's map of the whole picture depends on, of the settings in run.json."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured in a region and in the ring around it.

    Attributes:
        inside, around: mean saliency, 0 to 1, calibrated as the perceiver's.
        peak: greatest saliency in the region.
        picture: mean saliency of the whole picture.
        detail_inside, detail_around: mean absolute Laplacian of the grey levels, 0 to 255.
    """

    inside: float
    around: float
    peak: float
    picture: float
    detail_inside: float
    detail_around: float


def zoom_features(network: SaliencyNetwork, image_rgb: RgbArray, region: Region) -> FloatArray:
    """The classifier's features of a region of a picture, uint8 (H, W, 3); float32 (D,).

    The prompt plays no part: prompts differ between data sets more than between right and wrong,
    so they would teach where a picture comes from.
    """
    height, width = image_rgb.shape[:2]
    crop_box = zoom_box(region.box, height, width)
    crop = np.ascontiguousarray(image_rgb[crop_box.slices])
    zoom = network.look(crop, "", ZOOM_PX)
    zoomed = _mask_in(region, crop_box)
    everything = np.ones_like(zoomed)
    parts = [
        *_pooled(zoom, zoomed, network.stride),
        *_pooled(zoom, everything, network.stride),
        _logit_stats(zoom, zoomed, network.stride),
        _geometry(region, height, width),
        np.log1p(_detail(image_rgb, region)),
    ]
    return np.concatenate(parts).astype(np.float32)


def measure(network: SaliencyNetwork, image_rgb: RgbArray, prompt: str, region: Region) -> Measured:
    """Saliency and fine detail of a region, uint8 (H, W, 3), against its surroundings.

    The whole picture is shown as the perceiver shows it, so that this view is computed once.
    """
    views = network.described_views
    height, width = image_rgb.shape[:2]
    values = network.saliency(image_rgb, prompt, **{n: views[n] for n in _VIEW if n in views})
    shown_hw = values.shape[0], values.shape[1]
    outer = _surroundings(region.box, height, width)
    inside_hw, place = _mask_in(region, outer), _shown(outer, shown_hw, height, width)
    inside = _weights(inside_hw, shown_hw, shown_hw, 1, place)
    ring = _weights(~inside_hw, shown_hw, shown_hw, 1, place)
    picture = float(values.mean())
    detail = _detail(image_rgb, region)
    return Measured(
        inside=float(_mean(values[None], inside)[0]),
        around=float(_mean(values[None], ring)[0]) if ring.any() else picture,
        peak=float(values[inside > 0].max()) if inside.any() else 0.0,
        picture=picture,
        detail_inside=float(detail[0]),
        detail_around=float(detail[1]),
    )


def zoom_box(box: Box, height: int, width: int) -> Box:
    """A square around a region, moved into the picture; smaller where the picture is."""
    side = max(ZOOM_CONTEXT * max(box.width, box.height), ZOOM_PX / ZOOM_MAX_ENLARGEMENT)
    x, y = box.centre_xy
    spans: list[tuple[int, int]] = []
    for centre, length in ((x, width), (y, height)):
        span = min(round(side), length)
        start = min(max(round(centre - span / 2), 0), length - span)
        spans.append((start, start + span))
    (x0, x1), (y0, y1) = spans
    return Box(x0, y0, x1, y1)


def _surroundings(box: Box, height: int, width: int) -> Box:
    reach = max(4, round(_AROUND * max(box.width, box.height)))
    return box.expand(reach).clip(height, width) or box


def _mask_in(region: Region, box: Box) -> BoolArray:
    """The region's mask in a box of the picture, bool (box.height, box.width)."""
    out = np.zeros((box.height, box.width), np.bool_)
    common = region.box.intersection(box)
    if common is not None:
        mine = region.mask_hw[common.shift(-region.box.x0, -region.box.y0).slices]
        out[common.shift(-box.x0, -box.y0).slices] = mine
    return out


def _shown(box: Box, shown_hw: tuple[int, int], height: int, width: int) -> Box:
    """Where a box of a picture, height x width, lies in the view of it; at least a pixel."""
    down, right = shown_hw[0] / height, shown_hw[1] / width
    x0 = min(int(box.x0 * right), shown_hw[1] - 1)
    y0 = min(int(box.y0 * down), shown_hw[0] - 1)
    return Box(x0, y0, max(round(box.x1 * right), x0 + 1), max(round(box.y1 * down), y0 + 1))


def _weights(
    mask_hw: BoolArray,
    shown_hw: tuple[int, int],
    cells_hw: tuple[int, ...],
    stride: int,
    at: Box | None = None,
) -> FloatArray:
    """Share of each cell of a map that a mask covers, float32.

    The mask lies at `at` in the view, in its pixels; None: all over it.
    """
    shown_h, shown_w = shown_hw
    place = at or Box.of_picture(shown_h, shown_w)
    rows, columns = cells_hw
    full = np.zeros((rows * stride, columns * stride), np.float32)
    full[place.slices] = cv2.resize(
        mask_hw.astype(np.float32), (place.width, place.height), interpolation=cv2.INTER_AREA
    )
    return full.reshape(rows, stride, columns, stride).mean((1, 3))


def _mean(map_chw: FloatArray, weight_hw: FloatArray) -> FloatArray:
    """Weighted mean over the places of a map, float32 (C,); 0 where nothing weighs."""
    total = float(weight_hw.sum())
    if total <= 0:
        return np.zeros(len(map_chw), np.float32)
    return np.tensordot(map_chw, weight_hw, ((1, 2), (0, 1))) / np.float32(total)


def _pooled(view: View, mask_hw: BoolArray, stride: int) -> tuple[FloatArray, FloatArray]:
    """Mean decoder features and mean tokens inside a mask of the viewed picture."""
    fine = _weights(mask_hw, view.shown_hw, view.features_chw.shape[1:], stride)
    coarse = _weights(mask_hw, view.shown_hw, view.tokens_chw.shape[1:], TOKEN_STRIDE)
    return _mean(view.features_chw, fine), _mean(view.tokens_chw, coarse)


def _logit_stats(view: View, mask_hw: BoolArray, stride: int) -> FloatArray:
    """Eight numbers on the raw logits: level, extremes, contrast with what is around."""
    cells = view.logits_hw.shape
    inside = _weights(mask_hw, view.shown_hw, cells, stride)
    shown = _weights(np.ones_like(mask_hw), view.shown_hw, cells, stride)
    around = shown - inside
    logits = view.logits_hw[None]
    mean_in, mean_all = float(_mean(logits, inside)[0]), float(_mean(logits, shown)[0])
    mean_ring = float(_mean(logits, around)[0]) if around.max() > 1e-3 else mean_all
    touched = view.logits_hw[inside > 0]
    peak = float(touched.max()) if touched.size else mean_in
    low = float(touched.min()) if touched.size else mean_in
    top = float(np.percentile(view.logits_hw[shown > 0], 99))
    values = [mean_in, mean_ring, mean_in - mean_ring, peak, low, mean_all, top, mean_in - top]
    return np.array(values, np.float32)


def _geometry(region: Region, height: int, width: int) -> FloatArray:
    """Ten numbers on size, shape and place."""
    box = region.box
    x, y = box.centre_xy
    picture_px = math.sqrt(height * width)
    return np.array(
        [
            math.log(box.area_px / (height * width)),
            math.log(box.width / box.height),
            abs(math.log(box.width / box.height)),
            math.log(math.sqrt(box.area_px)),
            math.log(picture_px),
            x / width,
            y / height,
            abs(x / width - 0.5),
            float(box.x0 == 0 or box.y0 == 0 or box.x1 == width or box.y1 == height),
            region.area_px / box.area_px,
        ],
        np.float32,
    )


def _detail(image_rgb: RgbArray, region: Region) -> FloatArray:
    """Fine detail inside and around a region: mean absolute Laplacian, in levels."""
    outer = _surroundings(region.box, *image_rgb.shape[:2])
    part = np.ascontiguousarray(image_rgb[outer.slices])
    grey = cv2.cvtColor(part, cv2.COLOR_RGB2GRAY).astype(np.float32)
    detail = np.abs(cv2.Laplacian(grey, cv2.CV_32F, ksize=1))
    mask = _mask_in(region, outer)
    inside = float(detail[mask].mean())
    around = float(detail[~mask].mean()) if not mask.all() else inside
    return np.array([inside, around], np.float32)
