"""The small classifier behind the reasoner `embedded`: categories, severity and calibration."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from retoucher.agents import FloatArray
from retoucher.domain.taxonomy import taxonomy
from retoucher.errors import PluginError

WEIGHTS_FILE = Path(__file__).parent / "weights" / "diagnostician.npz"
LAYOUT = 2
"""Of the feature vector; it changes when `embedded_features` does."""

_CLIP = 4.0
"""A measurement far outside of what was trained on says no more than the outermost one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """When the classifier speaks out; chosen on held-out training pictures.

    Attributes:
        defect: probability of a defect from which on a category is named.
        sound: probability of a defect up to which the verdict is no_defect; "unknown" in between.
        category: probability that the category needs, given that there is a defect.
    """

    defect: float
    sound: float
    category: float

    def __post_init__(self) -> None:
        if not 0.0 <= self.sound <= self.defect <= 1.0 or not 0.0 <= self.category <= 1.0:
            raise ValueError(f"need 0 <= sound <= defect <= 1 and a category in [0, 1]: {self}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opinion:
    """What the classifier thinks of one region.

    Attributes:
        defect: calibrated probability that something is wrong.
        categories: calibrated probability of each category of the taxonomy, given that; sums to 1.
        severity: 1 to 3, the most probable one, given that.
    """

    defect: float
    categories: Mapping[str, float]
    severity: int

    @property
    def hand(self) -> float:
        """The share of the hand's categories: how much the region looks like a hand."""
        kinds = taxonomy()
        return sum(s for name, s in self.categories.items() if kinds[name].dimension == "hand")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Diagnostician:
    """Linear heads over standardised features; trained by recipes/diagnostician.py.

    Attributes:
        mean_d, scale_d: float32 (D,), of the features.
        defect_d1: float32 (D + 1,), logit of a defect, bias last.
        category_kd1: float32 (K, D + 1), logits of the categories, in the taxonomy's order.
        severity_3d1: float32 (3, D + 1).
        hand_h: float32 (HAND_FEATURES,), what a measured hand adds to the logit of a defect, times
            the share of the hand's categories.
        temperatures: of the three heads; logits are divided by them.
        point: see `OperatingPoint`.
        network: sha256 of the saliency.onnx whose features it was trained on.
        hand_network: sha256 of the hand_landmarks.onnx likewise.
        digest: "sha256:" and that of the file it was read from.
    """

    mean_d: FloatArray
    scale_d: FloatArray
    defect_d1: FloatArray
    category_kd1: FloatArray
    severity_3d1: FloatArray
    hand_h: FloatArray
    temperatures: tuple[float, float, float]
    point: OperatingPoint
    network: str
    hand_network: str
    digest: str

    def opinion(self, features_d: FloatArray) -> Opinion:
        """What a region with these `embedded_features.zoom_features` features looks like.

        Raises:
            PluginError: the features are of another layout.
        """
        if features_d.shape != self.mean_d.shape:
            raise PluginError(
                f"the diagnostician reads {self.mean_d.size} features, got {features_d.size}; "
                "train it again for this network (recipes/diagnostician.py)"
            )
        x = standardised(features_d, self.mean_d, self.scale_d)
        t_defect, t_category, t_severity = self.temperatures
        categories = softmax(self.category_kd1 @ x / t_category)
        severity = softmax(self.severity_3d1 @ x / t_severity)
        return Opinion(
            defect=float(1 / (1 + np.exp(-(self.defect_d1 @ x) / t_defect))),
            categories=dict(zip(taxonomy(), categories.tolist(), strict=True)),
            severity=1 + int(severity.argmax()),
        )

    def after_measuring(self, opinion: Opinion, hand_h: FloatArray) -> Opinion:
        """The opinion once the hand in the region, if any, was measured.

        What looks little like a hand changes little: palms are also seen where none are.

        Args:
            opinion: on its looks.
            hand_h: see `embedded_hands.hand_features`.
        """
        odds = opinion.defect / max(1.0 - opinion.defect, 1e-9)
        odds *= float(np.exp(opinion.hand * float(self.hand_h @ hand_h)))
        return replace(opinion, defect=odds / (1.0 + odds))


def standardised(features: FloatArray, mean_d: FloatArray, scale_d: FloatArray) -> FloatArray:
    """(..., D) features to (..., D + 1), clipped, with a 1 for the bias at the end."""
    z = np.clip((features - mean_d) / scale_d, -_CLIP, _CLIP)
    return np.concatenate([z, np.ones((*z.shape[:-1], 1), z.dtype)], -1)


def softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Over the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


_ARRAYS = (
    "mean_d",
    "scale_d",
    "defect_d1",
    "category_kd1",
    "severity_3d1",
    "hand_h",
    "temperatures",
)


def write_diagnostician(model: Diagnostician, file: Path) -> None:
    """Writes the model as .npz, whole or not at all; plain arrays, no pickle."""
    point = model.point
    arrays: dict[str, NDArray[np.generic]] = {
        name: np.asarray(getattr(model, name), np.float32) for name in _ARRAYS
    }
    arrays["point"] = np.array([point.defect, point.sound, point.category], np.float32)
    arrays["categories"] = np.array(list(taxonomy()))
    arrays["network"] = np.array(model.network)
    arrays["hand_network"] = np.array(model.hand_network)
    arrays["layout"] = np.array(LAYOUT)
    stream = io.BytesIO()
    np.savez_compressed(stream, allow_pickle=False, **arrays)
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_suffix(".new")
    beside.write_bytes(stream.getvalue())
    beside.replace(file)


def read_diagnostician(file: Path = WEIGHTS_FILE) -> Diagnostician:
    """The model in a file that `write_diagnostician` wrote.

    Raises:
        PluginError: it is missing, or for another taxonomy or feature layout.
    """
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise PluginError(f"{file}: the weights are missing; install the package anew") from None
    with np.load(io.BytesIO(data), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    if arrays["categories"].tolist() != list(taxonomy()) or int(arrays["layout"]) != LAYOUT:
        raise PluginError(
            f"{file}: trained for another taxonomy or other features; train it again "
            "(recipes/diagnostician.py)"
        )
    defect, sound, category = (float(v) for v in arrays["point"])
    t_defect, t_category, t_severity = (float(v) for v in arrays["temperatures"])
    return Diagnostician(
        mean_d=arrays["mean_d"],
        scale_d=arrays["scale_d"],
        defect_d1=arrays["defect_d1"],
        category_kd1=arrays["category_kd1"],
        severity_3d1=arrays["severity_3d1"],
        hand_h=arrays["hand_h"],
        temperatures=(t_defect, t_category, t_severity),
        point=OperatingPoint(defect=defect, sound=sound, category=category),
        network=str(arrays["network"]),
        hand_network=str(arrays["hand_network"]),
        digest="sha256:" + hashlib.sha256(data).hexdigest(),
    )


@cache
def shipped_diagnostician() -> Diagnostician:
    """The model that ships with the package."""
    return read_diagnostician()
