"""The work behind `retouch train`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from retoucher.cli.interrupt import Interrupt
from retoucher.cli.options import ExitCode
from retoucher.cli.plain import plain
from retoucher.train.extras import need


def run_train_perception(config: Path, *, restart: bool, stop_at: int | None, quiet: bool) -> int:
    """Runs a recipe and returns the exit code."""
    need("torch", "training")
    from retoucher.train.recipe import run_recipe

    with Bar(quiet=quiet) as bar, Interrupt() as interrupt:
        ending = run_recipe(
            config,
            report=bar.say,
            watch=bar.step,
            cancelled=interrupt.cancelled,
            restart=restart,
            stop_at=stop_at,
        )
        bar.say(f"{ending} at step {bar.done}" if bar.done else f"{ending}: nothing left to do")
    return ExitCode.CANCELLED if ending == "cancelled" else ExitCode.OK


class Bar:
    """Lines on standard error, and below them how far the run is; of several processes the first
    one shows them."""

    def __init__(self, *, quiet: bool) -> None:
        self.done = 0
        self._quiet = quiet or os.environ.get("RANK", "0") != "0"
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("loss {task.fields[loss]}"),
        )
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._progress = Progress(*columns, console=console, disable=self._quiet)
        self._task: TaskID | None = None

    def __enter__(self) -> Bar:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def say(self, line: str) -> None:
        """A line above the bar."""
        if not self._quiet:
            self._progress.console.print(plain(line), markup=False)

    def step(self, done: int, end: int, figures: Mapping[str, float]) -> None:
        """See `retoucher.train.perception.Watch`."""
        self.done = done
        loss = f"{figures['total']:.4g}"
        if self._task is None:
            self._task = self._progress.add_task("", total=end, completed=done - 1, loss=loss)
        self._progress.update(self._task, completed=done, loss=loss)
