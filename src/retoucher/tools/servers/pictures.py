"""Pictures on their way to a server and back. What comes back is not trusted."""

from __future__ import annotations

import base64
import binascii
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from retoucher.agents import BoolArray, EditRequest, RgbArray
from retoucher.errors import ToolError
from retoucher.imaging.register import register

MAX_REPLY_BYTES = 64 * 2**20
MAX_REPLY_PIXELS = 40_000_000
MAX_ASPECT_DRIFT = 0.06
"""By how much a reply's aspect may differ from what was sent: services round to sizes they have."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Canvas:
    """A crop in a frame that a server can work at.

    The crop lies at the top left; what is added on the right and below repeats its last column
    and row.

    Attributes:
        image_rgb: uint8 (H, W, 3).
        mask_hw: bool (H, W), True where to repaint; False in the added part.
        crop_hw: height and width of the crop in it.
    """

    image_rgb: RgbArray
    mask_hw: BoolArray
    crop_hw: tuple[int, int]

    @classmethod
    def of(
        cls,
        request: EditRequest,
        *,
        multiple: int = 1,
        min_side_px: int = 1,
        aspects: Sequence[float] = (),
    ) -> Canvas:
        """The smallest frame whose sides are multiples and long enough, of one of the aspects.

        Args:
            request: its crop and mask; not written to.
            multiple: both sides are multiples of this.
            min_side_px: both sides are at least this long.
            aspects: width over height, as near as whole pixels allow; empty: any.

        Raises:
            ToolError: the mask is empty.
        """
        mask = request.mask_hw
        if not mask.any():
            raise ToolError("the mask is empty, so there is nothing to repaint")
        h, w = mask.shape
        height, width = max(h, min_side_px), max(w, min_side_px)
        if aspects:
            frames = [
                (max(height, round(width / a)), max(width, round(height * a))) for a in aspects
            ]
            height, width = min(frames, key=lambda frame: frame[0] * frame[1])
        bottom = math.ceil(height / multiple) * multiple - h
        right = math.ceil(width / multiple) * multiple - w
        image = cv2.copyMakeBorder(request.crop_rgb, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
        return cls(
            image_rgb=np.asarray(image, dtype=np.uint8),
            mask_hw=np.pad(mask, ((0, bottom), (0, right))),
            crop_hw=(h, w),
        )

    @property
    def width(self) -> int:
        return self.mask_hw.shape[1]

    @property
    def height(self) -> int:
        return self.mask_hw.shape[0]

    def taken_back(self, reply_rgb: RgbArray, *, moved: bool) -> RgbArray:
        """The crop out of the server's picture, uint8 (h, w, 3), a new array.

        Args:
            reply_rgb: uint8 (H', W', 3).
            moved: whether a picture of the right size may still be a little off and is registered;
                one of another size always is.

        Raises:
            ToolError: the reply's shape is another one, so its content cannot be where it was.
        """
        height, width = reply_rgb.shape[:2]
        drift = abs(math.log((width / height) / (self.width / self.height)))
        if drift > MAX_ASPECT_DRIFT and abs(width - self.width) + abs(height - self.height) > 2:
            raise ToolError(
                f"the server returned {width} x {height} px for {self.width} x {self.height} px:"
                " another shape, so it cannot be put back"
            )
        if moved or (height, width) != self.mask_hw.shape:
            reply_rgb = register(reply_rgb, self.image_rgb, self.mask_hw)
        h, w = self.crop_hw
        return reply_rgb[:h, :w].copy()


def png_of(image_rgb: RgbArray) -> bytes:
    """A PNG file of uint8 (H, W, 3)."""
    return _png(Image.fromarray(np.ascontiguousarray(image_rgb)))


def png_of_mask(mask_hw: BoolArray) -> bytes:
    """A PNG file, RGB, white where to repaint and black elsewhere."""
    return _png(Image.fromarray(mask_hw.astype(np.uint8) * np.uint8(255)).convert("RGB"))


def png_with_hole(image_rgb: RgbArray, mask_hw: BoolArray) -> bytes:
    """A PNG file, RGBA, transparent where to repaint; colours are kept under it."""
    alpha = np.where(mask_hw, 0, 255).astype(np.uint8)
    return _png(Image.fromarray(np.dstack([image_rgb, alpha])))


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=4)
    return buffer.getvalue()


def base64_of(data: bytes) -> str:
    """The bytes as base64 text."""
    return base64.b64encode(data).decode("ascii")


def from_base64(text: str, source: str) -> bytes:
    """The bytes in a base64 text, with or without a data URL's head.

    Raises:
        ToolError: it is no base64, or larger than `MAX_REPLY_BYTES`.
    """
    if text.startswith("data:"):
        text = text.partition(",")[2]
    if len(text) > MAX_REPLY_BYTES * 4 // 3 + 4:
        raise ToolError(f"{source} returned a picture of more than {MAX_REPLY_BYTES >> 20} MiB")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ToolError(f"{source} returned a picture that is no base64: {error}") from error


def decoded(data: bytes, source: str) -> RgbArray:
    """The picture in a reply, uint8 (H, W, 3); alpha is dropped.

    Args:
        data: a PNG, JPEG or WebP file.
        source: who sent it, for errors.

    Raises:
        ToolError: no such file, truncated, or too large.
    """
    if len(data) > MAX_REPLY_BYTES:
        raise ToolError(f"{source} returned a picture of more than {MAX_REPLY_BYTES >> 20} MiB")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP")) as image:
            width, height = image.size
            if width * height > MAX_REPLY_PIXELS:
                raise ToolError(f"{source} returned {width} x {height} px, more than is accepted")
            return np.ascontiguousarray(np.asarray(image.convert("RGB"), dtype=np.uint8))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ToolError(f"{source} returned a picture larger than is accepted") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise ToolError(f"{source} returned no readable picture: {error}") from error
