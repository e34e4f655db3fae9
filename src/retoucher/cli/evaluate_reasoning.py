"""`retouch eval reasoning`: measure what reasoners say on labelled sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from retoucher.cli.data import FieldsOption, FormatOption, PathArgument, PicturesOption
from retoucher.cli.options import Config, FiguresFile, NoProgress, Sets, TablesFile


def reasoning(
    dataset: PathArgument,
    *,
    reasoner: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A reasoner (retouch doctor lists them); may be repeated.  [default: as "
            "configured]",
        ),
    ] = None,
    config: Config = None,
    sets: Sets = None,
    min_severity: Annotated[
        int, typer.Option(min=1, max=3, help="Milder regions are left out.")
    ] = 2,
    clean_parts: Annotated[
        bool,
        typer.Option("--clean-parts/--no-clean-parts", help="Judge parts that are right, too."),
    ] = True,
    prompt: Annotated[
        bool, typer.Option("--prompt/--no-prompt", help="Whether it is told the prompts.")
    ] = True,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only so many pictures, the first ones.")
    ] = None,
    sentences: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MODEL",
            help="Score descriptions by the cosine of this sentence-transformers model; may be "
            "repeated (extra `eval`).",
        ),
    ] = None,
    word_vectors: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="The same by mean word vectors (GloVe or word2vec, as text)."
        ),
    ] = None,
    overlap: Annotated[
        bool, typer.Option("--overlap", help="METEOR and ROUGE of descriptions (extra `eval`).")
    ] = False,
    as_json: FiguresFile = None,
    markdown: TablesFile = None,
    form: FormatOption = None,
    pictures: PicturesOption = None,
    fields: FieldsOption = None,
    quiet: NoProgress = False,
) -> None:
    """How often the category is right, and how near the words are to people's.

    Marked regions and clean parts are put to the reasoner, so any back end can be scored on any
    set.
    """
    from retoucher.cli.reasoning_evaluation import ReasoningOptions, run_eval_reasoning

    options = ReasoningOptions(
        dataset=dataset,
        reasoners=tuple(reasoner or ()),
        config=config,
        sets=tuple(sets or ()),
        min_severity=min_severity,
        clean_parts=clean_parts,
        prompt=prompt,
        limit=limit,
        sentences=tuple(sentences or ()),
        word_vectors=tuple(word_vectors or ()),
        overlap=overlap,
        json_file=as_json,
        markdown_file=markdown,
        form=form,
        pictures=pictures,
        fields=fields,
        quiet=quiet,
    )
    raise typer.Exit(run_eval_reasoning(options))
