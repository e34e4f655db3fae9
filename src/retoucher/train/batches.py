"""Batches for the perception network, drawn so that step k is the same after any restart.

Every batch comes from a generator seeded by (seed, step), never from a running state: an
interrupted run resumed at step k sees what the uninterrupted one would have seen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from retoucher.data.sample import FloatArray, LabelledRegion, Sample
from retoucher.data.synthetic.make import SyntheticPair
from retoucher.data.targets import TargetSettings, saliency_target
from retoucher.errors import ConfigError
from retoucher.perception.tensors import to_tensor
from retoucher.train.augment import AugmentSettings, augment
from retoucher.train.crops import CropSettings, draw_crop
from retoucher.train.losses import Parts
from retoucher.train.transplant import DonorBank, TransplantSettings, transplant


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSettings:
    """What a batch is made of.

    Attributes:
        size: pictures in a batch.
        stride: pixels per cell of the target map.
        pairs: synthetic pairs in a batch, a defect and its clean twin each; the rest is real.
        source_balance: 0 draws every picture alike, 1 every source alike.
        prompt_dropout: share of samples shown without their prompt.
    """

    size: int = 8
    pairs: int = 0
    stride: int = 8
    source_balance: float = 0.3
    prompt_dropout: float = 0.5
    crops: CropSettings = field(default_factory=CropSettings)
    transplant: TransplantSettings = field(default_factory=TransplantSettings)
    augment: AugmentSettings = field(default_factory=AugmentSettings)
    target: TargetSettings = field(default_factory=TargetSettings)

    def __post_init__(self) -> None:
        if not 0 <= 2 * self.pairs <= self.size:
            raise ConfigError(f"{self.pairs} pairs do not fit into a batch of {self.size}")


class PairStream(Protocol):
    """Synthetic pairs by index; see `retoucher.data.synthetic.stream.SyntheticStream`.

    Their pictures are squares of the crops' size, already augmented.
    """

    def pair(self, index: int, category: str | None = None) -> SyntheticPair: ...


class Group(NamedTuple):
    """Samples that are drawn from with one share of the batches."""

    name: str
    samples: Sequence[Sample]
    share: float


class Batch(NamedTuple):
    """`image_bchw` in [-1, 1] with 0 on padding, `valid_bhw` at the picture's size, the target and
    its validity at the map's, labelled parts, the prompts shown, and the true scores `scores_bn` in
    the order asked for, NaN where a picture has none."""

    image_bchw: Tensor
    valid_bhw: Tensor
    truth_bhw: Tensor
    truth_valid_bhw: Tensor
    parts: Parts
    prompts: tuple[str, ...]
    scores_bn: Tensor


class BatchSource:
    """Draws batches from groups of samples held in memory; `score_names` says which scores of
    them, and in what order.

    Raises:
        ConfigError: no samples, or no group with a share, or no stream for the pairs wanted.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        settings: BatchSettings,
        seed: int,
        stream: PairStream | None = None,
        score_names: Sequence[str] = (),
    ) -> None:
        if settings.pairs and stream is None:
            raise ConfigError("batches with synthetic pairs need a stream of them")
        self._groups = [g for g in groups if g.samples and g.share > 0]
        if not self._groups:
            raise ConfigError("there is nothing to train on: every group is empty or has share 0")
        shares = np.array([g.share for g in self._groups], np.float64)
        self._shares = shares / shares.sum()
        self._weights = [_weights(g.samples, settings.source_balance) for g in self._groups]
        self._settings = settings
        self._seed = seed
        self._stream = stream
        self._score_names = tuple(score_names)
        self._bank = DonorBank(s for g in self._groups for s in g.samples)

    def batch(self, step: int) -> Batch:
        """The batch of this step; the same for the same seed and step."""
        rng = np.random.default_rng((self._seed, step))
        rows = [self._row(rng) for _ in range(self._settings.size - 2 * self._settings.pairs)]
        for i in range(self._settings.pairs):
            assert self._stream is not None
            pair = self._stream.pair(step * self._settings.pairs + i)
            # Both with the prompt or both without: it must not tell them apart.
            seen = rng.random() >= self._settings.prompt_dropout
            rows += [replace(s, prompt=s.prompt if seen else "") for s in (pair.defect, pair.twin)]
        return collate(rows, self._settings, self._score_names)

    def _row(self, rng: np.random.Generator) -> Sample:
        settings = self._settings
        which = int(rng.choice(len(self._groups), p=self._shares))
        group, weights = self._groups[which], self._weights[which]
        sample = group.samples[int(rng.choice(len(group.samples), p=weights))]
        crop = draw_crop(sample, settings.crops, rng)
        if settings.transplant.swap or settings.transplant.bend:
            crop = transplant(crop, self._bank, settings.transplant, rng)
        prompt = "" if rng.random() < settings.prompt_dropout else sample.prompt
        picture = augment(crop.load_rgb(), settings.augment, rng)
        return replace(crop, picture=picture, prompt=prompt)


