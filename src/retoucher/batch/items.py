"""Which pictures a batch works on: a folder and all below it, or the lines of a JSONL file."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError

from retoucher.errors import InputError
from retoucher.imaging.files import FORMAT_OF_SUFFIX

JSONL_SUFFIXES = (".jsonl", ".ndjson")

BoxXyxy = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """One picture of a batch.

    Attributes:
        name: its path below IN, with "/"; its result gets the same path below OUT.
        path: where it is.
        prompt: given for it; None: from a sidecar or its metadata.
        boxes: look only here, pixels (x0, y0, x1, y1); None: perception decides.
        error: why it cannot be worked on, known already now; None: it can.
    """

    name: str
    path: Path
    prompt: str | None = None
    boxes: tuple[BoxXyxy, ...] | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Patterns on an item's name; "*" also matches "/", a pattern without "/" the last part."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def takes(self, name: str) -> bool:
        if self.include and not any(_matches(name, pattern) for pattern in self.include):
            return False
        return not any(_matches(name, pattern) for pattern in self.exclude)


def find_items(source: Path, selection: Selection, prompts: Path | None = None) -> list[Item]:
    """Every picture of IN, sorted by name (JSONL: in the file's order).

    Args:
        source: IN: a folder, searched with all below it, or a JSONL file whose pictures lie in its
            own folder or below.
        selection: which of them.
        prompts: CSV with the columns `file` (a name below IN) and `prompt`.

    Raises:
        InputError: nothing is there, a file cannot be read, or a line of it is wrong.
    """
    if source.is_dir():
        items = sorted(_walk(source), key=lambda item: item.name)
    elif source.suffix.lower() in JSONL_SUFFIXES:
        items = _from_jsonl(source)
    else:
        raise InputError(
            f"{source}: expected a folder, or a .jsonl file with one picture a line; "
            "`retouch fix` takes single pictures"
        )
    items = [item for item in items if selection.takes(item.name)]
    if not items:
        kinds = ", ".join(sorted(set(FORMAT_OF_SUFFIX.values())))
        raise InputError(f"{source} holds no picture that is wanted ({kinds})")
    return items if prompts is None else _with_prompts(items, prompts)


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name if "/" in pattern else PurePosixPath(name).name, pattern)


def _walk(root: Path) -> Iterator[Item]:
    """Pictures below a folder; hidden files and folders, and links to folders, are left out."""

    def unreadable(error: OSError) -> None:
        raise InputError(f"cannot read the folder {error.filename}: {error.strerror}")

    for folder, folders, files in os.walk(root, onerror=unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for file in files:
            path = Path(folder, file)
            if path.suffix.lower() in FORMAT_OF_SUFFIX and not file.startswith("."):
                yield _named(path.relative_to(root).as_posix(), path)


def _named(name: str, path: Path) -> Item:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        return Item(name=shown, path=path, error="the file name is not valid UTF-8; rename it")
    return Item(name=name, path=path)


class _Region(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)
    box_xyxy: BoxXyxy


class _Line(BaseModel):
    """One line of a JSONL file. Other keys are allowed: our own output can be read back."""

    model_config = ConfigDict(extra="ignore")
    file: str
    prompt: str | None = None
    prompt_source: str | None = None
    regions: list[_Region] | None = None


def _from_jsonl(path: Path) -> list[Item]:
    root, items, seen = path.parent, list[Item](), set[str]()
    for number, text in enumerate(_text_of(path).split("\n"), 1):
        if not text.strip():
            continue
        where = f"{path.name}: line {number}"
        try:
            line = _Line.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InputError(f"{where}: {place or 'JSON'}: {first['msg']}") from error
        name = PurePosixPath(os.path.normpath(Path(line.file).as_posix())).as_posix()
        if PurePosixPath(name).is_absolute() or name.split("/")[0] == "..":
            raise InputError(
                f"{where}: {line.file} is not below the folder of {path.name}; "
                "name pictures relative to it"
            )
        if name in seen:
            raise InputError(f"{where}: {name} was named before")
        seen.add(name)
        item = _named(name, root / name)
        boxes = None
        if line.regions:
            boxes = tuple(_checked_box(where, region.box_xyxy) for region in line.regions)
        # A prompt that we found ourselves and wrote into our output is found again.
        given = line.prompt if line.prompt_source in (None, "given") else None
        items.append(replace(item, prompt=given, boxes=boxes))
    return items


def _checked_box(where: str, box: BoxXyxy) -> BoxXyxy:
    x0, y0, x1, y1 = box
    if not (x0 < x1 and y0 < y1):
        raise InputError(f"{where}: box_xyxy needs x0 < x1 and y0 < y1, got {list(box)}")
    return box


def _text_of(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not UTF-8: {error}") from error


def _with_prompts(items: Sequence[Item], path: Path) -> list[Item]:
    prompts = read_prompts(path)
    unknown = prompts.keys() - {item.name for item in items}
    if len(unknown) == len(prompts):
        example = next(iter(sorted(unknown)), "nothing")
        raise InputError(
            f"{path}: names none of the pictures (it has {example}, IN has {items[0].name}); "
            "the column `file` is relative to IN"
        )
    return [replace(item, prompt=prompts.get(item.name, item.prompt)) for item in items]


def read_prompts(path: Path) -> Mapping[str, str]:
    """Prompts by name from a CSV file with the columns `file` and `prompt`; others are ignored.

    Raises:
        InputError: it cannot be read, a column is missing, or a file is named twice.
    """
    rows = csv.DictReader(io.StringIO(_text_of(path), newline=""))
    columns = rows.fieldnames or ()
    if "file" not in columns or "prompt" not in columns:
        raise InputError(f"{path}: the first line must name the columns `file` and `prompt`")
    prompts: dict[str, str] = {}
    for row in rows:
        name = PurePosixPath(row["file"] or "").as_posix()
        if name in prompts:
            raise InputError(f"{path}: line {rows.line_num}: {name} was named before")
        prompts[name] = row["prompt"] or ""
    if not prompts:
        raise InputError(f"{path}: holds no prompt")
    return prompts
