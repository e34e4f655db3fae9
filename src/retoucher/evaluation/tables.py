"""Figures as Markdown, and the simple maps that every model must beat."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, cast

import numpy as np

from retoucher.agents import FloatArray
from retoucher.data.sample import Sample
from retoucher.evaluation.perception import PerceptionReport


def uniform_map(sample: Sample) -> FloatArray:
    """The same everywhere."""
    return np.full((sample.height, sample.width), 0.1, np.float32)


def centre_map(sample: Sample) -> FloatArray:
    """A Gaussian of a quarter of each side around the middle."""
    y = (np.arange(sample.height, dtype=np.float32) / sample.height - 0.5) / 0.25
    x = (np.arange(sample.width, dtype=np.float32) / sample.width - 0.5) / 0.25
    return np.exp(-(x[None, :] ** 2 + y[:, None] ** 2) / 2).astype(np.float32)


def markdown(reports: Sequence[tuple[str, PerceptionReport]]) -> str:
    """One row a model; the eps of KLD is named, as it decides the figure of a map with zeros."""
    head = (
        "model", "AUC-Judd", "NSS", "CC", "SIM", "KLD (eps 2.2e-16)", "parts", "regions found",
        "regions right", "clean touched",
    )  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, report in reports:
        scores, op = report.saliency.scores, report.operation
        cells = [
            name,
            *(_number(v, 3) for v in scores.as_dict().values()),
            _number(report.parts, 3),
        ]
        cells += [
            f"{op.found}/{op.defects}",
            f"{op.right}/{op.regions}",
            f"{op.touched}/{op.clean_pictures}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def as_json(report: PerceptionReport) -> dict[str, Any]:
    """Everything in a report as plain values; NaN becomes null."""
    return _plain(asdict(report))


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _plain(v) for k, v in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in cast("Sequence[Any]", value)]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
