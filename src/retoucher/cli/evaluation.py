"""The work behind `retouch eval`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from retoucher.agents import FloatArray
from retoucher.cli.options import ExitCode
from retoucher.cli.plain import plain
from retoucher.cli.writing import write_file, write_text
from retoucher.data.open import FORMATS, Format, open_dataset
from retoucher.data.sample import Sample
from retoucher.errors import InputError
from retoucher.evaluation.baselines import BASELINES
from retoucher.evaluation.curves import Curves, CurveTally, draw_curves, need_matplotlib
from retoucher.evaluation.metrics import KLD_EPS
from retoucher.evaluation.models import Model, named_model
from retoucher.evaluation.perception import FOUND_SHARE, Evaluation, PerceptionReport
from retoucher.evaluation.tables import as_json, markdown, markdown_all, plain_values
from retoucher.imaging.regions import RegionSettings

DEFAULT_MODEL = "saliency"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvalOptions:
    """What `retouch eval perception` was told.

    Attributes:
        dataset, form, pictures, fields: see `open_dataset`.
        models: see `named_model`; none: the shipped network.
        baselines: rows of all the baselines first.
        prompt: whether perceivers get the prompts.
        min_severity: of the marks that count as defects.
        json_file, markdown_file: files to write; None: not written.
        curves: folder for PNG files.
        maps: folder for raw maps.
        quiet: no progress.
    """

    dataset: Path
    models: tuple[str, ...] = ()
    baselines: bool = False
    prompt: bool = True
    min_severity: int = 2
    json_file: Path | None = None
    markdown_file: Path | None = None
    curves: Path | None = None
    maps: Path | None = None
    form: str | None = None
    pictures: Path | None = None
    fields: Path | None = None
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A model's figures."""

    model: Model
    report: PerceptionReport
    curves: Curves | None


def run_eval_perception(options: EvalOptions) -> int:
    """Measures, prints the main table, writes what was asked for; returns the exit code."""
    if options.curves is not None:
        need_matplotlib()
    samples = open_dataset(
        options.dataset, _format(options.form), pictures=options.pictures, fields=options.fields
    )
    if not samples:
        raise InputError(f"{options.dataset}: holds no picture")
    names = (*(BASELINES if options.baselines else ()), *(options.models or (DEFAULT_MODEL,)))
    models = [named_model(name, prompt=options.prompt) for name in dict.fromkeys(names)]
    settings = RegionSettings()
    console = Console(stderr=True)
    with Progress(console=console, disable=options.quiet) as bar:
        task = bar.add_task("pictures", total=len(samples))
        measured = _measure(models, samples, options, lambda: bar.advance(task))
    reports = [(m.model.name, m.report) for m in measured]
    typer.echo(markdown(reports))
    if options.markdown_file is not None:
        write_text(options.markdown_file, markdown_all(reports))
    if options.json_file is not None:
        record = _record(options, measured, settings, len(samples))
        write_text(options.json_file, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    if options.curves is not None:
        drawn = [(m.model.name, m.curves) for m in measured if m.curves is not None]
        for file in draw_curves(drawn, options.curves, settings.threshold):
            console.print(plain(file), markup=False, highlight=False, soft_wrap=True)
    return ExitCode.OK


def _measure(
    models: Sequence[Model],
    samples: Sequence[Sample],
    options: EvalOptions,
    advance: Callable[[], None],
) -> list[Measured]:
    """All models on one picture after the other, so that what they share is done once."""
    figures = [Evaluation(min_severity=options.min_severity) for _ in models]
    curves = [CurveTally(min_severity=options.min_severity) for _ in models]
    for sample in samples:
        for model, evaluation, tally in zip(models, figures, curves, strict=True):
            values = model.predict(sample)
            evaluation.take(sample, values)
            if options.curves is not None:
                tally.take(sample, values)
            if options.maps is not None:
                _write_map(options.maps / _file_name(model.name), sample, values)
        advance()
    return [
        Measured(
            model=model,
            report=evaluation.report(),
            curves=tally.curves() if options.curves is not None else None,
        )
        for model, evaluation, tally in zip(models, figures, curves, strict=True)
    ]


def _write_map(folder: Path, sample: Sample, values: FloatArray) -> None:
    file = folder / f"{_file_name(sample.id)}.npy"
    write_file(file, lambda stream: np.save(stream, values))


def _record(
    options: EvalOptions, measured: Sequence[Measured], settings: RegionSettings, pictures: int
) -> dict[str, Any]:
    models: dict[str, Any] = {}
    for one in measured:
        models[one.model.name] = as_json(one.report) | {"about": plain_values(one.model.about)}
        if one.curves is not None:
            models[one.model.name]["curves"] = plain_values(one.curves.as_dict())
    return {
        "dataset": str(options.dataset),
        "pictures": pictures,
        "prompt": options.prompt,
        "min_severity": options.min_severity,
        "kld_eps": KLD_EPS,
        "found_share": FOUND_SHARE,
        "threshold": settings.threshold,
        "models": models,
    }


def _file_name(name: str) -> str:
    """A name that stays inside its folder."""
    flat = name.strip(os.sep).replace(os.sep, "_").replace("/", "_")
    return flat if flat.strip(".") else f"_{flat}"


def _format(name: str | None) -> Format | None:
    if name is None or name in FORMATS:
        return name
    raise InputError(f"unknown format {name!r}; known: {', '.join(FORMATS)}")
