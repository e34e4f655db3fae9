"""Where to read a picture again after a part of it changed, and which lines stay as they were.

Detection costs the picture's area, so only windows around what changed are shown to the detector:
parts of the very canvas of the whole picture, cut at whole cells of the network's stride. The
detector looks at more than a window holds, so a line may come out a little differently than from
the whole picture; see docs/verification.md for how much.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.domain.geometry import Box

RgbArray = NDArray[np.uint8]
QuadArray = NDArray[np.float64]
CellArray = NDArray[np.bool_]

CELL_PX = 32
"""The detector's coarsest stride, on its canvas."""
_REACH = 1
"""Lettering within so many cells of a changed pixel is read again."""
_CONTEXT = 3
"""So many cells around that are shown to the detector."""
_MOST_SHARE = 0.5
"""Where the windows would cover more of the canvas, reading all of it is simpler and no slower."""
_EDGE_PX = 2.0
_SAME_LINE_PX = 10.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Changes:
    """What is to be read again of a picture.

    Attributes:
        again: bool (rows, columns), cells of the canvas whose lettering is read again.
        kept: indices of the earlier lines that stay as they were.
        windows: parts of the canvas to show to the detector, at whole cells, not overlapping.
    """

    again: CellArray
    kept: tuple[int, ...]
    windows: tuple[Box, ...]


def changes(changed_hw: NDArray[np.bool_], quads: Sequence[QuadArray]) -> Changes | None:
    """What to read again; None where it is so much that all of it should be.

    Args:
        changed_hw: bool (H, W), pixels of the canvas that changed; sides are whole cells.
        quads: of the earlier lines, (4, 2) each, in canvas pixels.
    """
    rows, columns = (side // CELL_PX for side in changed_hw.shape)
    cells = np.asarray(changed_hw.reshape(rows, CELL_PX, columns, CELL_PX).any(axis=(1, 3)))
    again = _grown(cells, _REACH)
    spans = [_span(quad, again.shape) for quad in quads]
    kept = set(range(len(quads)))
    while hit := [i for i in kept if again[spans[i].slices].any()]:
        # A line is read again whole, and so is what touches it.
        for i in hit:
            again[spans[i].slices] = True
        kept -= set(hit)
    windows = _windows(_grown(again, _CONTEXT))
    if sum(window.area_px for window in windows) > _MOST_SHARE * cells.size:
        return None
    return Changes(
        again=again,
        kept=tuple(sorted(kept)),
        windows=tuple(
            Box(w.x0 * CELL_PX, w.y0 * CELL_PX, w.x1 * CELL_PX, w.y1 * CELL_PX) for w in windows
        ),
    )


def is_cut(quad: QuadArray, window: Box, height: int, width: int) -> bool:
    """The quad, in canvas pixels, ends at a side of the window inside a canvas height x width."""
    (x0, y0), (x1, y1) = quad.min(0), quad.max(0)
    return bool(
        (window.x0 > 0 and x0 <= window.x0 + _EDGE_PX)
        or (window.y0 > 0 and y0 <= window.y0 + _EDGE_PX)
        or (window.x1 < width and x1 >= window.x1 - _EDGE_PX)
        or (window.y1 < height and y1 >= window.y1 - _EDGE_PX)
    )


def touches(quad: QuadArray, again: CellArray) -> bool:
    """The quad, in canvas pixels, has a part in the cells."""
    return bool(again[_span(quad, again.shape).slices].any())


def reading_order(quads: Sequence[QuadArray]) -> list[int]:
    """Indices as the detector orders what it finds: top to bottom, lines of a row left to right."""
    if not quads:
        return []
    corners = np.stack([quad[0] for quad in quads])
    by_top = np.argsort(corners[:, 1], kind="stable")
    lefts, tops = corners[by_top].T
    row_of = np.concatenate([[0], np.cumsum(np.diff(tops) >= _SAME_LINE_PX)])
    return [int(by_top[i]) for i in np.lexsort((lefts, row_of))]


def _span(quad: QuadArray, shape: tuple[int, ...]) -> Box:
    """The cells that the quad's bounds touch."""
    low = np.floor(quad.min(0) / CELL_PX).astype(int)
    high = np.floor(quad.max(0) / CELL_PX).astype(int)
    rows, columns = shape
    x0, x1 = (int(np.clip(v, 0, columns - 1)) for v in (low[0], high[0]))
    y0, y1 = (int(np.clip(v, 0, rows - 1)) for v in (low[1], high[1]))
    return Box(x0, y0, x1 + 1, y1 + 1)


def _grown(cells: CellArray, by: int) -> CellArray:
    kernel = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(cv2.dilate(cells.astype(np.uint8), kernel), np.bool_)


def _windows(cells: CellArray) -> list[Box]:
    """Bounds of the connected parts, in cells; overlapping ones become one."""
    _, _, stats, _ = cv2.connectedComponentsWithStats(cells.astype(np.uint8), connectivity=8)
    found = np.asarray(stats, np.int32)[1:]
    boxes = [Box(int(x), int(y), int(x + w), int(y + h)) for x, y, w, h, _ in found]
    done: list[Box] = []
    while boxes:
        box = boxes.pop()
        touching = [b for b in (*boxes, *done) if b.intersection(box) is not None]
        if not touching:
            done.append(box)
            continue
        for other in touching:
            box = box.union(other)
        boxes = [b for b in boxes if b not in touching] + [box]
        done = [b for b in done if b not in touching]
    return done
