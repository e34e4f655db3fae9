"""The work behind `retouch eval reasoning`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import typer
from rich.console import Console
from rich.progress import Progress

from retoucher import plugins
from retoucher.agents import Reasoner
from retoucher.cli.options import ExitCode, LookOptions
from retoucher.cli.plain import plain
from retoucher.cli.settings import look_settings
from retoucher.cli.writing import write_text
from retoucher.data.open import FORMATS, open_dataset
from retoucher.errors import InputError
from retoucher.evaluation.reasoning import ReasoningReport, judge_samples, report
from retoucher.evaluation.reasoning_tables import markdown, markdown_all
from retoucher.evaluation.tables import plain_values
from retoucher.evaluation.wording import Encoder, sentence_encoder, word_vector_encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningOptions:
    """What `retouch eval reasoning` was told.

    Attributes:
        dataset, form, pictures, fields: see `open_dataset`.
        reasoners: names of plug-ins; none: the configured one.
        config, sets: settings file, and KEY=VALUE over it.
        min_severity, clean_parts, prompt: see `judge_samples`.
        limit: the first so many pictures; None: all.
        sentences, word_vectors, overlap: see `score_wording`.
        json_file, markdown_file: files to write; None: not written.
        quiet: no progress.
    """

    dataset: Path
    reasoners: tuple[str, ...] = ()
    config: Path | None = None
    sets: tuple[str, ...] = ()
    min_severity: int = 2
    clean_parts: bool = True
    prompt: bool = True
    limit: int | None = None
    sentences: tuple[str, ...] = ()
    word_vectors: tuple[Path, ...] = ()
    overlap: bool = False
    json_file: Path | None = None
    markdown_file: Path | None = None
    form: str | None = None
    pictures: Path | None = None
    fields: Path | None = None
    quiet: bool = False


def run_eval_reasoning(options: ReasoningOptions) -> int:
    """Judges, prints the main table, writes what was asked for; returns the exit code."""
    if options.form is not None and options.form not in FORMATS:
        raise InputError(f"unknown format {options.form!r}; known: {', '.join(FORMATS)}")
    samples = open_dataset(
        options.dataset, options.form, pictures=options.pictures, fields=options.fields
    )[: options.limit]
    if not samples:
        raise InputError(f"{options.dataset}: holds no picture")
    encoders: list[Encoder] = [sentence_encoder(name) for name in options.sentences]
    encoders += [word_vector_encoder(path) for path in options.word_vectors]
    settings = look_settings(LookOptions(images=(), config=options.config, sets=options.sets))
    reports: list[tuple[str, ReasoningReport]] = []
    with Progress(console=Console(stderr=True), disable=options.quiet) as bar:
        for name in options.reasoners or (settings.reasoner,):
            given = settings.options.get("reasoner", {}).get(name)
            agent = cast(Reasoner, plugins.create("reasoner", name, given))
            task = bar.add_task(plain(name), total=len(samples))
            judged = judge_samples(
                samples,
                agent,
                min_severity=options.min_severity,
                clean_parts=options.clean_parts,
                prompts=options.prompt,
                after=lambda _, t=task: bar.advance(t),
            )
            if not judged:
                raise InputError(f"{options.dataset}: nothing is marked in it to be judged")
            figures = report(judged, agent.info, encoders=encoders, overlap=options.overlap)
            reports.append((name, figures))
    typer.echo(markdown(reports))
    if options.markdown_file is not None:
        write_text(options.markdown_file, markdown_all(reports))
    if options.json_file is not None:
        record = _record(options, reports, len(samples))
        write_text(options.json_file, json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    return ExitCode.OK


def _record(
    options: ReasoningOptions, reports: Sequence[tuple[str, ReasoningReport]], pictures: int
) -> dict[str, Any]:
    return {
        "dataset": str(options.dataset),
        "pictures": pictures,
        "prompt": options.prompt,
        "min_severity": options.min_severity,
        "clean_parts": options.clean_parts,
        "reasoners": {name: plain_values(asdict(figures)) for name, figures in reports},
    }
