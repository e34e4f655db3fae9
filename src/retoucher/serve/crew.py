"""The service's worker processes; each has a thread here that talks to it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from retoucher.batch.process import MakeHandler, Message, WorkerProcess, WorkerSettings
from retoucher.serve.jobs import Job, JobStore

_POLL_S = 0.05

GRACE_S = 5.0
"""A job that was asked to stop and does not is stopped with its worker after so long."""

_FAULTS = ("InputError", "ConfigError", "OutputError")
"""Errors that the client can do something about."""


@dataclass(slots=True, kw_only=True, eq=False)
class Crew:
    """Takes jobs from the store's queue and sees each to its end.

    Attributes:
        store: where jobs come from.
        make, settings: of the worker processes.
        restarts: workers that had to be replaced.
        alive: workers that are ready or at work.
    """

    store: JobStore
    make: MakeHandler
    settings: WorkerSettings
    restarts: int = 0
    _members: list[_Member] = field(default_factory=list["_Member"])
    _tasks: list[asyncio.Task[None]] = field(default_factory=list[asyncio.Task[None]])
    _threads: ThreadPoolExecutor | None = None

    @property
    def alive(self) -> int:
        return sum(member.ready for member in self._members)

    @property
    def broken(self) -> str | None:
        """Why no worker can start, in words; None while one can."""
        words = [member.broken for member in self._members]
        return words[0] if words and all(words) else None

    def begin(self) -> None:
        """Start the workers; they are ready a little later, jobs wait meanwhile."""
        count = self.store.settings.workers
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="worker")
        self._members = [_Member(self) for _ in range(count)]
        self._tasks = [asyncio.create_task(self._work(member)) for member in self._members]

    async def end(self) -> None:
        """Stop everything; jobs under way are lost."""
        for task in self._tasks:
            task.cancel()
        for member in self._members:
            member.ending = True
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._threads is not None:
            await asyncio.to_thread(self._threads.shutdown)
        for member in self._members:
            member.drop()

    async def _work(self, member: _Member) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._threads, member.prepare)
        while True:
            job = await self.store.queue.get()
            if not self.store.start(job):
                continue
            try:
                finish = await loop.run_in_executor(self._threads, member.do, job, loop)
            except Exception as bug:  # of ours: it must cost this job, and not the worker's place
                words = f"internal error, {type(bug).__name__}: {bug}"
                self.store.finish(job, "failed", reason="internal", error=words)
                member.drop()
            else:
                finish()


class _Member:
    """One worker process, and what its thread does."""

    def __init__(self, crew: Crew) -> None:
        self.crew = crew
        self.worker: WorkerProcess | None = None
        self.ready, self.ending = False, False
        self.broken: str | None = None

    def prepare(self) -> None:
        """Start a worker where there is none, and wait until it is ready."""
        if self.worker is None:
            self.worker = WorkerProcess(self.crew.make, self.crew.settings)
        if self.ready:
            return
        message = self._receive()
        if message is not None and message.kind == "ready":
            self.ready, self.broken = True, None
            return
        how = self.drop()
        broken = message is not None and message.kind == "broken"
        self.broken = str(message.value) if broken and message else f"it ended at its start ({how})"

    def drop(self) -> str:
        """End the worker."""
        worker, self.worker, self.ready = self.worker, None, False
        return worker.end() if worker is not None else ""

    def do(self, job: Job, loop: asyncio.AbstractEventLoop) -> Callable[[], None]:
        """One job, in the thread; returns what is to be called in the event loop at its end."""
        store, settings = self.crew.store, self.crew.store.settings
        self.prepare()
        if self.worker is None:
            error = f"no worker can start: {self.broken}"
            return lambda: store.finish(job, "failed", reason="internal", error=error)
        self.worker.send(job.work)
        deadline, asked_s, timed_out = time.monotonic() + settings.job_timeout_s, 0.0, False
        while True:
            message = self._receive(_POLL_S)
            if message is None and not self.worker.connection.closed and self._alive():
                now = time.monotonic()
                timed_out = timed_out or now >= deadline
                if (timed_out or job.cancelling or self.ending) and not asked_s:
                    self.worker.cancel()
                    asked_s = now
                if asked_s and now >= asked_s + (0.0 if self.ending else GRACE_S):
                    self._replace()
                    return self._stopped(job, timed_out=timed_out)
                continue
            if message is None:
                how = self._replace()
                words = f"the worker process ended while working on it ({how})"
                return lambda: store.finish(job, "failed", reason="internal", error=words)
            if message.kind == "told":
                loop.call_soon_threadsafe(job.add, message.value)
            elif message.kind == "done" and not timed_out:
                return lambda: store.finish(job, "done", output=message.value)
            elif message.kind in ("done", "failed"):
                return self._failed(job, message, timed_out=timed_out)

    def _failed(self, job: Job, message: Message, *, timed_out: bool) -> Callable[[], None]:
        if timed_out or message.error == "Cancelled":
            return self._stopped(job, timed_out=timed_out)
        reason = "input" if message.error in _FAULTS else "internal"
        words = str(message.value)
        return lambda: self.crew.store.finish(job, "failed", reason=reason, error=words)

    def _stopped(self, job: Job, *, timed_out: bool) -> Callable[[], None]:
        store = self.crew.store
        if not timed_out:
            return lambda: store.finish(job, "cancelled")
        words = f"took longer than {store.settings.job_timeout_s:g} s and was stopped"
        return lambda: store.finish(job, "failed", reason="timeout", error=words)

    def _replace(self) -> str:
        """End the worker; the next job, or `prepare`, starts another."""
        self.crew.restarts += 1
        return self.drop()

    def _alive(self) -> bool:
        return self.worker is not None and self.worker.process.is_alive()

    def _receive(self, limit_s: float | None = None) -> Message | None:
        """The next message; None: the worker is dead, or said nothing for so long."""
        assert self.worker is not None
        try:
            while not self.worker.connection.poll(_POLL_S if limit_s is None else limit_s):
                if limit_s is not None or self.ending:
                    return None
        except OSError:
            return None
        return self.worker.receive()
