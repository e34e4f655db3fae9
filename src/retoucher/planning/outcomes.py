"""What became of earlier edits, in one SQLite file; several processes may use it at once."""

from __future__ import annotations

import os
import sqlite3
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from retoucher.domain.plan import ToolOutcome
from retoucher.errors import ConfigError

_SCHEMA_VERSION = 1
_BUSY_S = 10.0
"""How long to wait for another process that is writing."""

_CREATE = (
    """CREATE TABLE IF NOT EXISTS outcomes (
    id INTEGER PRIMARY KEY,
    at REAL NOT NULL,
    category TEXT NOT NULL,
    side_px REAL NOT NULL,
    tool TEXT NOT NULL,
    tool_version TEXT NOT NULL,
    accepted INTEGER NOT NULL,
    improvement REAL NOT NULL,
    seconds REAL NOT NULL,
    cost_usd REAL NOT NULL
)""",
    "CREATE INDEX IF NOT EXISTS outcomes_by_category ON outcomes (category, id)",
)
_COLUMNS = "category, side_px, tool, tool_version, accepted, improvement, seconds, cost_usd"


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolHistory:
    """How one tool has done on one category, over everything that is remembered.

    Attributes:
        category, tool, tool_version: which.
        edits, accepted: how many were made and kept.
        improvement: mean fall of the region's defect score, edits that were not kept counting 0.
        seconds, cost_usd: means of one edit.
        last_at: when the last one was made, Unix time.
    """

    category: str
    tool: str
    tool_version: str
    edits: int
    accepted: int
    improvement: float
    seconds: float
    cost_usd: float
    last_at: float


def default_path() -> Path:
    """Where this platform keeps what a program remembers between runs; nothing is created."""
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
    return base / "agentic-retoucher" / "outcomes.sqlite3"


class OutcomeStore:
    """Remembers outcomes. Each call is one short transaction of its own connection.

    Args:
        path: of the file; it and its folder are made when the first outcome is added.
        now: Unix time.

    Raises:
        ConfigError: by every method: the file is no such history, of a later version, or cannot be
            used where it is.
    """

    def __init__(self, path: Path, *, now: Callable[[], float] = time.time) -> None:
        self.path, self._now = path, now

    def add(self, outcome: ToolOutcome) -> None:
        """Remember one outcome; when this returns it is on disk."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"cannot make the folder of {self.path}: {error.strerror}") from error
        with self._open() as db, db:
            db.execute("BEGIN IMMEDIATE")
            db.execute(
                f"INSERT INTO outcomes (at, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    self._now(),
                    outcome.category,
                    outcome.side_px,
                    outcome.tool,
                    outcome.tool_version,
                    int(outcome.accepted),
                    outcome.improvement,
                    outcome.seconds,
                    outcome.cost_usd,
                ),
            )

    def recent(self, categories: Sequence[str], limit: int) -> tuple[ToolOutcome, ...]:
        """The last outcomes of these categories, newest first."""
        if not self.path.is_file():
            return ()
        marks = ", ".join("?" * len(categories))
        query = (
            f"SELECT {_COLUMNS} FROM outcomes WHERE category IN ({marks}) ORDER BY id DESC LIMIT ?"
        )
        with self._open() as db:
            rows = db.execute(query, (*categories, limit)).fetchall()
        return tuple(
            ToolOutcome(
                category=category,
                side_px=side_px,
                tool=tool,
                tool_version=version,
                accepted=bool(accepted),
                improvement=improvement,
                seconds=seconds,
                cost_usd=cost_usd,
            )
            for category, side_px, tool, version, accepted, improvement, seconds, cost_usd in rows
        )

    def history(self) -> tuple[ToolHistory, ...]:
        """One row per category and tool, by category, then the most used first."""
        if not self.path.is_file():
            return ()
        query = (
            "SELECT category, tool, tool_version, COUNT(*), SUM(accepted), AVG(improvement), "
            "AVG(seconds), AVG(cost_usd), MAX(at) FROM outcomes "
            "GROUP BY category, tool, tool_version ORDER BY category, COUNT(*) DESC, tool"
        )
        with self._open() as db:
            rows = db.execute(query).fetchall()
        return tuple(
            ToolHistory(
                category=row[0],
                tool=row[1],
                tool_version=row[2],
                edits=row[3],
                accepted=row[4],
                improvement=row[5],
                seconds=row[6],
                cost_usd=row[7],
                last_at=row[8],
            )
            for row in rows
        )

    def count(self) -> int:
        """How many outcomes are remembered."""
        if not self.path.is_file():
            return 0
        with self._open() as db:
            return int(db.execute("SELECT COUNT(*) FROM outcomes").fetchone()[0])

    @contextmanager
    def _open(self) -> Generator[sqlite3.Connection, None, None]:
        try:
            with closing(sqlite3.connect(self.path, timeout=_BUSY_S, isolation_level=None)) as db:
                self._prepare(db)
                yield db
        except sqlite3.Error as error:
            raise ConfigError(
                f"{self.path} cannot be used as the history of outcomes ({error}); "
                "name another file, move it away, or turn learning off"
            ) from error

    def _prepare(self, db: sqlite3.Connection) -> None:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version == _SCHEMA_VERSION:
            return
        if version:
            raise ConfigError(
                f"{self.path} was written by another version of this program "
                f"(schema {version}, this one reads {_SCHEMA_VERSION})"
            )
        with db:
            db.execute("BEGIN IMMEDIATE")
            for statement in _CREATE:
                db.execute(statement)
            db.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
