"""What a batch has done, so that a run that was killed goes on where it was (SQLite).

A picture's result becomes visible in four steps, and a kill between any two loses nothing:
1. a worker writes it into a staging folder; 2. `stage` records it; 3. it takes its place by a
rename; 4. `publish` records that. `open_journal` finishes or undoes what was between 2 and 4.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

from retoucher.domain.diagnosis import Json
from retoucher.errors import OutputError

HOME = "_retouch"
"""Everything in OUT that is not a result lies in this folder."""

RESULT, REPORT, TRACE, REVIEW = "result", "report.html", "trace.json", "review"

Mode = Literal["fix", "find"]
State = Literal["staged", "done", "failed"]

_APPLICATION_ID = 0x52545543
_SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE pictures (
    name TEXT NOT NULL,
    mode TEXT NOT NULL,
    content_sha256 TEXT NOT NULL,
    work_sha256 TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('staged', 'done', 'failed')),
    record TEXT NOT NULL,
    staged_dir TEXT,
    staged_sha256 TEXT,
    published_sha256 TEXT,
    PRIMARY KEY (name, mode)
) WITHOUT ROWID
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What the journal knows of a picture.

    Attributes:
        content_sha256: of the input file ("" when it could not be read).
        work_sha256: of everything else that decides about the result.
        state: "done" and "failed" are final for these two digests.
        record: the picture's record, or {"error": why not}.
        published_sha256: of our file at the picture's place in OUT; None: there is none of ours.
    """

    content_sha256: str
    work_sha256: str
    state: State
    record: dict[str, Json]
    published_sha256: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """A finished picture that is not in its place yet.

    Attributes:
        name: of the item.
        folder: its own staging folder: `RESULT`/FILE, and `REPORT`, `TRACE` and the folder `REVIEW`
            where asked for.
        result_sha256: of the result's file.
    """

    name: str
    folder: Path
    result_sha256: str


class Journal:
    """The open journal of one output folder. Made by `open_journal`; one process at a time."""

    def __init__(self, out: Path, database: sqlite3.Connection) -> None:
        self.out, self.home = out, out / HOME
        self._database = database

    def close(self) -> None:
        shutil.rmtree(self.home / "staging", ignore_errors=True)
        self._database.close()

    def entry(self, name: str, mode: Mode) -> Entry | None:
        """What is known of a picture."""
        row = self._database.execute(
            "SELECT content_sha256, work_sha256, state, record, published_sha256 "
            "FROM pictures WHERE name = ? AND mode = ?",
            (name, mode),
        ).fetchone()
        return None if row is None else _entry(row)

    def entries(self, mode: Mode) -> Iterator[tuple[str, Entry]]:
        """Every picture that is known, by name."""
        rows = self._database.execute(
            "SELECT content_sha256, work_sha256, state, record, published_sha256, name "
            "FROM pictures WHERE mode = ? ORDER BY name",
            (mode,),
        )
        for row in rows:
            yield cast(str, row[5]), _entry(row)

    def finish(
        self,
        name: str,
        mode: Mode,
        *,
        content: str,
        work: str,
        state: Literal["done", "failed"],
        record: Mapping[str, Json],
    ) -> None:
        """Record a picture that writes no result."""
        self._put(name, mode, content, work, state, record, None)

    def publish(
        self, staged: Staged, *, content: str, work: str, record: Mapping[str, Json]
    ) -> None:
        """Move a finished picture's files to their places, and record it.

        Raises:
            OutputError: a file that is not ours is in the way, or the place cannot be written.
        """
        self.check_place(staged.name)
        if not (staged.folder / REVIEW).exists():  # what was kept of an earlier result is stale
            shutil.rmtree(self.review_path(staged.name), ignore_errors=True)
        self._put(staged.name, "fix", content, work, "staged", record, staged)
        self._place(staged)

    def check_place(self, name: str) -> None:
        """That a picture's result may be written.

        Raises:
            OutputError: its place is taken by something that we did not write, or lies outside OUT.
        """
        target = self.out / name
        folder = os.path.realpath(target.parent)
        if os.path.commonpath([folder, os.path.realpath(self.out)]) != os.path.realpath(self.out):
            raise OutputError(f"{target}: lies outside the output folder (a link leads there)")
        if target.is_dir():
            raise OutputError(f"{target}: a folder of that name is in the way")
        if not os.path.lexists(target):
            return
        row = self._database.execute(
            "SELECT staged_sha256, published_sha256 FROM pictures WHERE name = ? AND mode = 'fix'",
            (name,),
        ).fetchone()
        if row is None or target.is_symlink() or file_sha256(target) not in row:
            raise OutputError(
                f"{target} exists and is not as this batch left it; move it away, or choose "
                "another OUT"
            )

    def recover(self) -> None:
        """Finish what was recorded but not yet in its place; drop what is not complete."""
        rows = self._database.execute(
            "SELECT name, staged_dir, staged_sha256 FROM pictures WHERE state = 'staged'"
        ).fetchall()
        for name, folder, sha256 in rows:
            staged = Staged(name=name, folder=self.out / folder, result_sha256=sha256)
            waiting = _result_file(staged)
            try:
                if waiting.is_file() and file_sha256(waiting) == sha256:
                    self.check_place(name)
                    self._place(staged)
                    continue
                target = self.out / name
                if target.is_file() and file_sha256(target) == sha256:
                    self._published(staged)
                    continue
            except OutputError:
                pass  # the next attempt at this picture says what is in the way
            self._forget(name)
        shutil.rmtree(self.home / "staging", ignore_errors=True)
        for left in self.home.glob(".*.part"):
            left.unlink(missing_ok=True)

    def _put(
        self,
        name: str,
        mode: Mode,
        content: str,
        work: str,
        state: State,
        record: Mapping[str, Json],
        staged: Staged | None,
    ) -> None:
        folder = staged.folder.relative_to(self.out).as_posix() if staged else None
        with self._database:
            self._database.execute(
                "INSERT INTO pictures VALUES (?, ?, ?, ?, ?, ?, ?, ?, NULL) "
                "ON CONFLICT (name, mode) DO UPDATE SET content_sha256 = excluded.content_sha256, "
                "work_sha256 = excluded.work_sha256, state = excluded.state, "
                "record = excluded.record, staged_dir = excluded.staged_dir, "
                "staged_sha256 = excluded.staged_sha256",
                (
                    name,
                    mode,
                    content,
                    work,
                    state,
                    json.dumps(record, ensure_ascii=False),
                    folder,
                    staged.result_sha256 if staged else None,
                ),
            )

    def _place(self, staged: Staged) -> None:
        target = self.out / staged.name
        moves = (
            (staged.folder / REPORT, self.report_path(staged.name)),
            (staged.folder / TRACE, self.trace_path(staged.name)),
            (staged.folder / REVIEW, self.review_path(staged.name)),
            (_result_file(staged), target),
        )
        try:
            for source, place in moves:
                if source.exists():
                    place.parent.mkdir(parents=True, exist_ok=True)
                    if source.is_dir():  # a kill after this: the new one is moved later
                        shutil.rmtree(place, ignore_errors=True)
                    os.replace(source, place)
        except OSError as error:
            raise OutputError(f"{target}: cannot write there ({error.strerror})") from error
        self._published(staged)
        shutil.rmtree(staged.folder, ignore_errors=True)

    def report_path(self, name: str) -> Path:
        """Where a picture's HTML report lies."""
        return self.home / "reports" / f"{name}.html"

    def trace_path(self, name: str) -> Path:
        """Where a picture's full record lies."""
        return self.home / "traces" / f"{name}.json"

    def review_path(self, name: str) -> Path:
        """The folder with what a review of a picture needs."""
        return self.home / "review" / f"{name}.kept"

    def _published(self, staged: Staged) -> None:
        with self._database:
            self._database.execute(
                "UPDATE pictures SET state = 'done', published_sha256 = staged_sha256, "
                "staged_dir = NULL, staged_sha256 = NULL WHERE name = ? AND mode = 'fix'",
                (staged.name,),
            )

    def _forget(self, name: str) -> None:
        """Back to "never done", but our earlier file at its place stays ours."""
        with self._database:
            self._database.execute(
                "UPDATE pictures SET state = 'failed', content_sha256 = '', work_sha256 = '', "
                'record = \'{"error": "interrupted"}\', staged_dir = NULL, staged_sha256 = NULL '
                "WHERE name = ? AND mode = 'fix'",
                (name,),
            )


