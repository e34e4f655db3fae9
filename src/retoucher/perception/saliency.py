"""The trained saliency network at run time: ONNX on the CPU, no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import retoucher
from retoucher.agents import FloatArray, RgbArray
from retoucher.domain.geometry import Box
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo
from retoucher.errors import ConfigError
from retoucher.vision.preprocess import restore
from retoucher.vision.runtime import WEIGHTS, SaliencyNetwork, shared_network


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSettings:
    """How often and how large the network sees a picture.

    Attributes:
        long_side_px: of the whole picture as the network sees it.
        mirror: also shows it mirrored, and takes the mean; twice the time.
        tiles: also shows overlapping tiles of a picture whose longer side exceeds twice
            `long_side_px`, so that small hands and faces are seen at their own resolution.
        tile_weight: share of the tiles' map against the whole view's, 0 to 1.
        scale, shift: calibration of the logits, chosen on validation pictures; see the model card.
    """

    long_side_px: int = 512
    mirror: bool = False
    tiles: bool = False
    tile_weight: float = 0.5
    scale: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        if self.long_side_px < 64:
            raise ConfigError(f"long_side_px must be at least 64, got {self.long_side_px}")
        if not 0.0 <= self.tile_weight <= 1.0:
            raise ConfigError(f"tile_weight lies in [0, 1], got {self.tile_weight}")


class SaliencyPerceiver:
    """Distortion saliency by the network in a folder of exported weights.

    The files' digests are checked when they are first used, and stand in `info`.

    Args:
        folder: of run.json, saliency.onnx and, with a text branch, prompt.onnx; the shipped one is
            shared with the reasoner, so that a picture is looked at once.
        views: None: those that the folder's run.json states.
        threads: of the CPU; None: as many as it has.

    Raises:
        PluginError: the folder holds no weights, or others than its run.json names.
    """

    def __init__(
        self,
        folder: Path = WEIGHTS,
        *,
        views: ViewSettings | None = None,
        threads: int | None = None,
    ) -> None:
        shared = folder == WEIGHTS and threads is None
        self._network = shared_network() if shared else SaliencyNetwork(folder, threads=threads)
        self._views = views or ViewSettings(**self._network.described_views)

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(
            role="perceiver",
            name="saliency",
            version=retoucher.__version__,
            weights=dict(self._network.weights),
            device="cpu",
            settings=asdict(self._views),
        )

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        """Saliency of the picture's size, float32 (H, W) in [0, 1]."""
        whole = self._view(image_rgb, prompt)
        if not self._views.tiles:
            return SaliencyMap(whole)
        boxes = tile_boxes(image_rgb.shape[0], image_rgb.shape[1], self._views.long_side_px)
        if not boxes:
            return SaliencyMap(whole)
        total, weight = np.zeros_like(whole), np.zeros_like(whole)
        for box in boxes:
            tile = np.ascontiguousarray(image_rgb[box.slices])
            window = _window(box.height, box.width)
            total[box.slices] += window * self._view(tile, prompt)
            weight[box.slices] += window
        share = np.float32(self._views.tile_weight)
        return SaliencyMap(((1 - share) * whole + share * total / weight).astype(np.float32))

    def _view(self, image_rgb: RgbArray, prompt: str) -> FloatArray:
        seen = self._map(image_rgb, prompt)
        if not self._views.mirror:
            return seen
        other = self._map(np.ascontiguousarray(image_rgb[:, ::-1]), prompt)[:, ::-1]
        return ((seen + other) * np.float32(0.5)).astype(np.float32)

    def _map(self, image_rgb: RgbArray, prompt: str) -> FloatArray:
        view = self._network.look(image_rgb, prompt, self._views.long_side_px)
        calibrated = view.logits_hw * np.float32(self._views.scale) + np.float32(self._views.shift)
        height, width = image_rgb.shape[:2]
        return restore(calibrated, view.shown_hw, self._network.stride, (height, width))


def tile_boxes(height: int, width: int, tile_px: int) -> tuple[Box, ...]:
    """Overlapping tiles of about twice `tile_px`, so that each is seen at half resolution or more.

    Empty where the picture's longer side is no more than twice `tile_px`: the whole view sees it
    well enough.
    """
    side = 2 * tile_px
    if max(height, width) <= side:
        return ()
    rows, columns = _starts(height, side), _starts(width, side)
    return tuple(
        Box(x, y, min(x + side, width), min(y + side, height)) for y in rows for x in columns
    )


def _starts(length: int, side: int) -> list[int]:
    """Starts of tiles that cover `length` with at least a quarter of overlap."""
    if length <= side:
        return [0]
    count = -(-(length - side) // (side * 3 // 4)) + 1
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def _window(height: int, width: int) -> FloatArray:
    """Weight of a tile's pixels when tiles overlap: high in the middle, never 0."""
    y = 1 - np.abs(np.linspace(-1, 1, height, dtype=np.float32))
    x = 1 - np.abs(np.linspace(-1, 1, width, dtype=np.float32))
    return (np.outer(y, x) + 0.01).astype(np.float32)
