"""`retouch train`: train the networks; needs the extra `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(no_args_is_help=True, help="Train the networks (extra `train`).")


@app.callback()
def _root() -> None:
    pass


@app.command()
def perception(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The recipe of the run.")],
    *,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume/--restart",
            help="Go on where the run stopped, or begin anew; --restart keeps the earlier run in a "
            "folder beside it.",
        ),
    ] = True,
    stop_at: Annotated[
        int | None, typer.Option(min=1, metavar="STEP", help="Pause when this step is done.")
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="No progress bar, no lines.")
    ] = False,
) -> None:
    """Train a perception network, or go on where the run stopped.

    Ctrl-C stops after the step at hand and keeps its state. For GPUs or several processes set
    device = "auto" in the recipe; accelerate launch "$(command -v retouch)" train perception
    CONFIG.toml starts several.
    """
    from retoucher.cli.training import run_train_perception

    raise typer.Exit(run_train_perception(config, restart=not resume, stop_at=stop_at, quiet=quiet))
