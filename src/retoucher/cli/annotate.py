"""`retouch data annotate`: from pictures to checked labels, in the paper's four stages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    no_args_is_help=True,
    help="From pictures to checked labels: export, import, vote, expand, check, finish.",
)

Dataset = Annotated[
    Path, typer.Argument(help="The pictures: a data set, or a folder of picture files.")
]
Form = Annotated[
    str | None, typer.Option("--format", help="Of the data set, or pictures; guessed if left out.")
]
Marks = Annotated[Path, typer.Argument(metavar="MARKS.jsonl", help="What `import` wrote.")]
Voted = Annotated[
    Path, typer.Argument(metavar="VOTED.jsonl", help="What `vote` or `expand` wrote.")
]
OutFolder = Annotated[
    Path, typer.Option("--out", "-o", metavar="DIR", help="Folder to write; new or empty.")
]
OutFile = Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="File to write.")]


@app.command("export")
def export_tasks(
    dataset: Dataset,
    *,
    out: OutFolder,
    to: Annotated[str, typer.Option(help="label-studio or coco.")] = "label-studio",
    embed: Annotated[
        bool, typer.Option("--embed", help="Put the pictures into the tasks (Label Studio).")
    ] = False,
    root: Annotated[
        Path | None,
        typer.Option(
            help="Folder that Label Studio serves (LOCAL_FILES_DOCUMENT_ROOT).  [default: the "
            "data set's]"
        ),
    ] = None,
    prefix: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="What stands before a picture's path.  [default: /data/local-files/?d=]",
        ),
    ] = None,
    predictions: Annotated[
        bool, typer.Option("--predictions", help="Give labelled regions as something to correct.")
    ] = False,
    marks: Annotated[
        bool, typer.Option("--marks", help="DATASET is a MARKS.jsonl; write its marks (COCO).")
    ] = False,
    form: Form = None,
) -> None:
    """Write tasks for annotators: Label Studio's, or COCO."""
    from retoucher.cli.annotation import run_export
    from retoucher.data.label_studio import LOCAL_FILES, TaskSettings

    settings = TaskSettings(
        embed=embed,
        prefix=prefix or LOCAL_FILES,
        root=root or (dataset if dataset.is_dir() else dataset.parent),
        predictions=predictions,
    )
    run_export(dataset, out, form, settings, to=to, marks=marks)


@app.command("import")
def import_marks(
    dataset: Dataset,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="EXPORT...", help="Label Studio's JSON export, or COCO files of annotators."
        ),
    ],
    *,
    out: OutFile,
    source: Annotated[
        str | None,
        typer.Option("--from", help="label-studio or coco; told by the content if left out."),
    ] = None,
    form: Form = None,
) -> None:
    """Read what annotators marked: centre or extent, category, note, severity."""
    from retoucher.cli.annotation import run_import

    run_import(dataset, files, out, form, source=source)


@app.command()
def vote(
    marks: Marks,
    *,
    out: OutFile,
    as_json: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Write the agreement as JSON.")
    ] = None,
    min_iou: Annotated[
        float | None, typer.Option(help="From this on two boxes mean one place.  [default: 0.3]")
    ] = None,
    max_distance: Annotated[
        float | None,
        typer.Option(
            help="Up to this, over the picture's diagonal, two centres do.  [default: 0.05]"
        ),
    ] = None,
    point_side: Annotated[
        float | None,
        typer.Option(
            help="Side of a defect of which only the centre is known, over the root of the "
            "picture's area.  [default: 0.12]"
        ),
    ] = None,
) -> None:
    """Match the annotators' marks, decide by majority, print how far they agree."""
    from retoucher.cli.annotation import run_vote

    given = {"min_iou": min_iou, "max_distance": max_distance, "point_side": point_side}
    run_vote(marks, out, {k: v for k, v in given.items() if v is not None}, as_json)


@app.command()
def expand(
    voted: Voted,
    *,
    out: OutFile,
    reasoner: Annotated[
        str, typer.Option(metavar="NAME", help="openai, gemini, transformers or a plug-in.")
    ],
    config: Annotated[Path | None, typer.Option(help="Settings file (TOML).")] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting; may be repeated."),
    ] = None,
) -> None:
    """Turn the short notes into descriptions, by a vision-language model.

    Run it again on what it wrote to go on where it stopped.
    """
    from retoucher.cli.annotation import run_expand

    run_expand(voted, out, reasoner, config, tuple(sets or ()))


@app.command()
def check(
    voted: Voted,
    *,
    out: OutFolder,
    share: Annotated[
        float, typer.Option(help="Share of what annotators agreed on; ties come always.")
    ] = 1.0,
    seed: Annotated[int, typer.Option(help="Chooses them.")] = 0,
) -> None:
    """Write the expert's list: check.csv to fill in, check.html to look at."""
    from retoucher.cli.annotation import run_check

    run_check(voted, out, share=share, seed=seed)


@app.command()
def finish(
    voted: Voted,
    checked: Annotated[
        Path | None, typer.Argument(metavar="[CHECK.csv]", help="The list with verdicts.")
    ] = None,
    *,
    out: OutFolder,
) -> None:
    """Write the labelled set, and how often the expert agreed."""
    from retoucher.cli.annotation import run_finish

    run_finish(voted, checked, out)
