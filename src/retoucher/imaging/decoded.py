"""What every format's reader returns, and the one way to call a decoder that may raise anything."""

from __future__ import annotations

import io
import logging
import threading
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image

from retoucher.errors import InputError, OutputError
from retoucher.imaging.metadata import Metadata
from retoucher.imaging.native import Native

_PILLOW_STATE = threading.RLock()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Decoded:
    """A decoded file: native pixels in stored orientation, EXIF orientation 1 to 8, metadata."""

    native: Native
    orientation: int
    metadata: Metadata


@contextmanager
def pillow_on_data() -> Generator[None]:
    """Run Pillow on untrusted bytes: own size limits, quiet, only `InputError` comes out.

    Pillow's limit, its log level and Python's warning filters are process-wide, hence the lock.
    """
    log = logging.getLogger("PIL")
    with _PILLOW_STATE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        level = log.level
        log.setLevel(logging.CRITICAL + 1)
        try:
            yield
        except InputError:
            raise
        except MemoryError:
            raise InputError("there is not enough memory for this picture") from None
        except Exception as error:  # decoders raise a dozen kinds of errors on bad data
            raise InputError(f"truncated or corrupt ({reason(error)})") from error
        finally:
            Image.MAX_IMAGE_PIXELS = limit
            log.setLevel(level)


def to_pillow(native: Native) -> Image.Image:
    """8-bit L, LA, RGB, RGBA or CMYK samples as a Pillow picture; palette indices as P."""
    samples = np.ascontiguousarray(native.samples)
    assert samples.dtype == np.uint8
    if native.mode == "CMYK":
        return Image.frombytes("CMYK", native.size_wh, samples.tobytes())
    image = Image.fromarray(samples)
    if native.palette_rgba is not None:
        image.putpalette(native.palette_rgba[:, :3].tobytes())
    return image


def reason(error: Exception) -> str:
    """One line of an error."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def save_with_pillow(image: Image.Image, file_format: str, **options: object) -> bytes:
    """Encode to bytes.

    Raises:
        OutputError: Pillow cannot encode the picture.
    """
    buffer = io.BytesIO()
    with _PILLOW_STATE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image.save(buffer, file_format, **options)  # pyright: ignore[reportArgumentType]
        except (OSError, ValueError, KeyError, TypeError, SystemError) as error:
            raise OutputError(f"cannot encode {file_format}: {reason(error)}") from error
    return buffer.getvalue()
