"""The small model that tells garbled lettering from lettering that is fine."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from retoucher.lettering.features import FEATURES

WEIGHTS_FILE = "garbled_weights.json"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GarbledModel:
    """Logistic regression on standardised features; trained by recipes/lettering_judge.py.

    Attributes:
        mean, scale, weight: float64 (len(FEATURES),).
        bias: of the logit.
        digest: sha256 of the file it was read from.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weight: NDArray[np.float64]
    bias: float
    digest: str

    def probability(self, features: NDArray[np.float64]) -> float:
        """Probability that a line with these `features.line_features` is garbled."""
        # A measurement far outside of what was trained on says no more than the outermost one.
        z = np.clip((features - self.mean) / self.scale, -4.0, 4.0)
        return float(1.0 / (1.0 + np.exp(-(z @ self.weight + self.bias))))


@cache
def garbled_model() -> GarbledModel:
    """The model that ships with the package."""
    text = (resources.files("retoucher.lettering") / WEIGHTS_FILE).read_text("utf-8")
    rows = {row["name"]: row for row in json.loads(text)["features"]}
    if tuple(rows) != FEATURES:
        raise RuntimeError(f"{WEIGHTS_FILE} is not for these features; train it again")
    columns = {
        key: np.array([r[key] for r in rows.values()]) for key in ("mean", "scale", "weight")
    }
    return GarbledModel(
        mean=columns["mean"],
        scale=columns["scale"],
        weight=columns["weight"],
        bias=float(json.loads(text)["bias"]),
        digest="sha256:" + hashlib.sha256(text.encode()).hexdigest(),
    )
