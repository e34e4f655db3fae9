"""`retouch tools --history`: how each tool has done, by category, over what is remembered."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from retoucher.cli.options import ExitCode
from retoucher.cli.plain import plain
from retoucher.planning.learned import LearningSettings
from retoucher.planning.outcomes import OutcomeStore, ToolHistory


def run_history(settings: LearningSettings, *, as_json: bool) -> int:
    """Print what is remembered of earlier edits, one row per category and tool.

    Raises:
        ConfigError: the file is no history, or of another version.
    """
    rows = OutcomeStore(settings.file).history()
    if as_json:
        for row in rows:
            print(json.dumps(asdict(row), ensure_ascii=False))
        return ExitCode.OK
    for line in history_lines(rows, settings):
        print(plain(line))
    return ExitCode.OK


def history_lines(rows: Sequence[ToolHistory], settings: LearningSettings) -> list[str]:
    """The table as text; where there is none, how it comes about."""
    if not rows:
        how = (
            "edits are remembered from now on"
            if settings.enabled
            else "learning is off: set learning.enabled = true to remember edits"
        )
        return [f"Nothing is remembered in {settings.file}; {how}."]
    table = [("defect", "tool", "edits", "kept", "gain", "seconds", "USD", "last")]
    table += [
        (
            row.category,
            f"{row.tool} {row.tool_version}",
            str(row.edits),
            f"{100 * row.accepted / row.edits:.0f}%",
            f"{row.improvement:.2f}",
            f"{row.seconds:.1f}",
            f"{row.cost_usd:.3f}",
            datetime.fromtimestamp(row.last_at, UTC).date().isoformat(),
        )
        for row in rows
    ]
    widths = [max(len(cells[i]) for cells in table) for i in range(len(table[0]))]
    lines: list[str] = []
    for cells in table:
        left = [cell.ljust(width) for cell, width in zip(cells[:2], widths[:2], strict=True)]
        right = [cell.rjust(width) for cell, width in zip(cells[2:], widths[2:], strict=True)]
        lines.append("  ".join([*left, *right]))
    return [
        *lines,
        "gain: mean fall of the place's defect score, 0 to 1, edits that were not kept counting 0; "
        f"from {settings.file}",
    ]
