"""`retouch batch`: its options. Light; the work is imported when it is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from retoucher.cli.options import FixOptions, LookOptions


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
    sheet: int = 200
    ray: str | None = None
    ray_gpus: float = 0.0


def _tools() -> list[str]:
    from importlib import metadata

    return sorted({point.name for point in metadata.entry_points(group="retoucher.tools")})


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
    worker_memory: Annotated[
        float | None, typer.Option(metavar="GB", help="A worker may take so much memory (Linux).")
    ] = None,
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
    sheet: Annotated[
        int, typer.Option(min=0, metavar="N", help="Show so many pictures on the contact sheet.")
    ] = 200,
    prompt: Annotated[str | None, typer.Option(help="One prompt for all pictures.")] = None,
    rounds: Annotated[
        int | None, typer.Option(min=1, max=100, help="Rounds of repair at most.  [default: 3]")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(min=0.0, max=1.0, help="Saliency from which a place is looked at (tau_s)."),
    ] = None,
    max_regions: Annotated[
        int | None, typer.Option(min=1, help="Look at so many places a round at most.")
    ] = None,
    regions: Annotated[
        Path | None,
        typer.Option(metavar="R.json", help="Look only here; as in `retouch fix --regions`."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="CATEGORY", help="Repair only this; may be repeated."),
    ] = None,
    skip: Annotated[
        list[str] | None,
        typer.Option(metavar="CATEGORY", help="Never repair this; may be repeated."),
    ] = None,
    tool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Use only this tool; may be repeated.", autocompletion=_tools
        ),
    ] = None,
    avoid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Never use this tool; may be repeated.", autocompletion=_tools
        ),
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Same seed, same result.")] = None,
    time_budget: Annotated[
        float | None,
        typer.Option(metavar="SECONDS", help="Stop each picture's repairs after so long."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="T.toml", help="Settings; options here override it.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Work on a Ray cluster; `local` starts one here."),
    ] = None,
    ray_gpus: Annotated[
        float, typer.Option(min=0.0, help="GPUs for each Ray worker; 0.5: two share one.")
    ] = 0.0,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress, only the summary.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One object a picture, one a line, as they are done.")
    ] = False,
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
        regions=regions,
        config=config,
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
        sheet=sheet,
        ray=ray,
        ray_gpus=ray_gpus,
    )
    raise typer.Exit(run_batch(look, fix, options))
