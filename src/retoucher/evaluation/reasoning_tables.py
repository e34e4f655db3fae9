"""Figures of reasoners as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.evaluation.reasoning import ReasoningReport
from retoucher.evaluation.wording import WordingScores

Reports = Sequence[tuple[str, ReasoningReport]]
"""Reasoners by name, in the order of the table's rows."""


def markdown(reports: Reports) -> str:
    """One row a reasoner, then the words' scores where they were computed."""
    head = (
        "reasoner", "places", "accuracy", "of defects", "dimension", "macro F1",
        "no_defect P / R", "clean called defective", "unknown", "ECE", "always commonest",
    )  # fmt: skip
    rows: list[list[str]] = []
    for name, r in reports:
        fine = r.categories.get(NO_DEFECT)
        rows.append(
            [
                _named(name, r), f"{r.places} ({r.defects} defects)", _percent(r.accuracy),
                _percent(r.defect_accuracy), _percent(r.dimension_accuracy), _number(r.macro_f1),
                f"{_percent(fine.precision)} / {_percent(fine.recall)}" if fine else "-",
                _percent(r.clean_called_defective), _percent(r.unknown), _number(r.calibration),
                _percent(r.majority),
            ]
        )  # fmt: skip
    tables = [_table(head, rows)]
    scored = [(name, r.wording) for name, r in reports if r.wording is not None]
    if scored:
        tables.append(_wording(scored))
    spent = [(name, r) for name, r in reports if r.usage]
    if spent:
        names = list(dict.fromkeys(key for _, r in spent for key in r.usage))
        lines = [[n, *(f"{r.usage[k]:,.6g}" if k in r.usage else "-" for k in names)]
                 for n, r in spent]  # fmt: skip
        tables.append(_table(("reasoner", *names), lines))
    return "\n\n".join(tables)


def markdown_all(reports: Reports) -> str:
    """The main tables, then categories and confusion of every reasoner."""
    parts = [markdown(reports)]
    for name, r in reports:
        rows = [
            [c, str(s.marked), str(s.said), *map(_percent, (s.precision, s.recall)), _number(s.f1)]
            for c, s in r.categories.items()
        ]
        head = ("category", "marked", "said", "precision", "recall", "F1")
        parts.append(f"### {name}: categories\n\n{_table(head, rows)}")
        names = [*taxonomy(), NO_DEFECT, UNKNOWN]
        cells = [[t, *(str(row.get(s, "")) for s in names)] for t, row in r.confusion.items()]
        parts.append(f"### {name}: truth by row\n\n{_table(('', *names), cells)}")
    return "\n\n".join(parts) + "\n"


def _named(name: str, r: ReasoningReport) -> str:
    """With the model, where one was chosen: a figure belongs to a model, not to a client."""
    model = r.reasoner.settings.get("model")
    return f"{name} ({model})" if model else name


def _wording(scored: Sequence[tuple[str, WordingScores]]) -> str:
    encoders = list(dict.fromkeys(name for _, w in scored for name in w.cosine))
    head = ("reasoner", "descriptions", *(f"cosine, {e}" for e in encoders), "METEOR",
            "ROUGE-1", "ROUGE-2", "ROUGE-L")  # fmt: skip
    rows = [
        [
            name, str(w.pairs), *(_number(w.cosine.get(e)) for e in encoders),
            *map(_number, (w.meteor, w.rouge1, w.rouge2, w.rouge_l)),
        ]
        for name, w in scored
    ]  # fmt: skip
    return _table(head, rows)


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "/") for cell in line) + " |" for line in lines
    )
