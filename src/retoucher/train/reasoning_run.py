"""One stage of a reasoner's training, from its recipe to an adapter folder; pauses and goes on.

What is exact: a run that paused and went on has the same weights as one that did not, on the same
machine with the same number of processes. Weights, optimiser, learning rate and the states of all
random generators are in transformers' checkpoint; the order of the samples follows from the step
(`reasoning_data.order`), and GRPO pauses only where all replies in hand are used up.
"""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, TrainerCallback

from retoucher.errors import ConfigError, InputError
from retoucher.imaging import atomic
from retoucher.reasoning.transformers_loading import TransformersSettings, load_processor
from retoucher.train.logs import CsvLog, RunLog, TensorBoardLog
from retoucher.train.perception import Ending, Report, Watch
from retoucher.train.reasoning import (
    FROM_BASE,
    ReasoningRecipe,
    Stage,
    read_reasoning_recipe,
    recipe_file,
)
from retoucher.train.reasoning_data import Row, read_rows
from retoucher.train.reasoning_export import Origin, export_adapter
from retoucher.train.reasoning_model import load_base
from retoucher.train.reasoning_trl import (
    grpo_config,
    grpo_trainer,
    sft_config,
    sft_trainer,
    start_folder,
)
from retoucher.train.recipe import RECIPE, set_aside

ADAPTER = "adapter"
"""Folder of the result, in the stage's folder."""

_LAST = "last.json"
"""Names the newest checkpoint that is whole; written after it."""


def run_reasoning(
    stage: Stage,
    source: str | Path,
    *,
    report: Report,
    watch: Watch = lambda _done, _end, _figures: None,
    cancelled: Callable[[], bool] = lambda: False,
    restart: bool = False,
    stop_at: int | None = None,
    make_processor: Callable[[TransformersSettings], Any] = load_processor,
) -> Ending:
    """Runs a stage, or goes on with it where it stopped; at its end the adapter is written.

    Args:
        stage: "sft" or "grpo".
        source: a TOML file, or the name of a preset.
        report: takes lines for people; only the first of several processes speaks.
        watch: told after every step, with the last figures logged; "total" is the loss (SFT) or
            the mean reward (GRPO).
        cancelled: asked after every step.
        restart: begins anew; what an earlier run left is moved to a folder beside it.
        stop_at: step to pause after; GRPO pauses at the next multiple of its iterations.
        make_processor: gives the model's processor from settings with folders.

    Raises:
        ConfigError, InputError: the recipe, its data or its adapter cannot be used.
        MissingDependencyError: the recipe asks for a package that is not installed.
    """
    file = recipe_file(source)
    recipe = read_reasoning_recipe(file)
    folder = Path(recipe.out) / stage
    torch.set_num_threads(recipe.threads)
    args = _arguments(stage, recipe, folder)
    first = args.process_index == 0
    say: Report = report if first else _silent
    with args.main_process_first(local=False):
        if first:
            if restart:
                set_aside(folder, say)
            _keep_recipe(file.read_bytes(), folder, say)
            _drop_unfinished(folder)
        if recipe.tiny:
            from retoucher.train.tiny_vlm import load_tiny_processor, tiny_recipe

            recipe, make_processor = tiny_recipe(recipe), load_tiny_processor
    rows = read_rows(Path(recipe.data), stage)
    say(f"samples: {len(rows)}; processes: {args.world_size}; device: {args.device}")
    trainer, origin = _trainer(stage, recipe, args, rows, make_processor)
    keeper = _Keeper(
        stage, folder, _logs(recipe, folder) if first else [], watch if first else None, cancelled
    )
    keeper.pause_at, keeper.every = stop_at, recipe.grpo.iterations if stage == "grpo" else 1
    _train(trainer, keeper, last_checkpoint(folder), say)
    if trainer.state.global_step >= trainer.state.max_steps:
        trainer.save_model(str(folder / ".adapter"))  # on every process, as sharded weights need
        if first:
            export_adapter(folder / ".adapter", folder / ADAPTER, origin)
            say(f"adapter: {folder / ADAPTER}")
        return "finished"
    return "cancelled" if keeper.was_cancelled else "paused"


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a stage's folder.

    Raises:
        InputError: what names it is damaged, or it is not there.
    """
    try:
        name = json.loads((folder / _LAST).read_text("utf-8"))["checkpoint"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{folder / _LAST}: cannot be read; use --restart ({error})") from error
    checkpoint = folder / Path(str(name)).name
    if not (checkpoint / "trainer_state.json").is_file():
        raise InputError(f"{checkpoint}: the checkpoint is gone; use --restart")
    return checkpoint


class _Keeper(TrainerCallback):
    """Notes whole checkpoints and figures, and stops where it should."""

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        logs: list[RunLog],
        watch: Watch | None,
        cancelled: Callable[[], bool],
    ) -> None:
        self.was_cancelled = False
        self.pause_at: int | None = None
        self.every = 1
        self._figure = "loss" if stage == "sft" else "reward"
        self._folder, self.logs, self._watch = folder, logs, watch
        self._cancelled = cancelled
        self._columns: list[str] | None = None
        self._figures: dict[str, float] = {"total": math.nan}

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Asks whether to stop; the first process decides for all."""
        self._tell(state)
        self.was_cancelled = _agreed(self._cancelled(), args.device)
        due = self.pause_at is not None and state.global_step >= self.pause_at
        if (due or self.was_cancelled) and state.global_step % self.every == 0:
            control.should_save = control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Now the checkpoint is whole in every process."""
        _agreed(False, args.device)
        if state.is_world_process_zero:
            name = f"checkpoint-{state.global_step}"
            atomic.write_bytes(self._folder / _LAST, json.dumps({"checkpoint": name}).encode())

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any
    ) -> None:
        """A row of figures; the summary at the end is none."""
        if logs is None or "loss" not in logs:
            return
        # TRL's count of tokens begins anew when a run goes on.
        self._columns = self._columns or [name for name in logs if name != "num_tokens"]
        row = {"step": float(state.global_step)}
        row |= {name: _number(logs.get(name)) for name in self._columns}
        for log in self.logs:
            log.write("training", row)
        self._figures = {**row, "total": _number(logs.get(self._figure))}
        self._tell(state)

    def _tell(self, state: Any) -> None:
        if self._watch is not None:
            self._watch(state.global_step, state.max_steps, self._figures)


def _arguments(stage: Stage, recipe: ReasoningRecipe, folder: Path) -> Any:
    """TRL's settings of the stage; with them, processes that were launched together find each
    other.
    """
    args: Any = (sft_config if stage == "sft" else grpo_config)(recipe, folder)
    launched = int(os.environ.get("WORLD_SIZE", "1"))
    if args.world_size != launched:
        raise ConfigError(f"{launched} processes were launched, but {args.world_size} run here")
    return args


def _train(trainer: Any, keeper: _Keeper, last: Path | None, report: Report) -> None:
    """Trains to the end or to where the keeper stops, from a checkpoint where there is one."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(keeper)
    if last is not None:
        report(f"goes on at step {_step(last)}")
    for log in keeper.logs:
        log.rewind(_step(last) if last else 0)
    try:
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    finally:
        for log in keeper.logs:
            log.close()


