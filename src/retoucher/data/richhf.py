"""RichHF-18K: heat maps of implausible places on Pick-a-Pic pictures, in TFRecord files.

The records hold no pictures: `filename` names one, as `<split>/<uid>.png`, which the reader looks
for below a folder of pictures downloaded from Pick-a-Pic. A prompt may lie beside a picture, in a
.txt file of the same name. Both maps are encoded 512 x 512 pictures of one channel, 255 at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from retoucher.data.jsonl import read_text
from retoucher.data.sample import FloatArray, Sample, picture_size_wh
from retoucher.data.tfrecord import Feature, parse_example, read_tfrecords
from retoucher.errors import InputError

MAP_SIDE_PX = 512
SCORES: Mapping[str, str] = {
    "artifact_score": "plausibility",
    "misalignment_score": "alignment",
    "aesthetics_score": "aesthetics",
    "overall_score": "overall",
}
"""The records' names of whole-picture scores (higher is better in all four), and ours."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RichHfRecord:
    """One record besides its picture.

    Attributes:
        sample: `saliency_hw` is the artifact map, `scores` those that the record has.
        misalignment_hw: float32 (512, 512) in [0, 1], where the picture contradicts the prompt.
        misaligned_words: one label a word of the prompt: 0 misaligned, 1 aligned.
    """

    sample: Sample
    misalignment_hw: FloatArray
    misaligned_words: tuple[int, ...]


def read_richhf(
    records: Path, pictures: Path, prompts: Mapping[str, str] | None = None
) -> list[Sample]:
    """Samples of a TFRecord file; see `read_richhf_records` for what else it says."""
    return [r.sample for r in read_richhf_records(records, pictures, prompts)]


def read_richhf_records(
    records: Path, pictures: Path, prompts: Mapping[str, str] | None = None
) -> Iterator[RichHfRecord]:
    """Everything a RichHF-18K file says, in its order.

    Args:
        records: a .tfrecord file.
        pictures: folder below which `filename` stands, or the bare file name does.
        prompts: prompts by the file's stem, which the records do not hold; None: the .txt files.

    Raises:
        InputError: a record is broken or lacks a feature, or its picture is not there.
    """
    for where, data in read_tfrecords(records):
        features = parse_example(data, where)
        filename = _text(features, "filename", where)
        path = _picture(pictures, filename, where)
        width, height = picture_size_wh(path)
        words = _text(features, "prompt_misalignment_label", where, "")
        stem = Path(filename).stem
        yield RichHfRecord(
            sample=Sample(
                id=stem,
                picture=path,
                width=width,
                height=height,
                prompt=_prompt(path) if prompts is None else prompts.get(stem, ""),
                saliency_hw=_map(features, "artifact_map", where),
                source="RichHF-18K",
                scores={
                    ours: _score(features, name, where)
                    for name, ours in SCORES.items()
                    if name in features
                },
            ),
            misalignment_hw=_map(features, "misalignment_map", where),
            misaligned_words=tuple(int(w) for w in words.split()),
        )


def _picture(folder: Path, filename: str, where: str) -> Path:
    # A file name is data: it may point below the folder, never out of it.
    parts = [p for p in Path(filename).parts if p not in ("/", "..", ".")]
    for path in (folder.joinpath(*parts), folder / parts[-1] if parts else folder):
        if path.is_file():
            return path
    raise InputError(
        f"{where}: {filename!r} is not below {folder}; download the Pick-a-Pic pictures there"
    )


def _prompt(picture: Path) -> str:
    path = picture.with_suffix(".txt")
    return read_text(path).strip() if path.is_file() else ""


def _map(features: Mapping[str, Feature], name: str, where: str) -> FloatArray:
    values = features.get(name)
    if not values:
        raise InputError(f"{where}: '{name}' is missing")
    if isinstance(values[0], bytes):
        code = np.frombuffer(values[0], np.uint8)
        decoded = cv2.imdecode(code, cv2.IMREAD_GRAYSCALE) if code.size else None
        if decoded is None or decoded.shape != (MAP_SIDE_PX, MAP_SIDE_PX):
            raise InputError(f"{where}: '{name}' is no {MAP_SIDE_PX} x {MAP_SIDE_PX} picture")
        return decoded.astype(np.float32) / np.float32(255)
    array = np.array(values, np.float32)
    if array.size != MAP_SIDE_PX**2 or not bool(np.isfinite(array).all()):
        raise InputError(f"{where}: '{name}' must hold {MAP_SIDE_PX**2} finite numbers")
    return np.clip(array.reshape(MAP_SIDE_PX, MAP_SIDE_PX), 0.0, 1.0)


def _text(
    features: Mapping[str, Feature], name: str, where: str, default: str | None = None
) -> str:
    values = features.get(name)
    first = values[0] if values else None
    if isinstance(first, bytes):
        return first.decode("utf-8", "replace")
    if default is None:
        raise InputError(f"{where}: '{name}' must hold text")
    return default


def _score(features: Mapping[str, Feature], name: str, where: str) -> float:
    values = features[name]
    number = values[0] if len(values) == 1 else None
    if number is None or isinstance(number, bytes) or not 0.0 <= number <= 1.0:
        raise InputError(f"{where}: '{name}' must hold one number from 0 to 1")
    return float(number)
