"""Pictures as data URIs, sized for a screen."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap

RgbArray = NDArray[np.uint8]

MAX_PICTURE_PX = 1600
MAX_CROP_PX = 640
LOSSLESS_AREA_PX = 256 * 256
"""Crops up to this size are kept exact: that is where one looks for seams."""

MAX_OVERLAY_ALPHA = 0.6
BOX_RGB = (214, 0, 96)


def picture_uri(image_rgb: RgbArray) -> str:
    """The whole picture, uint8 (H, W, 3), longer side at most `MAX_PICTURE_PX`, as WebP."""
    return _webp(_fit(Image.fromarray(image_rgb), MAX_PICTURE_PX), lossless=False)


def crop_uri(image_rgb: RgbArray) -> str:
    """A crop, uint8 (h, w, 3), longer side at most `MAX_CROP_PX`; small ones without loss."""
    image = _fit(Image.fromarray(image_rgb), MAX_CROP_PX)
    return _webp(image, lossless=image.width * image.height <= LOSSLESS_AREA_PX)


def saliency_uri(saliency: SaliencyMap) -> str:
    """The map as a see-through layer of the picture's shape: clear at 0, deep red at 1."""
    return _webp(_fit(Image.fromarray(saliency_rgba(saliency)), MAX_PICTURE_PX), lossless=False)


def saliency_rgba(saliency: SaliencyMap) -> NDArray[np.uint8]:
    """Colour and opacity of the map, uint8 (H, W, 4): amber where weak, magenta where strong."""
    v = saliency.values_hw[..., None]
    weak, strong = np.array([255, 184, 0], np.float32), np.array([214, 0, 96], np.float32)
    rgb = weak + (strong - weak) * v
    alpha = 255 * MAX_OVERLAY_ALPHA * np.sqrt(v)
    return np.concatenate([rgb, alpha], axis=2).round().astype(np.uint8)


def _fit(image: Image.Image, max_side_px: int) -> Image.Image:
    scale = max_side_px / max(image.size)
    if scale >= 1:
        return image
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)


def _webp(image: Image.Image, *, lossless: bool) -> str:
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=60 if lossless else 88, lossless=lossless, method=3)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def overlay(image_rgb: RgbArray, saliency: SaliencyMap, regions: Sequence[Region]) -> RgbArray:
    """The picture with its map and its regions' boxes and names drawn in, uint8 (H, W, 3)."""
    layer = saliency_rgba(saliency)
    alpha = layer[..., 3:].astype(np.float32) / 255
    mixed = image_rgb * (1 - alpha) + layer[..., :3] * alpha
    image = Image.fromarray(mixed.round().astype(np.uint8))
    draw = ImageDraw.Draw(image)
    line_px = max(1, round(max(image.size) / 600))
    font = ImageFont.load_default(size=max(12, max(image.size) / 60))
    for region in regions:
        x0, y0, x1, y1 = region.box.as_xyxy()
        draw.rectangle((x0, y0, x1 - 1, y1 - 1), outline=BOX_RGB, width=line_px)
        left, top, right, bottom = draw.textbbox((0, 0), region.id, font=font)
        pad = 2 * line_px
        high, wide = bottom - top + 2 * pad, right - left + 2 * pad
        y = y0 - high if y0 >= high else y0
        draw.rectangle((x0, y, x0 + wide, y + high), fill=BOX_RGB)
        draw.text((x0 + pad - left, y + pad - top), region.id, fill=(255, 255, 255), font=font)
    return np.asarray(image, np.uint8)
