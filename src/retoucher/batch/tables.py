"""A batch's results as JSONL and CSV, and in a few numbers."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from retoucher.batch.items import Item
from retoucher.batch.journal import Journal, Mode
from retoucher.domain.diagnosis import Json
from retoucher.errors import OutputError
from retoucher.records import Record, badness, defects

OUTCOMES = ("failed", "left", "repaired", "clean")
"""Of a picture: an error; some defect is left; repaired and none left; nothing was wrong."""

FIX_COLUMNS = (
    "file", "outcome", "found", "repaired", "left", "categories", "tools", "review", "stop",
    "seconds", "prompt", "prompt_source", "error",
)  # fmt: skip
FIND_COLUMNS = (
    "rank", "file", "severity", "defects", "categories", "peak", "worst", "prompt",
    "prompt_source", "error",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """All pictures of a batch, earlier runs included.

    Attributes:
        outcomes: pictures by outcome; "open" were not reached.
        found, repaired, left: defects by category.
    """

    outcomes: Counter[str] = field(default_factory=Counter[str])
    found: Counter[str] = field(default_factory=Counter[str])
    repaired: Counter[str] = field(default_factory=Counter[str])
    left: Counter[str] = field(default_factory=Counter[str])

    def add(self, record: Mapping[str, Json]) -> None:
        """Count a picture."""
        self.outcomes[outcome(record)] += 1
        self.found.update(_texts(record.get("found")))
        self.found.update(str(d["category"]) for d in defects(record))
        self.repaired.update(str(edit["category"]) for edit in _accepted(record))
        self.left.update(str(item["category"]) for item in _objects(record.get("left")))


def outcome(record: Mapping[str, Json]) -> str:
    """One of `OUTCOMES`."""
    if "error" in record:
        return "failed"
    if record.get("left") or defects(record):
        return "left"
    return "repaired" if record.get("repaired") else "clean"


def known_records(journal: Journal, items: Iterable[Item], mode: Mode) -> Iterator[Record]:
    """The record of every item that the journal knows, with its `file`, in the items' order."""
    for item in items:
        entry = journal.entry(item.name, mode)
        if entry is not None and entry.content_sha256 + entry.work_sha256:
            written: Record = (
                {} if entry.state == "failed" or mode == "find" else {"output": item.name}
            )
            yield {"file": item.name, **written, **entry.record}


def triage(journal: Journal, items: Sequence[Item]) -> list[Item]:
    """The items by what was found in them, worst first; failures and unknown ones last."""

    def key(item: Item) -> tuple[bool, tuple[float, ...], str]:
        entry = journal.entry(item.name, "find")
        bad = entry is None or "error" in entry.record
        worst = () if entry is None or bad else tuple(-value for value in badness(entry.record))
        return bad, worst, item.name

    return sorted(items, key=key)


def write_tables(home: Path, records: Iterable[Record], mode: Mode) -> Totals:
    """Write `results.jsonl` and `summary.csv` (find: `triage.csv`) into a folder.

    Raises:
        OutputError: they cannot be written; the old ones are untouched.
    """
    totals = Totals()
    name, columns = ("triage.csv", FIND_COLUMNS) if mode == "find" else (
        "summary.csv", FIX_COLUMNS
    )  # fmt: skip
    lines_name = "triage.jsonl" if mode == "find" else "results.jsonl"
    with _whole(home / lines_name) as lines, _whole(home / name) as table:
        rows: csv.DictWriter[str] = csv.DictWriter(table, columns)
        rows.writeheader()
        for rank, record in enumerate(records, 1):
            totals.add(record)
            lines.write(json.dumps(record, ensure_ascii=False) + "\n")
            row = _find_row(rank, record) if mode == "find" else _fix_row(record)
            rows.writerow({key: _cell(value) for key, value in row.items()})
    return totals


def _fix_row(record: Record) -> dict[str, object]:
    tools = [str(edit["tool"]) for edit in _accepted(record)]
    return {
        "file": record["file"],
        "outcome": outcome(record),
        "found": len(_texts(record.get("found"))),
        "repaired": record.get("repaired", ""),
        "left": len(_objects(record.get("left"))),
        "categories": " ".join(dict.fromkeys(_texts(record.get("found")))),
        "tools": " ".join(dict.fromkeys(tools)),
        "review": _verdicts(record),
        **{key: record.get(key, "") for key in ("stop", "seconds", "prompt", "prompt_source")},
        "error": record.get("error", ""),
    }


def _verdicts(record: Record) -> str:
    """What a reviewer decided, as "2 accept, 1 reject"."""
    review = record.get("review")
    places = _objects(review.get("places")) if isinstance(review, dict) else []
    counts = Counter(str(place["verdict"]) for place in places)
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))


def _find_row(rank: int, record: Record) -> dict[str, object]:
    found = sorted(defects(record), key=lambda d: (-_number(d["severity"]), -_number(d["score"])))
    return {
        "rank": rank,
        "file": record["file"],
        "severity": record.get("severity", ""),
        "defects": len(found),
        "categories": " ".join(dict.fromkeys(str(d["category"]) for d in found)),
        "peak": f"{_number(record.get('peak')):.4f}",
        "worst": found[0]["description"] if found else "",
        **{key: record.get(key, "") for key in ("prompt", "prompt_source", "error")},
    }


def _cell(value: object) -> object:
    """Text that a spreadsheet would take for a formula is marked as text."""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value


@contextmanager
def _whole(path: Path) -> Generator[TextIO]:
    """A text file that appears whole or not at all, however long it is."""
    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("w", encoding="utf-8", newline="") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(beside, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        beside.unlink(missing_ok=True)


def _accepted(record: Mapping[str, Json]) -> list[dict[str, Json]]:
    return [edit for edit in _objects(record.get("edits")) if edit["outcome"] == "accepted"]


def _objects(value: Json) -> list[dict[str, Json]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _texts(value: Json) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
