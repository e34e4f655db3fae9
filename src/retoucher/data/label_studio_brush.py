"""Label Studio's run-length form of a brush mask.

Its own format (after thi.ng's rle-pack), not COCO's: a stream of bits, big-endian. 32 bits: number
of values; 5: width of a value less 1; four times 4: widths of the lengths less 1. Then blocks: one
bit that says "run", two that choose a width, the length less 1, and one value (a run) or as many
values as the length says. The values are RGBA samples, row by row; alpha is the mask.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

BoolArray = NDArray[np.bool_]


def decode_brush(data: Sequence[int], height: int, width: int) -> BoolArray:
    """The mask, bool (height, width): where the brush left at least half of full opacity.

    Args:
        data: bytes of the stream, 0 to 255.
        height: of the picture in pixels.
        width: of the picture in pixels.

    Raises:
        ValueError: the stream is cut off or has another size.
    """
    if not all(0 <= byte <= 255 for byte in data):
        raise ValueError("a brush mask must be a list of bytes")
    bits = _Bits(bytes(data))
    count = bits.read(32)
    if count != height * width * 4:
        raise ValueError(f"a brush mask of {count} values in a picture of {width}x{height}")
    value_bits = bits.read(5) + 1
    length_bits = [bits.read(4) + 1 for _ in range(4)]
    values = np.zeros(count, np.uint32)
    place = 0
    while place < count:
        run = bits.read(1)
        end = place + 1 + bits.read(length_bits[bits.read(2)])
        if end > count:
            raise ValueError("a brush mask holds more values than it says")
        if run:
            values[place:end] = bits.read(value_bits)
        else:
            values[place:end] = [bits.read(value_bits) for _ in range(end - place)]
        place = end
    return values.reshape(height, width, 4)[..., 3] > 127


class _Bits:
    """Reads whole numbers of any width from a stream of bits."""

    def __init__(self, data: bytes) -> None:
        self._data, self._place = data, 0

    def read(self, width: int) -> int:
        end = self._place + width
        last = -(-end // 8)
        if last > len(self._data):
            raise ValueError("a brush mask is cut off")
        piece = int.from_bytes(self._data[self._place // 8 : last], "big")
        self._place = end
        return piece >> (last * 8 - end) & ((1 << width) - 1)
