"""Samples as a file stores them, their working copy in RGB, and the way back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from retoucher.imaging.cmyk import cmyk_to_rgb, rgb_to_cmyk
from retoucher.imaging.palette import repaint

U8 = NDArray[np.uint8]
Samples = NDArray[np.uint8 | np.uint16]
Mode = Literal["L", "LA", "P", "RGB", "RGBA", "CMYK"]

CHANNELS: dict[str, int] = {"L": 1, "LA": 2, "P": 1, "RGB": 3, "RGBA": 4, "CMYK": 4}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Native:
    """Pixels in stored orientation.

    Attributes:
        mode: kind of samples; alpha is straight.
        bits: per sample in the file: 1, 2, 4, 8 or 16.
        samples: (H, W) for L and P, else (H, W, C); uint16 for 16 bits, else uint8. Grey of 1, 2
            and 4 bits is spread over 0..255; palette indices are as they are.
        palette_rgba: uint8 (N, 4), for P.
        colour_key: the one sample value that is transparent (PNG tRNS), in the units of `samples`.
        reserved: palette entries that something besides pixels refers to.
        icc: the profile that CMYK is converted with.
    """

    mode: Mode
    bits: int
    samples: Samples
    palette_rgba: U8 | None = None
    colour_key: tuple[int, ...] | None = None
    reserved: tuple[int, ...] = ()
    icc: bytes | None = None

    def __post_init__(self) -> None:
        channels = CHANNELS[self.mode]
        shape = self.samples.shape[2:]
        assert shape == (() if channels == 1 else (channels,)), (self.mode, shape)
        assert self.samples.dtype == (np.uint16 if self.bits == 16 else np.uint8)

    @property
    def size_wh(self) -> tuple[int, int]:
        return self.samples.shape[1], self.samples.shape[0]

    @property
    def name(self) -> str:
        """Mode as users know it: "1", "L", "P", "RGB;16", ..."""
        if self.mode == "L" and self.bits == 1:
            return "1"
        return f"{self.mode};16" if self.bits == 16 else self.mode


def to_8_bits(samples: Samples) -> U8:
    """16 bits rounded to the nearest of 8; 8 bits as they are."""
    if samples.dtype == np.uint8:
        return samples.astype(np.uint8, copy=False)
    return ((samples.astype(np.uint32) * 255 + 32895) >> 16).astype(np.uint8)


def luma(rgb: U8) -> U8:
    """ITU-R 601 luma of (..., 3), rounded; a grey comes back as itself."""
    weighted = rgb.astype(np.uint32) @ np.array([299, 587, 114], np.uint32)
    return ((weighted + 500) // 1000).astype(np.uint8)


def alpha_of(native: Native) -> Samples | None:
    """(H, W) opacity in the file's depth, or None where every pixel is opaque by definition."""
    if native.mode in ("LA", "RGBA"):
        return native.samples[..., -1]
    if native.mode == "P":
        assert native.palette_rgba is not None
        if bool((native.palette_rgba[:, 3] == 255).all()):
            return None
        return native.palette_rgba[:, 3][native.samples]
    if native.colour_key is None:
        return None
    keyed = native.samples == np.array(native.colour_key, native.samples.dtype)
    if keyed.ndim == 3:
        keyed = keyed.all(axis=-1)
    return np.where(keyed, 0, 255).astype(np.uint8)


def hidden_hw(native: Native) -> NDArray[np.bool_] | None:
    """Where the picture is fully transparent; None where nowhere."""
    alpha = alpha_of(native)
    if alpha is None:
        return None
    hidden = alpha == 0
    return hidden if bool(hidden.any()) else None


def colours_of(native: Native) -> U8:
    """Straight colours, uint8 (H, W, 3), stored orientation, hidden ones too.

    May share memory with the samples.
    """
    samples = native.samples
    match native.mode:
        case "P":
            assert native.palette_rgba is not None
            return native.palette_rgba[:, :3][samples]
        case "CMYK":
            return cmyk_to_rgb(to_8_bits(samples), native.icc)
        case "L":
            return np.repeat(to_8_bits(samples)[..., None], 3, axis=2)
        case "LA":
            return np.repeat(to_8_bits(samples[..., :1]), 3, axis=2)
        case _:
            return to_8_bits(samples[..., :3])


