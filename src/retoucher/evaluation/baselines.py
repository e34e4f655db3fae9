"""The simple maps that every model must beat."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import FloatArray
from retoucher.data.sample import Sample
from retoucher.lettering.reading import shared_reader

_INSIDE, _OUTSIDE = 0.9, 0.05
"""Above the product's threshold, so that boxes are regions; not 0, which would decide the KLD."""


def uniform_map(sample: Sample) -> FloatArray:
    """The same everywhere."""
    return np.full((sample.height, sample.width), 0.1, np.float32)


def centre_map(sample: Sample) -> FloatArray:
    """A Gaussian of a quarter of each side around the middle."""
    y = (np.arange(sample.height, dtype=np.float32) / sample.height - 0.5) / 0.25
    x = (np.arange(sample.width, dtype=np.float32) / sample.width - 0.5) / 0.25
    return np.exp(-(x[None, :] ** 2 + y[:, None] ** 2) / 2).astype(np.float32)


def quad_map(sample: Sample, quads_xy: Iterable[NDArray[np.floating]]) -> FloatArray:
    """High inside convex polygons (N, 2) of picture pixels, low elsewhere."""
    inside = np.zeros((sample.height, sample.width), np.uint8)
    for quad in quads_xy:
        cv2.fillConvexPoly(inside, np.round(np.asarray(quad) - 0.5).astype(np.int32), 1)
    return np.where(inside > 0, np.float32(_INSIDE), np.float32(_OUTSIDE)).astype(np.float32)


def text_quads(sample: Sample) -> list[NDArray[np.float64]]:
    """Quads (4, 2) of all lettering that the reader finds: where at least two characters are read.

    Its detector also takes a face or a whole picture for text, in which one character is read or
    none.

    Raises:
        MissingDependencyError: RapidOCR is not installed.
    """
    lines = shared_reader().read(sample.load_rgb())
    return [line.quad_xy for line in lines if len(line.text) >= 2]


def text_map(sample: Sample) -> FloatArray:
    """Every line of lettering is called a defect."""
    return quad_map(sample, text_quads(sample))


BASELINES: Mapping[str, Callable[[Sample], FloatArray]] = {
    "uniform": uniform_map,
    "centre": centre_map,
    "text-boxes": text_map,
}
"""By the name that `retouch eval perception --model` knows them by."""
