"""One training run of a perception network, from a TOML file to checkpoints and logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import nn

from retoucher.data.corrections import correct_labels
from retoucher.data.landmarks import attach_landmarks
from retoucher.data.open import FORMATS, Format, open_dataset
from retoucher.data.ours import read_pool
from retoucher.data.sample import Sample
from retoucher.data.synthetic.stream import SyntheticStream, ViewSettings
from retoucher.errors import ConfigError, InputError
from retoucher.evaluation.perception import truth_map
from retoucher.imaging import atomic
from retoucher.perception.compact import CompactConfig, build_compact, load_imagenet_trunk
from retoucher.perception.efficientnet_lite import EfficientNetLite
from retoucher.perception.network import DistortionSaliencyNet
from retoucher.perception.paper import PaperConfig, build_paper
from retoucher.tables import from_table, read_table
from retoucher.train.batches import BatchSettings, BatchSource, Group, in_memory
from retoucher.train.checkpoint import load_checkpoint
from retoucher.train.extras import need
from retoucher.train.imagenet import imagenet_file
from retoucher.train.logs import CsvLog, RunLog, TensorBoardLog
from retoucher.train.losses import LossSettings
from retoucher.train.perception import Ending, Report, Schedule, Trainer, Watch, start_run
from retoucher.train.placement import placement
from retoucher.train.prompts import PretrainedTokenizer, PromptTokenizer
from retoucher.train.split import held_out
from retoucher.train.style import mix_styles

PRESETS = ("compact", "paper")
RECIPE = "recipe.toml"
"""Copy of the recipe in the folder of its run."""

_POOLS: Mapping[str, tuple[str, ...]] = {
    "photos": ("photo",),
    "generated": ("t2i-mostly-clean",),
}
"""Kinds that take some pictures of a pool only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupSettings:
    """A data set and its share of the batches.

    Attributes:
        folder: of the data, or its annotation file.
        kind: "photos" (clean pictures of a pool), "generated" (mostly clean pictures of a generator
            in a pool; share 0, as nobody checked them), "hand_signs", or a format that `retouch
            data` reads; a part of a labelled set ("labels" and the published ones) is held out.
        share: of the batches, relative to the other groups; a group of share 0 serves synthetic
            pairs only.
        skip_sources: sources to leave out whose name contains one of these.
        skip_ids: samples to leave out whose id ends with one of these.
        landmarks: file of detected landmarks, by which synthetic defects are placed; "": none.
        corrections: file of labels added and dropped (`retoucher.data.corrections`); "": none.
        hold_out: keeps `validation_share` of a labelled set for validation; off, all is learnt.
        pictures, fields: folder of pictures and field map, for formats that need them; "": none.
        in_memory: holds all pictures in memory; off, each is read when it is drawn.
    """

    folder: str
    kind: str = "labels"
    share: float = 1.0
    skip_sources: tuple[str, ...] = ()
    skip_ids: tuple[str, ...] = ()
    landmarks: str = ""
    corrections: str = ""
    hold_out: bool = True
    pictures: str = ""
    fields: str = ""
    in_memory: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training run.

    Attributes:
        out: folder of checkpoints and logs.
        groups: tables of `GroupSettings` by name.
        preset: "compact" or "paper".
        seed: decides all randomness.
        threads: of the CPU.
        device: "cpu", or "auto" for what Accelerate finds.
        workers: threads that draw batches ahead.
        imagenet: published weights of the compact trunk to start from; "installed": those of the
            package that extra `train` brings; "" with `start`.
        start: checkpoint of an earlier run whose averaged weights to start from.
        stop_at: step after which to stop before the schedule's end; 0: none.
        validation_share, validation_seed: of each labelled group, held out.
        long_side_px: at which validation shows pictures.
        prompt_tokens: to which preset `paper` cuts prompts.
        tensorboard: also logs for TensorBoard.
        network: of preset `compact`.
        paper: of preset `paper`.
        batch, losses, schedule: see their classes.
    """

    out: str
    groups: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    preset: str = "compact"
    seed: int = 0
    threads: int = 1
    device: str = "cpu"
    workers: int = 1
    imagenet: str = ""
    start: str = ""
    stop_at: int = 0
    validation_share: float = 0.12
    validation_seed: int = 0
    long_side_px: int = 512
    prompt_tokens: int = 64
    tensorboard: bool = False
    network: CompactConfig = field(default_factory=CompactConfig)
    paper: PaperConfig = field(default_factory=PaperConfig)
    batch: BatchSettings = field(default_factory=BatchSettings)
    losses: LossSettings = field(default_factory=LossSettings)
    schedule: Schedule = field(default_factory=Schedule)

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ConfigError(f"preset is one of {', '.join(PRESETS)}, got {self.preset!r}")
        if min(self.threads, self.workers, self.prompt_tokens) < 1:
            raise ConfigError("threads, workers and prompt_tokens are at least 1")
        if not 0.0 <= self.validation_share < 1.0:
            raise ConfigError(f"validation_share lies in [0, 1), got {self.validation_share}")
        shape = self.paper.network if self.preset == "paper" else self.network.network
        if shape.decoder_stride != self.batch.stride:
            raise ConfigError(
                f"batch.stride is {self.batch.stride}, but the network's decoder_stride is "
                f"{shape.decoder_stride}; they must be the same"
            )
        if bool(shape.score_heads) != bool(self.losses.score):
            raise ConfigError(
                f"score_heads is {list(shape.score_heads)} and losses.score {self.losses.score:g}: "
                "heads learn by that loss alone, so set both or neither"
            )
        if self.preset == "paper" and (self.schedule.frozen_levels or self.schedule.style_chance):
            raise ConfigError(
                "preset = 'paper' has no levels to freeze or restyle: set schedule.frozen_levels "
                "and schedule.style_chance to 0"
            )


class Model(NamedTuple):
    """A network, its pretrained parts, and its tokenizer."""

    net: DistortionSaliencyNet
    pretrained: nn.Module
    tokenizer: PromptTokenizer


def read_recipe(file: Path) -> Recipe:
    """The recipe in a TOML file.

    Raises:
        ConfigError: the file is missing or no TOML, or a setting is unknown or wrong.
    """
    recipe = from_table(Recipe, read_table(file), str(file))
    for name, table in recipe.groups.items():
        group_settings(table, f"{file}: groups.{name}")
    return recipe


def group_settings(table: Mapping[str, object], where: str) -> GroupSettings:
    """A group's settings, checked like all others."""
    settings = from_table(GroupSettings, table, where)
    known = [*_POOLS, "hand_signs", *FORMATS]
    if settings.kind not in known:
        raise ConfigError(f"{where}: kind is one of {', '.join(known)}, got {settings.kind!r}")
    return settings


