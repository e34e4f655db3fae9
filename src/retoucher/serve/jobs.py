"""Jobs of the service: those that wait, run, and are finished but not yet forgotten.

Everything here belongs to the event loop; workers' threads come in by `call_soon_threadsafe`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Literal

from retoucher.serve.settings import ServiceSettings
from retoucher.serve.work import Kind, Output, Progress, Work

State = Literal["queued", "running", "done", "failed", "cancelled"]
Reason = Literal["input", "timeout", "internal"]

MAX_EVENTS = 500
"""A job's later events are dropped; its end is always told."""


class Busy(Exception):
    """Every slot is taken."""


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """One request of a client.

    Attributes:
        id: not to be guessed; who knows it may see the job.
        work: None once it is not needed any more.
        reason: of "failed": the picture or options, the time, or us.
        error: in words.
        events: what happened, in order, ending with {"event": the final state}.
        cancelling: somebody asked to stop it.
    """

    id: str
    kind: Kind
    work: Work | None
    state: State = "queued"
    reason: Reason | None = None
    error: str | None = None
    output: Output | None = None
    events: list[Progress] = field(default_factory=list[Progress])
    created_s: float = field(default_factory=time.time)
    finished_s: float | None = None
    cancelling: bool = False
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def finished(self) -> bool:
        return self.state in ("done", "failed", "cancelled")

    def add(self, event: Progress) -> None:
        """Tell whoever listens."""
        if len(self.events) < MAX_EVENTS or event["event"] in ("done", "failed", "cancelled"):
            self.events.append(event)
        before, self.changed = self.changed, asyncio.Event()
        before.set()

    async def follow(self, start: int = 0) -> AsyncIterator[tuple[int, Progress]]:
        """Events from number `start` on, as they come, to the last."""
        while True:
            changed, finished = self.changed, self.finished
            while start < len(self.events):
                yield start, self.events[start]
                start += 1
            if finished:
                return
            await changed.wait()

    async def wait(self) -> None:
        """Until it is finished."""
        while not self.finished:
            await self.changed.wait()


class JobStore:
    """All jobs, with their limits.

    Attributes:
        queue: jobs that wait, first come first served.
        on_finish: told of every finished job.
    """

    def __init__(
        self,
        settings: ServiceSettings,
        on_finish: Callable[[Job], None] = lambda job: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings, self.on_finish, self._clock = settings, on_finish, clock
        self.queue: asyncio.Queue[Job] = asyncio.Queue()
        self._jobs: dict[str, Job] = {}
        self._taken = 0

    @property
    def queued(self) -> int:
        return sum(job.state == "queued" for job in self._jobs.values())

    @property
    def running(self) -> int:
        return sum(job.state == "running" for job in self._jobs.values())

    @property
    def kept_bytes(self) -> int:
        """Of all results that are kept."""
        return sum(job.output.size_bytes for job in self._jobs.values() if job.output)

    def reserve(self) -> None:
        """Take a slot before a request's body is read, so that bodies cannot fill the memory.

        Raises:
            Busy: none is free. Each slot goes back by `release`, or with its job's end.
        """
        if self._taken >= self.settings.slots:
            raise Busy
        self._taken += 1

    def release(self) -> None:
        """Give back a slot that got no job."""
        self._taken -= 1

    def submit(self, work: Work) -> Job:
        """A job for a reserved slot."""
        job = Job(id=secrets.token_urlsafe(18), kind=work.kind, work=work)
        job.created_s = self._clock()
        self._jobs[job.id] = job
        job.add({"event": "queued"})
        self.queue.put_nowait(job)
        return job

    def get(self, id: str) -> Job | None:
        """None: there never was one, or it is forgotten."""
        self.sweep()
        return self._jobs.get(id)

    def start(self, job: Job) -> bool:
        """A worker takes it; False: it was cancelled while it waited."""
        if job.finished:
            return False
        job.state = "running"
        job.add({"event": "running"})
        return True

    def finish(
        self,
        job: Job,
        state: Literal["done", "failed", "cancelled"],
        *,
        output: Output | None = None,
        reason: Reason | None = None,
        error: str | None = None,
    ) -> None:
        """Its end, whatever it was; the slot is free again."""
        if job.finished:
            return
        job.state, job.output, job.reason, job.error = state, output, reason, error
        job.work, job.finished_s = None, self._clock()
        self._taken -= 1
        job.add({"event": state} if error is None else {"event": state, "error": error})
        self.on_finish(job)
        self.sweep()

    def cancel(self, job: Job) -> None:
        """Stop a job, or forget one that is finished."""
        if job.finished:
            self._jobs.pop(job.id, None)
        elif job.state == "queued":
            self.finish(job, "cancelled")
        else:
            job.cancelling = True  # its worker's thread looks at this

    def sweep(self) -> None:
        """Forget finished jobs that are too old, too many or too large."""
        finished = [job for job in self._jobs.values() if job.finished_s is not None]
        finished.sort(key=lambda job: job.finished_s or 0.0, reverse=True)  # latest first
        oldest_s = self._clock() - self.settings.result_ttl_s
        size = 0
        for count, job in enumerate(finished, 1):
            size += job.output.size_bytes if job.output else 0
            too_large = size > self.settings.max_result_bytes and count > 1
            if (job.finished_s or 0.0) < oldest_s or count > self.settings.max_results or too_large:
                del self._jobs[job.id]
