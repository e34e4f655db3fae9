"""What `fix` and `find` share: one picture after the other, and no failure stops the others."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from retoucher.cli.display import Display
from retoucher.cli.interrupt import Interrupt
from retoucher.cli.options import ExitCode, LookOptions
from retoucher.cli.own_regions import OwnRegions, load_regions, mask_regions
from retoucher.cli.plain import complain, plain
from retoucher.domain.diagnosis import Json
from retoucher.domain.region import Region
from retoucher.errors import ConfigError, RetoucherError
from retoucher.imaging.files import PictureFile, read_picture


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """One picture's result for standard output: a JSON record, or lines for people."""

    record: Mapping[str, Json]
    lines: tuple[str, ...]


Work = Callable[[int, Callable[[], bool]], Answer]
"""Does picture number i; asks the function it is given whether to stop early."""


def work_through(files: Sequence[Path], work: Work, *, look: LookOptions, display: Display) -> int:
    """Do every picture, print its answer, and return the exit code."""
    failed, done = 0, 0
    with Interrupt() as interrupt:
        for i, file in enumerate(files):
            if interrupt.cancelled():
                break
            answer = _attempt(file, lambda i=i: work(i, interrupt.cancelled), display)
            failed += isinstance(answer, str)
            done += 1
            _print(file, answer, as_json=look.as_json)
        if interrupt.cancelled():
            complain(f"cancelled; {done} of {len(files)} pictures were begun")
            return ExitCode.CANCELLED
    if failed and len(files) > 1:
        complain(f"{failed} of {len(files)} pictures failed")
    return ExitCode.SOME_FAILED if failed else ExitCode.OK


def _attempt(file: Path, work: Callable[[], Answer], display: Display) -> Answer | str:
    """The answer, or why there is none."""
    try:
        return work()
    except RetoucherError as error:
        return _with_name(file, str(error))
    except Exception as bug:  # a bug with one picture must not cost the others
        if os.environ.get("RETOUCH_DEBUG"):
            raise
        kind = type(bug).__name__
        return f"{file}: internal error, {kind}: {bug} (RETOUCH_DEBUG=1 shows where)"
    finally:
        display.end("")


def _with_name(file: Path, message: str) -> str:
    return message if str(file) in message else f"{file}: {message}"


def _print(file: Path, answer: Answer | str, *, as_json: bool) -> None:
    if isinstance(answer, str):
        complain(answer)
        if as_json:
            print(json.dumps({"file": str(file), "error": plain(answer)}, ensure_ascii=False))
    elif as_json:
        print(json.dumps(answer.record, ensure_ascii=False), flush=True)
    else:
        for line in answer.lines:
            print(plain(line), flush=True)


def own_regions(look: LookOptions) -> OwnRegions | None:
    """The regions of --mask or --regions, checked as far as that goes without a picture.

    Raises:
        ConfigError: both are given.
        InputError: the file cannot be used.
    """
    if look.mask is not None and look.regions is not None:
        raise ConfigError("--mask and --regions exclude each other; give one of them")
    if look.mask is not None:
        return mask_regions(look.mask, read_picture(look.mask).image_rgb.max(axis=2))
    return load_regions(look.regions) if look.regions is not None else None


def fitted(own: OwnRegions | None, picture: PictureFile, file: Path) -> tuple[Region, ...] | None:
    """The user's own regions for this picture, or None where perception is to look.

    Raises:
        InputError: they do not fit it.
    """
    if own is None:
        return None
    height, width = picture.image_rgb.shape[:2]
    return own.for_picture(file.name, height, width)


def about(prompt: str, source: str) -> str:
    """What is known of a picture's prompt, for one line of progress."""
    if not prompt:
        return "no prompt known"
    short = prompt if len(prompt) <= 80 else f"{prompt[:79]}…"
    return f"prompt ({source}): {short}"
