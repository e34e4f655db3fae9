"""Kills a batch again and again at random moments; run as a process of its own by `test_kills`.

`python torture.py IN OUT LOG KILLS SEED`: prints one JSON object a kill, with what was done then.
Each run is a fork of this process, so that the many starts cost nothing.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

import cv2

from retoucher.api import Retoucher
from retoucher.batch.items import Selection, find_items
from retoucher.batch.journal import open_journal
from retoucher.batch.pool import ProcessPool
from retoucher.batch.process import WorkerSettings
from retoucher.batch.run import Batch
from retoucher.batch.tables import known_records, write_tables
from retoucher.batch.work import Order, work_digest, worker
from retoucher.config import Settings, load_settings
from retoucher.records import Record

CONFIG = Path(__file__).with_name("tint.toml")


class Log:
    """Writes each finished picture's name down at once."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def checking(self, done: int, total: int) -> None: ...

    def planned(self, todo: int, total: int) -> None: ...

    def finished(self, name: str, record: Record) -> None:
        os.write(self._file, f"{name} {record.get('error', '')}\n".encode())


def run(source: Path, out: Path, log: Path, settings: Settings, workers: int) -> None:
    items = find_items(source, Selection())
    order = Order(traces=True, review=True)
    retoucher = Retoucher.from_profile("embedded", settings)
    pool = ProcessPool(
        make=worker(settings, order), count=workers, settings=WorkerSettings(start="fork")
    )
    with closing(open_journal(out)) as journal:
        digest = work_digest(retoucher, order)
        batch = Batch(items=items, journal=journal, mode="fix", digest=digest, pool=pool)
        batch.run(Log(log), lambda: False)
        write_tables(journal.home, known_records(journal, items, "fix"), "fix")


def fork(*arguments: object, settings: Settings, workers: int) -> int:
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setsid()
        source, out, log = (Path(str(a)) for a in arguments)
        run(source, out, log, settings, workers)
        code = 0
    finally:
        os._exit(code)


def gone(group: int) -> bool:
    """No process of the group is left: those whose parent is dead end by themselves."""

    def empty() -> bool:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        return False

    return wait_for(empty)


def exited(child: int) -> bool:
    """Without reaping it."""
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def lines_in(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def wait_for_a_picture(log: Path, child: int) -> None:
    before = lines_in(log)
    wait_for(lambda: lines_in(log) > before or exited(child))


def wait_for(happens: Callable[[], bool], limit_s: float = 20.0) -> bool:
    ends = time.monotonic() + limit_s
    while not happens():
        if time.monotonic() > ends:
            return False
        time.sleep(0.002)
    return True


def main() -> None:
    source, out, log = (Path(a) for a in sys.argv[1:4])
    kills, chance = int(sys.argv[4]), random.Random(int(sys.argv[5]))
    settings = load_settings(CONFIG)
    Retoucher.from_profile("embedded", settings)  # imports everything before the first fork
    cv2.setNumThreads(1)
    for number in range(kills):
        workers = chance.choice((1, 2))
        child = fork(source, out, log, settings=settings, workers=workers)
        # From the first picture of this run on, so that a slow machine is killed in the middle too.
        if number % 5:
            wait_for_a_picture(log, child)
        time.sleep(chance.uniform(0.0, 0.1))
        whole_group = chance.random() < 0.5
        with suppress(ProcessLookupError):
            if whole_group:
                os.killpg(child, signal.SIGKILL)
            else:
                os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        told = {"kill": number, "gone": gone(child), "finished": lines_in(log)}
        print(json.dumps(told), flush=True)
    child = fork(source, out, log, settings=settings, workers=2)
    _, status = os.waitpid(child, 0)
    print(json.dumps({"exit": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
