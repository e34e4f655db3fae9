"""The one place that knows RapidOCR: detection of text quads and recognition posteriors.

RapidOCR's own pipeline returns only the best string of a line. Judging lettering needs to know how
well another string (the asked word) would explain the same pixels, so recognition is run through
the recogniser's session and the per-step probabilities are kept.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.errors import MissingDependencyError

RgbArray = NDArray[np.uint8]
FloatArray = NDArray[np.float32]
QuadArray = NDArray[np.float64]

_REC_HEIGHT_PX = 48
_REC_MIN_WIDTH_PX = 320
_REC_MAX_WIDTH_PX = 1600
_REC_BATCH = 6
_REC_WIDTH_STEP_PX = 32
"""Widths are padded to multiples of this, so that similar crops share a batch."""

_MODEL_FILES = ("PP-OCRv6_det_small.onnx", "PP-OCRv6_rec_small.onnx")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How text is looked for.

    Attributes:
        threads: ONNX Runtime threads for each of the two networks; 0: as OMP_NUM_THREADS says, or
            as it likes.
        pixel_threshold: probability above which a pixel belongs to text, 0 to 1.
        box_threshold: mean probability above which a quad is kept, 0 to 1; low, so that garbled
            lettering is found at all.
        unclip_ratio: how far the shrunken text kernel is grown back.
    """

    threads: int = 0
    pixel_threshold: float = 0.3
    box_threshold: float = 0.4
    unclip_ratio: float = 1.6


def model_dir() -> Path:
    """Folder of the models that ship in RapidOCR's wheel.

    Raises:
        MissingDependencyError: RapidOCR is not installed, or without the models named here.
    """
    try:
        distribution = metadata.distribution("rapidocr")
    except metadata.PackageNotFoundError as error:
        raise MissingDependencyError(
            "reading lettering needs the package rapidocr: pip install 'rapidocr>=3.10'"
        ) from error
    folder = Path(str(distribution.locate_file("rapidocr/models")))
    missing = [name for name in _MODEL_FILES if not (folder / name).is_file()]
    if missing:
        raise MissingDependencyError(
            f"rapidocr {distribution.version} ships without {missing[0]}; "
            "install the version this release is made for: pip install 'rapidocr>=3.10,<4'"
        )
    return folder


@cache
def _digests() -> tuple[tuple[str, str], ...]:
    folder = model_dir()
    read = ((name, (folder / name).read_bytes()) for name in _MODEL_FILES)
    return tuple((name, "sha256:" + hashlib.sha256(data).hexdigest()) for name, data in read)


def model_digests() -> dict[str, str]:
    """sha256 of the two networks by file name, for `AgentInfo.weights`; computed once.

    Raises:
        MissingDependencyError: see `model_dir`.
    """
    return dict(_digests())


def engine_version() -> str:
    """`rapidocr VERSION`."""
    return f"rapidocr {metadata.version('rapidocr')}"


class OcrEngine:
    """Detector and recogniser of RapidOCR, loaded at construction.

    Raises:
        MissingDependencyError: see `model_dir`.
    """

    def __init__(self, settings: EngineSettings) -> None:
        folder = model_dir()
        from rapidocr import RapidOCR

        # ONNX Runtime does not read the variable that tells all other libraries.
        threads = settings.threads or int(os.environ.get("OMP_NUM_THREADS", "0")) or -1
        params: dict[str, Any] = {
            "Global.log_level": "critical",
            # Sizes are decided by the reader; explicit paths keep RapidOCR from ever downloading.
            "Global.use_preprocess_img": False,
            "Global.use_vertical_padding": False,
            "Global.model_root_dir": str(folder),
            "Det.model_path": str(folder / _MODEL_FILES[0]),
            "Rec.model_path": str(folder / _MODEL_FILES[1]),
            "Det.limit_type": "max",
            "Det.limit_side_len": 1 << 15,
            "Det.thresh": settings.pixel_threshold,
            "Det.box_thresh": settings.box_threshold,
            "Det.unclip_ratio": settings.unclip_ratio,
            "EngineConfig.onnxruntime.intra_op_num_threads": threads,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
        self._ocr = cast(Any, RapidOCR(params=params))
        blank = np.zeros((_REC_HEIGHT_PX, _REC_MIN_WIDTH_PX, 3), np.uint8)
        self._ocr(blank, use_det=False, use_cls=False, use_rec=True)  # loads the recogniser
        self._session = self._ocr.text_rec.session
        self.alphabet: tuple[str, ...] = tuple(self._ocr.text_rec.postprocess_op.character)

    def detect(self, image_rgb: RgbArray) -> list[tuple[QuadArray, float]]:
        """Quads (4, 2) clockwise from the top-left with their detection scores, top to bottom.

        Both sides of the picture must be at least 32 px.
        """
        bgr = np.ascontiguousarray(image_rgb[:, :, ::-1])
        found = self._ocr(bgr, use_det=True, use_cls=False, use_rec=False)
        if found.boxes is None:
            return []
        return [
            (np.asarray(quad, np.float64).reshape(4, 2), float(score))
            for quad, score in zip(found.boxes, found.scores, strict=True)
        ]

    def recognise(self, crops_rgb: Sequence[RgbArray]) -> list[FloatArray]:
        """Probabilities per step of upright single-line crops, in their order.

        Each float32 (T, C): T steps from the left to the right end of the crop, columns in the
        order of `alphabet`, the first for "no character here".
        """
        widths = [_rec_width_px(c) for c in crops_rgb]
        order = np.argsort(np.array(widths, int), kind="stable")
        found: dict[int, FloatArray] = {}
        for start in range(0, len(order), _REC_BATCH):
            chunk = [int(i) for i in order[start : start + _REC_BATCH]]
            full = max(widths[i] for i in chunk)
            full = -(-max(full, _REC_MIN_WIDTH_PX) // _REC_WIDTH_STEP_PX) * _REC_WIDTH_STEP_PX
            batch = np.stack([_rec_input(crops_rgb[i], widths[i], full) for i in chunk])
            probs = np.asarray(self._session(batch), np.float32)
            steps = probs.shape[1]
            for i, one in zip(chunk, probs, strict=True):
                valid = min(steps, -(-widths[i] * steps // full))
                found[i] = one[: max(valid, 1)]
        return [found[i] for i in range(len(widths))]


def _rec_width_px(crop_rgb: RgbArray) -> int:
    h, w = crop_rgb.shape[:2]
    return int(np.clip(round(w * _REC_HEIGHT_PX / h), 8, _REC_MAX_WIDTH_PX))


def _rec_input(crop_rgb: RgbArray, width_px: int, full_width_px: int) -> FloatArray:
    shrinking = crop_rgb.shape[0] > _REC_HEIGHT_PX
    resized = cv2.resize(
        crop_rgb,
        (width_px, _REC_HEIGHT_PX),
        interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC,
    )
    out = np.zeros((3, _REC_HEIGHT_PX, full_width_px), np.float32)
    bgr = resized[:, :, ::-1].astype(np.float32) / 127.5 - 1.0
    out[:, :, :width_px] = bgr.transpose(2, 0, 1)
    return out