def load_group(name: str, settings: GroupSettings, recipe: Recipe) -> tuple[Group, list[Sample]]:
    """The group's training samples, and those held out."""
    folder, kind = Path(settings.folder), settings.kind
    if not folder.exists():
        raise InputError(f"groups.{name}: {folder}: no such file or folder")
    if kind in _POOLS:
        samples = read_pool(folder, _POOLS[kind])
    else:
        samples = open_dataset(
            folder,
            cast("Format", "signs" if kind == "hand_signs" else kind),
            pictures=Path(settings.pictures) if settings.pictures else None,
            fields=Path(settings.fields) if settings.fields else None,
        )
    if settings.corrections:
        samples = correct_labels(samples, Path(settings.corrections))
    if settings.landmarks:
        samples = attach_landmarks(samples, Path(settings.landmarks))
    samples = [s for s in samples if not any(x in s.source for x in settings.skip_sources)]
    samples = [s for s in samples if not s.id.endswith(settings.skip_ids)]
    validation: list[Sample] = []
    labelled = kind not in _POOLS and kind not in ("hand_signs", "signs", "pool")
    if labelled and settings.hold_out:
        samples, validation = held_out(samples, recipe.validation_share, recipe.validation_seed)
    if settings.in_memory:
        samples, validation = in_memory(samples), in_memory(validation)
    return Group(name, samples, settings.share), validation


