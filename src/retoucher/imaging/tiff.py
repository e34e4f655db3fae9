"""TIFF: strips written anew and uncompressed or deflated, so always exact; every other tag kept."""

from __future__ import annotations

import io
import struct
import zlib
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retoucher.errors import InputError, OutputError
from retoucher.imaging import exif as exif_blob
from retoucher.imaging.decoded import Decoded, pillow_on_data
from retoucher.imaging.exif import LONG, SHORT, ByteOrder
from retoucher.imaging.limits import Limits
from retoucher.imaging.metadata import Metadata
from retoucher.imaging.native import Mode, Native, Samples, to_8_bits
from retoucher.imaging.tiff_tree import Field, Tree, emit, read_tree, whole_numbers

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 256, 257, 258, 259, 262
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTES = 273, 277, 278, 279
X_RESOLUTION, Y_RESOLUTION, PLANAR, RESOLUTION_UNIT = 282, 283, 284, 296
COLOUR_MAP, EXTRA_SAMPLES, SAMPLE_FORMAT, XMP, ICC = 320, 338, 339, 700, 34675
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, INDEXED, SEPARATED = 0, 1, 2, 3, 5
UNCOMPRESSED, DEFLATE = 1, 8
RATIONAL, BYTE = 5, 1

_LAYOUT = frozenset(
    {STRIP_OFFSETS, ROWS_PER_STRIP, STRIP_BYTES, COMPRESSION, PLANAR, 266, 288, 289, 292, 293, 317}
    | {322, 323, 324, 325, 330, 347, *range(512, 522), 529, 530, 531, 532}
)
"""How the old strips or tiles were laid out and compressed, and where previews lie."""

_PIXELS = _LAYOUT | {
    WIDTH,
    HEIGHT,
    BITS,
    PHOTOMETRIC,
    SAMPLES,
    COLOUR_MAP,
    EXTRA_SAMPLES,
    SAMPLE_FORMAT,
}
_PHOTOMETRIC_OF: dict[str, int] = {
    "L": BLACK_IS_ZERO,
    "LA": BLACK_IS_ZERO,
    "RGB": RGB,
    "RGBA": RGB,
    "P": INDEXED,
    "CMYK": SEPARATED,
}
_MODE_OF_PILLOW: dict[str, Mode] = {
    "1": "L",
    "L": "L",
    "I;16": "L",
    "I;16B": "L",
    "LA": "LA",
    "RGB": "RGB",
    "RGBA": "RGBA",
    "P": "P",
    "CMYK": "CMYK",
}


def decode(data: bytes, limits: Limits) -> Decoded:
    """Read a TIFF of one page.

    Raises:
        InputError: several pages, truncated, corrupt, too large, or of an unusual kind.
    """
    order = exif_blob.byte_order(data)
    if order is None:
        raise InputError("a BigTIFF; convert it to TIFF or PNG first")
    if len(data) < 16:
        raise InputError("the TIFF is truncated")
    (ifd_at,) = struct.unpack_from(order + "I", data, 4)
    entries, next_at = exif_blob.read_ifd(data, order, ifd_at)
    if WIDTH not in entries or HEIGHT not in entries:
        raise InputError("the TIFF is truncated or corrupt")
    if data[next_at : next_at + 4].strip(b"\0"):
        raise InputError("a TIFF of several pages; give its pages as single pictures")
    tree = read_tree(data, order, ifd_at)
    width, height = (whole_numbers(tree[tag], order)[0] for tag in (WIDTH, HEIGHT))
    limits.check(width, height)
    upright = bytearray(data)
    if exif_blob.ORIENTATION in entries:  # Pillow turns the picture, we want it as stored
        at = entries[exif_blob.ORIENTATION].at + 8
        upright[at : at + 2] = struct.pack(order + "H", 1)
    native = _pixels(bytes(upright), tree, order)
    icc = tree[ICC].value if ICC in tree else None
    rest = {t: f for t, f in tree.items() if t not in _PIXELS and t not in (XMP, ICC)}
    metadata = Metadata(
        exif=_blob(rest, order),
        icc=icc,
        xmp=tree[XMP].value if XMP in tree else None,
        dpi=_dpi(tree, order),
    )
    if native.mode == "CMYK":
        native = replace(native, icc=icc)
    return Decoded(
        native=native, orientation=exif_blob.orientation_of(metadata.exif), metadata=metadata
    )


