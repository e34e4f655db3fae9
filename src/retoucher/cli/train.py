"""`retouch train`: train the networks; needs the extra `train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

app = typer.Typer(no_args_is_help=True, help="Train the networks (extra `train`).")

Resume: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--resume/--restart",
        help="Go on where the run stopped, or begin anew; --restart keeps the earlier run in a "
        "folder beside it.",
    ),
]
StopAt: TypeAlias = Annotated[
    int | None, typer.Option(min=1, metavar="STEP", help="Pause when this step is done.")
]
Quiet: TypeAlias = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bar, no lines.")]
RecipeArgument: TypeAlias = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG|PRESET",
        help="The recipe of the run (TOML), or paper, single-gpu or smoke.",
    ),
]


@app.callback()
def _root() -> None:
    pass


@app.command()
def perception(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="The recipe of the run.")],
    *,
    resume: Resume = True,
    stop_at: StopAt = None,
    quiet: Quiet = False,
) -> None:
    """Train a perception network, or go on where the run stopped.

    Ctrl-C stops after the step at hand and keeps its state. For GPUs or several processes set
    device = "auto" in the recipe; accelerate launch "$(command -v retouch)" train perception
    CONFIG.toml starts several.
    """
    from retoucher.cli.training import run_train_perception

    raise typer.Exit(run_train_perception(config, restart=not resume, stop_at=stop_at, quiet=quiet))


@app.command()
def sft(
    config: RecipeArgument,
    *,
    resume: Resume = True,
    stop_at: StopAt = None,
    quiet: Quiet = False,
) -> None:
    """Teach a vision-language model its replies: stage 1 of the reasoner's training.

    It learns from a folder of `retouch data conversations`. Ctrl-C stops after the step at hand and
    keeps its state; accelerate launch "$(command -v retouch)" train sft CONFIG starts several
    processes. At the end the adapter lies in OUT/sft/adapter.
    """
    from retoucher.cli.training import run_train_reasoning

    raise typer.Exit(
        run_train_reasoning("sft", config, restart=not resume, stop_at=stop_at, quiet=quiet)
    )


@app.command()
def grpo(
    config: RecipeArgument,
    *,
    resume: Resume = True,
    stop_at: StopAt = None,
    quiet: Quiet = False,
) -> None:
    """Align it with people's diagnoses by reinforcement: stage 2, after `sft`.

    As `retouch train sft`; at the end the adapter lies in OUT/grpo/adapter.
    """
    from retoucher.cli.training import run_train_reasoning

    raise typer.Exit(
        run_train_reasoning("grpo", config, restart=not resume, stop_at=stop_at, quiet=quiet)
    )


@app.command()
def merge(
    adapter: Annotated[Path, typer.Argument(metavar="ADAPTER", help="Folder of an adapter.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write; a new one.")],
    *,
    base: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL",
            help="The base model, hub name or folder.  [default: the one the adapter names]",
        ),
    ] = None,
) -> None:
    """Write a reasoner's base model with the adapter in its weights, for servers without LoRA."""
    from retoucher.cli.training import run_train_merge

    raise typer.Exit(run_train_merge(adapter, out, base=base))
