"""Synthetic sets on disk, made by several processes and equal for any number of them."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from retoucher.data.ours import write_labels
from retoucher.data.sample import Sample
from retoucher.data.synthetic.stream import SyntheticStream
from retoucher.domain.taxonomy import taxonomy
from retoucher.errors import InputError

_stream: SyntheticStream | None = None
_wanted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SetSettings:
    """What a written set holds.

    Attributes:
        count: pairs.
        twins: write the clean twins, too.
        categories: in turn, one a pair; empty: by the stream's weights.
        workers: processes; 1: none besides this one.
    """

    count: int
    twins: bool = True
    categories: Sequence[str] = ()
    workers: int = 1

    def __post_init__(self) -> None:
        if self.count < 1 or self.workers < 1:
            raise InputError("a set needs a count and a number of workers of at least 1")
        if wrong := [c for c in self.categories if c not in taxonomy()]:
            raise InputError(f"unknown category {wrong[0]!r}; known: {', '.join(taxonomy())}")


def make_set(
    stream: SyntheticStream,
    folder: Path,
    settings: SetSettings,
    progress: Callable[[int], None] = lambda _: None,
) -> Path:
    """Write pairs 0 to count - 1 of a stream as a labelled set; the same bytes every time.

    Args:
        stream: gives the pairs.
        folder: is made; gets `labels.jsonl` and images/.
        settings: see `SetSettings`.
        progress: is told the number of pairs made so far.

    Returns:
        The path of `labels.jsonl`.
    """
    return write_labels(_samples(stream, settings, progress), folder)


def _samples(
    stream: SyntheticStream, settings: SetSettings, progress: Callable[[int], None]
) -> Iterator[Sample]:
    for number, (defect, twin) in enumerate(_pairs(stream, settings)):
        yield replace(defect, id=f"{number:06d}-{defect.id}"[:120])
        if settings.twins:
            yield replace(twin, id=f"{number:06d}-twin")
        progress(number + 1)


def _pairs(stream: SyntheticStream, settings: SetSettings) -> Iterator[tuple[Sample, Sample]]:
    wanted = tuple(settings.categories)
    if settings.workers == 1:
        for index in range(settings.count):
            yield _make(stream, wanted, index)
        return
    with ProcessPoolExecutor(
        settings.workers,
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(stream, wanted),
    ) as pool:
        yield from pool.map(_work, range(settings.count), chunksize=4)


def _start(stream: SyntheticStream, wanted: tuple[str, ...]) -> None:
    global _stream, _wanted
    _stream, _wanted = stream, wanted


def _work(index: int) -> tuple[Sample, Sample]:
    assert _stream is not None
    return _make(_stream, _wanted, index)


def _make(stream: SyntheticStream, wanted: Sequence[str], index: int) -> tuple[Sample, Sample]:
    category = wanted[index % len(wanted)] if wanted else None
    pair = stream.pair(index, category)
    return pair.defect, pair.twin
