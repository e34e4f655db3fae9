"""Boxes of every hand and face, by MediaPipe's detectors: a baseline that knows no defect.

    pip download --no-deps mediapipe==0.10.21 && unzip mediapipe-*.whl 'mediapipe/modules/*.tflite'
    pip install tflite onnx
    python benchmarks/perception_quality.py DATASET_DIR --mediapipe mediapipe/modules

The models are Apache-2.0; `recipes/part_models.py` turns them into ONNX.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np

from retoucher.agents import FloatArray
from retoucher.data.sample import Sample
from retoucher.errors import MissingDependencyError
from retoucher.evaluation.baselines import quad_map, text_quads
from retoucher.vision.detection import Detection, Detector
from retoucher.vision.squares import Square

KINDS = (("palm_detection", 192, 2.2), ("face_detection", 128, 1.1))
"""Model of the recipe, side of its input, and how much its box is grown: from a palm to its hand,
from a face to its outline."""
MIN_SCORE = 0.6
MOST = 12
"""Parts of one kind in a picture."""


def converted(modules: Path, name: str) -> Any:
    """An ONNX session of one of the recipe's models.

    Args:
        modules: folder `mediapipe/modules` of the wheel.
        name: among the recipe's SOURCES.

    Raises:
        MissingDependencyError: the model, tflite or onnx is missing.
    """
    recipes = str(Path(__file__).parents[1] / "recipes")
    if recipes not in sys.path:
        sys.path.insert(0, recipes)
    try:
        import part_models
    except ImportError as error:
        raise MissingDependencyError(
            f"MediaPipe's models are read with tflite and onnx ({error}): pip install tflite onnx"
        ) from None
    import onnxruntime

    source = part_models.SOURCES[name]
    file = modules / source.file
    if not file.is_file():
        raise MissingDependencyError(f"{modules}: holds no {source.file}")
    model = part_models.convert(file.read_bytes(), source.outputs).SerializeToString()
    return onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])


class PartDetectors:
    """Finds hands and faces.

    Args:
        modules: folder `mediapipe/modules` of the wheel.

    Raises:
        MissingDependencyError: a model, tflite or onnx is missing.
    """

    def __init__(self, modules: Path) -> None:
        self._detectors = [
            (Detector(converted(modules, name), side, signed=name == "face_detection"), grow)
            for name, side, grow in KINDS
        ]

    def quads(self, sample: Sample) -> list[np.ndarray]:
        """Corners (4, 2) of the boxes in the picture's pixels."""
        rgb = sample.load_rgb()
        out: list[np.ndarray] = []
        for detector, grow in self._detectors:
            for found in in_whole_and_quarters(detector, rgb):
                x0, y0, x1, y1 = (float(v) for v in found.box_xyxy)
                dx, dy = (x1 - x0) * (grow - 1) / 2, (y1 - y0) * (grow - 1) / 2
                left, top, right, bottom = x0 - dx, y0 - dy, x1 + dx, y1 + dy
                corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
                out.append(np.array(corners))
        return out

    def parts_map(self, sample: Sample) -> FloatArray:
        """Every hand, face and line of lettering is called a defect."""
        return quad_map(sample, [*self.quads(sample), *text_quads(sample)])


def in_whole_and_quarters(detector: Detector, rgb: np.ndarray) -> list[Detection]:
    """Parts in the whole picture and in its quarters, the surest first, each once."""
    height, width = rgb.shape[:2]
    side = max(height, width)
    views = [Square(centre_xy=(width / 2, height / 2), side_px=side)]
    views += [
        Square(centre_xy=(width * x, height * y), side_px=side * 0.6)
        for x in (0.27, 0.73)
        for y in (0.27, 0.73)
    ]
    found = [part for view in views for part in detector.find(rgb, view, MIN_SCORE)]
    kept: list[Detection] = []
    for part in sorted(found, key=lambda p: -p.score):
        x, y = (part.box_xyxy[:2] + part.box_xyxy[2:]) / 2
        boxes = [k.box_xyxy for k in kept]
        if not any(b[0] < x < b[2] and b[1] < y < b[3] for b in boxes):
            kept.append(part)
    return kept[:MOST]
