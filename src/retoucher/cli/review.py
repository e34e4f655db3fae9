"""`retouch review`: its options. Light; the work is imported when it is asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retoucher.cli.options import AsJson, Quiet


def review(
    *,
    source: Annotated[Path, typer.Argument(metavar="IN", help="As for `retouch batch`.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Its results, made with --review.")],
    decisions: Annotated[
        Path,
        typer.Argument(metavar="DECISIONS.json", help="What OUT/_retouch/review.html saved."),
    ],
    feedback: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Keep the pictures and what was said of them here, for training.",
        ),
    ] = None,
    quiet: Quiet = False,
    as_json: AsJson = False,
) -> None:
    """Carry out what was decided on the review page of a batch.

    Rejected repairs get the input's pixels back; a picture of which nothing is kept becomes an
    exact copy of the input. Decide anew as often as you like: the last file counts.
    """
    from retoucher.cli.review_run import run_review

    raise typer.Exit(run_review(source, out, decisions, feedback, quiet=quiet, as_json=as_json))
