"""Boxes of every hand and face, by MediaPipe's detectors: a baseline that knows no defect.

    pip download --no-deps mediapipe==0.10.21 && unzip mediapipe-*.whl 'mediapipe/modules/*.tflite'
    pip install ai-edge-litert
    python benchmarks/perception_quality.py DATASET_DIR --mediapipe mediapipe/modules

The models are Apache-2.0, and run as in `recipes/annotate_parts.py`.
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

STRIDES = (8, 16, 16, 16)
KINDS = (
    ("palm_detection/palm_detection_full.tflite", 2.2),
    ("face_detection/face_detection_short_range.tflite", 1.1),
)
"""Model, and how much its box is grown: from a palm to its hand, from a face to its outline."""


class PartDetectors:
    """Finds hands and faces.

    Args:
        modules: folder `mediapipe/modules` of the wheel.

    Raises:
        MissingDependencyError: a model or ai-edge-litert is missing.
    """

    def __init__(self, modules: Path) -> None:
        missing = [name for name, _ in KINDS if not (modules / name).is_file()]
        if missing:
            raise MissingDependencyError(f"{modules}: holds no {missing[0]}")
        recipes = str(Path(__file__).parents[1] / "recipes")
        if recipes not in sys.path:
            sys.path.insert(0, recipes)
        try:
            import annotate_parts
        except ImportError as error:
            raise MissingDependencyError(
                f"hand and face boxes need ai-edge-litert ({error}): pip install ai-edge-litert"
            ) from None
        self._recipe: Any = annotate_parts
        self._models = [(annotate_parts.Model(modules / name), grow) for name, grow in KINDS]

    def quads(self, sample: Sample) -> list[np.ndarray]:
        """Corners (4, 2) of the boxes in the picture's pixels."""
        rgb = sample.load_rgb()
        out: list[np.ndarray] = []
        for model, grow in self._models:
            for x0, y0, x1, y1 in self._recipe.detect(model, rgb, STRIDES):
                dx, dy = (x1 - x0) * (grow - 1) / 2, (y1 - y0) * (grow - 1) / 2
                left, top, right, bottom = x0 - dx, y0 - dy, x1 + dx, y1 + dy
                corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
                out.append(np.array(corners))
        return out

    def parts_map(self, sample: Sample) -> FloatArray:
        """Every hand, face and line of lettering is called a defect."""
        return quad_map(sample, [*self.quads(sample), *text_quads(sample)])
