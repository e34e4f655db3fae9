"""What a vision-language model is shown: the picture with numbered marks, and a crop per mark."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from retoucher.domain.geometry import Box

RgbArray = NDArray[np.uint8]
Pictures: TypeAlias = Literal["round", "both", "crop"]

_RED, _WHITE = (230, 0, 0), (255, 255, 255)
_GREY = (128, 128, 128)
_MIN_LABEL_PX = 14
_LABEL_SHARE = 1 / 36
"""Height of a mark's number over the picture's longer side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSettings:
    """How much is shown, and how much of it at once.

    Attributes:
        pictures: what a request shows. "round": the whole picture with all marks of the round and
            a crop of each mark asked about. "both" and "crop", one region a request, marked as
            number 1: the whole picture with its mark and a crop, or the crop alone; every picture
            is a square of the side below, filled up with grey. A model trained on conversations of
            `retouch data conversations` is asked as it was trained.
        picture_side_px: a picture whose longer side is larger is reduced to this; "both": every
            picture is brought to it.
        crop_side_px: the longer side of every crop.
        margin: context around a region on each side, over the region's longer side.
        regions_per_request: at most so many regions are asked about together, where `pictures` is
            "round"; 1 for a model that takes two images at most.

    Raises:
        ValueError: on a value out of range.
    """

    pictures: Pictures = "round"
    picture_side_px: int = 1024
    crop_side_px: int = 448
    margin: float = 0.6
    regions_per_request: int = 8

    def __post_init__(self) -> None:
        if self.pictures not in get_args(Pictures):
            raise ValueError(f"pictures must be round, both or crop, got {self.pictures!r}")
        for name in ("picture_side_px", "crop_side_px"):
            value = getattr(self, name)
            if not 28 <= value <= 8192:
                raise ValueError(f"{name} must lie between 28 and 8192, got {value}")
        if not 0.0 <= self.margin <= 10.0:
            raise ValueError(f"margin must lie between 0 and 10, got {self.margin}")
        if not 1 <= self.regions_per_request <= 64:
            raise ValueError(
                f"regions_per_request must lie between 1 and 64, got {self.regions_per_request}"
            )

    @property
    def squares(self) -> bool:
        """Every picture is a square of a fixed side."""
        return self.pictures != "round"


def marked_picture(image_rgb: RgbArray, boxes: Sequence[Box], settings: ViewSettings) -> RgbArray:
    """The whole picture, reduced where it is large, with an outline and a number (from 1) per box.

    Outlines lie outside their boxes, so that no region's pixels are covered by its own mark.

    Args:
        image_rgb: uint8 (H, W, 3).
        boxes: in its pixels.

    Returns:
        uint8 (h, w, 3); a square where the settings say so.
    """
    picture, scale = _resized(image_rgb, settings.picture_side_px, enlarge=settings.squares)
    draw = ImageDraw.Draw(picture)
    places = [_scaled(box, scale, picture.size) for box in boxes]
    for place in places:
        _outline(draw, place, picture.size)
    labels: list[tuple[float, float, float, float]] = []
    for number, place in enumerate(places, start=1):
        labels.append(_label(draw, str(number), place, picture.size, [*places, *labels]))
    return _framed(picture, settings)


def context_crop(image_rgb: RgbArray, box: Box, settings: ViewSettings) -> RgbArray:
    """A region with its surroundings, enlarged, outlined; square where the picture allows.

    Args:
        image_rgb: uint8 (H, W, 3).
        box: in its pixels.

    Returns:
        uint8 (h, w, 3), its longer side `crop_side_px`; a square where the settings say so.
    """
    height, width = image_rgb.shape[:2]
    around = context_box(box, height, width, settings.margin)
    picture, scale = _resized(
        np.ascontiguousarray(image_rgb[around.slices]), settings.crop_side_px, enlarge=True
    )
    inside = _scaled(box.shift(-around.x0, -around.y0), scale, picture.size)
    _outline(ImageDraw.Draw(picture), inside, picture.size)
    return _framed(picture, settings)


