"""Small pictures for batches: clean ones, blotted ones, and those that make trouble."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PLUGIN = Path(__file__).with_name("plugin")
CONFIG = Path(__file__).with_name("tint.toml")

DEFECT_BLUE = 98

DIES, FAILS, HANGS, GLUTTON = (1, 2, 3), (1, 2, 4), (1, 2, 5), (1, 2, 6)
"""A first pixel that makes the plug-in's perceiver do this."""


def clean(serial: int = 0, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[:height, :width]
    picture = np.stack([rows + 60, columns + 40, rows * 0 + 90], axis=2).astype(np.uint8)
    picture[-1, -1] = (serial % 256, serial // 256, 7)  # no two have the same content
    return picture


def blotted(serial: int = 0, size_px: int = 12) -> NDArray[np.uint8]:
    picture = clean(serial)
    picture[14 : 14 + size_px, 20 : 20 + size_px, 2] = DEFECT_BLUE
    return picture


def troubled(corner: tuple[int, int, int], serial: int = 0) -> NDArray[np.uint8]:
    picture = clean(serial)
    picture[0, 0] = corner
    return picture


def save(path: Path, image: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def folder_of(root: Path, count: int) -> Path:
    """`count` pictures in sub-folders, three of four with a defect."""
    for i in range(count):
        picture = blotted(i, 8 + i % 9) if i % 4 else clean(i)
        save(root / f"d{i % 5}" / f"p{i:03}.png", picture)
    return root


def files_in(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by its name there."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
