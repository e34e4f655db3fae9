"""The runs of the benchmark in a folder: what is there is not computed again."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch

from retoucher.errors import InputError
from retoucher.evaluation.wording import Encoder
from retoucher.imaging.atomic import write_bytes
from strategies.figures import STRATEGIES
from strategies.language import Words, cut, load_smollm2, require_packages
from strategies.model import ModelSettings, SmallVlm
from strategies.places import Places, Split, collect, read_places, write_places
from strategies.training import (
    Material,
    Recipe,
    Report,
    answers,
    standardised,
    train_base,
    train_grpo,
    train_sft,
    training_texts,
)

LAYERS = (0, 1, 28, 29)
"""Of SmolLM2's 30: the first and the last six. Any such cut has to be healed; of those tried it
was the one that left the least loss on the training descriptions."""
BASE_SEED = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One strategy at one seed.

    Attributes:
        strategy: of `STRATEGIES`.
        seed: of its training; -1 for zero-shot, which has none.
        replies: to the places of the scored split, in their order.
        log: of the training.
        cpu_s, wall_s: of this stage alone.
    """

    strategy: str
    seed: int
    replies: tuple[str, ...]
    log: tuple[Any, ...]
    cpu_s: float
    wall_s: float


def planned(seeds: Sequence[int]) -> list[tuple[str, int]]:
    """All runs in order: a seed is finished before the next begins.

    >>> planned([4])
    [('zero-shot', -1), ('sft', 4), ('sft+grpo', 4), ('grpo', 4)]
    """
    return [("zero-shot", -1), *((s, seed) for seed in seeds for s in ("sft", "sft+grpo", "grpo"))]