def context_box(box: Box, height: int, width: int, margin: float) -> Box:
    """The square around a box that holds the margin on each side, moved into the picture and
    clipped to it."""
    side = max(1, round(max(box.width, box.height) * (1 + 2 * margin)))
    x, y = box.centre_xy
    x0 = max(0, min(round(x - side / 2), width - side))
    y0 = max(0, min(round(y - side / 2), height - side))
    clipped = Box(x0, y0, x0 + side, y0 + side).union(box).clip(height, width)
    assert clipped is not None
    return clipped


def png_bytes(image_rgb: RgbArray) -> bytes:
    """A picture, uint8 (H, W, 3), as a PNG file: lossless, so that no artefact is added."""
    buffer = io.BytesIO()
    Image.fromarray(image_rgb).save(buffer, "PNG")
    return buffer.getvalue()


def _resized(image_rgb: RgbArray, side_px: int, *, enlarge: bool) -> tuple[Image.Image, float]:
    picture = Image.fromarray(image_rgb)
    longer = max(picture.size)
    if longer == side_px or (longer < side_px and not enlarge):
        return picture, 1.0
    scale = side_px / longer
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return picture.resize(size, Image.Resampling.LANCZOS), scale


def _framed(picture: Image.Image, settings: ViewSettings) -> RgbArray:
    """In the middle of a grey square, where pictures are squares."""
    side = max(picture.size)
    if not settings.squares or picture.size == (side, side):
        return np.asarray(picture)
    frame = Image.new("RGB", (side, side), _GREY)
    frame.paste(picture, ((side - picture.width) // 2, (side - picture.height) // 2))
    return np.asarray(frame)


def _scaled(box: Box, scale: float, size: tuple[int, int]) -> tuple[float, float, float, float]:
    w, h = size
    x0, y0, x1, y1 = (v * scale for v in box.as_xyxy())
    return max(0.0, x0), max(0.0, y0), min(float(w), x1), min(float(h), y1)


def _outline(
    draw: ImageDraw.ImageDraw, place: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    """A red line with a white edge around the place; at the picture's border it is cut off."""
    line = max(2, round(max(size) / 400))
    x0, y0, x1, y1 = (*np.floor(place[:2]).astype(int), *np.ceil(place[2:]).astype(int))
    for grow, colour, thickness in ((line + 1, _WHITE, 1), (line, _RED, line)):
        draw.rectangle(
            (x0 - grow, y0 - grow, x1 + grow - 1, y1 + grow - 1), outline=colour, width=thickness
        )


def _label(
    draw: ImageDraw.ImageDraw,
    text: str,
    place: tuple[float, float, float, float],
    size: tuple[int, int],
    taken: Sequence[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    """Draw a number beside its place, where it covers the least of what is marked; its bounds."""
    height = max(_MIN_LABEL_PX, round(max(size) * _LABEL_SHARE))
    font = ImageFont.load_default(height)
    wide = draw.textlength(text, font=font) + height * 0.5
    x0, y0, x1, y1 = place
    gap = max(3, round(max(size) / 400) + 1)
    corners = (
        (x0, y0 - gap - height * 1.2),
        (x0, y1 + gap),
        (x1 + gap, y0),
        (x0 - gap - wide, y0),
        (x0, y0),
    )
    bounds = [
        (x := max(0.0, min(left, size[0] - wide)), y := max(0.0, min(top, size[1] - height * 1.2)),
         x + wide, y + height * 1.2)
        for left, top in corners
    ]  # fmt: skip
    best = min(bounds, key=lambda b: sum(_common_px(b, other) for other in taken))
    draw.rectangle(best, fill=_RED, outline=_WHITE)
    centre = ((best[0] + best[2]) / 2, (best[1] + best[3]) / 2)
    draw.text(centre, text, fill=_WHITE, font=font, anchor="mm")
    return best


def _common_px(a: Sequence[float], b: Sequence[float]) -> float:
    return max(0.0, min(a[2], b[2]) - max(a[0], b[0])) * max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