def _pixels(data: bytes, tree: Tree, order: ByteOrder) -> Native:
    numbers = {
        tag: whole_numbers(tree[tag], order)
        for tag in (BITS, PHOTOMETRIC, EXTRA_SAMPLES, SAMPLE_FORMAT)
        if tag in tree
    }
    depths = set(numbers.get(BITS, (1,)))
    kind = numbers.get(PHOTOMETRIC, (BLACK_IS_ZERO,))[0]
    extra = numbers.get(EXTRA_SAMPLES, ())
    formats = set(numbers.get(SAMPLE_FORMAT, (1,)))
    with pillow_on_data(), Image.open(io.BytesIO(data), formats=("TIFF",)) as image:
        pixels = np.array(image)
        pillow_mode = image.mode
        flat = image.getpalette("RGB") if image.mode == "P" else None
    bits = depths.pop()
    odd = depths or formats != {1} or bits not in (1, 2, 4, 8, 16) or extra not in ((), (2,))
    odd = odd or (bits == 16 and (kind == WHITE_IS_ZERO or pillow_mode in ("LA", "CMYK")))
    if odd or pillow_mode not in _MODE_OF_PILLOW:
        raise InputError(
            f"a TIFF of a kind that cannot be kept exact (photometric {kind}, {bits} bits, "
            f"extra samples {extra}); convert it to PNG first"
        )
    palette = None
    samples: Samples = pixels
    if flat is not None:
        palette = np.full((1 << bits, 4), 255, np.uint8)
        colours = np.array(flat, np.uint8).reshape(-1, 3)[: 1 << bits]
        palette[: len(colours), :3] = colours
    elif bits == 16 and pixels.ndim == 3:
        samples = _deep(data, pixels)
    elif bits == 16:
        samples = pixels.astype(np.uint16)
    elif pixels.dtype == np.bool_:
        samples = pixels.astype(np.uint8) * 255
    return Native(
        mode=_MODE_OF_PILLOW[pillow_mode],
        bits=bits,
        samples=np.ascontiguousarray(samples),
        palette_rgba=palette,
    )


def _deep(data: bytes, high_bytes: NDArray[np.uint8]) -> NDArray[np.uint16]:
    """16-bit RGB(A), which Pillow halves: from OpenCV, held against what Pillow saw."""
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if decoded is None or decoded.dtype != np.uint16 or decoded.ndim != 3:
        raise InputError("a 16-bit TIFF that cannot be read exactly; convert it to PNG first")
    deep = np.ascontiguousarray(decoded[..., [2, 1, 0, 3][: decoded.shape[2]]]).astype(np.uint16)
    if deep.shape != high_bytes.shape or not np.array_equal(deep >> 8, high_bytes):
        raise InputError("a 16-bit TIFF that cannot be read exactly; convert it to PNG first")
    return deep


def _dpi(tree: Tree, order: ByteOrder) -> tuple[float, float] | None:
    unit = whole_numbers(tree[RESOLUTION_UNIT], order)[0] if RESOLUTION_UNIT in tree else 2
    scale = {2: 1.0, 3: 2.54}.get(unit)
    values: list[float] = []
    for tag in (X_RESOLUTION, Y_RESOLUTION):
        if tag not in tree or tree[tag].kind != RATIONAL or scale is None:
            return None
        over, under = struct.unpack_from(order + "II", tree[tag].value)
        values.append(over / under * scale if under else 0.0)
    return values[0], values[1]


def _blob(tree: Tree, order: ByteOrder) -> bytes | None:
    """These tags as an EXIF blob."""
    if not tree:
        return None
    out = bytearray(exif_blob.empty(order)[:8])
    struct.pack_into(order + "I", out, 4, emit(out, tree, order))
    return bytes(out)


def rewrite(raw: bytes, native: Native, metadata: Metadata) -> tuple[bytes, tuple[str, ...]]:
    """The TIFF `raw` with other pixels of the same kind, and this metadata."""
    order = exif_blob.byte_order(raw)
    assert order is not None
    (ifd_at,) = struct.unpack_from(order + "I", raw, 4)
    tree = read_tree(raw, order, ifd_at)
    compression = whole_numbers(tree[COMPRESSION], order)[0] if COMPRESSION in tree else 1
    kind = whole_numbers(tree[PHOTOMETRIC], order)[0] if PHOTOMETRIC in tree else BLACK_IS_ZERO
    if kind != WHITE_IS_ZERO:
        kind = _PHOTOMETRIC_OF[native.mode]
    old_map = tree.get(COLOUR_MAP)
    kept = {tag: value for tag, value in tree.items() if tag not in _LAYOUT}
    data = _assemble(native, metadata, order, kind, compression != UNCOMPRESSED, kept, old_map)
    previews = ("previews inside the TIFF were left out",) if 330 in tree else ()
    return data, previews


