"""Pictures of lettering, drawn for the tests."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont


def sign(
    *lines: str, size_px: int = 56, width: int = 640, height: int = 384, angle: float = 0.0
) -> NDArray[np.uint8]:
    """Dark letters on a light board in front of a soft gradient, uint8 (height, width, 3)."""
    ramp = np.linspace(90, 150, width, dtype=np.float32)
    back = np.repeat(np.repeat(ramp[None, :, None], height, 0), 3, 2).astype(np.uint8)
    picture = Image.fromarray(back)
    board = Image.new("RGB", (width - 60, height - 60), (236, 232, 220))
    draw = ImageDraw.Draw(board)
    font = ImageFont.load_default(size_px)
    for i, line in enumerate(lines):
        draw.text((40, 30 + i * int(1.5 * size_px)), line, font=font, fill=(30, 40, 70))
    picture.paste(board.rotate(angle, fillcolor=(236, 232, 220)), (30, 30))
    return np.ascontiguousarray(np.asarray(picture))