def load_groups(recipe: Recipe) -> tuple[list[Group], list[Sample]]:
    """All groups, and everything held out."""
    groups: list[Group] = []
    validation: list[Sample] = []
    for name, table in recipe.groups.items():
        group, held = load_group(name, group_settings(table, f"groups.{name}"), recipe)
        groups.append(group)
        validation += held
    return groups, validation


def build_model(recipe: Recipe) -> Model:
    """The recipe's network with the weights it starts from, before any training."""
    if recipe.preset == "paper":
        need("transformers", "preset = 'paper'")
        net = build_paper(recipe.paper)
        if recipe.start:
            net.load_state_dict(load_checkpoint(Path(recipe.start))["average"])
        tokenizer = PretrainedTokenizer(recipe.paper, recipe.prompt_tokens)
        encoders = [cast("nn.Module", x) for x in (net.image, net.text) if x is not None]
        return Model(net, nn.ModuleList(encoders), tokenizer)
    net = build_compact(recipe.network)
    initial_weights(net, recipe)
    trunk = net.image
    assert isinstance(trunk, EfficientNetLite)
    trunk.freeze(recipe.schedule.frozen_levels)
    if recipe.schedule.style_chance:
        mix_styles(trunk.levels, recipe.schedule.style_levels, recipe.schedule.style_chance)
    return Model(net, trunk, recipe.network.tokenizer)


def initial_weights(net: DistortionSaliencyNet, recipe: Recipe) -> None:
    """From an earlier run or from ImageNet."""
    if recipe.start:
        net.load_state_dict(load_checkpoint(Path(recipe.start))["average"])
    elif recipe.imagenet:
        load_imagenet_trunk(net, imagenet_file(recipe.imagenet, recipe.network.trunk))
    else:
        raise ConfigError("give `imagenet` (weights of the trunk) or `start` (an earlier run)")


def synthetic(groups: list[Group], recipe: Recipe) -> SyntheticStream | None:
    """Pairs made of the groups' own training pictures; None where the recipe wants none."""
    if not recipe.batch.pairs:
        return None
    samples = [s for group in groups for s in group.samples]
    view = ViewSettings(size_px=recipe.batch.crops.size_px)
    return SyntheticStream(samples, seed=recipe.seed, view=view)


def run_recipe(
    file: Path,
    *,
    report: Report,
    watch: Watch = lambda _done, _end, _figures: None,
    cancelled: Callable[[], bool] = lambda: False,
    restart: bool = False,
    stop_at: int | None = None,
) -> Ending:
    """Runs a recipe, or goes on with it where it stopped.

    Args:
        file: the TOML file.
        report: takes lines for people; only the first of several processes speaks.
        watch: told after every step.
        cancelled: asked before every step.
        restart: begins anew; what an earlier run left is moved to a folder beside it.
        stop_at: step to pause at, instead of the recipe's; None: the recipe's.

    Raises:
        ConfigError, InputError: the recipe or its data cannot be used.
        MissingDependencyError: the recipe asks for a package that is not installed.
    """
    recipe, written = read_recipe(file), file.read_bytes()
    place = placement(recipe.device, amp=recipe.schedule.amp)
    first = place.rank == 0
    say = report if first else _silent
    torch.set_num_threads(recipe.threads)
    cast("Any", torch).manual_seed(recipe.seed)
    folder = Path(recipe.out)
    if restart and first:
        set_aside(folder, say)
    place.agreed(0.0)  # nobody looks for a checkpoint before the first process has made way
    model = build_model(recipe)
    cast("Any", model.net).to(place.device, memory_format=torch.channels_last)
    groups, validation = _loaded(recipe, say)
    names = _score_names(model.net, groups)
    source = BatchSource(groups, recipe.batch, recipe.seed, synthetic(groups, recipe), names)
    trainer = Trainer(
        source=source,
        validation=validation,
        tokenizer=model.tokenizer,
        schedule=recipe.schedule,
        losses=recipe.losses,
        seed=recipe.seed,
        folder=folder,
        long_side_px=recipe.long_side_px,
        report=say,
        logs=_logs(recipe, folder) if first else (),
        watch=watch if first else _unwatched,
        placement=place,
        workers=recipe.workers,
    )
    run = start_run(model.net, model.pretrained, recipe.schedule)
    if trainer.resume(run):
        say(f"goes on at step {run.step}")
    if first:
        _keep_recipe(written, folder, say, resumed=run.step > 0)
    try:
        until = recipe.stop_at if stop_at is None else stop_at
        return trainer.train(run, until=until or None, cancelled=cancelled)
    finally:
        for log in trainer.logs:
            log.close()


