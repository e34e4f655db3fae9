"""Pictures that are in memory already: PIL in, PIL out, through the same road as files."""

from __future__ import annotations

import io
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from retoucher.errors import InputError
from retoucher.imaging.files import PictureFile, read_picture
from retoucher.imaging.native import expanded, merge
from retoucher.imaging.orientation import to_stored, to_upright

_AS_PNG = ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")


def picture_from_image(image: Image.Image) -> PictureFile:
    """A PIL picture as if it had been read from a PNG file (CMYK: a TIFF file), exactly.

    Text chunks, EXIF (its orientation is applied) and ICC profile come along. Of an animation the
    frame that the picture stands at.

    Raises:
        InputError: the mode cannot be kept; convert it first.
    """
    if not image.width or not image.height:
        raise InputError(f"the picture is empty: {image.width} x {image.height} px")
    if image.mode not in (*_AS_PNG, "CMYK"):
        known = ", ".join((*_AS_PNG, "CMYK"))
        raise InputError(
            f"a PIL picture of mode {image.mode} cannot be kept exactly; "
            f"convert it to one of {known}"
        )
    buffer = io.BytesIO()
    profile = cast(bytes | None, image.info.get("icc_profile"))
    exif = image.getexif().tobytes() if len(image.getexif()) else None
    if image.mode == "CMYK":
        image.save(buffer, "TIFF", icc_profile=profile)
    else:
        image.save(
            buffer, "PNG", compress_level=0, pnginfo=_text_of(image), icc_profile=profile, exif=exif
        )
    return read_picture(buffer.getvalue())


def image_from_result(picture: PictureFile, result_rgb: NDArray[np.uint8]) -> Image.Image:
    """The result upright as PIL: "1", "L", "LA" and "CMYK" as they are, else RGB or RGBA.

    Alpha is kept. 16-bit grey stays 16-bit; other 16-bit pictures come as 8 bits (files keep them).
    """
    native = merge(
        picture.native,
        to_stored(picture.image_rgb, picture.orientation),
        to_stored(result_rgb, picture.orientation),
    ).native
    as_it_is = native.mode == "L" or (native.mode in ("LA", "CMYK") and native.bits == 8)
    if not as_it_is or native.colour_key is not None:
        native = expanded(native)
    samples = np.ascontiguousarray(to_upright(native.samples, picture.orientation))
    image = Image.fromarray(samples)
    if native.mode == "CMYK":
        return Image.merge("CMYK", image.split())
    return image.convert("1") if native.name == "1" else image


def _text_of(image: Image.Image) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for key, value in image.info.items():
        if isinstance(key, str) and isinstance(value, str):
            info.add_itxt(key, value)
    return info