def to_rgb(native: Native) -> U8:
    """`colours_of`, but white where nothing is visible."""
    rgb = colours_of(native)
    hidden = hidden_hw(native)
    if hidden is not None:
        rgb = rgb.copy()
        rgb[hidden] = 255
    return rgb


def expanded(native: Native) -> Native:
    """The same picture as RGB or RGBA with 8 bits."""
    rgb, alpha = colours_of(native), alpha_of(native)
    if alpha is None:
        return Native(mode="RGB", bits=8, samples=rgb)
    samples = np.concatenate([rgb, to_8_bits(alpha)[..., None]], axis=2)
    return Native(mode="RGBA", bits=8, samples=samples)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Merged:
    """`native` with the changes in it, where it changed, and changes that had no visible pixel."""

    native: Native
    changed_hw: NDArray[np.bool_]
    hidden_changes_px: int


def differs_hw(a: U8, b: U8) -> NDArray[np.bool_]:
    """Where two (H, W, 3) pictures differ in any channel."""
    different = a != b
    return different[..., 0] | different[..., 1] | different[..., 2]


def merge(native: Native, before_rgb: U8, after_rgb: U8) -> Merged:
    """Put the difference of two working copies (stored orientation) into the file's own samples.

    Samples of pixels that do not differ stay as they are, so does alpha everywhere, so do fully
    transparent pixels.
    """
    changed = differs_hw(before_rgb, after_rgb)
    hidden = hidden_hw(native)
    hidden_changes = 0
    if hidden is not None:
        hidden_changes = int((changed & hidden).sum())
        changed &= ~hidden
    if not bool(changed.any()):
        return Merged(native=native, changed_hw=changed, hidden_changes_px=hidden_changes)
    before, after = before_rgb[changed], after_rgb[changed]
    if native.mode == "P":
        assert native.palette_rgba is not None
        indices, palette = repaint(
            native.samples.astype(np.uint8, copy=False),
            changed,
            after,
            palette_rgba=native.palette_rgba,
            capacity=1 << native.bits,
            reserved=native.reserved,
        )
        merged = replace(native, samples=indices, palette_rgba=palette)
    else:
        samples = native.samples.copy()
        samples[changed] = _new_samples(native, samples[changed], before, after)
        merged = replace(native, samples=samples)
    return Merged(native=merged, changed_hw=changed, hidden_changes_px=hidden_changes)


def _new_samples(native: Native, old: Samples, before: U8, after: U8) -> Samples:
    """Samples (N,) or (N, C) for changed pixels, given their RGB (N, 3) before and after."""
    if native.mode == "CMYK":
        inks = rgb_to_cmyk(after, to_8_bits(old), native.icc)
        return inks if native.bits == 8 else inks.astype(np.uint16) * 257
    if native.mode in ("L", "LA"):
        before, after = luma(before)[:, None], luma(after)[:, None]
    colours = old[:, None] if old.ndim == 1 else old
    width = before.shape[1]
    new = colours.copy()
    if native.bits == 16:
        delta = (after.astype(np.int32) - before.astype(np.int32)) * 257
        new[:, :width] = np.clip(colours[:, :width].astype(np.int32) + delta, 0, 65535)
    else:
        new[:, :width] = _on_levels(after, native.bits)
    if native.colour_key is not None:
        new = _off_key(new, colours, native)
    return new[:, 0] if old.ndim == 1 else new


def _on_levels(values: U8, bits: int) -> U8:
    """The nearest value that `bits` per sample can hold; 1 bit splits at 128."""
    if bits >= 8:
        return values
    step = 255 // ((1 << bits) - 1)
    return ((values.astype(np.uint16) + step // 2) // step * step).astype(np.uint8)


def _off_key(new: Samples, old: Samples, native: Native) -> Samples:
    """Move a new colour that happens to equal the transparent one to its neighbour."""
    key = np.array(native.colour_key, new.dtype)
    hit = (new == key).all(axis=1)
    if not bool(hit.any()):
        return new
    if native.bits == 1:
        new[hit] = old[hit]
        return new
    step = 1 if native.bits >= 8 else 255 // ((1 << native.bits) - 1)
    last = int(key[-1])
    new[hit, -1] = last - step if last >= step else last + step
    return new
