"""The README's picture strip: before and after of demo pictures.

usage: retouch demo -o DEMO && python recipes/readme_strip.py DEMO docs/images/strip.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image

PICTURES = ("shop_sign.png", "road_sign.jpg", "poster.png")
HEIGHT_PX, GAP_PX, GROUP_GAP_PX = 220, 4, 16


def main(demo: Path, target: Path) -> None:
    """Paste pairs of (picture, retouched picture) side by side and write them as one file."""
    groups: list[list[Image.Image]] = []
    for name in PICTURES:
        before = demo / name
        after = before.with_name(f"{before.stem}.retouched{before.suffix}")
        groups.append([_scaled(path) for path in (before, after)])
    width = sum(sum(p.width for p in g) + GAP_PX for g in groups) + GROUP_GAP_PX * (len(groups) - 1)
    strip = Image.new("RGB", (width, HEIGHT_PX), "white")
    x = 0
    for group in groups:
        for picture in group:
            strip.paste(picture, (x, 0))
            x += picture.width + GAP_PX
        x += GROUP_GAP_PX - GAP_PX
    target.parent.mkdir(parents=True, exist_ok=True)
    strip.save(target, optimize=True)


def _scaled(path: Path) -> Image.Image:
    image = Image.open(path).convert("RGB")
    size = (round(image.width * HEIGHT_PX / image.height), HEIGHT_PX)
    return image.resize(size, Image.Resampling.LANCZOS)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
