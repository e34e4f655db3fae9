"""A batch from beginning to end: plan, work, publish, summarise."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from retoucher.batch.items import Item
from retoucher.batch.journal import HOME, Journal, Mode, Staged, file_sha256
from retoucher.batch.pool import Answer, Pool
from retoucher.batch.work import Done, Task, item_digest
from retoucher.errors import OutputError
from retoucher.records import Record


class Watcher(Protocol):
    """Is told how a batch goes on."""

    def checking(self, done: int, total: int) -> None:
        """So many of the pictures were compared with the journal."""
        ...

    def planned(self, todo: int, total: int) -> None:
        """So many of the pictures are to be worked on; the others are done."""
        ...

    def finished(self, name: str, record: Record) -> None:
        """A picture is done and recorded; {"error": ...} where it failed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How a run ended.

    Attributes:
        total: pictures that were wanted.
        already: that an earlier run had done.
        done, failed: in this run.
    """

    total: int
    already: int
    done: int
    failed: int

    @property
    def open(self) -> int:
        """Pictures that are still to be done, after an early stop."""
        return self.total - self.already - self.done - self.failed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Batch:
    """One run over one output folder.

    Attributes:
        items: the pictures.
        journal: of the output folder.
        mode: "fix" or "find".
        digest: `work.work_digest`.
        pool: who does the work.
    """

    items: Sequence[Item]
    journal: Journal
    mode: Mode
    digest: str
    pool: Pool

    def run(self, watch: Watcher, stop: Callable[[], bool]) -> Counts:
        """Do what is not done yet; `stop` turning True ends after the pictures under way.

        Raises:
            RetoucherError: no worker can start.
        """
        todo = list(self._open_items(watch, stop))
        watch.planned(len(todo), len(self.items))
        failed: list[str] = []
        done = 0

        def settled(name: str, record: Record) -> None:
            nonlocal done
            if "error" in record:
                failed.append(name)
            else:
                done += 1
            watch.finished(name, record)

        for answer in self.pool.run(self._tasks(todo, settled), stop):
            settled(answer.request.item.name, self._settle(answer))
        return Counts(
            total=len(self.items),
            already=len(self.items) - len(todo),
            done=done,
            failed=len(failed),
        )

    def _open_items(self, watch: Watcher, stop: Callable[[], bool]) -> Iterator[Item]:
        """Items that are not done with this content and these settings."""
        for number, item in enumerate(self.items, 1):
            if stop() or not self._is_done(item):
                yield item
            watch.checking(number, len(self.items))

    def _is_done(self, item: Item) -> bool:
        entry = None if item.error else self.journal.entry(item.name, self.mode)
        if entry is None or entry.state != "done":
            return False
        if entry.work_sha256 != item_digest(self.digest, item):
            return False
        if entry.content_sha256 != file_sha256(item.path):
            return False
        target = self.journal.out / item.name
        return self.mode == "find" or file_sha256(target) == entry.published_sha256

    def _tasks(
        self, items: Sequence[Item], settled: Callable[[str, Record], None]
    ) -> Iterator[Task]:
        """Tasks for the pool; what can be known to fail is recorded here and never begun."""
        staging = self.journal.home / "staging" / secrets.token_hex(8)
        for number, item in enumerate(items):
            error = item.error or self._in_the_way(item)
            if error is None:
                yield Task(item=item, folder=staging / str(number))
            else:
                settled(item.name, self._fail(item, error))

    def _in_the_way(self, item: Item) -> str | None:
        if self.mode == "find":
            return None
        try:
            self.journal.check_place(item.name)
        except OutputError as error:
            return str(error)
        return None

    def _settle(self, answer: Answer[Task]) -> Record:
        """Publish and record one answer."""
        item = answer.request.item
        if answer.error is not None:
            return self._fail(item, answer.error)
        made: Done = answer.value
        work = item_digest(self.digest, item)
        if made.result_sha256 is None:
            self.journal.finish(
                item.name,
                self.mode,
                content=made.content_sha256,
                work=work,
                state="done",
                record=made.record,
            )
            return made.record
        staged = Staged(
            name=item.name, folder=answer.request.folder, result_sha256=made.result_sha256
        )
        try:
            self.journal.publish(staged, content=made.content_sha256, work=work, record=made.record)
        except OutputError as error:
            return self._fail(item, str(error))
        return made.record

    def _fail(self, item: Item, error: str) -> Record:
        words = error if item.name in error else f"{item.name}: {error}"
        record: Record = {"error": words}
        self.journal.finish(
            item.name,
            self.mode,
            content=file_sha256(item.path),
            work=item_digest(self.digest, item),
            state="failed",
            record=record,
        )
        return record


def check_folders(source: Path, items: Sequence[Item], out: Path) -> None:
    """That nothing of a batch can be written over its input.

    Raises:
        OutputError: OUT is no folder, or pictures of IN lie in it, or it lies in the folder IN.
    """
    place = os.path.realpath(out)
    if os.path.exists(place) and not os.path.isdir(place):
        raise OutputError(f"{out} is no folder")
    if HOME in Path(place).parts:
        raise OutputError(f"{out} lies in the folder of another batch; choose another OUT")
    if source.is_dir() and _inside(place, os.path.realpath(source)):
        raise OutputError(f"OUT ({out}) lies in IN ({source}), which is never written to")
    folders = {item.path.parent for item in items}
    if any(_inside(os.path.realpath(folder), place) for folder in folders):
        raise OutputError(f"pictures of IN ({source}) lie in OUT ({out}); choose another OUT")


def _inside(path: str, folder: str) -> bool:
    """Both are real paths."""
    return os.path.splitdrive(path)[0] == os.path.splitdrive(folder)[0] and (
        os.path.commonpath([path, folder]) == folder
    )
