"""`retouch batch`: from its options to a batch, its progress and its summary."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from retoucher.api import Retoucher
from retoucher.batch.items import Item, Selection, find_items
from retoucher.batch.journal import HOME, Mode, file_sha256, open_journal
from retoucher.batch.pool import Pool, ProcessPool
from retoucher.batch.process import WorkerSettings
from retoucher.batch.rate import Rate, check_names, parse_rates, turnstiles
from retoucher.batch.run import Batch, Counts, check_folders
from retoucher.batch.summary import REVIEW_PAGE, SHEET, summarise
from retoucher.batch.tables import OUTCOMES, Totals
from retoucher.batch.work import Order, embedded, work_digest, worker
from retoucher.cli.batch import BatchOptions
from retoucher.cli.interrupt import Interrupt
from retoucher.cli.options import ExitCode, FixOptions, LookOptions
from retoucher.cli.plain import complain, plain
from retoucher.cli.settings import fix_settings
from retoucher.cli.targets import OWN_MARK
from retoucher.cli.work import own_regions
from retoucher.config import Settings
from retoucher.errors import ConfigError
from retoucher.imaging.limits import Limits
from retoucher.records import Record
from retoucher.report.words import category_words


def run_batch(look: LookOptions, fix: FixOptions, options: BatchOptions) -> int:
    """Do the batch and return the exit code.

    Raises:
        RetoucherError: bad options or files, or nothing can run.
    """
    settings = fix_settings(look, fix)
    mode: Mode = "find" if options.find_only else "fix"
    order = _order(look, options, mode)
    items = _items(look, options)
    check_folders(options.source, items, options.out)
    retoucher = embedded(settings)
    for warning in retoucher.warnings:
        complain(f"note: {warning}")
    pool = _pool(options, settings, order, retoucher)
    progress = _Progress(total=len(items), quiet=look.quiet or look.as_json, as_json=look.as_json)
    with closing(open_journal(options.out)) as journal:
        batch = Batch(
            items=items,
            journal=journal,
            mode=mode,
            digest=work_digest(retoucher, order),
            pool=pool,
        )
        with Interrupt() as interrupt, progress:
            try:
                counts = batch.run(progress, interrupt.cancelled)
            finally:
                totals = summarise(
                    journal,
                    items,
                    mode,
                    sheet=options.sheet,
                    review=options.source if options.review else None,
                )
        cancelled = interrupt.cancelled() and counts.open > 0
    if not look.as_json:
        _say(options, counts, totals, mode, progress.elapsed_s)
    if cancelled:
        complain(f"cancelled; {counts.open} of {counts.total} pictures are open, run it again")
        return ExitCode.CANCELLED
    return ExitCode.SOME_FAILED if counts.failed else ExitCode.OK


def _order(look: LookOptions, options: BatchOptions, mode: Mode) -> Order:
    if mode == "find" and (options.reports or options.traces or options.review):
        raise ConfigError("--find-only repairs nothing; leave out --reports, --traces and --review")
    if options.max_pixels is not None and options.max_pixels < 1:
        raise ConfigError("--max-megapixels must be positive")
    return Order(
        mode=mode,
        reports=options.reports,
        traces=options.traces,
        review=options.review,
        regions=own_regions(look),
        regions_sha256=_own_sha256(look),
        max_pixels=options.max_pixels or Limits().max_pixels,
    )


def _own_sha256(look: LookOptions) -> str:
    """Of the user's own mask or regions, a part of what decides about results."""
    file = look.mask or look.regions
    return file_sha256(file) if file else ""


def _items(look: LookOptions, options: BatchOptions) -> list[Item]:
    selection = Selection(include=options.include, exclude=(*options.exclude, f"*{OWN_MARK}.*"))
    items = find_items(options.source, selection, options.prompts)
    if look.prompt is None:
        return items
    if options.prompts is not None:
        raise ConfigError("--prompt and --prompts exclude each other; give one of them")
    return [replace(item, prompt=look.prompt) for item in items]


