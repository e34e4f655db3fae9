"""Which pictures to work on, and where the result of each goes. Nothing is written here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from retoucher.errors import InputError, OutputError
from retoucher.imaging.files import FORMAT_OF_SUFFIX

OWN_MARK = ".retouched"
REPORT_SUFFIXES = (".html", ".htm")
TRACE_SUFFIXES = (".json",)
PLACEHOLDER = "{stem}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """The pictures of one command line.

    Attributes:
        paths: in the order given, folders replaced by their pictures in the order of names.
        many: more than one, or a folder was named: outputs go to folders.
    """

    paths: tuple[Path, ...]
    many: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One picture's files.

    Attributes:
        picture: the input.
        output: where the result goes.
        report, trace: None where not asked for.
        error: why it must not be written, or None.
    """

    picture: Path
    output: Path
    report: Path | None
    trace: Path | None
    error: str | None


def find_pictures(arguments: Sequence[Path]) -> Pictures:
    """Files as given; for a folder the pictures directly in it, our own results excepted.

    Raises:
        InputError: a folder holds no picture, or cannot be read.
    """
    paths: list[Path] = []
    many = len(arguments) > 1
    for argument in arguments:
        if argument.is_dir():
            many = True
            paths += _in_folder(argument)
        else:
            paths.append(argument)
    unique = {_identity(path): path for path in reversed(paths)}
    return Pictures(paths=tuple(p for p in paths if unique[_identity(p)] is p), many=many)


def choose_targets(
    pictures: Pictures,
    *,
    out: Path | None,
    report: Path | None,
    trace: Path | None,
    force: bool,
) -> tuple[Target, ...]:
    """Where each picture's files go.

    A target that would overwrite what it must not carries its `error`; the others go on.

    Raises:
        OutputError: the options cannot be meant for these pictures, or two pictures share a target.
    """
    if pictures.many and out is not None and not out.is_dir() and _looks_like_picture(out):
        raise OutputError(f"-o {out}: several pictures need a folder")
    report_to = _Sidecar("--report", report, REPORT_SUFFIXES, many=pictures.many)
    trace_to = _Sidecar("--trace", trace, TRACE_SUFFIXES, many=pictures.many)
    inputs = {_identity(path) for path in pictures.paths}
    targets: list[Target] = []
    for picture in pictures.paths:
        output = output_path(picture, out, many=pictures.many)
        files = (output, report_to.path(picture), trace_to.path(picture))
        error = _in_the_way(output, inputs, default=out is None, force=force)
        targets.append(
            Target(
                picture=picture,
                output=output,
                report=files[1],
                trace=files[2],
                error=error or next(filter(None, (unwritable(f) for f in files if f)), None),
            )
        )
    check_distinct([t.output for t in targets])
    check_distinct([t.report for t in targets if t.report])
    check_distinct([t.trace for t in targets if t.trace])
    return tuple(targets)


def output_path(picture: Path, out: Path | None, *, many: bool) -> Path:
    """STEM.retouched.EXT beside the picture, its own name in the folder OUT, or the file OUT."""
    own_name = f"{picture.stem}{OWN_MARK}{picture.suffix}"
    if out is None:
        return picture.with_name(own_name)
    if not (many or is_folder(out)):
        return out
    inside = out / picture.name
    return out / own_name if _identity(inside) == _identity(picture) else inside


def is_folder(path: Path) -> bool:
    """Whether a path on the command line means a folder: it is one, or has no suffix."""
    return path.is_dir() or (not path.suffix and not path.is_file())


@dataclass(frozen=True, slots=True)
class _Sidecar:
    """A file that belongs to each picture: FILE for one picture, a folder or {stem} for many."""

    option: str
    given: Path | None
    suffixes: tuple[str, ...]
    many: bool = False

    def __post_init__(self) -> None:
        if self.given is None or is_folder(self.given):
            return
        first = self.suffixes[0]
        if self.given.suffix.lower() not in self.suffixes:
            raise OutputError(f"{self.option} {self.given}: name a file ending in {first}")
        if self.many and PLACEHOLDER not in self.given.name:
            raise OutputError(
                f"{self.option} {self.given}: several pictures need a folder, or a name with "
                f"{PLACEHOLDER} in it, as in {PLACEHOLDER}{first}"
            )

    def path(self, picture: Path) -> Path | None:
        if self.given is None:
            return None
        if is_folder(self.given):
            return self.given / f"{picture.stem}{self.suffixes[0]}"
        return self.given.with_name(self.given.name.replace(PLACEHOLDER, picture.stem))


def _in_folder(folder: Path) -> list[Path]:
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise InputError(f"cannot read the folder {folder}: {error.strerror}") from error
    found = [
        path
        for path in entries
        if _looks_like_picture(path)
        and not path.stem.endswith(OWN_MARK)
        and not path.name.startswith(".")
        and path.is_file()
    ]
    if not found:
        kinds = ", ".join(sorted(set(FORMAT_OF_SUFFIX.values())))
        raise InputError(f"the folder {folder} holds no picture ({kinds})")
    return found


def _looks_like_picture(path: Path) -> bool:
    """By its name; a file named on the command line may be called anything."""
    return path.suffix.lower() in FORMAT_OF_SUFFIX


def _in_the_way(output: Path, inputs: set[Path], *, default: bool, force: bool) -> str | None:
    if force:
        return None
    if _identity(output) in inputs:
        return f"{output} is an input; --force overwrites it, or choose another -o"
    if output.exists() and not default:
        return f"{output} exists; --force overwrites it, or choose another -o"
    return None


def unwritable(path: Path) -> str | None:
    """Why nothing can be written there, or None; known before any work is done."""
    if path.is_dir():
        return f"cannot write {path}: a folder of that name is there"
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        return f"cannot write {path}: {folder} is no folder"
    if not os.access(folder, os.W_OK):
        return f"cannot write {path}: no permission to write in {folder}"
    return None


def check_distinct(paths: Sequence[Path]) -> None:
    """No two pictures may share a file.

    Raises:
        OutputError: two do.
    """
    seen: set[Path] = set()
    for path in paths:
        if _identity(path) in seen:
            raise OutputError(
                f"two pictures would be written to {path}; give them different names or run them "
                "separately"
            )
        seen.add(_identity(path))


def _identity(path: Path) -> Path:
    """The same for two spellings of one file."""
    return Path(os.path.realpath(path))
