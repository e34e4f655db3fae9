"""A worker process: makes its tools once, then does one request after the other.

Batches and the service both work through these, so that a picture that crashes, hangs or fills the
memory costs a process, never the program. The two ends talk over a pipe that only they hold.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkContext, SpawnContext
from multiprocessing.process import BaseProcess
from threading import Thread
from typing import Any, Literal, Protocol

from retoucher.errors import ConfigError, RetoucherError

Tell = Callable[[Any], None]
"""Sends something to the other end while the work goes on."""

Context = SpawnContext | ForkContext

Cancelled = Callable[[], bool]


class Handler(Protocol):
    """Does one request in the worker."""

    def __call__(self, request: Any, tell: Tell, cancelled: Cancelled) -> Any:
        """The answer; a RetoucherError is the request's failure, and stops nothing else."""
        ...


MakeHandler = Callable[[], Handler]
"""Called once in the worker: loads what all its requests share. It travels to the new process, so
it is a function of a module, or a `functools.partial` of one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """How a worker process runs.

    Attributes:
        threads: of the numeric libraries; where the environment says OMP_NUM_THREADS, that counts.
        memory_gb: a request that needs more fails (Linux); None: no limit.
        start: how processes are started; "spawn" is right for programs, forks are for tests.

    Raises:
        ConfigError: a value is out of range, or cannot be had on this system.
    """

    threads: int = 1
    memory_gb: float | None = None
    start: Literal["spawn", "fork"] = "spawn"

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise ConfigError(f"threads of a worker must be at least 1, got {self.threads}")
        if self.memory_gb is not None:
            if not self.memory_gb > 0:
                raise ConfigError(f"a worker's memory must be positive, got {self.memory_gb} GB")
            if sys.platform != "linux":
                raise ConfigError("a worker's memory can be bounded on Linux only; leave it out")

    @property
    def context(self) -> Context:
        if self.start == "spawn":
            return multiprocessing.get_context("spawn")
        return multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What comes from a worker.

    "ready" once; then for each request any number of "told", and one "done" or "failed" (`value`:
    the error's words, `error`: its class) with the resident memory in bytes. "broken": it cannot
    start.
    """

    kind: Literal["ready", "broken", "told", "done", "failed"]
    value: Any = None
    error: str = ""
    rss_bytes: int = 0


class WorkerProcess:
    """This end of a worker. Starts at construction; not for use from two threads at once."""

    def __init__(self, make: MakeHandler, settings: WorkerSettings) -> None:
        context = settings.context
        ours, theirs = context.Pipe(duplex=True)
        self.connection: Connection = ours
        self.process: BaseProcess = context.Process(
            target=_serve, args=(theirs, make, settings.memory_gb), daemon=True
        )
        with _threads(settings.threads):
            self.process.start()
        theirs.close()

    def send(self, request: Any) -> bool:
        """Give it a request; False: it has died."""
        return self._send(("do", request))

    def cancel(self) -> None:
        """Ask it to stop its request between two steps."""
        self._send(("cancel", None))

    def receive(self) -> Message | None:
        """The next message, waiting for it; None: it has died."""
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            return None

    def end(self) -> str:
        """Kill it, and say how it had ended when it was dead already."""
        self.process.join(0.2)
        code = self.process.exitcode
        self.process.kill()
        self.process.join()
        self.connection.close()
        if code is None:
            return "killed"
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name if -code in list(signal.Signals) else str(-code)
        hint = "; was there too little memory?" if -code == signal.SIGKILL else ""
        return f"{name}{hint}"

    def _send(self, message: tuple[str, Any]) -> bool:
        try:
            self.connection.send(message)
        except OSError:
            return False
        return True


@contextmanager
def _threads(count: int) -> Generator[None]:
    """What a process that starts now inherits; numeric libraries read it when they are loaded."""
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    missing = [name for name in names if name not in os.environ]
    for name in missing:
        os.environ[name] = os.environ.get("OMP_NUM_THREADS", str(count))
    try:
        yield
    finally:
        for name in missing:
            os.environ.pop(name, None)


class _Gone(Exception):
    """The other end is gone; nobody waits for the answer."""


def _serve(connection: Connection, make: MakeHandler, memory_gb: float | None) -> None:
    """The worker's whole life; ends when the other end is gone."""
    # Ctrl-C reaches the whole group; the other end decides what it means.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Thread(target=_end_with_parent, daemon=True).start()
    try:
        _limit_memory(memory_gb)
        handler = make()
    except Exception as error:
        with suppress(OSError):
            connection.send(Message(kind="broken", value=_words(error)))
        return
    with suppress(EOFError, OSError, _Gone):
        connection.send(Message(kind="ready", rss_bytes=_rss_bytes()))
        while True:
            word, request = connection.recv()
            if word == "do":
                connection.send(_answer(handler, request, connection))


def _end_with_parent() -> None:
    """A worker whose program was killed works for nobody."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _answer(handler: Handler, request: Any, connection: Connection) -> Message:
    stopped = False

    def cancelled() -> bool:
        nonlocal stopped
        try:
            while not stopped and connection.poll():
                stopped = connection.recv()[0] == "cancel"
        except (EOFError, OSError) as error:
            raise _Gone from error
        return stopped

    def tell(value: Any) -> None:
        try:
            connection.send(Message(kind="told", value=value))
        except OSError as error:
            raise _Gone from error

    try:
        value = handler(request, tell, cancelled)
    except _Gone:
        raise
    except Exception as error:
        if os.environ.get("RETOUCH_DEBUG"):
            sys.excepthook(type(error), error, error.__traceback__)
        name = type(error).__name__
        return Message(kind="failed", value=_words(error), error=name, rss_bytes=_rss_bytes())
    return Message(kind="done", value=value, rss_bytes=_rss_bytes())


def _words(error: Exception) -> str:
    if isinstance(error, RetoucherError):
        return str(error)
    if isinstance(error, MemoryError):
        return "needs more memory than a worker may take; see --worker-memory"
    return f"internal error, {type(error).__name__}: {error} (RETOUCH_DEBUG=1 shows where)"


def _limit_memory(memory_gb: float | None) -> None:
    if memory_gb is None:
        return
    import resource

    limit = int(memory_gb * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def _rss_bytes() -> int:
    """Resident memory of this process; 0 where the system does not say."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0