def open_journal(out: Path) -> Journal:
    """The journal of an output folder, made where it is missing, recovered where it was left.

    Raises:
        OutputError: it cannot be made or read, is not ours, or another process holds it.
    """
    home = out / HOME
    file = home / "journal.sqlite3"
    try:
        home.mkdir(parents=True, exist_ok=True)
        database = sqlite3.connect(file, timeout=0.2, isolation_level="IMMEDIATE")
    except (OSError, sqlite3.Error) as error:
        raise OutputError(f"cannot keep a journal in {home}: {error}") from error
    try:
        # Exclusive: the lock lasts as long as the process, and a kill frees it.
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        with database:
            database.execute("BEGIN EXCLUSIVE")
            _prepare(database, file)
        journal = Journal(out, database)
        journal.recover()
    except sqlite3.OperationalError as error:
        database.close()
        if "locked" in str(error):
            raise OutputError(f"another `retouch batch` is writing to {out}") from error
        raise OutputError(f"cannot use the journal {file}: {error}") from error
    except sqlite3.DatabaseError as error:
        database.close()
        raise OutputError(f"{file} is no journal of ours ({error}); choose another OUT") from error
    except BaseException:
        database.close()
        raise
    return journal


def _prepare(database: sqlite3.Connection, file: Path) -> None:
    (application,) = database.execute("PRAGMA application_id").fetchone()
    (version,) = database.execute("PRAGMA user_version").fetchone()
    (tables,) = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if not tables:
        database.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        database.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
        database.execute(_SCHEMA)
    elif application != _APPLICATION_ID or version != _SCHEMA_VERSION:
        raise OutputError(
            f"{file} is no journal of this version ({version}, expected {_SCHEMA_VERSION}); "
            "choose another OUT"
        )


def file_sha256(path: Path) -> str:
    """Hexadecimal digest of a file's bytes; "" where it cannot be read."""
    with suppress(OSError), path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
    return ""


def _result_file(staged: Staged) -> Path:
    return staged.folder / RESULT / Path(staged.name).name


def _entry(row: tuple[object, ...]) -> Entry:
    content, work, state, record, published = row[:5]
    return Entry(
        content_sha256=cast(str, content),
        work_sha256=cast(str, work),
        state=cast(State, state),
        record=cast("dict[str, Json]", json.loads(cast(str, record))),
        published_sha256=cast("str | None", published),
    )
