"""Figures of perception as Markdown and JSON."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, cast

from retoucher.evaluation.perception import PerceptionReport

Reports = Sequence[tuple[str, PerceptionReport]]
"""Models by name, in the order of the table's rows."""


def markdown(reports: Reports) -> str:
    """One row a model; the eps of KLD is named, as it decides the figure of a map with zeros."""
    head = (
        "model", "AUC-Judd", "NSS", "CC", "SIM", "KLD (eps 2.2e-16)", "parts", "defects found",
        "regions right", "clean touched",
    )  # fmt: skip

    def cells(report: PerceptionReport) -> list[str]:
        scores, op = report.saliency.scores, report.operation
        return [
            *(_number(v, 3) for v in scores.as_dict().values()),
            _number(report.parts, 3),
            f"{op.found}/{op.defects}",
            f"{op.right}/{op.regions}",
            f"{op.touched}/{op.clean_pictures}",
        ]

    return _table(head, [[name, *cells(report)] for name, report in reports])


def markdown_all(reports: Reports) -> str:
    """The main table, then clean pictures, parts by kind, recall by category and severity."""
    sections = (
        ("Maps, parts and regions", markdown(reports)),
        ("Clean pictures", _clean(reports)),
        ("Part discrimination by kind (defective / clean parts)", _parts(reports)),
        ("Defects found, by category", _recall(reports, lambda r: r.recall_by_category)),
        ("Defects found, by severity", _recall(reports, lambda r: r.recall_by_severity)),
    )
    return "\n\n".join(f"### {title}\n\n{table}" for title, table in sections if table) + "\n"


def as_json(report: PerceptionReport) -> dict[str, Any]:
    """Everything in a report as plain values, with its shares; NaN becomes null."""
    data = asdict(report)
    for name in ("recall", "precision", "touched_share"):
        data["operation"][name] = getattr(report.operation, name)
    return plain_values(data)


def plain_values(value: Any) -> Any:
    """Dictionaries with string keys, lists, and null for NaN: what JSON can hold."""
    if isinstance(value, dict):
        return {str(k): plain_values(v) for k, v in cast("dict[Any, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        return [plain_values(v) for v in cast("Sequence[Any]", value)]
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _clean(reports: Reports) -> str:
    if not reports or not reports[0][1].operation.clean_pictures:
        return ""
    head = ("model", "pictures", "with any region", "area above tau_s", "MSE")
    rows: list[list[str]] = []
    for name, report in reports:
        op = report.operation
        touched = f"{op.touched} ({op.touched_share:.1%})"
        area = f"{op.clean_area:.2%}"
        rows.append([name, str(op.clean_pictures), touched, area, _number(op.clean_mse, 5)])
    return _table(head, rows)


def _parts(reports: Reports) -> str:
    if not reports:
        return ""
    kinds = list(reports[0][1].parts_by_kind)
    counts = reports[0][1].part_counts
    bad, good = (sum(c[i] for c in counts.values()) for i in (0, 1))
    head = ["model", f"all ({bad} / {good})"]
    head += [f"{kind} ({counts[kind][0]} / {counts[kind][1]})" for kind in kinds]
    rows = [
        [name, _number(r.parts, 3), *(_number(r.parts_by_kind[k], 3) for k in kinds)]
        for name, r in reports
    ]
    return _table(head, rows)


def _recall(
    reports: Reports, of: Callable[[PerceptionReport], dict[Any, tuple[float, int]]]
) -> str:
    if not reports or not of(reports[0][1]):
        return ""
    first = of(reports[0][1])
    head = ["model", *(f"{key} ({count})" for key, (_, count) in first.items())]
    rows = [[name, *(f"{of(r)[key][0]:.0%}" for key in first)] for name, r in reports]
    return _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def _number(value: float, digits: int) -> str:
    return "-" if math.isnan(value) else f"{value:.{digits}f}"
