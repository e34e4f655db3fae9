"""Curves of a model: ROC of pixels and of parts, regions over the threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from retoucher.agents import FloatArray
from retoucher.data.sample import Sample
from retoucher.evaluation.perception import judge_regions, part_means, truth_map
from retoucher.imaging.regions import RegionSettings
from retoucher.train.extras import need

Floats = NDArray[np.float64]

FALSE_RATES: Floats = np.linspace(0.0, 1.0, 101)
THRESHOLDS: tuple[float, ...] = tuple(round(0.05 * i, 2) for i in range(1, 20))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Curves:
    """All float64; NaN where there was nothing to measure.

    Attributes:
        pixel_true_rate: at `FALSE_RATES`, the mean over pictures with defects; its area is close to
            the mean AUC-Judd.
        part_false_rate, part_true_rate: corners of the parts' exact ROC.
        recall, precision, touched: of regions, and clean pictures with a region, at `THRESHOLDS`.
    """

    pixel_true_rate: Floats
    part_false_rate: Floats
    part_true_rate: Floats
    recall: Floats
    precision: Floats
    touched: Floats

    def as_dict(self) -> dict[str, list[float]]:
        """Plain lists, with the grids they stand on."""
        out = {"pixel_false_rate": FALSE_RATES.tolist(), "threshold": list(THRESHOLDS)}
        names = (
            "pixel_true_rate", "part_false_rate", "part_true_rate",
            "recall", "precision", "touched",
        )  # fmt: skip
        return out | {name: getattr(self, name).tolist() for name in names}


@dataclass(slots=True)
class CurveTally:
    """Gathers what curves are drawn from, while pictures pass.

    Attributes:
        settings: of the regions; the threshold is varied, its hysteresis with it.
        min_severity: of the marks that count as defects.
    """

    settings: RegionSettings = field(default_factory=RegionSettings)
    min_severity: int = 2
    _pixels: list[Floats] = field(default_factory=list[Floats])
    _bad: list[float] = field(default_factory=list[float])
    _good: list[float] = field(default_factory=list[float])
    _counts: Floats = field(default_factory=lambda: np.zeros((len(THRESHOLDS), 4)))
    _touched: list[Floats] = field(default_factory=list[Floats])

    def take(self, sample: Sample, saliency_hw: FloatArray) -> None:
        """One picture and its map, float32 (H, W)."""
        fixated = truth_map(sample, self.min_severity) > 0
        if fixated.any() and not fixated.all():
            self._pixels.append(_true_rate(saliency_hw[fixated], saliency_hw[~fixated]))
        bad, good = part_means(sample, saliency_hw, self.min_severity)
        self._bad += [m for _, m in bad]
        self._good += [m for _, m in good]
        shown = np.zeros(len(THRESHOLDS))
        for i, threshold in enumerate(THRESHOLDS):
            settings = replace(self.settings, threshold=threshold, threshold_low=None)
            judged = judge_regions(sample, saliency_hw, settings, self.min_severity)
            found = sum(f for _, _, f in judged.found)
            self._counts[i] += (found, len(judged.found), sum(judged.right), len(judged.right))
            shown[i] = bool(judged.right)
        if sample.is_clean:
            self._touched.append(shown)

    def curves(self) -> Curves:
        """Of everything taken so far."""
        found, defects, right, regions = self._counts.T
        part_false, part_true = _roc(np.array(self._bad), np.array(self._good))
        return Curves(
            pixel_true_rate=_mean(self._pixels, len(FALSE_RATES)),
            part_false_rate=part_false,
            part_true_rate=part_true,
            recall=_share(found, defects),
            precision=_share(right, regions),
            touched=_mean(self._touched, len(THRESHOLDS)),
        )


def draw_curves(curves: Sequence[tuple[str, Curves]], folder: Path, threshold: float) -> list[Path]:
    """Writes roc_pixels.png, roc_parts.png and regions.png, all models in each.

    Args:
        curves: by the model's name.
        folder: made where it is missing.
        threshold: the product's, marked in regions.png.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rocs = {
        "roc_pixels": ("Pixels on defects against all others", "pixels"),
        "roc_parts": ("Defective against clean parts", "parts"),
    }
    files: list[Path] = []
    for name, (title, unit) in rocs.items():
        figure, axes = _figure()
        axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
        for model, c in curves:
            x, y = FALSE_RATES, c.pixel_true_rate
            if name == "roc_parts":
                x, y = c.part_false_rate, c.part_true_rate
            axes.plot(x, y, label=f"{model} ({float(np.trapezoid(y, x)):.3f})")
        axes.set(
            title=title,
            xlabel=f"share of sound {unit} above",
            ylabel=f"share of wrong {unit} above",
        )
        files.append(_save(figure, axes, folder / f"{name}.png"))
    figure, axes = _figure()
    nearest = int(np.abs(np.array(THRESHOLDS) - threshold).argmin())
    for model, c in curves:
        (line,) = axes.plot(c.recall, c.precision, label=model)
        axes.plot(c.recall[nearest], c.precision[nearest], "o", color=line.get_color())
    axes.set(
        title=f"Regions over the threshold (dot: {THRESHOLDS[nearest]})",
        xlabel="recall: share of defects found",
        ylabel="precision: share of regions on a mark",
    )
    files.append(_save(figure, axes, folder / "regions.png"))
    return files


def need_matplotlib() -> None:
    """Says at once what `draw_curves` would only say after the work.

    Raises:
        MissingDependencyError: matplotlib is not installed.
    """
    need("matplotlib", "drawing curves", "eval")


def _figure() -> tuple[Any, Any]:
    need_matplotlib()
    from matplotlib.figure import Figure

    figure: Any = Figure(figsize=(5.5, 5.0), layout="constrained")
    return figure, figure.add_subplot(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))


def _save(figure: Any, axes: Any, file: Path) -> Path:
    axes.grid(visible=True, linewidth=0.3)
    axes.legend(fontsize="small", loc="best")
    part = file.with_suffix(".part.png")
    figure.savefig(part, dpi=120)
    part.replace(file)
    return file


def _true_rate(positives: FloatArray, negatives: FloatArray) -> Floats:
    """Share of positives above the value that each false rate of the negatives lies above."""
    cuts = np.quantile(negatives, 1 - FALSE_RATES)
    ordered = np.sort(positives)
    above = len(ordered) - np.searchsorted(ordered, cuts, "right")
    level = len(ordered) - np.searchsorted(ordered, cuts, "left")
    # Ties count half, as in AUC-Judd; all is above at the end.
    rate = (above + level) / 2 / len(ordered)
    rate[-1] = 1.0
    return rate


def _roc(positives: Floats, negatives: Floats) -> tuple[Floats, Floats]:
    if not len(positives) or not len(negatives):
        return np.array([np.nan]), np.array([np.nan])
    cuts = np.unique(np.concatenate((positives, negatives)))[::-1]
    true = [0.0, *((positives >= c).mean() for c in cuts)]
    false = [0.0, *((negatives >= c).mean() for c in cuts)]
    return np.array(false), np.array(true)


def _share(part: Floats, whole: Floats) -> Floats:
    return np.where(whole > 0, part / np.where(whole > 0, whole, 1), np.nan)


def _mean(rows: list[Floats], length: int) -> Floats:
    return np.mean(rows, axis=0) if rows else np.full(length, np.nan)
