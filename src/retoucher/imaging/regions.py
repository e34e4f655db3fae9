"""Saliency to candidate regions (paper, section 3.1): binarise S, dilate, connected components.

The steps, in this order, and why:

1. Hysteresis on the raw map: the connected parts of S >= `threshold_low` that hold a pixel with
   S >= `threshold`. The map is never min-max normalised, so a clean picture has no region.
2. Opening of each part, but never of its pixels >= `threshold`: whiskers and specks of weak pixels
   go, a small peak stays. Pieces that this cuts off and that hold no peak are dropped.
3. Closing of each piece: holes and notches fill.
4. Pieces that are too small or too large, by `min_area_share`, `max_area_share` and `drop_size`.
5. Dilation, so that a repair has room to blend.
6. Pieces whose dilated masks come near each other become one region: regions never overlap.
7. Order by score, area, place; the first `max_regions` stay.

Lengths are in pixels of a picture of about `reference_size_px` squared and scale with the picture,
so that the same picture at another resolution gives the same regions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.saliency import FloatArray, SaliencyMap
from retoucher.errors import ConfigError

BoolArray = NDArray[np.bool_]

_BLOCK_PX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionSettings:
    """How a saliency map becomes regions.

    Attributes:
        threshold: tau_s, on the raw map, in (0, 1]; nothing below it alone makes a region.
        threshold_low: hysteresis: a region extends as far as S >= this; None: 0.6 * threshold.
        open_radius: weak structures thinner than about twice this vanish.
        close_radius: holes and notches narrower than about twice this fill.
        min_area_share, max_area_share: share of the picture a piece covers before dilation.
        drop_size: a piece is dropped when both its sides are shorter.
        dilation: how far each mask grows.
        merge_distance: regions whose dilated masks have at most this many clear pixels between
            them become one; touching ones always do.
        max_regions: top-k by score.
        reference_size_px: the lengths above are pixels of a picture with this geometric mean side;
            for another picture they are scaled.

    Raises:
        ConfigError: on a value out of range.
    """

    threshold: float = 0.4
    threshold_low: float | None = None
    open_radius: float = 1.5
    close_radius: float = 4.0
    min_area_share: float = 5e-5
    max_area_share: float = 1.0
    drop_size: float = 10.0
    dilation: float = 8.0
    merge_distance: float = 8.0
    max_regions: int = 16
    reference_size_px: int = 1024

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold <= 1.0:
            raise ConfigError(f"threshold must lie in (0, 1], got {self.threshold}")
        if not 0.0 < self.low <= self.threshold:
            raise ConfigError(
                f"threshold_low must lie in (0, threshold = {self.threshold}], got {self.low}"
            )
        for name in ("open_radius", "close_radius", "drop_size", "dilation", "merge_distance"):
            value = getattr(self, name)
            if not 0.0 <= value < math.inf:
                raise ConfigError(f"{name} must be a finite length >= 0, got {value}")
        if not 0.0 <= self.min_area_share < self.max_area_share <= 1.0:
            raise ConfigError(
                "area shares need 0 <= min_area_share < max_area_share <= 1, got "
                f"{self.min_area_share} and {self.max_area_share}"
            )
        for name in ("max_regions", "reference_size_px"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")

    @property
    def low(self) -> float:
        """The lower hysteresis threshold in force."""
        return 0.6 * self.threshold if self.threshold_low is None else self.threshold_low

    def scale(self, height: int, width: int) -> float:
        """Pixels of a picture of this size per pixel of the reference size."""
        return math.sqrt(height * width) / self.reference_size_px


def significant(saliency: SaliencyMap, settings: RegionSettings) -> bool:
    """Does S reach tau_s anywhere? The loop stops where it does not.

    `find_regions` may still be empty where this holds, if all that reaches tau_s is too small.
    """
    # In float32, as the map is, so that a value written as 0.4 reaches a threshold of 0.4.
    return saliency.values_hw.size > 0 and saliency.peak >= float(np.float32(settings.threshold))


def find_regions(saliency: SaliencyMap, settings: RegionSettings) -> tuple[Region, ...]:
    """Candidate regions {M_i} of a map of any size, best first, ids "r1", "r2", ...

    Masks never overlap. The same map and settings give the same regions. Empty where nothing
    reaches the threshold.
    """
    if not significant(saliency, settings):
        return ()
    values = saliency.values_hw
    height, width = values.shape
    scale = settings.scale(height, width)
    area_px = height * width
    floor = _Floor(
        area_px=max(1, math.ceil(settings.min_area_share * area_px - 1e-9)),
        side_px=settings.drop_size * scale,
    )
    pieces = [
        _dilated(piece, settings.dilation * scale, height, width)
        for part in _hysteresis(values, settings, floor)
        for piece in _tidy(values, part, settings, scale, floor)
        if floor.area_px <= np.count_nonzero(piece.mask_hw) <= settings.max_area_share * area_px
    ]
    pieces = _merged(pieces, settings.merge_distance * scale)
    ranked = sorted(
        ((float(values[p.box.slices][p.mask_hw].max()), p) for p in pieces),
        key=lambda sp: (-sp[0], -int(np.count_nonzero(sp[1].mask_hw)), sp[1].box.y0, sp[1].box.x0),
    )
    return tuple(
        Region(id=f"r{i}", box=piece.box, mask_hw=piece.mask_hw, score=score)
        for i, (score, piece) in enumerate(ranked[: settings.max_regions], start=1)
    )


def dilate_region(region: Region, height: int, width: int, settings: RegionSettings) -> Region:
    """The region grown by `settings.dilation`, clipped to its picture of height x width.

    For masks that were drawn tightly: found regions are dilated already.
    """
    radius = settings.dilation * settings.scale(height, width)
    grown = _dilated(_Piece(region.box, region.mask_hw), radius, height, width)
    return Region(id=region.id, box=grown.box, mask_hw=grown.mask_hw, score=region.score)


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """A mask of the size of its box; the box is tight."""

    box: Box
    mask_hw: BoolArray


@dataclass(frozen=True, slots=True)
class _Floor:
    """What a piece must measure: its area, and the longer side of its box."""

    area_px: int
    side_px: float


_ANY_SIZE = _Floor(1, 0.0)


def _hysteresis(values_hw: FloatArray, settings: RegionSettings, floor: _Floor) -> list[_Piece]:
    """Connected parts of S >= low that hold a pixel >= threshold.

    They lie inside such parts of the map's block maxima, so only windows around the latter are
    labelled: the result is the same, and most of a typical map is never labelled.
    """
    height, width = values_hw.shape
    maxima = _block_max(_block_max(values_hw).T).T
    parts: list[_Piece] = []
    coarse = Box.of_picture(*maxima.shape)
    for blocks in _peaked(maxima, maxima >= settings.low, coarse, settings, _ANY_SIZE):
        x0, y0, x1, y1 = (v * _BLOCK_PX for v in blocks.box.as_xyxy())
        window = Box(x0, y0, min(x1, width), min(y1, height))
        mine = blocks.mask_hw.repeat(_BLOCK_PX, axis=0).repeat(_BLOCK_PX, axis=1)
        local = values_hw[window.slices]
        weak = mine[: window.height, : window.width] & (local >= settings.low)
        parts += _peaked(local, weak, window, settings, floor)
    return parts


def _block_max(values: FloatArray) -> FloatArray:
    """Maxima over `_BLOCK_PX` rows at a time; the last block may have fewer."""
    whole = len(values) // _BLOCK_PX * _BLOCK_PX
    blocks = values[:whole].reshape(-1, _BLOCK_PX, values.shape[1]).max(axis=1)
    if whole == len(values):
        return blocks
    return np.concatenate([blocks, values[whole:].max(axis=0, keepdims=True)])


def _tidy(
    values_hw: FloatArray, part: _Piece, settings: RegionSettings, scale: float, floor: _Floor
) -> list[_Piece]:
    """Open and close one part; the pieces of it that still hold a peak."""
    local = values_hw[part.box.slices]
    opened = _open(part, settings.open_radius * scale, *values_hw.shape)
    opened |= part.mask_hw & (local >= settings.threshold)
    pieces = _peaked(local, opened, part.box, settings, floor)
    radius = settings.close_radius * scale
    return [_Piece(piece.box, _close(piece.mask_hw, radius)) for piece in pieces]


def _peaked(
    values_hw: FloatArray, mask_hw: BoolArray, box: Box, settings: RegionSettings, floor: _Floor
) -> list[_Piece]:
    """8-connected components, of a mask at `box`, that hold a pixel >= threshold.

    Closing, which comes later, keeps a piece inside its box; so a box below the floor decides.
    """
    strong = mask_hw & (values_hw >= settings.threshold)
    if not strong.any():
        return []
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask_hw.view(np.uint8), connectivity=8)
    labels = np.asarray(labels, dtype=np.int32)
    w, h = stats[:, cv2.CC_STAT_WIDTH], stats[:, cv2.CC_STAT_HEIGHT]
    keep = np.zeros(len(stats), bool)
    keep[labels[strong] if len(stats) > 2 else 1] = True  # label 0 is the background
    keep &= (w.astype(np.int64) * h >= floor.area_px) & (np.maximum(w, h) >= floor.side_px)
    found: list[_Piece] = []
    for i in np.flatnonzero(keep).tolist():
        x, y, width, height = (int(v) for v in stats[i, :4])
        local = Box(x, y, x + width, y + height)
        found.append(_Piece(local.shift(box.x0, box.y0), labels[local.slices] == i))
    return found


def _distance_to(mask_hw: BoolArray) -> FloatArray:
    """Euclidean distance in px of each pixel to the nearest True one; huge where there is none."""
    return np.asarray(
        cv2.distanceTransform((~mask_hw).view(np.uint8), cv2.DIST_L2, 5), dtype=np.float32
    )


def _grow(mask_hw: BoolArray, radius_px: float) -> BoolArray:
    if radius_px < 1 or mask_hw.all():
        return mask_hw
    return _distance_to(mask_hw) <= radius_px


def _shrink(mask_hw: BoolArray, radius_px: float) -> BoolArray:
    if radius_px < 1 or mask_hw.all():
        return mask_hw
    return _distance_to(~mask_hw) > radius_px


def _open(piece: _Piece, radius_px: float, height: int, width: int) -> BoolArray:
    """Opening with a disc; beyond the picture's edge the mask counts as going on."""
    if radius_px < 1:
        return piece.mask_hw
    box = piece.box
    pads = (
        (int(box.y0 > 0), int(box.y1 < height)),
        (int(box.x0 > 0), int(box.x1 < width)),
    )
    opened = _grow(_shrink(np.pad(piece.mask_hw, pads), radius_px), radius_px)
    return opened[pads[0][0] :, pads[1][0] :][: box.height, : box.width] & piece.mask_hw


