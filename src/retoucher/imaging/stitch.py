"""Paste a repaired crop back: no seam, no colour shift, no byte changed outside the mask.

The composite is before + alpha * (edit - before), once, at the picture's resolution.

- Support: alpha is 0 outside the region's mask, so those bytes stay. The feather ramps inside the
  mask (found regions are dilated beforehand to make room for it).
- Feather only at a seam: alpha rises with the distance to the unmasked pixels that touch a changed
  one. Where an edit does not reach the mask's edge there is nothing to hide and alpha is 1.
- Footprint: a pixel that the tool left alone keeps its bytes, also when the crop was resampled on
  the way. Alpha falls to 0 a few pixels from what the tool changed.
- What the tool did change comes from the edit alone: adding its difference to the old picture
  would bring old detail back wherever the crop was reduced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.errors import ConfigError, InputError, ToolError
from retoucher.imaging.colour import ColourSettings, fit_ring
from retoucher.imaging.crop import Crop, check_picture, resample

RgbArray = NDArray[np.uint8]
BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]
ByteMask = NDArray[np.uint8]

_NOISE_LEVELS = 2
"""After a colour correction, differences up to this many levels are its rounding, not an edit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StitchSettings:
    """How an edit joins the picture.

    Attributes:
        blend: "alpha", or "poisson" to fit the edit's gradients to the surroundings first (hides
            uneven light; can bleed colour from an edge that the mask cuts).
        feather: width of the ramp as a share of the crop's mean side.
        feather_min_px, feather_max_px: its limits, in picture pixels. The ramp is never wider than
            half the way from the mask's edge to its middle.
        colour_correction: undo a colour shift that shows in the ring around the mask.
        colour: limits of that correction.

    Raises:
        ConfigError: on a value out of range.
    """

    blend: Literal["alpha", "poisson"] = "alpha"
    feather: float = 0.015
    feather_min_px: float = 2.0
    feather_max_px: float = 32.0
    colour_correction: bool = True
    colour: ColourSettings = field(default_factory=ColourSettings)

    def __post_init__(self) -> None:
        if self.blend not in ("alpha", "poisson"):
            raise ConfigError(f'blend is "alpha" or "poisson", got {self.blend!r}')
        if not 0.0 <= self.feather <= 1.0:
            raise ConfigError(f"feather is a share of the crop in [0, 1], got {self.feather}")
        if not 0.0 <= self.feather_min_px <= self.feather_max_px < math.inf:
            raise ConfigError(
                "feather limits need 0 <= feather_min_px <= feather_max_px, got "
                f"{self.feather_min_px} and {self.feather_max_px}"
            )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stitched:
    """The picture with the edit in it.

    Attributes:
        image_rgb: uint8 (H, W, 3); a new array, or the input itself where nothing changed.
        changed_box: tight bounds of the pixels that differ from the input; None: none does.
        alpha_hw: float32, shape of the region's mask: the share of the edit in each pixel of
            `region.box`. Outside it the share is 0.
    """

    image_rgb: RgbArray
    changed_box: Box | None
    alpha_hw: FloatArray