def compose(native: Native, metadata: Metadata) -> bytes:
    """A new deflated TIFF.

    Raises:
        OutputError: a palette with opacity or a transparent colour, which TIFF does not have.
    """
    if native.colour_key is not None or (
        native.palette_rgba is not None and not bool((native.palette_rgba[:, 3] == 255).all())
    ):
        raise OutputError("TIFF cannot hold a transparent palette colour; write to a .png instead")
    order = exif_blob.byte_order(metadata.exif or b"") or "<"
    kept: Tree = {}
    if metadata.dpi:
        for tag, value in zip((X_RESOLUTION, Y_RESOLUTION), metadata.dpi, strict=True):
            ratio = struct.pack(order + "II", max(0, min(2**31, round(value * 100))), 100)
            kept[tag] = Field(RATIONAL, 1, ratio)
        kept[RESOLUTION_UNIT] = _short(order, 2)
    return _assemble(native, metadata, order, _PHOTOMETRIC_OF[native.mode], True, kept, None)


def _short(order: ByteOrder, *values: int) -> Field:
    return Field(SHORT, len(values), struct.pack(f"{order}{len(values)}H", *values))


def _long(order: ByteOrder, value: int) -> Field:
    return Field(LONG, 1, struct.pack(order + "I", value))


def _assemble(
    native: Native,
    metadata: Metadata,
    order: ByteOrder,
    photometric: int,
    deflate: bool,
    kept: Tree,
    old_map: Field | None,
) -> bytes:
    strip = _strip(native, order, photometric)
    if deflate:
        strip = zlib.compress(strip, 6)
    width, height = native.size_wh
    channels = 1 if native.samples.ndim == 2 else native.samples.shape[2]
    tree: Tree = dict(kept)
    if metadata.exif and exif_blob.byte_order(metadata.exif) == order:
        (at,) = struct.unpack_from(order + "I", metadata.exif, 4)
        rest = read_tree(metadata.exif, order, at)
        tree |= {tag: value for tag, value in rest.items() if tag not in _PIXELS}
    tree |= {
        WIDTH: _long(order, width),
        HEIGHT: _long(order, height),
        BITS: _short(order, *[native.bits] * channels),
        COMPRESSION: _short(order, DEFLATE if deflate else UNCOMPRESSED),
        PHOTOMETRIC: _short(order, photometric),
        STRIP_OFFSETS: _long(order, 8),
        SAMPLES: _short(order, channels),
        ROWS_PER_STRIP: _long(order, height),
        STRIP_BYTES: _long(order, len(strip)),
        PLANAR: _short(order, 1),
    }
    if native.mode in ("LA", "RGBA"):
        tree[EXTRA_SAMPLES] = _short(order, 2)
    if native.palette_rgba is not None:
        tree[COLOUR_MAP] = _colour_map(native, order, old_map)
    for tag, value in ((ICC, metadata.icc), (XMP, metadata.xmp)):
        if value:
            tree[tag] = Field(exif_blob.UNDEFINED if tag == ICC else BYTE, len(value), value)
    out = bytearray(exif_blob.empty(order)[:8]) + strip
    struct.pack_into(order + "I", out, 4, emit(out, tree, order))
    return bytes(out)


def _strip(native: Native, order: ByteOrder, photometric: int) -> bytes:
    """All rows, packed to whole bytes each."""
    samples = native.samples
    if native.bits == 16:
        return samples.astype(order + "u2").tobytes()
    packed = to_8_bits(samples)
    if native.mode == "L" and photometric == WHITE_IS_ZERO:
        packed = 255 - packed
    if native.bits == 8:
        return packed.tobytes()
    levels = packed if native.mode == "P" else packed // (255 // ((1 << native.bits) - 1))
    shifts = np.arange(native.bits - 1, -1, -1, dtype=np.uint8)
    rows = ((levels[..., None] >> shifts) & 1).reshape(levels.shape[0], -1)
    return np.packbits(rows, axis=1).tobytes()


def _colour_map(native: Native, order: ByteOrder, old: Field | None) -> Field:
    """16 bits a colour; entries that still round to the old ones keep their old bits."""
    assert native.palette_rgba is not None
    size = 1 << native.bits
    colours = np.zeros((3, size), np.uint16)
    colours[:, : len(native.palette_rgba)] = native.palette_rgba[:, :3].T.astype(np.uint16) * 257
    if old is not None and len(old.value) == 6 * size:
        before = np.frombuffer(old.value, order + "u2").reshape(3, size)
        same = (before >> 8 == colours >> 8).all(axis=0)
        colours[:, same] = before[:, same]
    return Field(SHORT, 3 * size, colours.astype(order + "u2").tobytes())