def _close(mask_hw: BoolArray, radius_px: float) -> BoolArray:
    """Closing with a disc; the result stays inside the mask's box."""
    if radius_px < 1:
        return mask_hw
    pad = math.ceil(radius_px) + 1
    closed = _shrink(_grow(np.pad(mask_hw, pad), radius_px), radius_px)
    return closed[pad:-pad, pad:-pad] | mask_hw


def _dilated(piece: _Piece, radius_px: float, height: int, width: int) -> _Piece:
    if radius_px < 1:
        return piece
    pad = math.floor(radius_px)
    grown = _grow(np.pad(piece.mask_hw, pad), radius_px)
    full = piece.box.expand(pad)
    box = full.clip(height, width)
    assert box is not None  # a piece lies inside the picture
    inside = box.shift(-full.x0, -full.y0).slices
    return _Piece(box, np.ascontiguousarray(grown[inside]))


def _merged(pieces: Sequence[_Piece], distance_px: float) -> list[_Piece]:
    """Unite pieces with at most distance_px clear pixels between their masks; fill the gap."""
    reach = distance_px + 1.5  # centres of touching pixels are up to sqrt(2) apart
    margin = math.ceil(reach)
    order = sorted(pieces, key=lambda p: p.box)
    group = list(range(len(order)))

    def root(i: int) -> int:
        while group[i] != i:
            group[i] = group[group[i]]
            i = group[i]
        return i

    for i, piece in enumerate(order):
        near_box = piece.box.expand(margin)
        near: BoolArray | None = None
        for j in range(i + 1, len(order)):
            other = order[j]
            if other.box.x0 >= near_box.x1:
                break
            common = near_box.intersection(other.box)
            if common is None or root(i) == root(j):
                continue
            if near is None:
                near = _grow(np.pad(piece.mask_hw, margin), reach)
            mine = near[common.shift(-near_box.x0, -near_box.y0).slices]
            if (mine & other.mask_hw[common.shift(-other.box.x0, -other.box.y0).slices]).any():
                group[root(j)] = root(i)
    members: dict[int, list[_Piece]] = {}
    for i, piece in enumerate(order):
        members.setdefault(root(i), []).append(piece)
    return [_united(m, distance_px / 2 + 1) if len(m) > 1 else m[0] for m in members.values()]


def _united(pieces: Sequence[_Piece], radius_px: float) -> _Piece:
    """Union of pieces, closed so that the gaps between them belong to it."""
    box = pieces[0].box
    for piece in pieces[1:]:
        box = box.union(piece.box)
    mask = np.zeros((box.height, box.width), bool)
    for piece in pieces:
        mask[piece.box.shift(-box.x0, -box.y0).slices] |= piece.mask_hw
    return _Piece(box, _close(mask, radius_px))
