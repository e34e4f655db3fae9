"""The places that the strategies are trained on and scored on, with what the network saw of them.

A place is a marked region or a clean part. Its features are those of the embedded diagnostician
(region and zoomed square around it) and the network's means over the whole picture. They do not
change in training, so they are computed once and kept in a file.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from retoucher.agents import FloatArray, RgbArray
from retoucher.data.ours import read_labels, read_pool
from retoucher.data.sample import CleanPart, Sample
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT
from retoucher.errors import InputError
from retoucher.imaging.atomic import write_bytes
from retoucher.reasoning.embedded_features import ZOOM_PX, zoom_features
from retoucher.train.split import held_out
from retoucher.vision.runtime import PICTURE_GRAPH, TOKEN_STRIDE, SaliencyNetwork

Split = Literal["train", "validation", "test", "caption"]

HELD_OUT, SPLIT_SEED = 0.12, 0
"""As recipes/perception.py holds out: the network has not seen the validation pictures either."""
MAX_CAPTIONS_PER_WORD = 40
"""Of the pool's objects: most are people, and its hands are one man's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One place of a picture.

    Attributes:
        split: "caption" is for aligning the projector only.
        sample: id of its picture.
        prompt: of the picture; may be empty.
        category: of the taxonomy, or no_defect.
        severity: 1 to 3, 0 for no_defect.
        words: a person's description; "" for a clean part.
        thing: what it is ("hand", "wine glass"); "" for a defect.
        mirrored: the picture was mirrored first.
    """

    split: Split
    sample: str
    prompt: str
    category: str
    severity: int
    words: str
    thing: str
    mirrored: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Places:
    """Places and their features.

    Attributes:
        places: N of them.
        features_nd: float32 (N, D).
        network: sha256 of the saliency.onnx that saw them.
    """

    places: tuple[Place, ...]
    features_nd: FloatArray
    network: str

    def rows(self, split: Split, *, mirrored: bool = True) -> list[int]:
        """Row numbers of one split, with or without mirrored copies."""
        return [
            i
            for i, p in enumerate(self.places)
            if p.split == split and (mirrored or not p.mirrored)
        ]


def features_of(network: SaliencyNetwork, image_rgb: RgbArray, box: Box) -> FloatArray:
    """Features of a box of a picture, uint8 (H, W, 3); float32 (D,)."""
    region = Region.from_box(box, id="r1")
    whole = network.look(image_rgb, "", ZOOM_PX)
    down, right = whole.shown_hw
    fine = whole.features_chw[:, : -(-down // network.stride), : -(-right // network.stride)]
    coarse = whole.tokens_chw[:, : -(-down // TOKEN_STRIDE), : -(-right // TOKEN_STRIDE)]
    parts = [zoom_features(network, image_rgb, region), fine.mean((1, 2)), coarse.mean((1, 2))]
    return np.concatenate(parts).astype(np.float32)


def collect(train: Path, test: Path, pool: Path, threads: int) -> Places:
    """Every place of the two labelled sets, and things of the pool.

    Regions of the test set count from severity 2; training pictures come once more mirrored.
    """
    network = SaliencyNetwork(threads=threads)
    places: list[Place] = []
    features: list[FloatArray] = []
    for sample, split, copies in _samples(train, test, pool):
        image_rgb = sample.load_rgb()
        for mirrored in copies:
            rgb = np.ascontiguousarray(image_rgb[:, ::-1]) if mirrored else image_rgb
            for box, place in _places(sample, split, mirrored):
                inside = box.clip(sample.height, sample.width)
                if inside is not None:
                    at = mirror(inside, sample.width) if mirrored else inside
                    places.append(place)
                    features.append(features_of(network, rgb, at))
    return Places(
        places=tuple(places),
        features_nd=np.stack(features),
        network=network.weights[PICTURE_GRAPH],
    )


def mirror(box: Box, width: int) -> Box:
    """Where the box lies once the picture is mirrored."""
    return Box(width - box.x1, box.y0, width - box.x0, box.y1)


def _samples(
    train: Path, test: Path, pool: Path
) -> Iterator[tuple[Sample, Split, tuple[bool, ...]]]:
    fit, validation = held_out(read_labels(train), HELD_OUT, SPLIT_SEED)
    yield from ((sample, "train", (False, True)) for sample in fit)
    yield from ((sample, "validation", (False,)) for sample in validation)
    yield from ((sample, "test", (False,)) for sample in read_labels(test))
    yield from ((sample, "caption", (False,)) for sample in few_of_each(read_pool(pool)))


def few_of_each(samples: Iterable[Sample]) -> Iterator[Sample]:
    """The samples with at most so many parts of one name, `MAX_CAPTIONS_PER_WORD`."""
    seen: dict[str, int] = {}
    for sample in samples:
        kept: list[CleanPart] = []
        for part in sample.clean_parts:
            word = part.name or part.part
            seen[word] = seen.get(word, 0) + 1
            if seen[word] <= MAX_CAPTIONS_PER_WORD:
                kept.append(part)
        if kept:
            yield replace(sample, clean_parts=tuple(kept))


def _places(sample: Sample, split: Split, mirrored: bool) -> Iterator[tuple[Box, Place]]:
    def place(category: str, severity: int, words: str, thing: str) -> Place:
        return Place(
            split=split,
            sample=sample.id,
            prompt=sample.prompt,
            category=category,
            severity=severity,
            words=words,
            thing=thing,
            mirrored=mirrored,
        )

    for region in sample.regions:
        if split != "test" or region.severity >= 2:
            yield region.box, place(region.category, region.severity, region.description, "")
    for part in sample.clean_parts:
        yield part.box, place(NO_DEFECT, 0, "", part.name or part.part)


def write_places(places: Places, file: Path) -> None:
    """As .npz, whole or not at all; plain arrays, no pickle."""
    stream = io.BytesIO()
    records = json.dumps([asdict(p) for p in places.places], ensure_ascii=False)
    np.savez(
        stream,
        allow_pickle=False,
        features=places.features_nd,
        places=np.array(records),
        network=np.array(places.network),
    )
    write_bytes(file, stream.getvalue())


def read_places(file: Path) -> Places:
    """What `write_places` wrote.

    Raises:
        InputError: the file holds something else.
    """
    try:
        with np.load(file, allow_pickle=False) as stored:
            records: Sequence[dict[str, object]] = json.loads(str(stored["places"]))
            return Places(
                places=tuple(Place(**record) for record in records),  # type: ignore[arg-type]
                features_nd=stored["features"],
                network=str(stored["network"]),
            )
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(f"{file}: holds no places ({error}); delete it to make it anew") from None
