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
from retoucher.train.reasoning import Stage


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
        return _told(bar, ending)


def run_train_reasoning(
    stage: Stage, source: str, *, restart: bool, stop_at: int | None, quiet: bool
) -> int:
    """Runs a stage of the reasoner's training and returns the exit code."""
    _need_trl()
    from retoucher.train.reasoning_run import run_reasoning

    figure = "loss" if stage == "sft" else "reward"
    with Bar(quiet=quiet, figure=figure) as bar, Interrupt() as interrupt:
        ending = run_reasoning(
            stage,
            source,
            report=bar.say,
            watch=bar.step,
            cancelled=interrupt.cancelled,
            restart=restart,
            stop_at=stop_at,
        )
        return _told(bar, ending)


def _told(bar: Bar, ending: str) -> int:
    """Says how a training ended, and with which exit code."""
    bar.say(f"{ending} at step {bar.done}" if bar.done else f"{ending}: nothing left to do")
    return ExitCode.CANCELLED if ending == "cancelled" else ExitCode.OK


def run_train_merge(adapter: Path, out: Path, *, base: str | None) -> int:
    """Merges an adapter into its base model and returns the exit code."""
    _need_trl()
    from retoucher.train.reasoning_export import merge_adapter

    merge_adapter(adapter, out, base=base)
    return ExitCode.OK


def _need_trl() -> None:
    for module in ("torch", "transformers", "peft", "datasets", "trl"):
        need(module, "training a reasoner")
    # Their own bars would break ours.
    from datasets.utils.logging import disable_progress_bar  # pyright: ignore
    from transformers.utils import logging

    disable_progress_bar()
    logging.disable_progress_bar()


class Bar:
    """Lines on standard error, and below them how far the run is and the last `figure`; of several
    processes the first one shows them."""

    def __init__(self, *, quiet: bool, figure: str = "loss") -> None:
        self.done = 0
        self._quiet = quiet or os.environ.get("RANK", "0") != "0"
        columns = (
            TextColumn("step"),
            MofNCompleteColumn(),
            BarColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn(figure + " {task.fields[figure]}"),
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
        figure = f"{figures['total']:.4g}"
        if self._task is None:
            self._task = self._progress.add_task("", total=end, completed=done - 1, figure=figure)
        self._progress.update(self._task, completed=done, figure=figure)
