"""Contact sheets: before and after, side by side, at a size where letters can be judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lettering_score import Rgb
from PIL import Image, ImageDraw


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """One picture before and after, with a caption."""

    before: Rgb
    after: Rgb
    caption: str


def focus(pair: Pair, box_xyxy: tuple[float, float, float, float], margin: float = 0.6) -> Pair:
    """The pair cropped around a box, with some surroundings."""
    h, w = pair.before.shape[:2]
    x0, y0, x1, y1 = box_xyxy
    mx, my = margin * (x1 - x0), margin * max(y1 - y0, 0.3 * (x1 - x0))
    cut = (
        slice(max(0, int(y0 - my)), min(h, int(y1 + my))),
        slice(max(0, int(x0 - mx)), min(w, int(x1 + mx))),
    )
    return Pair(before=pair.before[cut], after=pair.after[cut], caption=pair.caption)


def write_sheet(
    pairs: Sequence[Pair],
    path: Path,
    *,
    columns: int = 2,
    cell_wh: tuple[int, int] = (360, 220),
    colours: int | None = None,
) -> None:
    """Pairs in a grid; each is before | after, scaled to its cell.

    A palette of `colours` keeps a sheet for the documentation small."""
    if not pairs:
        return
    cw, ch = cell_wh
    rows = -(-len(pairs) // columns)
    sheet = Image.new("RGB", (columns * (2 * cw + 12), rows * (ch + 20)), (250, 250, 250))
    draw = ImageDraw.Draw(sheet)
    for k, pair in enumerate(pairs):
        x, y = (k % columns) * (2 * cw + 12), (k // columns) * (ch + 20)
        for j, picture in enumerate((pair.before, pair.after)):
            image = _fit(picture, cw - 4, ch - 2)
            sheet.paste(image, (x + j * cw + (cw - image.width) // 2, y + (ch - image.height) // 2))
        draw.text((x + 4, y + ch + 2), pair.caption, fill=(30, 30, 30))
    path.parent.mkdir(parents=True, exist_ok=True)
    if colours is not None:
        sheet.quantize(colours, dither=Image.Dither.NONE).save(path, optimize=True)
        return
    sheet.save(path)


def _fit(picture: Rgb, width: int, height: int) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(picture))
    scale = min(width / image.width, height / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)
