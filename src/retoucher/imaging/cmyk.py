"""CMYK to RGB and back: by the embedded profile where it works both ways, else arithmetically.

Samples are uint8, 255 is full ink.
"""

from __future__ import annotations

import io
import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

U8 = NDArray[np.uint8]


@lru_cache(maxsize=4)
def _transforms(
    icc: bytes,
) -> tuple[ImageCms.ImageCmsTransform, ImageCms.ImageCmsTransform] | None:
    """(CMYK to sRGB, sRGB to CMYK), or None where the profile cannot do both."""
    intent = ImageCms.Intent.RELATIVE_COLORIMETRIC
    flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
        return (
            ImageCms.buildTransform(profile, srgb, "CMYK", "RGB", intent, flags),
            ImageCms.buildTransform(srgb, profile, "RGB", "CMYK", intent, flags),
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _apply(transform: ImageCms.ImageCmsTransform, samples: U8, mode: str, out_mode: str) -> U8:
    """Convert (..., C) samples; as a picture of moderate width, which every Pillow accepts."""
    flat = samples.reshape(-1, samples.shape[-1])
    width = max(1, min(4096, len(flat)))
    height = math.ceil(len(flat) / width)
    padded = np.zeros((height * width, flat.shape[1]), np.uint8)
    padded[: len(flat)] = flat
    size = (width, height)
    result = transform.apply(Image.frombytes(mode, size, padded.tobytes()))
    assert result.mode == out_mode
    out = np.asarray(result).reshape(height * width, -1)[: len(flat)]
    return out.reshape(*samples.shape[:-1], out.shape[1])


def cmyk_to_rgb(cmyk: U8, icc: bytes | None) -> U8:
    """(..., 4) inks to (..., 3) sRGB."""
    transforms = _transforms(icc) if icc else None
    if transforms is not None and cmyk.size:
        return _apply(transforms[0], cmyk, "CMYK", "RGB")
    light = 255 - cmyk.astype(np.uint16)
    return ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)


def rgb_to_cmyk(rgb: U8, before_cmyk: U8, icc: bytes | None) -> U8:
    """(N, 3) sRGB to (N, 4) inks, consistent with `cmyk_to_rgb`.

    Without a profile the black of `before_cmyk` is kept as far as the new colour allows, and the
    result converts back to exactly the same RGB.
    """
    transforms = _transforms(icc) if icc else None
    if transforms is not None and rgb.size:
        return _apply(transforms[1], rgb, "RGB", "CMYK")
    wanted = rgb.astype(np.int32)
    paper = np.maximum(255 - before_cmyk[:, 3:].astype(np.int32), wanted.max(axis=1, keepdims=True))
    light = (wanted * 255 + paper // 2) // np.maximum(paper, 1)
    inks = np.concatenate([255 - light, 255 - paper], axis=1)
    return np.clip(inks, 0, 255).astype(np.uint8)