class Experiment:
    """Trains and keeps everything in a folder.

    Args:
        folder: made where it is missing.
        recipe: of all training; a folder holds runs of one recipe.
        settings: of the model.
        encoder: of the description reward.
        split: whose places are answered, "test" or, to choose a recipe, "validation".
        report: is told how far it is.

    Raises:
        InputError: the folder holds runs of another recipe.
    """

    def __init__(
        self,
        folder: Path,
        recipe: Recipe,
        settings: ModelSettings,
        encoder: Encoder,
        split: Split,
        report: Report,
    ) -> None:
        require_packages()
        folder.mkdir(parents=True, exist_ok=True)
        chosen = {**asdict(recipe), **asdict(settings), "layers": LAYERS, "reward": encoder.name}
        text = json.dumps(chosen, indent=1)
        file = folder / "recipe.json"
        if not file.exists():
            write_bytes(file, text.encode())
        elif file.read_text("utf-8") != text:
            raise InputError(f"{folder}: holds runs of another recipe; choose another --out")
        self.folder, self.recipe, self.settings = folder, recipe, settings
        self.encoder, self.split, self.report = encoder, split, report
        self._material: Material | None = None

    def places(self, train: Path, test: Path, pool: Path, threads: int) -> Places:
        """All places; their features are computed at the first call."""
        file = self.folder / "places.npz"
        if not file.exists():
            self.report("looking at every place (about eight minutes on one core)")
            write_places(collect(train, test, pool, threads), file)
        return read_places(file)

    def run(self, strategy: str, seed: int, places: Places) -> Run:
        """A run, out of its file where it has one."""
        assert strategy in STRATEGIES
        file = self._file(strategy, seed)
        if file.exists():
            return read_run(file)
        material = self._materials(places)
        wall, cpu = time.monotonic(), time.process_time()
        model, log = self._trained(strategy, seed, material)
        cpu_s, wall_s = time.process_time() - cpu, time.monotonic() - wall
        replies = answers(model, material, places.rows(self.split), self.recipe)
        run = Run(
            strategy=strategy,
            seed=seed,
            replies=tuple(replies),
            log=tuple(log),
            cpu_s=round(cpu_s, 1),
            wall_s=round(wall_s, 1),
        )
        write_bytes(file, json.dumps(asdict(run), ensure_ascii=False, indent=1).encode())
        return run

    def finished(self, strategy: str, seed: int) -> Run | None:
        """A run that has its file."""
        file = self._file(strategy, seed)
        return read_run(file) if file.exists() else None

    def _file(self, strategy: str, seed: int) -> Path:
        name = strategy if seed < 0 else f"{strategy}-{seed}"
        return self.folder / f"{self.split}-{name}.json"

    def _trained(self, strategy: str, seed: int, material: Material) -> tuple[SmallVlm, list[Any]]:
        say: Report = lambda line: self.report(f"[{strategy} {seed}] {line}")  # noqa: E731
        if strategy == "zero-shot":
            return self._base(material), []
        if strategy == "sft":
            model = self._base(material)
            log: list[Any] = train_sft(model, material, self.recipe, seed, say)
            _save(model, self.folder / f"sft-{seed}.safetensors")
            return model, log
        if strategy == "grpo":
            model = self._base(material)
        else:
            model = self._blank(material)
            _load(model, self.folder / f"sft-{seed}.safetensors")
        return model, list(train_grpo(model, material, self.recipe, self.encoder, seed, say))

    def _materials(self, places: Places) -> Material:
        if self._material is None:
            if not (self.folder / "base.json").exists():
                self._make_base(places)
            self._material = self._read_material(places)
        return self._material

    def _read_material(self, places: Places) -> Material:
        from transformers import AutoTokenizer

        kept = json.loads((self.folder / "base.json").read_text("utf-8"))
        tokenizer = cast("Any", AutoTokenizer).from_pretrained(str(self.folder / "tokenizer"))
        words = Words.of_ids(tokenizer, kept["token_ids"])
        x_nd = torch.from_numpy(standardised(places))
        return Material(places=places, x_nd=x_nd, words=words)

    def _make_base(self, places: Places) -> None:
        """Cuts SmolLM2, aligns it, keeps it; base.json comes last."""
        whole, tokenizer = load_smollm2()
        words = Words.of(tokenizer, training_texts(places))
        x_nd = torch.from_numpy(standardised(places))
        material = Material(places=places, x_nd=x_nd, words=words)
        torch.manual_seed(BASE_SEED)
        model = SmallVlm(cut(whole, LAYERS, words.token_ids), x_nd.shape[1], self.settings)
        del whole
        train_base(model, material, self.recipe, BASE_SEED, self.report)
        tokenizer.save_pretrained(str(self.folder / "tokenizer"))
        _save(model, self.folder / "base.safetensors")
        kept = {"token_ids": words.token_ids, "config": model.lm.config.to_dict()}
        write_bytes(self.folder / "base.json", json.dumps(kept, default=str).encode())

    def _base(self, material: Material) -> SmallVlm:
        model = self._blank(material)
        _load(model, self.folder / "base.safetensors")
        return model

    def _blank(self, material: Material) -> SmallVlm:
        from transformers import LlamaConfig, LlamaForCausalLM

        kept = json.loads((self.folder / "base.json").read_text("utf-8"))
        lm = cast("Any", LlamaForCausalLM)(LlamaConfig(**kept["config"]))
        return SmallVlm(lm, material.x_nd.shape[1], self.settings).eval()


def read_run(file: Path) -> Run:
    """A run out of its file.

    Raises:
        InputError: the file holds something else.
    """
    try:
        stored = json.loads(file.read_text("utf-8"))
        return Run(**{k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()})
    except (ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: holds no run ({error}); delete it to make it anew") from None


def _save(model: SmallVlm, file: Path) -> None:
    """Whole or not at all."""
    from safetensors.torch import save_model

    beside = file.with_suffix(".part")
    save_model(model, str(beside))
    beside.replace(file)


def _load(model: SmallVlm, file: Path) -> None:
    from safetensors.torch import load_model

    load_model(model, str(file))


Clock = Callable[[], float]


def go_on(
    experiment: Experiment, places: Places, seeds: Sequence[int], minutes: float, clock: Clock
) -> bool:
    """Makes the runs that are missing; False where the minutes were over before the last one."""
    start = clock()
    for strategy, seed in planned(seeds):
        if experiment.finished(strategy, seed) is None:
            if clock() - start > 60 * minutes:
                return False
            run = experiment.run(strategy, seed, places)
            experiment.report(f"[{strategy} {seed}] {run.cpu_s:.0f} s of CPU, {run.wall_s:.0f} s")
    return True
