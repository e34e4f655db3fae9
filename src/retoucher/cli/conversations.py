"""The work behind `retouch data conversations`."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from retoucher.cli.data_sets import checked_format
from retoucher.data.open import open_dataset
from retoucher.data.sample import Sample
from retoucher.errors import ConfigError, InputError
from retoucher.tables import from_table, read_table
from retoucher.train.conversation_folder import write_conversations
from retoucher.train.conversations import ConversationSettings, Kind

_KINDS: Mapping[str, tuple[Kind, ...]] = {
    "sft": ("sft",),
    "grpo": ("grpo",),
    "both": ("sft", "grpo"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationOptions:
    """What `retouch data conversations` was told; see its help."""

    datasets: Sequence[Path]
    out: Path
    kind: str
    show: str | None
    config: Path | None
    seed: int | None
    form: str | None
    pictures: Path | None
    fields: Path | None


def run_conversations(options: ConversationOptions) -> None:
    """Write the folder, and print what is in it."""
    if options.kind not in _KINDS:
        raise InputError(f"--kind must be sft, grpo or both, got {options.kind!r}")
    settings = _settings(options)
    sets = _named_sets(options)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("pictures")
        path = write_conversations(
            sets,
            options.out,
            settings,
            _KINDS[options.kind],
            lambda done, total: bar.update(task, completed=done, total=total),
        )
    _print(json.loads(path.read_text("utf-8")), options.out)


def _settings(options: ConversationOptions) -> ConversationSettings:
    table = read_table(options.config) if options.config else {}
    view = cast("dict[str, object]", table.setdefault("view", {"pictures": "crop"}))
    if options.show is not None:
        if options.show not in ("crop", "both"):
            raise ConfigError(f"--show must be crop or both, got {options.show!r}")
        view["pictures"] = options.show
    view.setdefault("pictures", "crop")
    settings = from_table(ConversationSettings, table, str(options.config or "settings"))
    if options.seed is None:
        return settings
    return replace(settings, balance=replace(settings.balance, seed=options.seed))


def _named_sets(options: ConversationOptions) -> dict[str, list[Sample]]:
    """The sets by the names of their folders or files, with a number where a name comes again."""
    form = checked_format(options.form)
    sets: dict[str, list[Sample]] = {}
    for path in options.datasets:
        stem = path.resolve().stem
        name = stem
        while name in sets:
            name = f"{stem}-{len(sets) + 1}"
        sets[name] = open_dataset(path, form, pictures=options.pictures, fields=options.fields)
    return sets


def _print(statistics: Mapping[str, Any], out: Path) -> None:
    console = Console()
    table = Table("category", "places", "shown", "rows", "share")
    train = statistics["train"]
    for name, counts in train["by_category"].items():
        share = f"{counts['share']:.1%}"
        table.add_row(name, *(str(counts[k]) for k in ("places", "shown", "rows")), share)
    console.print(table)
    for reason, count in statistics["left_out"].items():
        console.print(f"left out: {count} ({reason})")
    held = statistics.get("validation", {"rows": 0, "pictures": 0})
    console.print(
        f"{out}: {train['rows']} rows of {train['pictures']} pictures, "
        f"{held['rows']} of {held['pictures']} more for validation"
    )
