"""Trains the compact perception network: `python recipes/perception.py recipes/NAME.toml`.

Stops and goes on exactly where it stopped. Writes last.ckpt, best.ckpt and CSV logs to the folder
`out`; `recipes/perception_export.py` turns best.ckpt into what ships.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

import torch

from retoucher.data.landmarks import attach_landmarks
from retoucher.data.ours import read_hand_signs, read_labels, read_pool
from retoucher.data.sample import Sample
from retoucher.data.synthetic.stream import SyntheticStream, ViewSettings
from retoucher.errors import ConfigError, RetoucherError
from retoucher.perception.compact import CompactConfig, build_compact, load_imagenet_trunk
from retoucher.perception.efficientnet_lite import EfficientNetLite
from retoucher.perception.network import DistortionSaliencyNet
from retoucher.train.batches import BatchSettings, BatchSource, Group, in_memory
from retoucher.train.checkpoint import load_checkpoint
from retoucher.train.losses import LossSettings
from retoucher.train.perception import Schedule, Trainer, start_run
from retoucher.train.settings import read_settings
from retoucher.train.split import held_out
from retoucher.train.style import mix_styles


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """A folder of samples and its share of the batches.

    Attributes:
        folder: of the data.
        kind: "labels", "photos" (clean pictures of a pool), "generated" (mostly clean pictures of
            a generator in a pool; share 0, as nobody checked them) or "hand_signs".
        share: of the batches, relative to the other groups; a group of share 0 serves synthetic
            pairs only.
        skip_sources: sources to leave out whose name contains one of these.
        landmarks: file of detected landmarks, by which synthetic defects are placed; "": none.
    """

    folder: str
    kind: str = "labels"
    share: float = 1.0
    skip_sources: tuple[str, ...] = ()
    landmarks: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training run.

    Attributes:
        out: folder of checkpoints and logs.
        seed: decides all randomness.
        threads: of the CPU.
        device: "cpu" or a GPU's name.
        imagenet: published weights of the trunk to start from; "" with `start`.
        start: checkpoint of an earlier run whose averaged weights to start from.
        stop_at: step after which to stop before the schedule's end; 0: none.
        validation_share, validation_seed: of each labelled group, held out.
        long_side_px: at which validation shows pictures.
    """

    out: str
    groups: dict[str, dict[str, object]] = field(default_factory=dict)
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    imagenet: str = ""
    start: str = ""
    stop_at: int = 0
    validation_share: float = 0.12
    validation_seed: int = 0
    long_side_px: int = 512
    network: CompactConfig = field(default_factory=CompactConfig)
    batch: BatchSettings = field(default_factory=BatchSettings)
    losses: LossSettings = field(default_factory=LossSettings)
    schedule: Schedule = field(default_factory=Schedule)


def load_group(name: str, settings: GroupSettings, recipe: Recipe) -> tuple[Group, list[Sample]]:
    """The group's training samples in memory, and those held out."""
    folder = Path(settings.folder)
    readers = {
        "photos": read_photos,
        "generated": read_generated,
        "labels": read_labels,
        "hand_signs": read_hand_signs,
    }
    if settings.kind not in readers:
        raise ConfigError(f"groups.{name}: kind is one of {', '.join(readers)}")
    samples = readers[settings.kind](folder)
    if settings.landmarks:
        samples = attach_landmarks(samples, Path(settings.landmarks))
    samples = [s for s in samples if not any(x in s.source for x in settings.skip_sources)]
    validation: list[Sample] = []
    if settings.kind == "labels":
        samples, validation = held_out(samples, recipe.validation_share, recipe.validation_seed)
    return Group(name, in_memory(samples), settings.share), in_memory(validation)


def read_photos(folder: Path) -> list[Sample]:
    """The photographs of a pool."""
    return read_pool(folder, ("photo",))


def read_generated(folder: Path) -> list[Sample]:
    """The pictures of a pool that a generator made mostly right."""
    return read_pool(folder, ("t2i-mostly-clean",))


def initial_weights(net: DistortionSaliencyNet, recipe: Recipe) -> None:
    """From an earlier run or from ImageNet."""
    if recipe.start:
        net.load_state_dict(load_checkpoint(Path(recipe.start))["average"])
    elif recipe.imagenet:
        load_imagenet_trunk(net, Path(recipe.imagenet))
    else:
        raise ConfigError("give `imagenet` (weights of the trunk) or `start` (an earlier run)")


def synthetic(groups: list[Group], recipe: Recipe) -> SyntheticStream | None:
    """Pairs made of the groups' own training pictures; None where the recipe wants none."""
    if not recipe.batch.pairs:
        return None
    samples = [s for group in groups for s in group.samples]
    view = ViewSettings(size_px=recipe.batch.crops.size_px)
    return SyntheticStream(samples, seed=recipe.seed, view=view)


def main(file: Path) -> None:
    """Runs or resumes the recipe in a TOML file."""
    recipe = read_settings(file, Recipe)
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    net = build_compact(recipe.network)
    initial_weights(net, recipe)
    trunk = net.image
    assert isinstance(trunk, EfficientNetLite)
    trunk.freeze(recipe.schedule.frozen_levels)
    if recipe.schedule.style_chance:
        mix_styles(trunk.levels, recipe.schedule.style_levels, recipe.schedule.style_chance)
    groups: list[Group] = []
    validation: list[Sample] = []
    for name, table in recipe.groups.items():
        group, held = load_group(name, group_settings(table, f"{file}: groups.{name}"), recipe)
        groups.append(group)
        validation += held
    print({g.name: len(g.samples) for g in groups}, "validation", len(validation), flush=True)
    trainer = Trainer(
        source=BatchSource(groups, recipe.batch, recipe.seed, synthetic(groups, recipe)),
        validation=validation,
        tokenizer=recipe.network.tokenizer,
        schedule=recipe.schedule,
        losses=recipe.losses,
        seed=recipe.seed,
        folder=Path(recipe.out),
        long_side_px=recipe.long_side_px,
        report=lambda line: print(line, flush=True),
        device=recipe.device,
    )
    run = start_run(net, trunk, recipe.schedule)
    if trainer.resume(run):
        print(f"goes on at step {run.step}", flush=True)
    trainer.train(run, until=recipe.stop_at or None)


def group_settings(table: dict[str, object], where: str) -> GroupSettings:
    """A group's settings, checked like all others."""
    from retoucher.train.settings import from_table

    return from_table(table, GroupSettings, where)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except (RetoucherError, IndexError) as error:
        sys.exit(f"perception: {error or __doc__}")
