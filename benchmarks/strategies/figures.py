"""The figures of the strategies, by the product's own evaluation, and their table."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

from retoucher import __version__
from retoucher.domain.taxonomy import NO_DEFECT
from retoucher.domain.trace import AgentInfo
from retoucher.evaluation.reasoning import report
from retoucher.evaluation.wording import Encoder
from retoucher.train.rewards import format_reward
from strategies.places import Place
from strategies.replies import full_reply, judged

Figures = Mapping[str, float]

STRATEGIES = ("zero-shot", "grpo", "sft", "sft+grpo")


def figures(
    places: Sequence[Place], texts: Sequence[str], encoders: Sequence[Encoder], *, overlap: bool
) -> dict[str, float]:
    """All figures of one model's replies to these places.

    Accuracy is over all places, no_defect included; "accuracy of defects" over defects alone, with
    "no_defect" and "unknown" as wrong answers. Words are compared on all described defects.
    """
    info = AgentInfo(role="reasoner", name="benchmark", version=__version__)
    scored = report(judged(places, texts), info, encoders=encoders, overlap=overlap)
    clean = scored.categories.get(NO_DEFECT)
    out = {
        "accuracy": scored.accuracy,
        "accuracy of defects": scored.defect_accuracy,
        "dimension": scored.dimension_accuracy,
        "macro-F1": scored.macro_f1,
        "no_defect precision": clean.precision if clean else float("nan"),
        "no_defect recall": clean.recall if clean else float("nan"),
        "form valid": statistics.fmean(format_reward([full_reply(text) for text in texts])),
    }
    words = scored.wording
    if words is not None:
        out |= {f"cosine, {name}": value for name, value in words.cosine.items()}
        overlaps = {"METEOR": words.meteor, "ROUGE-L": words.rouge_l}
        out |= {name: value for name, value in overlaps.items() if value is not None}
    return out


def baselines(places: Sequence[Place], most_frequent: str) -> dict[str, float]:
    """Accuracy of always naming the test set's, and the training set's, most frequent verdict."""
    truths = [place.category for place in places]
    return {
        "always the set's own most frequent": max(truths.count(t) for t in truths) / len(truths),
        f"always training's most frequent, {most_frequent}": truths.count(most_frequent)
        / len(truths),
        "uniform over 13 verdicts": 1 / 13,
    }


def spread(values: Sequence[float]) -> str:
    """Mean and, of several, their standard deviation (n - 1).

    >>> spread([0.5]), spread([0.4, 0.6]), spread([float("nan"), 0.5])
    ('0.500', '0.500 ± 0.141', '-')
    """
    if not values or any(math.isnan(v) for v in values):
        return "-"
    mean = f"{statistics.fmean(values):.3f}"
    return mean if len(values) == 1 else f"{mean} ± {statistics.stdev(values):.3f}"


def table(runs: Mapping[str, Sequence[Figures]]) -> str:
    """Strategies by row, mean ± deviation over their seeds."""
    names = list(dict.fromkeys(name for seeds in runs.values() for run in seeds for name in run))
    rows = [
        [name, str(len(seeds)), *(spread([run[figure] for run in seeds]) for figure in names)]
        for name, seeds in runs.items()
        if seeds
    ]
    return markdown(["strategy", "runs", *names], rows)


def paired(better: Mapping[int, Figures], worse: Mapping[int, Figures]) -> str:
    """Difference of two strategies seed by seed: the same start, places and order."""
    seeds = sorted(set(better) & set(worse))
    names = list(better[seeds[0]]) if seeds else []
    rows: list[list[str]] = []
    for name in names:
        gaps = [better[seed][name] - worse[seed][name] for seed in seeds]
        rows.append([name, *(f"{gap:+.3f}" for gap in gaps), spread(gaps)])
    return markdown(["difference in", *(f"seed {seed}" for seed in seeds), "mean"], rows)


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