def _pool(options: BatchOptions, settings: Settings, order: Order, retoucher: Retoucher) -> Pool:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = options.workers or max(1, cpus // 2)
    rates = parse_rates(options.rates)
    check_names(retoucher, rates)
    if options.ray is not None:
        return _ray_pool(options, settings, order, rates)
    process = WorkerSettings(threads=max(1, cpus // count), memory_gb=options.worker_memory_gb)
    make = worker(settings, order, turnstiles(rates, process.context))
    return ProcessPool(make=make, count=count, settings=process, timeout_s=options.timeout_s)


def _ray_pool(
    options: BatchOptions, settings: Settings, order: Order, rates: Sequence[Rate]
) -> Pool:
    from retoucher.batch.ray_pool import RayPool

    if options.worker_memory_gb is not None or options.timeout_s is not None:
        raise ConfigError(
            "--worker-memory and --timeout are for workers of this machine, not Ray's"
        )
    assert options.ray is not None
    return RayPool(
        address=options.ray,
        settings=settings,
        order=order,
        rates=rates,
        count=options.workers or 1,
        gpus=options.ray_gpus,
    )


def _say(
    options: BatchOptions, counts: Counts, totals: Totals, mode: Mode, elapsed_s: float
) -> None:
    """The summary on standard output."""
    console = Console(highlight=False)
    words = {"left": "something is wrong"} if mode == "find" else {"left": "something is left"}
    table = Table("outcome", "pictures")
    for name in reversed(OUTCOMES):
        if name != "repaired" or mode == "fix":
            table.add_row(words.get(name, name), str(totals.outcomes[name]))
    if counts.open:
        table.add_row("not reached", str(counts.open))
    console.print(table)
    if totals.found:
        columns = ("defect", "found") if mode == "find" else ("defect", "found", "repaired", "left")
        kinds = Table(*columns)
        for name, found in totals.found.most_common():
            row = [category_words(name), str(found)]
            if mode == "fix":
                row += [str(totals.repaired[name]), str(totals.left[name])]
            kinds.add_row(*map(plain, row))
        console.print(kinds)
    worked = counts.done + counts.failed
    rate = f", {60 * worked / elapsed_s:.1f} a minute" if worked and elapsed_s else ""
    print(f"{worked} now{rate}; {counts.already} done before")
    home = options.out / HOME
    tables = ("triage.csv", "triage.jsonl") if mode == "find" else ("summary.csv", "results.jsonl")
    pages = [SHEET] if options.sheet else []
    if options.review and (home / REVIEW_PAGE).exists():
        pages.append(REVIEW_PAGE)
    for name in (*tables, *pages):
        print(plain(home / name))


class _Throughput(ProgressColumn):
    """Pictures a minute, of those of this run."""

    def render(self, task: Task) -> Text:
        begun = task.fields.get("begun", 0)
        elapsed = task.elapsed
        if not elapsed or task.completed <= begun:
            return Text("", "progress.data.speed")
        rate = 60 * (task.completed - begun) / elapsed
        return Text(f"{rate:.1f}/min", "progress.data.speed")


class _Progress:
    """A bar on a terminal; a line for each failure everywhere; JSON lines where asked for."""

    def __init__(self, *, total: int, quiet: bool, as_json: bool) -> None:
        self.as_json = as_json
        self.failed = 0
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Throughput(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._bar.add_task("comparing", total=total, start=False)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the work began."""
        return self._bar.tasks[0].elapsed or 0.0

    def __enter__(self) -> _Progress:
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop_task(self._task)
        self._bar.stop()

    def checking(self, done: int, total: int) -> None:
        """See `Watcher`."""
        self._bar.update(self._task, completed=done, total=total)

    def planned(self, todo: int, total: int) -> None:
        """See `Watcher`."""
        already = total - todo
        self._bar.reset(
            self._task, total=total, completed=already, description="loading", begun=already
        )

    def finished(self, name: str, record: Record) -> None:
        """See `Watcher`."""
        if self.as_json:
            print(json.dumps({"file": name, **record}, ensure_ascii=False), flush=True)
        if "error" in record:
            self.failed += 1
            complain(record["error"])
        words = f"working, {self.failed} failed" if self.failed else "working"
        self._bar.update(self._task, description=words, advance=1)
