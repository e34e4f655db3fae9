"""`retouch batch`: its options. Light; the work is imported when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from retoucher.cli.options import (
    AsJson,
    AvoidTools,
    Config,
    FixOptions,
    LookOptions,
    Mask,
    MaxRegions,
    Only,
    Prompt,
    Quiet,
    ReasonerName,
    Regions,
    Rounds,
    Seed,
    Sets,
    Skip,
    Threshold,
    TimeBudget,
    UseTools,
    WorkerMemory,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """What only `batch` knows.

    Attributes:
        source, out: IN and OUT.
        find_only: look and sort by severity, repair nothing.
        include, exclude: patterns on names below IN.
        prompts: CSV of prompts.
        workers: processes; None: half of the processors.
        worker_memory_gb, timeout_s, max_pixels: bounds for one worker and one picture.
        rates: "NAME=CALLS/UNIT".
        reports, traces: one for every picture.
        review: keep what a review needs, and write its page.
        sheet: pictures on the contact sheet.
        ray: "local", or the address of a Ray cluster.
    """

    source: Path
    out: Path
    find_only: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    prompts: Path | None = None
    workers: int | None = None
    worker_memory_gb: float | None = None
    timeout_s: float | None = None
    max_pixels: int | None = None
    rates: tuple[str, ...] = ()
    reports: bool = False
    traces: bool = False
    review: bool = False
    sheet: int = 200
    ray: str | None = None
    ray_gpus: float = 0.0


def batch(
    *,
    source: Annotated[
        Path,
        typer.Argument(metavar="IN", help="Folder, or JSONL file with one picture a line."),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder of the results; mirrors IN.")],
    find_only: Annotated[
        bool, typer.Option("--find-only", help="Only look, and sort pictures by severity.")
    ] = False,
    include: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Only these names below IN; may be repeated."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option(metavar="GLOB", help="Not these names below IN; may be repeated."),
    ] = None,
    prompts: Annotated[
        Path | None,
        typer.Option(metavar="P.csv", help="Prompts: CSV with the columns `file` and `prompt`."),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Processes, each with its models. [default: half the processors]"),
    ] = None,
    worker_memory: WorkerMemory = None,
    timeout: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="A picture that takes longer fails."),
    ] = None,
    max_megapixels: Annotated[
        float | None, typer.Option(metavar="MP", help="A larger picture fails. [default: 200]")
    ] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=N/UNIT",
            help="Calls of a reasoner or tool by all workers, as openai=30/min; may be repeated.",
        ),
    ] = None,
    reports: Annotated[
        bool, typer.Option("--reports", help="Write an HTML report for every picture.")
    ] = False,
    traces: Annotated[
        bool, typer.Option("--traces", help="Write the full record of every picture.")
    ] = False,
    review: Annotated[
        bool,
        typer.Option("--review", help="Write a page to accept and reject repairs; retouch review."),
    ] = False,
    sheet: Annotated[
        int, typer.Option(min=0, metavar="N", help="Show so many pictures on the contact sheet.")
    ] = 200,
    prompt: Prompt = None,
    rounds: Rounds = None,
    threshold: Threshold = None,
    max_regions: MaxRegions = None,
    mask: Mask = None,
    regions: Regions = None,
    only: Only = None,
    skip: Skip = None,
    tool: UseTools = None,
    avoid: AvoidTools = None,
    seed: Seed = None,
    time_budget: TimeBudget = None,
    config: Config = None,
    sets: Sets = None,
    reasoner: ReasonerName = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Work on a Ray cluster; `local` starts one here."),
    ] = None,
    ray_gpus: Annotated[
        float, typer.Option(min=0.0, help="GPUs for each Ray worker; 0.5: two share one.")
    ] = 0.0,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Work through a folder and all below it: repair every picture, or only look.

    Run it again to go on where it was: what is done stays done, whatever ended the run. IN is never
    written to, and a file of OUT that this command did not write is never replaced.
    """
    from retoucher.cli.batch_run import run_batch

    look = LookOptions(
        images=(),
        prompt=prompt,
        threshold=threshold,
        max_regions=max_regions,
        mask=mask,
        regions=regions,
        config=config,
        sets=tuple(sets or ()),
        reasoner=reasoner,
        quiet=quiet,
        as_json=as_json,
    )
    fix = FixOptions(
        rounds=rounds,
        time_budget_s=time_budget,
        seed=seed,
        only=tuple(only or ()),
        skip=tuple(skip or ()),
        tools=tuple(tool or ()),
        avoid=tuple(avoid or ()),
    )
    options = BatchOptions(
        source=source,
        out=out,
        find_only=find_only,
        include=tuple(include or ()),
        exclude=tuple(exclude or ()),
        prompts=prompts,
        workers=workers,
        worker_memory_gb=worker_memory,
        timeout_s=timeout,
        max_pixels=None if max_megapixels is None else int(max_megapixels * 1e6),
        rates=tuple(rate or ()),
        reports=reports,
        traces=traces,
        review=review,
        sheet=sheet,
        ray=ray,
        ray_gpus=ray_gpus,
    )
    raise typer.Exit(run_batch(look, fix, options))
