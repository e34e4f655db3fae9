"""Ctrl-C: the first stops between two steps and keeps what is done, the second stops at once."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType


class Interrupt:
    """Context in which `cancelled()` turns True at the first SIGINT.

    Outside the main thread, where Python delivers no signals, it only ever returns False.
    """

    def __init__(self) -> None:
        self._hit = False
        self._restore: Callable[[], object] | None = None

    def cancelled(self) -> bool:
        return self._hit

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGINT, self._handle)
            self._restore = lambda: signal.signal(signal.SIGINT, before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._restore is not None:
            self._restore()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._hit:
            raise KeyboardInterrupt
        self._hit = True
        print("stopping after this step; once more stops at once", file=sys.stderr, flush=True)
