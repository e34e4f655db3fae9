"""`retouch eval`: measure the agents on labelled sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retoucher.cli.data import FieldsOption, FormatOption, PathArgument, PicturesOption
from retoucher.cli.evaluate_reasoning import reasoning
from retoucher.cli.options import FiguresFile, NoProgress, TablesFile

app = typer.Typer(no_args_is_help=True, help="Measure the agents on labelled sets.")


app.command()(reasoning)


@app.callback()
def _root() -> None:
    pass


@app.command()
def perception(
    dataset: PathArgument,
    *,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME_OR_WEIGHTS",
            help="A perceiver (several that speak together: saliency+text), a baseline (uniform, "
            "centre, text-boxes), a folder of exported weights or of a training run; may be "
            "repeated.  [default: saliency]",
        ),
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Rows of all the baselines, too.")
    ] = False,
    prompt: Annotated[
        bool, typer.Option("--prompt/--no-prompt", help="Whether perceivers get the prompts.")
    ] = True,
    min_severity: Annotated[
        int, typer.Option(min=1, max=3, help="Milder marks count neither for nor against.")
    ] = 2,
    as_json: FiguresFile = None,
    markdown: TablesFile = None,
    curves: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write ROC and precision-recall as PNG (extra `eval`)."),
    ] = None,
    maps: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write DIR/MODEL/ID.npy, the raw maps.")
    ] = None,
    form: FormatOption = None,
    pictures: PicturesOption = None,
    fields: FieldsOption = None,
    quiet: NoProgress = False,
) -> None:
    """How well saliency finds what people marked.

    Five metrics of the maps on pictures with defects; recall and precision of the regions that
    `retouch find` would show; whether wrong parts outrank sound ones; and how far clean pictures
    are left alone.
    """
    from retoucher.cli.evaluation import EvalOptions, run_eval_perception

    options = EvalOptions(
        dataset=dataset,
        models=tuple(model or ()),
        baselines=baselines,
        prompt=prompt,
        min_severity=min_severity,
        json_file=as_json,
        markdown_file=markdown,
        curves=curves,
        maps=maps,
        form=form,
        pictures=pictures,
        fields=fields,
        quiet=quiet,
    )
    raise typer.Exit(run_eval_perception(options))
