"""The trained saliency network at run time: ONNX on the CPU, no torch."""

from __future__ import annotations

import hashlib
import json
import os
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

import retoucher
from retoucher.agents import BoolArray, FloatArray, RgbArray
from retoucher.domain.geometry import Box
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo
from retoucher.errors import ConfigError, InputError, PluginError
from retoucher.perception.preprocess import prepare, restore
from retoucher.perception.tokenizer import HashTokenizer

WEIGHTS = Path(__file__).parent / "weights"
"""The weights that ship with the package."""

_PICTURE_GRAPH, _PROMPT_GRAPH, _RUN = "saliency.onnx", "prompt.onnx", "run.json"
_CACHED_PROMPTS = 64


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


class _Session(Protocol):
    """The part of onnxruntime.InferenceSession that is used."""

    def run(
        self, output_names: list[str] | None, input_feed: dict[str, NDArray[Any]]
    ) -> list[NDArray[Any]]: ...


class SaliencyPerceiver:
    """Distortion saliency by the network in a folder of exported weights.

    The files' digests are checked when they are first used, and stand in `info`.

    Args:
        folder: of run.json, saliency.onnx and, with a text branch, prompt.onnx.
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
        try:
            described = json.loads((folder / _RUN).read_text("utf-8"))
        except FileNotFoundError:
            raise PluginError(
                f"{folder}: holds no weights of the saliency network ({_RUN} is missing)"
            ) from None
        self._folder = folder
        self._digests = {str(k): str(v) for k, v in described["sha256"].items()}
        self._stride = int(described["stride"])
        tokenizer = described["tokenizer"]
        self._tokenizer = None if tokenizer is None else HashTokenizer(**tokenizer)
        self._views = views or ViewSettings(**described["views"])
        self._threads = threads or os.cpu_count() or 1
        self._sessions: dict[str, _Session] = {}
        self._prompts: OrderedDict[str, tuple[FloatArray, BoolArray]] = OrderedDict()

    @property
    def info(self) -> AgentInfo:
        used = [_PICTURE_GRAPH] + ([] if self._tokenizer is None else [_PROMPT_GRAPH])
        return AgentInfo(
            role="perceiver",
            name="saliency",
            version=retoucher.__version__,
            weights={name: self._digests[name] for name in used},
            device="cpu",
            settings=asdict(self._views),
        )

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        """Saliency of the picture's size, float32 (H, W) in [0, 1]."""
        if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
            raise InputError(f"a picture is uint8 (H, W, 3), got {image_rgb.shape}")
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
        given = prepare(image_rgb, self._views.long_side_px)
        feed: dict[str, NDArray[Any]] = {"image": given.image_1chw, "valid": given.valid_1hw}
        if self._tokenizer is not None:
            feed["text"], feed["text_valid"] = self._encoded(prompt, self._tokenizer)
        logits = cast("FloatArray", self._session(_PICTURE_GRAPH).run(["logits"], feed)[0][0])
        calibrated = logits * np.float32(self._views.scale) + np.float32(self._views.shift)
        height, width = image_rgb.shape[:2]
        return restore(calibrated, given.shown_hw, self._stride, (height, width))

    def _encoded(self, prompt: str, tokenizer: HashTokenizer) -> tuple[FloatArray, BoolArray]:
        """The prompt's tokens, encoded once per prompt."""
        if prompt not in self._prompts:
            ids, valid = tokenizer.encode(prompt)
            feed: dict[str, NDArray[Any]] = {"ids": ids[None], "valid": valid[None]}
            text = cast("FloatArray", self._session(_PROMPT_GRAPH).run(["text"], feed)[0])
            self._prompts[prompt] = text, valid[None]
            if len(self._prompts) > _CACHED_PROMPTS:
                self._prompts.popitem(last=False)
        self._prompts.move_to_end(prompt)
        return self._prompts[prompt]

    def _session(self, name: str) -> _Session:
        if name not in self._sessions:
            self._sessions[name] = self._load(name)
        return self._sessions[name]

    def _load(self, name: str) -> _Session:
        try:
            data = (self._folder / name).read_bytes()
        except FileNotFoundError:
            raise PluginError(f"{self._folder / name}: the weights are missing") from None
        if hashlib.sha256(data).hexdigest() != self._digests.get(name):
            raise PluginError(
                f"{self._folder / name}: not the file that {_RUN} names; install the package anew"
            )
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        return cast("_Session", session)


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
