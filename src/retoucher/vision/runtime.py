"""The trained network as ONNX on the CPU: what it sees in a picture, and its features."""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from retoucher.agents import BoolArray, FloatArray, RgbArray
from retoucher.errors import InputError, PluginError
from retoucher.vision.preprocess import joined, prepare, shown_logits, to_saliency
from retoucher.vision.sessions import Session, cpu_threads, open_session
from retoucher.vision.tokenizer import HashTokenizer

WEIGHTS = Path(__file__).parents[1] / "perception" / "weights"
"""The weights that ship with the package."""

PICTURE_GRAPH, PROMPT_GRAPH, RUN = "saliency.onnx", "prompt.onnx", "run.json"
OUTPUTS = ("logits", "features", "tokens")
TOKEN_STRIDE = 32
_CACHED_PROMPTS = 64
_CACHED_VIEWS = 8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class View:
    """What the network saw of one picture, at the size that it was shown.

    Attributes:
        logits_hw: float32 (h, w), uncalibrated, one per `stride` pixels of the shown picture.
        features_chw: float32 (C, h, w), the decoder's finest map, from which the logits are made.
        tokens_chw: float32 (D, h', w'), fused tokens, one per `TOKEN_STRIDE` pixels.
        shown_hw: size of the shown picture; what the maps hold beyond it is padding.
    """

    logits_hw: FloatArray
    features_chw: FloatArray
    tokens_chw: FloatArray
    shown_hw: tuple[int, int]


class SaliencyNetwork:
    """The network in a folder of exported weights; the same view of a picture is computed once.

    The files' digests are checked when they are first used. May be used from several threads.

    Args:
        folder: of run.json, saliency.onnx and, with a text branch, prompt.onnx.
        threads: of the CPU; None: as OMP_NUM_THREADS says, or as many as it has.

    Raises:
        PluginError: the folder holds no weights, or others than its run.json names.
    """

    def __init__(self, folder: Path = WEIGHTS, *, threads: int | None = None) -> None:
        try:
            described = json.loads((folder / RUN).read_text("utf-8"))
        except FileNotFoundError:
            raise PluginError(
                f"{folder}: holds no weights of the saliency network ({RUN} is missing)"
            ) from None
        self._folder = folder
        digests = {str(k): str(v) for k, v in described["sha256"].items()}
        tokenizer = described["tokenizer"]
        self._tokenizer = None if tokenizer is None else HashTokenizer(**tokenizer)
        used = [PICTURE_GRAPH] + ([] if self._tokenizer is None else [PROMPT_GRAPH])
        self.weights: Mapping[str, str] = {name: digests[name] for name in used}
        self.stride = int(described["stride"])
        self.described_views: Mapping[str, Any] = described["views"]
        self._threads = cpu_threads(threads)
        self._sessions: dict[str, Session] = {}
        self._prompts: OrderedDict[str, tuple[FloatArray, BoolArray]] = OrderedDict()
        self._views: OrderedDict[bytes, View] = OrderedDict()
        self._lock = threading.RLock()

    def look(self, image_rgb: RgbArray, prompt: str, long_side_px: int) -> View:
        """Shows the picture, its longer side at `long_side_px`, to the network.

        Args:
            image_rgb: uint8 (H, W, 3).
            prompt: of the picture; may be empty.
            long_side_px: at which it is shown.

        Raises:
            InputError: it is no such picture.
            PluginError: the weights are missing, changed, or of an older kind.
        """
        if image_rgb.ndim != 3 or image_rgb.shape[2] != 3 or image_rgb.dtype != np.uint8:
            raise InputError(f"a picture is uint8 (H, W, 3), got {image_rgb.shape}")
        pixels = np.ascontiguousarray(image_rgb)
        asked = f"{pixels.shape} {long_side_px} {prompt}".encode("utf-8", "replace")
        key = hashlib.blake2b(hashlib.blake2b(pixels.data).digest() + asked).digest()
        with self._lock:
            if key not in self._views:
                self._views[key] = self._look(pixels, prompt, long_side_px)
                if len(self._views) > _CACHED_VIEWS:
                    self._views.popitem(last=False)
            self._views.move_to_end(key)
            return self._views[key]

    def saliency(
        self,
        image_rgb: RgbArray,
        prompt: str,
        *,
        size_hw: tuple[int, int] | None = None,
        long_side_px: int,
        context_side_px: int = 0,
        context_weight: float = 0.5,
        scale: float = 1.0,
        shift: float = 0.0,
    ) -> FloatArray:
        """Calibrated saliency, float32 in [0, 1]; the other settings are those of `ViewSettings`.

        Args:
            image_rgb, prompt: see `look`, which also says what is raised.
            size_hw: of the map; None: that of the picture as shown first.
        """
        logits = self._shown(self.look(image_rgb, prompt, long_side_px))
        if context_side_px:
            coarse = self._shown(self.look(image_rgb, prompt, context_side_px))
            logits = joined(logits, coarse, context_weight)
        calibrated = logits * np.float32(scale) + np.float32(shift)
        return to_saliency(calibrated, size_hw or (logits.shape[0], logits.shape[1]))

    def _shown(self, view: View) -> FloatArray:
        return shown_logits(view.logits_hw, view.shown_hw, self.stride)

    def _look(self, image_rgb: RgbArray, prompt: str, long_side_px: int) -> View:
        given = prepare(image_rgb, long_side_px)
        feed: dict[str, NDArray[Any]] = {"image": given.image_1chw, "valid": given.valid_1hw}
        if self._tokenizer is not None:
            feed["text"], feed["text_valid"] = self._encoded(prompt, self._tokenizer)
        logits, features, tokens = self._session(PICTURE_GRAPH).run(list(OUTPUTS), feed)
        return View(
            logits_hw=cast("FloatArray", logits[0]),
            features_chw=cast("FloatArray", features[0]),
            tokens_chw=cast("FloatArray", tokens[0]),
            shown_hw=given.shown_hw,
        )

    def _encoded(self, prompt: str, tokenizer: HashTokenizer) -> tuple[FloatArray, BoolArray]:
        """The prompt's tokens, encoded once per prompt."""
        if prompt not in self._prompts:
            ids, valid = tokenizer.encode(prompt)
            feed: dict[str, NDArray[Any]] = {"ids": ids[None], "valid": valid[None]}
            text = cast("FloatArray", self._session(PROMPT_GRAPH).run(["text"], feed)[0])
            self._prompts[prompt] = text, valid[None]
            if len(self._prompts) > _CACHED_PROMPTS:
                self._prompts.popitem(last=False)
        self._prompts.move_to_end(prompt)
        return self._prompts[prompt]

    def _session(self, name: str) -> Session:
        if name not in self._sessions:
            self._sessions[name] = self._load(name)
        return self._sessions[name]

    def _load(self, name: str) -> Session:
        file = self._folder / name
        session = open_session(file, self.weights.get(name), RUN, self._threads)
        if name == PICTURE_GRAPH:
            missing = set(OUTPUTS) - {str(output.name) for output in session.get_outputs()}
            if missing:
                raise PluginError(
                    f"{file}: has no output {', '.join(sorted(missing))}; "
                    "export the weights anew (recipes/perception_export.py)"
                )
        return session


@cache
def shared_network() -> SaliencyNetwork:
    """This process's network with the shipped weights: perceiver and reasoner share its views."""
    return SaliencyNetwork()