def stitch(
    image_rgb: RgbArray,
    crop: Crop,
    edited_rgb: RgbArray,
    region: Region,
    settings: StitchSettings | None = None,
) -> Stitched:
    """Composite a tool's picture of the crop into the picture. Nothing given is written to.

    Args:
        image_rgb: the picture that `crop` was cut from, uint8 (H, W, 3).
        crop: what the tool got.
        edited_rgb: what it returned: uint8, of the crop's working size.
        region: what the crop was cut for.
        settings: defaults if None.

    Raises:
        ToolError: the tool returned something else than a picture of the crop's size.
        InputError: picture, crop and region do not belong together.
    """
    settings = settings or StitchSettings()
    check_picture(image_rgb, region)
    height, width = image_rgb.shape[:2]
    if crop.box.clip(height, width) != crop.box or not crop.box.contains(region.box):
        raise InputError(
            f"the crop at {crop.box.as_xyxy()} must lie in the picture of {width} x {height} px "
            f"and contain region {region.id} at {region.box.as_xyxy()}"
        )
    _check_edit(edited_rgb, crop)
    before = image_rgb[region.box.slices]
    edit = _edit_at_picture_size(edited_rgb, crop, region, settings)
    if edit is None:
        return Stitched(
            image_rgb=image_rgb, changed_box=None, alpha_hw=np.zeros(before.shape[:2], np.float32)
        )
    edit_rgb, change = edit
    change *= region.mask_hw
    alpha = _feathered(region, change > 0, (height, width), _feather_px(crop, settings))
    alpha *= change
    if settings.blend == "poisson":
        edit_rgb = _poisson(edit_rgb, before, region.mask_hw)
    after = _composite(before, edit_rgb, alpha)
    changed = _differs(after, before, 0)
    if not changed.any():
        return Stitched(image_rgb=image_rgb, changed_box=None, alpha_hw=alpha)
    out = image_rgb.copy(order="C")
    out[region.box.slices] = after
    x, y, w, h = cv2.boundingRect(changed)
    box = Box(x, y, x + w, y + h).shift(region.box.x0, region.box.y0)
    return Stitched(image_rgb=out, changed_box=box, alpha_hw=alpha)


def _check_edit(edited_rgb: object, crop: Crop) -> None:
    expected = crop.image_rgb.shape
    got = type(edited_rgb).__name__
    if isinstance(edited_rgb, np.ndarray):
        edit = cast("NDArray[np.generic]", edited_rgb)
        if edit.shape == expected and edit.dtype == np.uint8:
            return
        got = f"{edit.dtype} {edit.shape}"
    raise ToolError(f"the tool returned {got}, expected an array uint8 {expected}")


def _differs(a_rgb: RgbArray, b_rgb: RgbArray, levels: int) -> ByteMask:
    """255 where any channel differs by more than `levels`, else 0; uint8 (h, w)."""
    same = cv2.inRange(cv2.absdiff(a_rgb, b_rgb), (0, 0, 0), (levels,) * 3)
    return np.asarray(cv2.bitwise_not(same), dtype=np.uint8)


def _edit_at_picture_size(
    edited_rgb: RgbArray, crop: Crop, region: Region, settings: StitchSettings
) -> tuple[RgbArray, FloatArray] | None:
    """The edit and its change weight over `region.box`, at picture size; None: nothing changed.

    The weight, float32 in [0, 1], is 1 where the tool changed something and 0 where it did not.
    Where the edit's untouched pixels differ from the picture's (resampled, colour corrected, or
    about to be fitted by Poisson) it falls smoothly between the two.
    """
    edited_rgb = np.ascontiguousarray(edited_rgb)
    fit, changed = None, _differs(edited_rgb, crop.image_rgb, 0)
    if not changed[crop.mask_hw].any():
        return None
    if settings.colour_correction:
        margin = min(max(3, round(3 * crop.scale)), 32)
        kernel = np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)
        ring = cv2.dilate(crop.mask_hw.astype(np.uint8), kernel) == 0
        fit = fit_ring(edited_rgb, crop.image_rgb, ring, settings.colour)
        if fit is not None:
            # Compared as the tool saw it: where the shift ran into 0 or 255, undoing it cannot
            # bring the original back, yet nothing was repainted there.
            shifted = fit.inverse().apply(crop.image_rgb)
            changed = _differs(edited_rgb, shifted, _NOISE_LEVELS)
            edited_rgb = fit.apply(edited_rgb)
            if not changed[crop.mask_hw].any():
                return None
    if crop.resampled or fit is not None or settings.blend == "poisson":
        changed = _softened(changed, crop)
    local = region.box.shift(-crop.box.x0, -crop.box.y0).slices
    edited_rgb = resample(edited_rgb, crop.box.height, crop.box.width)
    return edited_rgb[local], changed[local].astype(np.float32) / np.float32(255)


