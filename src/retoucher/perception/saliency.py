"""The trained saliency network at run time: ONNX on the CPU, no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

import retoucher
from retoucher.agents import FloatArray, RgbArray
from retoucher.domain.geometry import Box
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo
from retoucher.errors import ConfigError
from retoucher.tables import from_table
from retoucher.vision.runtime import WEIGHTS, SaliencyNetwork, shared_network


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewSettings:
    """How often and how large the network sees a picture.

    Attributes:
        long_side_px: of the whole picture as the network sees it.
        context_side_px: longer side of a second, coarser view, in which parts are seen with more of
            the scene around them; 0: none.
        context_weight: of that view's logits against those of the first, 0 to 1.
        mirror: also shows it mirrored, and takes the mean; twice the time.
        tiles: also shows overlapping tiles of a picture whose longer side exceeds twice
            `long_side_px`, so that small hands and faces are seen at their own resolution; where
            they and the whole view differ, the higher saliency holds.
        scale, shift: calibration of the logits, chosen on validation pictures; see the model card.
    """

    long_side_px: int = 512
    context_side_px: int = 0
    context_weight: float = 0.5
    mirror: bool = False
    tiles: bool = False
    scale: float = 1.0
    shift: float = 0.0

    def __post_init__(self) -> None:
        if self.long_side_px < 64:
            raise ConfigError(f"long_side_px must be at least 64, got {self.long_side_px}")
        if self.context_side_px and not 64 <= self.context_side_px < self.long_side_px:
            raise ConfigError(
                f"context_side_px is 0, or at least 64 and below long_side_px, got "
                f"{self.context_side_px}"
            )
        if not 0.0 <= self.context_weight <= 1.0:
            raise ConfigError(f"context_weight lies in [0, 1], got {self.context_weight}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SaliencySettings:
    """What a user chooses, as `[options.perceiver.saliency]`.

    Attributes:
        weights: folder of exported weights (run.json, saliency.onnx and, with a text branch,
            prompt.onnx), as recipes/perception_export.py writes it; "": the shipped ones.
        tiles, mirror: see `ViewSettings`; None: as the weights' run.json states.
    """

    weights: str = ""
    tiles: bool | None = None
    mirror: bool | None = None


class SaliencyPerceiver:
    """Distortion saliency by the network in a folder of exported weights.

    The files' digests are checked when they are first used, and stand in `info`. The shipped
    network is shared with the reasoner, so that a picture is looked at once.

    Args:
        settings: None: the defaults.
        views: None: those that the weights' run.json states, with what `settings` changes.
        threads: of the CPU; None: as many as it has.

    Raises:
        PluginError: the folder holds no weights, or others than its run.json names.
    """

    settings_type = SaliencySettings

    def __init__(
        self,
        settings: SaliencySettings | None = None,
        *,
        views: ViewSettings | None = None,
        threads: int | None = None,
    ) -> None:
        chosen = settings or SaliencySettings()
        folder = Path(chosen.weights).expanduser() if chosen.weights else WEIGHTS
        shared = folder == WEIGHTS and threads is None
        self._network = shared_network() if shared else SaliencyNetwork(folder, threads=threads)
        changes = {"tiles": chosen.tiles, "mirror": chosen.mirror}
        self._views = views or replace(
            from_table(ViewSettings, self._network.described_views, f"{folder}/run.json: views"),
            **{name: value for name, value in changes.items() if value is not None},
        )

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
        return SaliencyMap(np.maximum(whole, total / weight))

    def _view(self, image_rgb: RgbArray, prompt: str) -> FloatArray:
        seen = self._map(image_rgb, prompt)
        if not self._views.mirror:
            return seen
        other = self._map(np.ascontiguousarray(image_rgb[:, ::-1]), prompt)[:, ::-1]
        return ((seen + other) * np.float32(0.5)).astype(np.float32)

    def _map(self, image_rgb: RgbArray, prompt: str) -> FloatArray:
        views = self._views
        return self._network.saliency(
            image_rgb,
            prompt,
            size_hw=(image_rgb.shape[0], image_rgb.shape[1]),
            long_side_px=views.long_side_px,
            context_side_px=views.context_side_px,
            context_weight=views.context_weight,
            scale=views.scale,
            shift=views.shift,
        )


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