def _score_names(net: DistortionSaliencyNet, groups: Sequence[Group]) -> tuple[str, ...]:
    """Of the network's score heads, each of which some picture must have."""
    known = {name for group in groups for s in group.samples for name in s.scores}
    missing = [name for name in net.config.score_heads if name not in known]
    if missing:
        has = f"they have {', '.join(sorted(known))}" if known else "they have none"
        raise ConfigError(f"score_heads: no picture has a score {', '.join(missing)} ({has})")
    return net.config.score_heads


def _loaded(recipe: Recipe, say: Report) -> tuple[list[Group], list[Sample]]:
    """All groups, and the pictures to validate on: none where none of them has a defect."""
    groups, validation = load_groups(recipe)
    counted = ", ".join(f"{g.name} {len(g.samples)}" for g in groups)
    say(f"pictures: {counted}; validation {len(validation)}")
    if any(truth_map(sample).any() for sample in validation):
        return groups, validation
    if recipe.schedule.patience:
        raise ConfigError("schedule.patience needs validation pictures with defects")
    say("note: no picture with a defect is held out, so there will be no best.ckpt")
    return groups, []


def trained(folder: Path) -> tuple[Recipe, Model]:
    """The network of a run's folder with its best weights, in evaluation mode, on the CPU.

    Raises:
        InputError: the folder is not that of a run that has validated.
    """
    file, best = folder / RECIPE, folder / "best.ckpt"
    if not file.is_file() or not best.is_file():
        raise InputError(f"{folder}: holds no run with {RECIPE} and {best.name}")
    recipe = read_recipe(file)
    if recipe.preset == "paper":
        model = build_model(recipe)
    else:
        net = build_compact(recipe.network)
        model = Model(net, cast("nn.Module", net.image), recipe.network.tokenizer)
    model.net.load_state_dict(load_checkpoint(best)["average"])
    model.net.eval()
    return recipe, model


def set_aside(folder: Path, report: Report) -> None:
    """Moves an earlier run's folder out of the way, to the first free NAME.old-N."""
    if not folder.exists():
        return
    number = 1
    while (aside := folder.with_name(f"{folder.name}.old-{number}")).exists():
        number += 1
    folder.rename(aside)
    report(f"the earlier run is now {aside}")


def _logs(recipe: Recipe, folder: Path) -> list[RunLog]:
    logs: list[RunLog] = [CsvLog(folder)]
    if recipe.tensorboard:
        logs.append(TensorBoardLog(folder))
    return logs


def _keep_recipe(written: bytes, folder: Path, report: Report, *, resumed: bool) -> None:
    """A copy in the run's folder, so that its checkpoints can be used without asking for it."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / RECIPE
    if resumed and kept.exists() and kept.read_bytes() != written:
        report("note: the recipe is not the one this run went on with so far")
    atomic.write_bytes(kept, written)


def _silent(_line: str) -> None:
    pass


def _unwatched(_done: int, _end: int, _figures: Mapping[str, float]) -> None:
    pass
