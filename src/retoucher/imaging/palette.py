"""New colours in an indexed picture: free palette slots first, else the nearest colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

U8 = NDArray[np.uint8]


def repaint(
    indices: U8,
    changed_hw: NDArray[np.bool_],
    colours_rgb: U8,
    *,
    palette_rgba: U8,
    capacity: int,
    reserved: tuple[int, ...] = (),
) -> tuple[U8, U8]:
    """Give the changed pixels the indices that show their new colours best.

    The opacity of every pixel stays as it is. Palette entries in use keep their colours; unused
    ones, and room up to `capacity`, take new colours.

    Args:
        indices: uint8 (H, W).
        changed_hw: bool (H, W), N pixels set, none of them fully transparent.
        colours_rgb: uint8 (N, 3), wanted colours, in row order.
        palette_rgba: uint8 (M, 4).
        capacity: number of entries the palette may have.
        reserved: entries that keep their colour though no pixel uses them.

    Returns:
        New indices and palette (as long as before, or longer).
    """
    old = indices[changed_hw]
    alphas = palette_rgba[:, 3][old]
    wanted = np.concatenate([colours_rgb, alphas[:, None]], axis=1)
    unique, inverse, counts = np.unique(wanted, axis=0, return_inverse=True, return_counts=True)
    used = np.zeros(capacity, bool)
    # Entries that only changed pixels use become free, unless some opacity might lose its last one.
    one_opacity = bool((alphas == alphas[0]).all())
    used[np.unique(indices[~changed_hw] if one_opacity else indices)] = True
    kept = used.copy()
    kept[list(reserved)] = True
    palette, slots = _grow(unique, counts, palette_rgba, used, np.flatnonzero(~kept))
    used[slots] = True
    choice = _nearest(unique, palette, used[: len(palette)])
    result = indices.copy()
    result[changed_hw] = choice[inverse.reshape(-1)]
    return result, palette


def _grow(
    unique_rgba: U8,
    counts: NDArray[np.intp],
    palette_rgba: U8,
    used: NDArray[np.bool_],
    free: NDArray[np.intp],
) -> tuple[U8, NDArray[np.intp]]:
    """The palette with new colours in its free slots, and the slots taken."""
    entries = np.zeros((len(used), 4), np.uint8)
    entries[:, 3] = 255
    entries[: len(palette_rgba)] = palette_rgba
    have = {tuple(row) for row in entries[used].tolist()}
    missing = np.array([tuple(row) not in have for row in unique_rgba.tolist()])
    new = _reduce(unique_rgba[missing], counts[missing], len(free))
    slots = free[: len(new)]
    entries[slots] = new
    length = max(len(palette_rgba), int(slots.max()) + 1 if len(slots) else 0)
    return entries[:length], slots


def _reduce(rgba: U8, counts: NDArray[np.intp], at_most: int) -> U8:
    """At most so many colours that stand for (N, 4); one opacity only where there are too many."""
    if len(rgba) <= at_most or at_most == 0:
        return rgba[:at_most]
    alpha_px = np.bincount(rgba[:, 3], weights=counts, minlength=256)
    alpha = int(alpha_px.argmax())
    group = rgba[:, 3] == alpha
    colours, weights = rgba[group][:, :3], counts[group]
    if len(colours) <= at_most:
        return rgba[group]
    share = weights.astype(np.float64) / float(weights.sum())
    repeats = np.maximum(1, (share * 50_000).astype(np.int64))
    flat = np.repeat(colours, repeats, axis=0)
    picture = Image.fromarray(np.ascontiguousarray(flat[None]))
    quantised = picture.quantize(at_most, Image.Quantize.MEDIANCUT, kmeans=1)
    flat_palette = quantised.getpalette() or []
    reduced = np.array(flat_palette, np.uint8).reshape(-1, 3)[:at_most]
    return np.concatenate([reduced, np.full((len(reduced), 1), alpha, np.uint8)], axis=1)


def _nearest(wanted_rgba: U8, palette_rgba: U8, usable: NDArray[np.bool_]) -> U8:
    """Index of the nearest usable entry of the same opacity, for each of (N, 4)."""
    choice = np.zeros(len(wanted_rgba), np.uint8)
    for alpha in np.unique(wanted_rgba[:, 3]):
        entries = np.flatnonzero(usable & (palette_rgba[:, 3] == alpha))
        rows = np.flatnonzero(wanted_rgba[:, 3] == alpha)
        table = palette_rgba[entries, :3].astype(np.int32)
        for start in range(0, len(rows), 4096):
            part = rows[start : start + 4096]
            delta = wanted_rgba[part, None, :3].astype(np.int32) - table[None]
            choice[part] = entries[(delta**2).sum(axis=-1).argmin(axis=1)]
    return choice
