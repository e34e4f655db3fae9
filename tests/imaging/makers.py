"""Pictures made without the code under test: a plain PNG writer, EXIF as generators write it."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

COLOUR_TYPES = {"L": 0, "RGB": 2, "P": 3, "LA": 4, "RGBA": 6}
PNG_KINDS = [
    ("L", 1),
    ("L", 2),
    ("L", 4),
    ("L", 8),
    ("L", 16),
    ("LA", 8),
    ("LA", 16),
    ("RGB", 8),
    ("RGB", 16),
    ("RGBA", 8),
    ("RGBA", 16),
    ("P", 1),
    ("P", 2),
    ("P", 4),
    ("P", 8),
]
_ADAM7 = [
    (0, 0, 8, 8),
    (4, 0, 8, 8),
    (0, 4, 4, 8),
    (2, 0, 4, 4),
    (0, 2, 2, 4),
    (1, 0, 2, 2),
    (0, 1, 1, 2),
]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _rows(levels, bits):
    if levels.size == 0:
        return b""
    if bits == 16:
        packed = levels.astype(">u2").reshape(len(levels), -1).view(np.uint8)
    elif bits == 8:
        packed = levels.astype(np.uint8).reshape(len(levels), -1)
    else:
        planes = (levels[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        packed = np.packbits(planes.astype(np.uint8).reshape(len(levels), -1), axis=1)
    return b"".join(b"\0" + row.tobytes() for row in packed)


def write_png(levels, mode, bits, *, before=(), after=(), interlaced=False, tail=b""):
    """PNG of raw sample levels (H, W) or (H, W, C); (kind, data) chunks before and after IDAT."""
    height, width = levels.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, bits, COLOUR_TYPES[mode], 0, 0, int(interlaced))
    if interlaced:
        raw = b"".join(_rows(levels[y::dy, x::dx], bits) for x, y, dx, dy in _ADAM7)
    else:
        raw = _rows(levels, bits)
    packed = zlib.compress(raw)
    half = len(packed) // 2
    parts = [chunk(b"IHDR", header), *(chunk(*pair) for pair in before)]
    parts += [chunk(b"IDAT", packed[:half]), chunk(b"IDAT", packed[half:])]
    parts += [*(chunk(*pair) for pair in after), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + tail


def png_chunks(data):
    """(kind, payload) of every chunk."""
    at, found = 8, []
    while at < len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
        if found[-1][0] == b"IEND":
            break
    return found


def exif(orientation=None, comment=None, **texts):
    """An EXIF blob: orientation, UserComment as piexif writes it, MODEL and MAKE texts."""
    tags = Image.Exif()
    if orientation is not None:
        tags[0x0112] = orientation
    for name, value in texts.items():
        tags[{"model": 0x0110, "make": 0x010F, "software": 0x0131}[name]] = value
    if comment is not None:
        tags.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + comment.encode("utf-16-be")
    return tags.tobytes().removeprefix(b"Exif\0\0")


def encoded(image, file_format, **options):
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def scene(height=60, width=90, seed=0):
    """A smooth picture with some texture, uint8 (H, W, 3)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([x * 255 / width, y * 255 / height, (x + y) * 255 / (width + height)], -1)
    return np.clip(base + rng.normal(0, 6, base.shape), 0, 255).astype(np.uint8)


def with_box(image_rgb, box, seed=1):
    """A copy with noise inside the box (x0, y0, x1, y1)."""
    x0, y0, x1, y1 = box
    result = image_rgb.copy()
    rng = np.random.default_rng(seed)
    result[y0:y1, x0:x1] = rng.integers(0, 256, (y1 - y0, x1 - x0, 3))
    return result


INFOTEXT = (
    "a cat, sitting\non a mat\nNegative prompt: dog,\nrain\n"
    'Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512, Hires: "a, b: c"'
)
