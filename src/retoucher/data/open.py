"""One door to every data set format."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, TypeAlias, get_args

from retoucher.data.coco import read_coco
from retoucher.data.evalmuse import read_evalmuse
from retoucher.data.feedback import read_feedback
from retoucher.data.jsonl import read_json
from retoucher.data.mapped import load_field_map, read_mapped
from retoucher.data.ours import read_hand_signs, read_labels, read_pool
from retoucher.data.richhf import read_richhf
from retoucher.data.sample import Sample
from retoucher.data.synartifacts import read_synartifacts
from retoucher.errors import InputError

Format: TypeAlias = Literal[
    "labels",
    "pool",
    "signs",
    "coco",
    "genblemish",
    "richhf",
    "evalmuse",
    "synartifacts",
    "feedback",
]
FORMATS: tuple[Format, ...] = get_args(Format)


def guess_format(path: Path) -> Format:
    """The format of a file or folder, from its name and first keys.

    Raises:
        InputError: it cannot be told.
    """
    if (path / "labels.jsonl").is_file() or path.name == "labels.jsonl":
        return "labels"
    if (path / "manifest.jsonl").is_file() or path.name == "manifest.jsonl":
        return "pool"
    if (path / "annotations").is_dir():
        return "synartifacts"
    if path.suffix in (".tfrecord", ".tfrecords"):
        return "richhf"
    if path.suffix == ".json" and path.is_file():
        content = read_json(path)
        return "coco" if isinstance(content, dict) and "images" in content else "evalmuse"
    if path.is_dir() and any(path.glob("*/feedback.json")):
        return "feedback"
    if path.is_dir() and any(path.glob("[0-9]_*.jpg")):
        return "signs"
    raise InputError(f"{path}: cannot tell what data set this is; name it: {', '.join(FORMATS)}")


def open_dataset(
    path: Path,
    form: Format | None = None,
    *,
    pictures: Path | None = None,
    fields: Path | None = None,
) -> list[Sample]:
    """Samples of a data set; pictures are loaded when asked for.

    Args:
        path: the data set's folder, or its annotation file.
        form: its format; None: guessed.
        pictures: folder of the pictures, where they are kept apart (labels, COCO, EvalMuse,
            RichHF).
        fields: field map (TOML) for format "genblemish".

    Raises:
        InputError: nothing is there, the format cannot be told, or a record is malformed.
    """
    if not path.exists():
        raise InputError(f"{path}: no such file or folder")
    match form or guess_format(path):
        case "labels":
            return read_labels(path, pictures)
        case "pool":
            return read_pool(path)
        case "signs":
            return read_hand_signs(path)
        case "coco":
            return read_coco(path, pictures)
        case "genblemish":
            return read_mapped(path, load_field_map(fields))
        case "richhf":
            return read_richhf(path, pictures or path.parent)
        case "evalmuse":
            return read_evalmuse(path, pictures)
        case "synartifacts":
            return read_synartifacts(path)
        case "feedback":
            return read_feedback(path)