def _trainer(
    stage: Stage,
    recipe: ReasoningRecipe,
    args: Any,
    rows: list[Row],
    make_processor: Callable[[TransformersSettings], Any],
) -> tuple[Any, Origin]:
    """The stage's trainer, and what its adapter's card will say."""
    if stage == "grpo" and recipe.grpo.start != FROM_BASE and not start_folder(recipe).is_dir():
        raise InputError(
            f"{start_folder(recipe)}: no such adapter; run `retouch train sft` to its end first, "
            'or set grpo.start to an adapter\'s folder or "base"'
        )
    base = load_base(recipe)
    processor = make_processor(base.settings)
    make: Any = sft_trainer if stage == "sft" else grpo_trainer
    origin = Origin(stage=stage, recipe=recipe, samples=len(rows), commit=base.commit)
    return make(recipe, args, rows, base, processor), origin


def _logs(recipe: ReasoningRecipe, folder: Path) -> list[RunLog]:
    logs: list[RunLog] = [CsvLog(folder)]
    if recipe.tensorboard:
        logs.append(TensorBoardLog(folder))
    return logs


def _drop_unfinished(folder: Path) -> None:
    """Removes checkpoints after the newest whole one, which a crash may have left half."""
    last = last_checkpoint(folder)
    for checkpoint in folder.glob("checkpoint-*"):
        if last is None or _step(checkpoint) > _step(last):
            shutil.rmtree(checkpoint)


def _keep_recipe(written: bytes, folder: Path, report: Report) -> None:
    """A copy in the stage's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    kept = folder / RECIPE
    if kept.exists() and kept.read_bytes() != written:
        report("note: the recipe is not the one this run went on with so far")
    atomic.write_bytes(kept, written)


def _agreed(value: bool, device: torch.device) -> bool:
    """The first process's value, in every process."""
    if not torch.distributed.is_initialized():
        return value
    held = torch.tensor([value], dtype=torch.int32, device=device)
    torch.distributed.broadcast(held, src=0)
    return bool(held)


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else math.nan


def _silent(_line: str) -> None:
    pass
