"""Worker processes: whatever one request does to its worker, the others are answered."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from retoucher.batch.pool import Answer, ProcessPool
from retoucher.batch.process import Cancelled, Handler, Tell, WorkerProcess, WorkerSettings
from retoucher.errors import ConfigError, InputError, RetoucherError

linux = pytest.mark.skipif(sys.platform != "linux", reason="memory is bounded on Linux only")


def handler(folder: Path) -> Handler:
    """Does what the request says; `folder` remembers what was tried before."""

    def handle(request: Any, tell: Tell, cancelled: Cancelled) -> Any:
        match request:
            case ("die once", name) if not (folder / name).exists():
                (folder / name).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            case ("die", _):
                os.kill(os.getpid(), signal.SIGKILL)
            case ("hang", _):
                time.sleep(600)
            case ("refuse", _):
                raise InputError("not like this")
            case ("bug", _):
                raise KeyError("lost")
            case ("eat", size_gb):
                return int(np.ones(int(size_gb * 2**30), np.uint8)[::4096].sum())
            case ("threads", _):
                return os.environ["OMP_NUM_THREADS"]
            case ("until cancelled", _):
                tell("waiting")
                while not cancelled():
                    time.sleep(0.01)
                return "stopped"
            case _:
                pass
        return (request[1], os.getpid())

    return handle


def no_start() -> Handler:
    raise InputError("no models here")


def dies_at_start() -> Handler:
    os._exit(3)


def answers(pool: ProcessPool, *requests: tuple[str, object]) -> dict[object, Answer[Any]]:
    found = {a.request: a for a in pool.run(requests, lambda: False)}
    assert len(found) == len(requests)
    return found


def test_every_request_is_answered_whatever_some_do(tmp_path: Path):
    pool = ProcessPool(make=partial(handler, tmp_path), count=2)
    good = [("echo", i) for i in range(5)]
    bad = [("die once", "a"), ("refuse", 0), ("die", 0), ("bug", 0)]
    found = answers(pool, *bad, *good)
    assert [found[request].value[0] for request in good] == [0, 1, 2, 3, 4]
    assert found["die once", "a"].value[0] == "a"
    assert found["refuse", 0].error == "not like this"
    assert "internal error, KeyError: 'lost'" in str(found["bug", 0].error)
    assert "its worker process ended 2 times (SIGKILL" in str(found["die", 0].error)


def test_workers_are_processes_of_their_own_and_stay(tmp_path: Path):
    pool = ProcessPool(make=partial(handler, tmp_path), count=1)
    found = answers(pool, *(("echo", i) for i in range(4)))
    pids = {answer.value[1] for answer in found.values()}
    assert len(pids) == 1
    assert os.getpid() not in pids


def test_a_request_that_takes_too_long_is_stopped(tmp_path: Path):
    pool = ProcessPool(make=partial(handler, tmp_path), timeout_s=1.5)
    found = answers(pool, ("hang", 0), ("echo", 1))
    assert found["hang", 0].error == "took longer than 1.5 s and was stopped"
    assert found["echo", 1].value[0] == 1


@linux
def test_memory_is_bounded(tmp_path: Path):
    settings = WorkerSettings(memory_gb=0.5)
    pool = ProcessPool(make=partial(handler, tmp_path), settings=settings)
    found = answers(pool, ("eat", 1.0), ("eat", 0.1))
    assert "needs more memory" in str(found["eat", 1.0].error)
    assert found["eat", 0.1].error is None


def test_stop_answers_what_is_under_way_and_draws_no_more(tmp_path: Path):
    pool = ProcessPool(make=partial(handler, tmp_path), count=1)
    drawn: list[int] = []

    def requests() -> Iterator[tuple[str, int]]:
        for i in range(100):
            drawn.append(i)
            yield "echo", i

    seen: list[Answer[Any]] = []
    for answer in pool.run(requests(), lambda: len(seen) >= 3):
        seen.append(answer)  # noqa: PERF402  # the pool looks at it meanwhile
    assert len(seen) == 3
    assert len(drawn) <= 5


def test_requests_are_drawn_only_when_a_worker_is_free(tmp_path: Path):
    pool = ProcessPool(make=partial(handler, tmp_path), count=2)
    drawn = 0

    def requests() -> Iterator[tuple[str, int]]:
        nonlocal drawn
        for i in range(20):
            drawn += 1
            yield "echo", i

    for answered, _ in enumerate(pool.run(requests(), lambda: False), 1):
        assert drawn <= answered + 2


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (no_start, "a worker cannot start: no models here"),
        (dies_at_start, r"worker processes end while they start \(exit code 3\)"),
    ],
)
def test_workers_that_cannot_start_end_the_batch(make: Callable[[], Handler], words: str):
    with pytest.raises(RetoucherError, match=words):
        list(ProcessPool(make=make).run([("echo", 1)], lambda: False))


def test_nothing_to_do_starts_nothing():
    assert list(ProcessPool(make=no_start).run([], lambda: False)) == []


def test_threads_are_told_to_the_libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    pool = ProcessPool(make=partial(handler, tmp_path), settings=WorkerSettings(threads=3))
    assert answers(pool, ("threads", 0))["threads", 0].value == "3"
    assert "OMP_NUM_THREADS" not in os.environ


def test_a_worker_tells_and_can_be_cancelled(tmp_path: Path):
    worker = WorkerProcess(partial(handler, tmp_path), WorkerSettings())
    try:
        kinds = [worker.receive()]
        assert worker.send(("until cancelled", 0))
        kinds.append(worker.receive())
        worker.cancel()
        kinds.append(worker.receive())
        worker.cancel()  # too late for the first, not meant for the next
        assert worker.send(("echo", 5))
        kinds.append(worker.receive())
    finally:
        worker.end()
    assert [(m.kind, m.value) for m in kinds[:3] if m] == [
        ("ready", None), ("told", "waiting"), ("done", "stopped"),
    ]  # fmt: skip
    assert kinds[3] is not None
    assert kinds[3].value[0] == 5


@pytest.mark.parametrize("values", [{"count": 0}, {"timeout_s": 0.0}])
def test_bad_values(values: dict[str, Any]):
    with pytest.raises(ConfigError):
        ProcessPool(make=no_start, **values)


def test_bad_memory():
    with pytest.raises(ConfigError):
        WorkerSettings(memory_gb=-1.0)