def _softened(changed: ByteMask, crop: Crop) -> ByteMask:
    """0 to 255 at picture size: full up to 1 px from a change (the reach of the resampling
    kernels), nothing from 3 px on, in pixels of the coarser of both grids.
    """
    work_h, work_w = changed.shape
    coarse = (min(work_w, crop.box.width), min(work_h, crop.box.height))
    if coarse != (work_w, work_h):
        share = cv2.resize(changed, coarse, interpolation=cv2.INTER_AREA)
        changed = (np.asarray(share) > 0).view(np.uint8) * np.uint8(255)
    grown = cv2.dilate(changed, np.ones((5, 5), np.uint8))
    soft = cv2.blur(grown, (3, 3))
    if coarse != (crop.box.width, crop.box.height):
        soft = cv2.resize(soft, (crop.box.width, crop.box.height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(soft, dtype=np.uint8)


def _feather_px(crop: Crop, settings: StitchSettings) -> float:
    width = settings.feather * math.sqrt(crop.box.area_px)
    return min(max(width, settings.feather_min_px), settings.feather_max_px)


def _feathered(
    region: Region, changed_hw: BoolArray, picture_hw: tuple[int, int], feather_px: float
) -> FloatArray:
    """The mask as float32, ramped (smoothstep) where changed pixels touch unmasked ones."""
    window = region.box.expand(1).clip(*picture_hw)
    assert window is not None  # the region lies inside the picture
    inner = region.box.shift(-window.x0, -window.y0).slices
    inside = np.zeros((window.height, window.width), np.uint8)
    inside[inner] = region.mask_hw
    moved = np.zeros_like(inside)
    moved[inner] = changed_hw
    touching = np.asarray(cv2.dilate(moved, np.ones((3, 3), np.uint8)), dtype=np.uint8)
    seam = touching & (1 - inside)
    alpha = region.mask_hw.astype(np.float32)
    if not seam.any():
        return alpha
    depth = float(cv2.distanceTransform(inside, cv2.DIST_L2, 5).max())
    feather_px = min(feather_px, (depth - 1) / 2)
    distance = cv2.distanceTransform(1 - seam, cv2.DIST_L2, 5)[inner]
    t = np.clip(distance / np.float32(feather_px + 1), 0, 1)
    alpha *= t * t * (3 - 2 * t)
    return alpha


def _poisson(edit_rgb: RgbArray, before_rgb: RgbArray, mask_hw: BoolArray) -> RgbArray:
    """The edit with its gradients kept and its border fitted to the picture's.

    OpenCV takes the outermost 3 px of a mask from the picture, so parts of a mask that are thinner
    than 7 px have no gradients of their own; a mask without any other part is left as it is.
    """
    pad = 4  # OpenCV wants the mask away from the border
    h, w = mask_hw.shape
    mask = np.pad(mask_hw, pad).astype(np.uint8) * np.uint8(255)
    if not cv2.erode(mask, np.ones((7, 7), np.uint8)).any():
        return edit_rgb

    def framed(a: NDArray[np.uint8]) -> NDArray[np.uint8]:
        edge = cv2.copyMakeBorder(a, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
        return np.asarray(edge, dtype=np.uint8)

    x, y, mask_w, mask_h = cv2.boundingRect(mask)
    centre = (x + mask_w // 2, y + mask_h // 2)
    fitted = cv2.seamlessClone(framed(edit_rgb), framed(before_rgb), mask, centre, cv2.NORMAL_CLONE)
    return np.asarray(fitted[pad : pad + h, pad : pad + w], dtype=np.uint8)


def _composite(before_rgb: RgbArray, edit_rgb: RgbArray, alpha_hw: FloatArray) -> RgbArray:
    """before + alpha * (edit - before), rounded half up; floats only where they are needed."""
    after = before_rgb.copy(order="C")
    cv2.copyTo(edit_rgb, (alpha_hw >= 1).view(np.uint8), after)
    part = np.flatnonzero((alpha_hw > 0) & (alpha_hw < 1))
    pixels = after.reshape(-1, 3)
    old = pixels[part].astype(np.float32)
    new = np.ascontiguousarray(edit_rgb).reshape(-1, 3)[part].astype(np.float32)
    mixed = old + alpha_hw.ravel()[part][:, None] * (new - old)
    pixels[part] = np.floor(mixed + np.float32(0.5)).astype(np.uint8)
    return after
