"""The work behind `retouch data annotate`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from retoucher import plugins
from retoucher.cli.data_sets import checked_format, run_stats
from retoucher.cli.options import LookOptions
from retoucher.cli.plain import plain
from retoucher.cli.settings import look_settings
from retoucher.cli.writing import write_text
from retoucher.data.agreement import Agreement
from retoucher.data.annotation import (
    AnnotatedPicture,
    Mark,
    read_annotations,
    read_pictures,
    write_annotations,
)
from retoucher.data.annotation_coco import merged, read_coco_marks, write_coco_marks
from retoucher.data.checking import (
    CheckSettings,
    apply_check,
    read_check_list,
    write_check_list,
    write_checked,
)
from retoucher.data.jsonl import read_json
from retoucher.data.label_studio import TaskSettings, read_export, write_tasks
from retoucher.data.open import guess_format, open_dataset
from retoucher.data.sample import Sample
from retoucher.data.voting import (
    VoteSettings,
    agreement_of,
    read_voted,
    vote,
    write_voted,
)
from retoucher.errors import InputError, PluginError
from retoucher.imaging.picture import read_picture
from retoucher.imaging.prompts import prompt_for
from retoucher.reasoning.asking import Asks
from retoucher.train.expansion import expanded


def run_export(
    dataset: Path, out: Path, form: str | None, settings: TaskSettings, *, to: str, marks: bool
) -> None:
    """Write tasks for annotators."""
    if to not in ("label-studio", "coco"):
        raise InputError(f"--to must be label-studio or coco, got {to!r}")
    if marks and to != "coco":
        raise InputError("--marks goes with --to coco")
    if to == "label-studio":
        count = write_tasks(_pictures(dataset, form), out, settings)
        typer.echo(f"{out}: {count} tasks (import tasks.json; labelling.xml is the interface)")
        return
    if marks:
        pictures = read_annotations(dataset)
    else:
        samples = _pictures(dataset, form)
        pictures = [_predicted(sample, given=settings.predictions) for sample in samples]
    typer.echo(f"{write_coco_marks(pictures, out)}: {len(pictures)} pictures")


def run_import(
    dataset: Path, files: Sequence[Path], out: Path, form: str | None, *, source: str | None
) -> None:
    """Read what annotators marked into one file."""
    if source not in (None, "label-studio", "coco"):
        raise InputError(f"--from must be label-studio or coco, got {source!r}")
    samples = _pictures(dataset, form)
    parts: list[list[AnnotatedPicture]] = []
    for path in files:
        kind = source or ("label-studio" if isinstance(read_json(path), list) else "coco")
        read = read_export if kind == "label-studio" else read_coco_marks
        parts.append(read(path, samples))
    pictures = merged(parts)
    write_annotations(pictures, out)
    people = Counter(person for p in pictures for person in p.marks)
    marks = sum(len(own) for p in pictures for own in p.marks.values())
    typer.echo(f"{out}: {len(pictures)} pictures, {len(people)} annotators, {marks} marks")


def run_vote(marks: Path, out: Path, given: Mapping[str, float], json_file: Path | None) -> None:
    """Vote, and print the agreement."""
    settings = replace(VoteSettings(), **given)
    pictures = read_annotations(marks)
    voted = [vote(picture, settings) for picture in pictures]
    write_voted(voted, out)
    category, place = agreement_of(pictures, settings)
    if json_file is not None:
        figures = {"category": asdict(category), "place_and_category": asdict(place)}
        write_text(json_file, json.dumps(figures, indent=2) + "\n")
    states = Counter(region.state for picture in voted for region in picture.regions)
    console = Console()
    console.print(_agreement_table(category, place))
    parts = ", ".join(f"{states[state]} {state}" for state in ("agreed", "tie", "minority"))
    console.print(plain(f"{out}: {states.total()} places ({parts})"), markup=False)


def run_expand(
    voted: Path, out: Path, name: str, config: Path | None, sets: tuple[str, ...]
) -> None:
    """Expand notes; what is done is written even where the back end fails in between."""
    settings = look_settings(LookOptions(images=(), config=config, sets=sets))
    agent = plugins.create("reasoner", name, settings.options.get("reasoner", {}).get(name))
    if not isinstance(agent, Asks):
        raise PluginError(
            f"the reasoner {name!r} cannot be asked in words; use openai, gemini or transformers"
        )
    pictures = read_voted(voted)
    try:
        with Progress(console=Console(stderr=True)) as bar:
            for i in bar.track(range(len(pictures)), description="pictures"):
                pictures[i] = expanded(agent.ask, pictures[i])
    finally:
        write_voted(pictures, out)
    regions = [region for picture in pictures for region in picture.regions]
    written = sum(region.expanded for region in regions)
    typer.echo(f"{out}: {written} of {len(regions)} regions have a written description")
    for problem, count in Counter(r.problem for r in regions if r.problem).most_common(8):
        typer.echo(f"  kept as noted: {count} ({plain(problem)})")


def run_check(voted: Path, out: Path, *, share: float, seed: int) -> None:
    """Write the expert's list."""
    count = write_check_list(read_voted(voted), out, CheckSettings(share=share, seed=seed))
    typer.echo(f"{out / 'check.csv'}: {count} regions; verdict: ok, changed or no_defect")


