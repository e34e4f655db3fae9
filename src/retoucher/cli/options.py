"""The options that commands share: as typer declares them, and as plain data for the work.

Light: imported before anything is known to be needed.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Annotated

import typer


def _categories() -> list[str]:
    from retoucher.domain.taxonomy import taxonomy

    return [*dict.fromkeys(c.dimension for c in taxonomy().values()), *taxonomy()]


def _tools() -> list[str]:
    return _plugins("tools")


def _reasoners() -> list[str]:
    return _plugins("reasoners")


def _plugins(kind: str) -> list[str]:
    from importlib import metadata

    return sorted({point.name for point in metadata.entry_points(group=f"retoucher.{kind}")})


Images = Annotated[
    list[Path], typer.Argument(metavar="IMAGE", help="Pictures, or folders of pictures.")
]
Prompt = Annotated[
    str | None,
    typer.Option(help="Of every picture, instead of the one in or beside its file."),
]
Threshold = Annotated[
    float | None,
    typer.Option(min=0.0, max=1.0, help="Saliency from which a place is looked at (tau_s)."),
]
MaxRegions = Annotated[
    int | None, typer.Option(min=1, help="Look at so many places a round at most.")
]
Mask = Annotated[
    Path | None,
    typer.Option(metavar="M.png", help="Look only where this picture is white; same size."),
]
Regions = Annotated[
    Path | None,
    typer.Option(
        metavar="R.json",
        help='Look only here: a list of {"box_xyxy": [x0, y0, x1, y1]}, or COCO annotations.',
    ),
]
Rounds = Annotated[
    int | None, typer.Option(min=1, max=100, help="Rounds of repair at most.  [default: 3]")
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CATEGORY",
        help="Repair only this category or dimension; may be repeated.",
        autocompletion=_categories,
    ),
]
Skip = Annotated[
    list[str] | None,
    typer.Option(
        metavar="CATEGORY",
        help="Never repair this category or dimension; may be repeated.",
        autocompletion=_categories,
    ),
]
UseTools = Annotated[
    list[str] | None,
    typer.Option(
        "--tool",
        metavar="NAME",
        help="Use only this tool; repeated: in this order. See `retouch tools`.",
        autocompletion=_tools,
    ),
]
AvoidTools = Annotated[
    list[str] | None,
    typer.Option(
        "--avoid",
        metavar="NAME",
        help="Never use this tool; may be repeated.",
        autocompletion=_tools,
    ),
]
Seed = Annotated[int | None, typer.Option(min=0, help="Same seed, same result.")]
TimeBudget = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Stop each picture's repairs after so long."),
]
Config = Annotated[
    Path | None, typer.Option(metavar="T.toml", help="Settings file; options here override it.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A setting by its dotted name, as in the settings file; may be repeated.",
    ),
]
ReasonerName = Annotated[
    str | None,
    typer.Option(
        "--reasoner",
        metavar="NAME",
        help="What names the defects.  [default: embedded]",
        autocompletion=_reasoners,
    ),
]
WorkerMemory = Annotated[
    float | None, typer.Option(metavar="GB", help="A worker may take so much memory (Linux).")
]
FiguresFile = Annotated[
    Path | None, typer.Option("--json", metavar="FILE", help="Write all figures as JSON.")
]
TablesFile = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Write all tables as Markdown.")
]
NoProgress = Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, only the result.")]
AsJson = Annotated[
    bool, typer.Option("--json", help="Result as JSON, one object a picture, one a line.")
]


class ExitCode(IntEnum):
    """What a command's exit status means."""

    OK = 0
    SOME_FAILED = 1  # at least one picture failed; the others are done
    USAGE = 2  # nothing was done: bad options, settings, regions or mask, or a part is missing
    CANCELLED = 130  # Ctrl-C; what was done until then is written


@dataclass(frozen=True, slots=True, kw_only=True)
class LookOptions:
    """What `fix` and `find` share: which pictures, and how they are looked at.

    Attributes:
        images: files and folders.
        prompt: overrides what is found in or beside each file; None: look there.
        threshold: tau_s, saliency from which a place is looked at; None: as configured.
        max_regions: look at so many regions a round at most; None: as configured.
        mask, regions: the user's own regions; at most one of them.
        config: settings file.
        sets: KEY=VALUE, each over the settings file.
        reasoner: what names the defects; None: as configured.
        quiet: no progress.
        as_json: the result as JSON lines; no progress.
    """

    images: tuple[Path, ...]
    prompt: str | None = None
    threshold: float | None = None
    max_regions: int | None = None
    mask: Path | None = None
    regions: Path | None = None
    config: Path | None = None
    sets: tuple[str, ...] = ()
    reasoner: str | None = None
    quiet: bool = False
    as_json: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FixOptions:
    """What only `fix` knows; None and () keep what is configured.

    Attributes:
        out: file or folder of the result.
        report, trace: HTML report and JSON record, file or folder.
        rounds, time_budget_s, seed: of the run.
        only, skip: categories, or dimensions of the taxonomy.
        tools, avoid: names of tools.
        dry_run: look and plan, write nothing.
        force: overwrite what is in the way.
    """

    out: Path | None = None
    report: Path | None = None
    trace: Path | None = None
    rounds: int | None = None
    time_budget_s: float | None = None
    seed: int | None = None
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()
    avoid: tuple[str, ...] = ()
    dry_run: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FindOptions:
    """What only `find` knows: folders for maps and for pictures with the regions drawn in."""

    saliency_dir: Path | None = None
    overlay_dir: Path | None = None
