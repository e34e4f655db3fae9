"""`retouch data`: count, show and make labelled sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retoucher.cli import annotate

FORMATS = "labels, pool, signs, coco, genblemish, richhf, evalmuse, synartifacts or feedback"

app = typer.Typer(no_args_is_help=True, help="Count, show and make labelled sets.")
app.add_typer(annotate.app, name="annotate")

PathArgument = Annotated[Path, typer.Argument(help="Folder or annotation file of the data set.")]
FormatOption = Annotated[
    str | None, typer.Option("--format", help=f"One of {FORMATS}; guessed if left out.")
]
PicturesOption = Annotated[
    Path | None, typer.Option(help="Folder of the pictures, where it is not the data set's own.")
]
FieldsOption = Annotated[
    Path | None, typer.Option(help="Field map (TOML) for the format genblemish.")
]


@app.command()
def stats(
    path: PathArgument,
    form: FormatOption = None,
    pictures: PicturesOption = None,
    fields: FieldsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count pictures, regions and clean parts."""
    from retoucher.cli.data_sets import run_stats

    run_stats(path, form, pictures, fields, as_json=as_json)


@app.command()
def show(
    path: PathArgument,
    out: Annotated[Path, typer.Argument(help="The sheet, .png or .jpg.")],
    form: FormatOption = None,
    pictures: PicturesOption = None,
    fields: FieldsOption = None,
    what: Annotated[str, typer.Option(help="regions, parts or pictures.")] = "regions",
    kind: Annotated[
        list[str] | None, typer.Option(help="Category or kind of part; may be repeated.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Cells on the sheet.")] = 56,
    seed: Annotated[int, typer.Option(help="Chooses what is shown.")] = 0,
) -> None:
    """Write a contact sheet: defects in red, clean parts in green."""
    from retoucher.cli.data_sets import run_show

    run_show(
        path,
        out,
        form,
        pictures,
        fields,
        what=what,
        kinds=kind or (),
        count=count,
        seed=seed,
    )


@app.command()
def make(
    paths: Annotated[list[Path], typer.Argument(help="Clean pictures, then the folder to write.")],
    form: FormatOption = None,
    landmarks: Annotated[
        list[Path] | None, typer.Option(help="Landmark file, one per data set, in their order.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Pairs.")] = 100,
    category: Annotated[
        list[str] | None, typer.Option(help="Make these in turn; may be repeated.")
    ] = None,
    size: Annotated[int, typer.Option(min=64, help="Side of the square pictures, px.")] = 384,
    whole: Annotated[bool, typer.Option(help="Whole pictures instead of square views.")] = False,
    twins: Annotated[bool, typer.Option(help="Write the clean twins, too.")] = True,
    seed: Annotated[int, typer.Option(help="Same seed and pictures, same set.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Processes.")] = 1,
) -> None:
    """Make a set of synthetic defects on clean pictures, with masks and words."""
    from retoucher.cli.data_sets import run_make
    from retoucher.data.synthetic.write import SetSettings

    run_make(
        paths,
        form,
        landmarks or (),
        SetSettings(count=count, twins=twins, categories=category or (), workers=workers),
        size_px=None if whole else size,
        seed=seed,
    )


@app.command()
def export(
    feedback: Annotated[
        Path, typer.Argument(help="Folder that --feedback or the ComfyUI node fills.")
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write; new or empty.")],
    form: Annotated[str, typer.Option("--format", help="labels (our own) or coco.")] = "labels",
) -> None:
    """Turn what users said of defects and repairs into a data set for training."""
    from retoucher.cli.data_sets import run_export

    run_export(feedback, out, form)


@app.command()
def conversations(
    datasets: Annotated[
        list[Path], typer.Argument(metavar="DATASET...", help="Labelled sets; one or more.")
    ],
    *,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write; new or empty.")
    ],
    kind: Annotated[
        str, typer.Option(help="sft (with answers), grpo (with the truth) or both.")
    ] = "both",
    show: Annotated[
        str | None,
        typer.Option(
            help="crop: one crop a question; both: the whole picture, too.  [default: crop]"
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(metavar="T.toml", help="Settings of view, balance and so on; see the docs."),
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Chooses and mixes; same seed, same bytes.")
    ] = None,
    form: FormatOption = None,
    pictures: PicturesOption = None,
    fields: FieldsOption = None,
) -> None:
    """Make training conversations (TRL) for a vision-language model from labelled sets."""
    from retoucher.cli.conversations import ConversationOptions, run_conversations

    run_conversations(
        ConversationOptions(
            datasets=datasets,
            out=out,
            kind=kind,
            show=show,
            config=config,
            seed=seed,
            form=form,
            pictures=pictures,
            fields=fields,
        )
    )