def run_finish(voted: Path, checked: Path | None, out: Path) -> None:
    """Write the labelled set, its statistics and the expert's agreement."""
    words = read_check_list(checked) if checked is not None else {}
    samples, report = apply_check(read_voted(voted), words)
    write_checked(samples, out)
    run_stats(out, "labels", None, None, as_json=False)
    typer.echo(
        f"checked {report.checked} of {report.regions} places: {report.confirmed} confirmed, "
        f"{report.changed} changed, {report.rejected} no defect; {report.undecided} undecided ones "
        "left out"
    )
    if report.agreed_percent is not None:
        typer.echo(f"the expert agreed with the annotators in {report.agreed_percent:.1f}%")


def _pictures(dataset: Path, form: str | None) -> list[Sample]:
    """A data set, or the picture files of a folder with the prompts in or beside them."""
    if form == "pictures":
        return read_pictures(dataset, _prompt)
    if form is None and dataset.is_dir():
        try:
            guess_format(dataset)
        except InputError:
            return read_pictures(dataset, _prompt)
    return open_dataset(dataset, checked_format(form))


def _prompt(path: Path) -> str:
    return prompt_for(path, read_picture(path).metadata).prompt


def _predicted(sample: Sample, *, given: bool) -> AnnotatedPicture:
    """A picture to annotate, with its labels as somebody's marks where asked for."""
    if not given:
        return AnnotatedPicture(sample=sample, marks={})
    marks = tuple(
        replace(
            Mark.of_box(region.box, region.category, region.description, region.severity),
            mask_hw=region.mask_hw,
        )
        for region in sample.regions
    )
    return AnnotatedPicture(sample=sample, marks={"labels": marks})


def _agreement_table(category: Agreement, place: Agreement) -> Table:
    table = Table("agreement on", "items", "percent", "kappa")
    for what, figures in (("category", category), ("place and category", place)):
        table.add_row(
            f"{what} (Fleiss)", *_cells(figures.items, figures.percent, figures.fleiss_kappa)
        )
        for pair in figures.pairs:
            who = plain(f"{what}, {pair.first} and {pair.second} (Cohen)")
            table.add_row(who, *_cells(pair.items, pair.percent, pair.cohen_kappa))
    return table


def _cells(items: int, percent: float | None, kappa: float | None) -> tuple[str, str, str]:
    return (
        str(items),
        "–" if percent is None else f"{percent:.1f}",
        "–" if kappa is None else f"{kappa:.3f}",
    )
