"""The commands' options as plain data. Light: imported before anything is known to be needed."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path


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