def in_memory(samples: Sequence[Sample]) -> list[Sample]:
    """The same samples with their pictures loaded."""
    return [replace(s, picture=s.load_rgb()) for s in samples]


def collate(
    rows: Sequence[Sample], settings: BatchSettings, score_names: Sequence[str] = ()
) -> Batch:
    """Pads crops to the batch's size at the right and bottom, and makes targets and parts."""
    side, stride = settings.crops.size_px, settings.stride
    cells = side // stride
    images = np.zeros((len(rows), 3, side, side), np.float32)
    valid = np.zeros((len(rows), side, side), np.float32)
    truth = np.zeros((len(rows), cells, cells), np.float32)
    truth_valid = np.zeros((len(rows), cells, cells), np.float32)
    picture_n: list[int] = []
    covers: list[FloatArray] = []
    defective: list[bool] = []
    for i, row in enumerate(rows):
        h, w = row.height, row.width
        images[i, :, :h, :w] = row.load_rgb().transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
        valid[i, :h, :w] = 1
        ch, cw = max(1, h // stride), max(1, w // stride)
        truth[i, :ch, :cw] = saliency_target(row, (ch, cw), settings.target)
        truth_valid[i, :ch, :cw] = 1
        for label in (*row.regions, *row.clean_parts):
            bad = isinstance(label, LabelledRegion)
            if bad and label.severity == 1:
                continue
            picture_n.append(i)
            covers.append(_cover(label.box.as_xyxy(), cells, stride))
            defective.append(bad)
    parts = Parts(
        torch.tensor(picture_n, dtype=torch.int64),
        to_tensor(np.stack(covers) if covers else np.zeros((0, cells, cells), np.float32)),
        torch.tensor(defective, dtype=torch.bool),
    )
    return Batch(
        to_tensor(images).contiguous(memory_format=torch.channels_last),
        to_tensor(valid),
        to_tensor(truth),
        to_tensor(truth_valid),
        parts,
        tuple(row.prompt for row in rows),
        torch.tensor([[row.scores.get(name, math.nan) for name in score_names] for row in rows]),
    )


def _cover(xyxy: tuple[int, int, int, int], cells: int, stride: int) -> FloatArray:
    """Share of each cell that a box covers, float32 (cells, cells)."""
    starts = np.arange(cells) * stride
    x0, y0, x1, y1 = xyxy
    across = np.clip(np.minimum(starts + stride, x1) - np.maximum(starts, x0), 0, stride) / stride
    down = np.clip(np.minimum(starts + stride, y1) - np.maximum(starts, y0), 0, stride) / stride
    return np.outer(down, across).astype(np.float32)


def _weights(samples: Sequence[Sample], balance: float) -> np.ndarray:
    counts = Counter(s.source for s in samples)
    raw = np.array([counts[s.source] ** -balance for s in samples], np.float64)
    return raw / raw.sum()
