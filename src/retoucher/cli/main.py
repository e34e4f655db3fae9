"""The `retouch` command: declares commands and options, and imports the work when it is asked for.

`retouch --help` must answer at once, so nothing heavy is imported at the top of this module.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from retoucher.cli import batch, data, evaluate, review, serve, train, ui
from retoucher.cli.options import (
    AsJson,
    AvoidTools,
    Config,
    ExitCode,
    FindOptions,
    FixOptions,
    Images,
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
)
from retoucher.cli.plain import complain
from retoucher.errors import RetoucherError

EXIT_CODES = """\b
Exit codes:
  0    done; also when there was nothing to repair
  1    at least one picture failed, the others are done
  2    nothing done: bad options, settings, mask or regions, or a part is missing
  130  cancelled by Ctrl-C; what was done until then is written
"""

app = typer.Typer(
    name="retouch",
    help="Finds local defects in generated pictures, says what is wrong, repairs only those "
    "places, and keeps a repair only if it is one.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def _version(asked: bool) -> None:
    if asked:
        from retoucher import __version__

        typer.echo(f"retouch {__version__}")
        raise typer.Exit


app.add_typer(data.app, name="data")
app.add_typer(train.app, name="train")
app.add_typer(evaluate.app, name="eval")


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@app.command(short_help="Find defects, repair and verify, write the result.", epilog=EXIT_CODES)
def fix(
    *,
    images: Images,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            help="File, or folder for several. Default: STEM.retouched.EXT beside the picture.",
        ),
    ] = None,
    prompt: Prompt = None,
    rounds: Rounds = None,
    threshold: Threshold = None,
    only: Only = None,
    skip: Skip = None,
    max_regions: MaxRegions = None,
    tool: UseTools = None,
    avoid: AvoidTools = None,
    seed: Seed = None,
    time_budget: TimeBudget = None,
    report: Annotated[
        Path | None,
        typer.Option(
            metavar="R.html",
            help="Write a report to look at; for several pictures a folder, or a name with {stem}.",
        ),
    ] = None,
    trace: Annotated[
        Path | None,
        typer.Option(
            metavar="T.json",
            help="Write the full record; for several pictures a folder, or a name with {stem}.",
        ),
    ] = None,
    mask: Mask = None,
    regions: Regions = None,
    config: Config = None,
    sets: Sets = None,
    reasoner: ReasonerName = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite existing files.")] = False,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Find defects, repair them, verify each repair, and write the result.

    The input is never overwritten unless -o names it and --force is given. Everything outside the
    repaired places stays as it is, metadata included.
    """
    from retoucher.cli.fix import run_fix

    look = LookOptions(
        images=tuple(images),
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
    options = FixOptions(
        out=out,
        report=report,
        trace=trace,
        rounds=rounds,
        time_budget_s=time_budget,
        seed=seed,
        only=tuple(only or ()),
        skip=tuple(skip or ()),
        tools=tuple(tool or ()),
        avoid=tuple(avoid or ()),
        dry_run=dry_run,
        force=force,
    )
    raise typer.Exit(run_fix(look, options))


@app.command(epilog=EXIT_CODES)
def find(
    *,
    images: Images,
    saliency_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write DIR/STEM.npy, the raw float32 map."),
    ] = None,
    overlay_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write DIR/STEM.png, the picture with map and regions."),
    ] = None,
    prompt: Prompt = None,
    threshold: Threshold = None,
    max_regions: MaxRegions = None,
    mask: Mask = None,
    regions: Regions = None,
    config: Config = None,
    sets: Sets = None,
    reasoner: ReasonerName = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Find and name defects; change nothing."""
    from retoucher.cli.find import run_find

    look = LookOptions(
        images=tuple(images),
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
    raise typer.Exit(
        run_find(look, FindOptions(saliency_dir=saliency_dir, overlay_dir=overlay_dir))
    )


app.command(short_help="Work through a folder; run again to go on.", epilog=EXIT_CODES)(batch.batch)
app.command(short_help="Carry out what was decided on a batch's review page.", epilog=EXIT_CODES)(
    review.review
)
app.command(short_help="Serve finding and repairing over HTTP.")(serve.serve)
app.command(short_help="Serve a web page to find and repair defects.", epilog=EXIT_CODES)(ui.ui)


@app.command(short_help="List the repair tools and broken plug-ins.")
def tools(
    *,
    history: Annotated[
        bool, typer.Option("--history", help="How each tool has done, where learning is on.")
    ] = False,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """List the repair tools, and plug-ins that cannot be loaded."""
    if history:
        from retoucher.cli.tools import run_history
        from retoucher.config import Settings, load_settings

        settings = load_settings(config) if config else Settings()
        raise typer.Exit(run_history(settings.learning, as_json=as_json))
    from retoucher.cli.inventory import run_tools

    raise typer.Exit(run_tools(as_json=as_json))


@app.command(short_help="Say what is installed and what would run.")
def doctor(*, as_json: AsJson = False) -> None:
    """Say what is installed, what would run, and what to install for more.

    Exit code 1 when a repair could not run.
    """
    from retoucher.cli.doctor import run_doctor

    raise typer.Exit(run_doctor(as_json=as_json))


@app.command(short_help="Repair the shipped pictures, say where to look.")
def demo(
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the results.")
    ] = Path("retouched"),
    quiet: Quiet = False,
) -> None:
    """Repair the pictures that are shipped with the program, and say where to look."""
    from retoucher.cli.demo import run_demo

    raise typer.Exit(run_demo(out, quiet=quiet))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; `arguments` default to the process's own."""
    try:
        app(arguments, prog_name="retouch")
    except (RetoucherError, ImportError) as error:
        if os.environ.get("RETOUCH_DEBUG"):
            raise
        complain(error if isinstance(error, RetoucherError) else _missing(error))
        sys.exit(ExitCode.USAGE)


def _missing(error: ImportError) -> str:
    return (
        f"a part of the program cannot be loaded ({error}); `retouch doctor` says what is missing, "
        "`pip install --force-reinstall agentic-retoucher` brings everything"
    )
