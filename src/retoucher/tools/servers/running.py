"""Network work that can be stopped at any moment: in a loop of its own, watched by the caller."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any, TypeVar

from retoucher.errors import Cancelled, ToolError

POLL_S = 0.05
"""How often a running edit asks whether it was cancelled."""

T = TypeVar("T")


def run(
    work: Callable[[], Coroutine[Any, Any, T]],
    *,
    cancelled: Callable[[], bool],
    timeout_s: float,
    doing: Callable[[], str],
) -> T:
    """Do the work and return what it returns.

    It runs in a thread of its own, so that a caller that is itself inside an event loop can use
    it. When it has to stop, the work is cancelled where it waits: connections are closed, and it
    can tell the server in an `except asyncio.CancelledError`.

    Args:
        work: makes the coroutine.
        cancelled: asked every `POLL_S` seconds, in the caller's thread.
        timeout_s: limit for all of it.
        doing: what is going on, for the message when time is up.

    Raises:
        Cancelled: `cancelled()` was True.
        ToolError: the time is up.
    """
    if cancelled():
        raise Cancelled("stopped before anything was sent")
    stop = threading.Event()

    async def watched() -> T:
        task = asyncio.ensure_future(work())
        deadline = asyncio.get_running_loop().time() + timeout_s
        while not (await asyncio.wait([task], timeout=POLL_S))[0]:
            late = asyncio.get_running_loop().time() > deadline
            if late or stop.is_set():
                task.cancel()
                await asyncio.wait([task])
                if late and task.cancelled():
                    raise ToolError(f"no result within {timeout_s:g} s ({doing()})")
        if task.cancelled():
            raise Cancelled(f"stopped ({doing()})")
        return task.result()

    with ThreadPoolExecutor(1, thread_name_prefix="retoucher-server") as pool:
        future = pool.submit(asyncio.run, watched())
        try:
            while not wait([future], POLL_S).done:
                if cancelled():
                    stop.set()
        finally:  # also where `cancelled` raises, or the user presses Ctrl-C
            stop.set()
    if cancelled():
        raise Cancelled(f"stopped ({doing()})")
    return future.result()
