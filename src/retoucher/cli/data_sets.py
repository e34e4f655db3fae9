"""The work behind `retouch data`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import typer
from PIL import Image
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from retoucher.data.feedback import export_feedback
from retoucher.data.landmarks import attach_landmarks
from retoucher.data.open import FORMATS, Format, open_dataset
from retoucher.data.sample import Sample
from retoucher.data.sheets import contact_sheet
from retoucher.data.stats import DatasetStats, dataset_stats
from retoucher.data.synthetic.stream import SyntheticStream, ViewSettings
from retoucher.data.synthetic.write import SetSettings, make_set
from retoucher.errors import InputError


def run_stats(
    path: Path, form: str | None, pictures: Path | None, fields: Path | None, *, as_json: bool
) -> None:
    """Print the counts of a data set, as a table or as JSON."""
    counted = dataset_stats(
        open_dataset(path, checked_format(form), pictures=pictures, fields=fields)
    )
    if as_json:
        typer.echo(json.dumps(asdict(counted), ensure_ascii=False, indent=2))
    else:
        _print(counted)


def run_show(
    path: Path,
    out: Path,
    form: str | None,
    pictures: Path | None,
    fields: Path | None,
    *,
    what: str,
    kinds: Sequence[str],
    count: int,
    seed: int,
) -> None:
    """Write a contact sheet of a data set."""
    if what not in ("regions", "parts", "pictures"):
        raise InputError(f"--what must be regions, parts or pictures, got {what!r}")
    samples = open_dataset(path, checked_format(form), pictures=pictures, fields=fields)
    sheet = contact_sheet(samples, what=what, kinds=kinds, count=count, seed=seed)
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet).save(out)
    typer.echo(f"{out}: {sheet.shape[1]}x{sheet.shape[0]} pixels")


def run_make(
    paths: Sequence[Path],
    form: str | None,
    landmarks: Sequence[Path],
    settings: SetSettings,
    *,
    size_px: int | None,
    seed: int,
) -> None:
    """Write a set of synthetic defects; whole pictures where `size_px` is None."""
    if len(paths) < 2:
        raise InputError("give at least one data set of clean pictures, and the folder to write")
    *sources, out = paths
    samples = _clean_samples(sources, landmarks, checked_format(form))
    view = None if size_px is None else ViewSettings(size_px=size_px)
    stream = SyntheticStream(samples, seed=seed, view=view)
    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task("pairs", total=settings.count)
        path = make_set(stream, out, settings, lambda done: bar.update(task, completed=done))
    typer.echo(str(path))


def _clean_samples(
    sources: Sequence[Path], landmarks: Sequence[Path], form: Format | None
) -> list[Sample]:
    if landmarks and len(landmarks) != len(sources):
        raise InputError(f"{len(sources)} data sets need as many --landmarks, got {len(landmarks)}")
    samples: list[Sample] = []
    for number, source in enumerate(sources):
        found = open_dataset(source, form)
        samples += attach_landmarks(found, landmarks[number]) if landmarks else found
    return samples


def checked_format(name: str | None) -> Format | None:
    """The name of a format, or None.

    Raises:
        InputError: there is no such format.
    """
    if name is None or name in FORMATS:
        return name
    raise InputError(f"unknown format {name!r}; known: {', '.join(FORMATS)}")


def _print(counted: DatasetStats) -> None:
    table = Table(show_header=False)
    table.add_row("pictures", str(counted.pictures))
    table.add_row("  without a defect", str(counted.clean_pictures))
    table.add_row("  with a prompt", str(counted.with_prompt))
    if counted.megapixels:
        table.add_row("  megapixels (10, 50, 90%)", _three(counted.megapixels))
    table.add_row("regions", str(counted.regions))
    table.add_row("  with a mask", str(counted.masked_regions))
    if counted.regions_per_picture is not None:
        every, marked = counted.regions_per_picture
        per_picture = f"{every:g}; {marked:g} where there is one; at most {counted.most_regions}"
        table.add_row("  a picture", per_picture)
    for category, number in counted.by_category.items():
        share = counted.category_share[category]
        table.add_row(f"  {category}", f"{number} ({share:.1%})")
    for dimension, number in counted.by_dimension.items():
        table.add_row(f"  of {dimension}", f"{number} ({number / counted.regions:.1%})")
    for severity, number in counted.by_severity.items():
        table.add_row(f"  severity {severity}", str(number))
    if counted.region_side:
        table.add_row("  side over the picture's (10, 50, 90%)", _three(counted.region_side))
    if counted.words is not None and counted.words_spread is not None:
        spread = _three(counted.words_spread)
        table.add_row(
            "  words of a description (mean; 10, 50, 90%)", f"{counted.words:.1f}; {spread}"
        )
    if counted.without_words:
        table.add_row("  without a description", str(counted.without_words))
    table.add_row("clean parts", str(counted.clean_parts))
    for part, number in counted.by_part.items():
        table.add_row(f"  {part}", str(number))
    for source, number in counted.by_source.items():
        table.add_row(f"from {source or 'unknown'}", str(number))
    Console().print(table)


def _three(values: tuple[float, float, float]) -> str:
    return ", ".join(f"{v:.3g}" for v in values)


def run_export(feedback: Path, out: Path, form: str) -> None:
    """Write kept feedback as a data set."""
    if form not in ("labels", "coco"):
        raise InputError(f"--format must be labels or coco, got {form!r}")
    count = export_feedback(feedback, out, form)
    typer.echo(f"{out}: {count} picture{'' if count == 1 else 's'}")
