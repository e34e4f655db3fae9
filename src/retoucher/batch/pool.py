"""Some worker processes that work through a stream of requests, whatever happens to them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing import connection
from typing import Any, Generic, Protocol, TypeVar

from retoucher.batch.process import MakeHandler, Message, WorkerProcess, WorkerSettings
from retoucher.errors import ConfigError, RetoucherError

R = TypeVar("R")

ATTEMPTS = 2
"""A request whose worker dies is given to another one, once."""

FAILED_STARTS = 3
"""So many workers in a row that die before they are ready are no accident."""

RECYCLE_SHARE = 0.8
"""A worker that holds this share of its memory after a request makes place for a new one."""

_TICK_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Generic[R]):
    """What became of one request: `value`, or `error` in words."""

    request: R
    value: Any = None
    error: str | None = None


class Pool(Protocol):
    """Works through requests on some workers."""

    def run(self, requests: Iterable[R], stop: Callable[[], bool]) -> Iterator[Answer[R]]:
        """Answers as they come, in any order.

        Requests are drawn only when a worker is free. When `stop` turns True no more are drawn,
        and the iterator ends when those under way are answered.

        Raises:
            RetoucherError: no worker can start.
        """
        ...


@dataclass(slots=True, eq=False)
class _Member:
    worker: WorkerProcess
    ready: bool = False
    job: _Job | None = None
    deadline: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """A request, and how many workers it has had."""

    request: Any
    attempts: int = 1


@dataclass(slots=True, kw_only=True, eq=False)
class ProcessPool:
    """Processes on this machine.

    Attributes:
        make: what each process makes once.
        count: of processes.
        settings: of each.
        timeout_s: a request that takes longer costs its worker and fails; None: no limit.

    Raises:
        ConfigError: a value is out of range.
    """

    make: MakeHandler
    count: int = 1
    settings: WorkerSettings = field(default_factory=WorkerSettings)
    timeout_s: float | None = None

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"the number of workers must be at least 1, got {self.count}")
        if self.timeout_s is not None and not self.timeout_s > 0:
            raise ConfigError(f"the time-out must be positive, got {self.timeout_s}")

    def run(self, requests: Iterable[R], stop: Callable[[], bool]) -> Iterator[Answer[R]]:
        """See `Pool`."""
        run = _Run[R](self, requests, stop)
        try:
            yield from run.answers()
        finally:
            for member in run.members:
                member.worker.end()


class _Run(Generic[R]):
    """The state of one `ProcessPool.run`."""

    def __init__(self, pool: ProcessPool, requests: Iterable[R], stop: Callable[[], bool]) -> None:
        self.pool, self.source, self.stop = pool, iter(requests), stop
        self.members: list[_Member] = []
        self.again: deque[_Job] = deque()
        self.exhausted = False
        self.failed_starts = 0

    def answers(self) -> Iterator[Answer[R]]:
        while True:
            self._feed()
            if not any(member.job for member in self.members) and not self.again:
                return
            if self.stop() and not any(member.job for member in self.members):
                return
            yield from self._wait()

    def _draw(self) -> _Job | None:
        """The source's next request; asks nobody twice after the end."""
        if self.exhausted or self.stop():
            return None
        request = next(self.source, None)
        self.exhausted = request is None
        return None if request is None else _Job(request)

    def _feed(self) -> None:
        """A request for every free worker; more workers while there is more to do."""
        for member in self.members:
            if member.ready and member.job is None and not self.stop():
                job = self.again.popleft() if self.again else self._draw()
                if job is None:
                    break
                timeout = self.pool.timeout_s
                member.job = job
                member.deadline = None if timeout is None else time.monotonic() + timeout
                member.worker.send(job.request)  # if it has died, its pipe says so
        starting = sum(not member.ready for member in self.members)
        while len(self.members) < self.pool.count and not self.stop():
            if len(self.again) <= starting:
                job = self._draw()
                if job is None:
                    return
                self.again.append(job)
            self._add()
            starting += 1

    def _add(self) -> None:
        self.members.append(_Member(WorkerProcess(self.pool.make, self.pool.settings)))

    def _wait(self) -> Iterator[Answer[R]]:
        by_pipe = {id(member.worker.connection): member for member in self.members}
        pipes = [member.worker.connection for member in self.members]
        for pipe in connection.wait(pipes, timeout=_TICK_S):
            member = by_pipe[id(pipe)]
            message = member.worker.receive()
            answer = self._died(member) if message is None else self._hear(member, message)
            if answer is not None:
                yield answer
        for member in list(self.members):
            if member.deadline is not None and time.monotonic() >= member.deadline:
                assert member.job is not None
                self._drop(member)
                words = f"took longer than {self.pool.timeout_s:g} s and was stopped"
                yield Answer(request=member.job.request, error=words)

    def _hear(self, member: _Member, message: Message) -> Answer[R] | None:
        if message.kind == "broken":
            raise RetoucherError(f"a worker cannot start: {message.value}")
        if message.kind == "ready":
            member.ready, self.failed_starts = True, 0
        if message.kind not in ("done", "failed"):
            return None
        assert member.job is not None
        request: R = member.job.request
        member.job, member.deadline = None, None
        memory_gb = self.pool.settings.memory_gb
        if memory_gb is not None and message.rss_bytes > RECYCLE_SHARE * memory_gb * 2**30:
            self._drop(member)
        if message.kind == "failed":
            return Answer(request=request, error=str(message.value))
        return Answer(request=request, value=message.value)

    def _died(self, member: _Member) -> Answer[R] | None:
        how = self._drop(member)
        if not member.ready:
            self.failed_starts += 1
            if self.failed_starts >= FAILED_STARTS:
                raise RetoucherError(f"worker processes end while they start ({how})")
        job = member.job
        if job is None:
            return None
        if job.attempts < ATTEMPTS:
            self.again.append(_Job(job.request, job.attempts + 1))
            return None
        words = f"its worker process ended {job.attempts} times ({how})"
        return Answer(request=job.request, error=words)

    def _drop(self, member: _Member) -> str:
        self.members.remove(member)
        return member.worker.end()
