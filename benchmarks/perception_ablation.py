"""The paper's ablation at small scale: attention refinement and the KLD term, on and off.

    python benchmarks/perception_ablation.py recipes/perception_ablation.toml OUT_DIR
        [--seeds 3] [--minutes M]

Each configuration trains once per seed on the recipe's data with the paper's loss alone, on a trunk
that does not learn, and is scored on the recipe's held-out pictures. Those of one seed see the same
batches, so both batches and trunk are computed once for all four.
Prints mean and spread (sample standard deviation over seeds), and the difference from the full
network, paired by seed. A difference within its spread says nothing.

`--minutes` stops at the next checkpoint after so long; what is done stays in OUT_DIR, and the same
command goes on there.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from retoucher.data.sample import Sample
from retoucher.errors import RetoucherError
from retoucher.perception.efficientnet_lite import EfficientNetLite
from retoucher.train.batches import Batch, BatchSource, Group
from retoucher.train.losses import LossSettings
from retoucher.train.perception import Run, Trainer, start_run, validate
from retoucher.train.recipe import Recipe, build_model, load_groups, read_recipe

METRICS = ("auc_judd", "nss", "cc", "sim", "kld", "parts")


class Configuration(NamedTuple):
    name: str
    refinement: bool
    kld: bool


CONFIGURATIONS = (
    Configuration("full", True, True),
    Configuration("without refinement", False, True),
    Configuration("without KLD", True, False),
    Configuration("without both", False, False),
)


CHUNK = 25
"""Steps after which the configurations of a seed take turns."""


class SharedSource:
    """Batches drawn once for all configurations; those of the chunk at hand are remembered."""

    def __init__(self, source: BatchSource) -> None:
        self._source = source
        self._held: dict[int, Batch] = {}
        self._lock = threading.Lock()

    def batch(self, step: int) -> Batch:
        with self._lock:
            if step not in self._held:
                self._held[step] = self._source.batch(step)
            return self._held[step]

    def forget(self, before: int) -> None:
        with self._lock:
            self._held = {k: v for k, v in self._held.items() if k >= before}


class SharedTrunk(nn.Module):
    """A trunk that does not learn: what it sees in a batch is computed once for all networks."""

    def __init__(self, trunk: EfficientNetLite) -> None:
        super().__init__()
        self.trunk = trunk
        self.channels = trunk.channels
        self._seen: dict[int, list[Tensor]] = {}

    def forward(self, image_bchw: Tensor) -> list[Tensor]:
        if not self.training:
            return self.trunk(image_bchw)
        key = image_bchw.data_ptr()  # the batch is held as long as this is
        if key not in self._seen:
            self._seen[key] = self.trunk(image_bchw)
        return self._seen[key]

    def forget(self) -> None:
        self._seen.clear()


def trained(
    recipe: Recipe,
    data: tuple[list[Group], list[Sample]],
    seed: int,
    out: Path,
    late: Callable[[], bool],
) -> dict[str, dict[str, float]] | None:
    """Figures of all configurations on the held-out pictures; None where time ran out."""
    groups, held = data
    source = SharedSource(BatchSource(groups, recipe.batch, seed))
    trunk: SharedTrunk | None = None
    turns: list[tuple[Configuration, Trainer, Run]] = []
    for configuration in CONFIGURATIONS:
        network = replace(recipe.network.network, refinement=configuration.refinement)
        wanted = replace(recipe, network=replace(recipe.network, network=network), seed=seed)
        torch.manual_seed(seed)
        net, own, tokenizer = build_model(wanted)
        if trunk is None:
            assert isinstance(own, EfficientNetLite)
            trunk = SharedTrunk(own)
        net.image = trunk
        trainer = Trainer(
            source=source,
            validation=(),
            tokenizer=tokenizer,
            schedule=recipe.schedule,
            losses=LossSettings(alpha=0.5 if configuration.kld else 1.0),
            seed=seed,
            folder=out / f"{configuration.name.replace(' ', '_')}_{seed}",
            long_side_px=recipe.long_side_px,
            report=lambda _line: None,
        )
        run = start_run(net, trunk, trainer.schedule)
        trainer.resume(run)
        turns.append((configuration, trainer, run))
    assert trunk is not None
    while (first := min(run.step for _, _, run in turns)) < recipe.schedule.steps:
        until = (first // CHUNK + 1) * CHUNK
        for _, trainer, run in turns:
            if run.step < until and trainer.train(run, until=until, cancelled=late) == "cancelled":
                return None
        trunk.forget()
        source.forget(until)
    return {
        configuration.name: figures_of(trainer, run, held) for configuration, trainer, run in turns
    }


def figures_of(trainer: Trainer, run: Run, held: Sequence[Sample]) -> dict[str, float]:
    """Measured once, and kept in the run's folder."""
    done = trainer.folder / "figures.json"
    if not done.exists():
        report, _ = validate(run.net, run.average, held, trainer.tokenizer, trainer.long_side_px)
        figures = {**report.saliency.scores.as_dict(), "parts": report.parts}
        done.write_text(json.dumps(figures), "utf-8")
    return json.loads(done.read_text("utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=float("inf"))
    options = parser.parse_args()
    started = time.monotonic()

    def late() -> bool:
        return time.monotonic() - started > 60 * options.minutes

    recipe = read_recipe(options.recipe)
    torch.set_num_threads(recipe.threads)
    data = load_groups(recipe)
    kept = options.out / "recipe.json"
    options.out.mkdir(parents=True, exist_ok=True)
    described = json.dumps(asdict(recipe), indent=2)
    if kept.exists() and kept.read_text("utf-8") != described:
        sys.exit(f"{options.out} holds runs of another recipe; give a new folder")
    kept.write_text(described, "utf-8")
    results: dict[str, list[dict[str, float]]] = {c.name: [] for c in CONFIGURATIONS}
    for seed in range(options.seeds):
        figures = trained(recipe, data, seed, options.out, late)
        if figures is None:
            sys.exit(f"paused at seed {seed}; the same command goes on")
        for name, row in figures.items():
            results[name].append(row)
            print(f"seed {seed} {name}: {row}", file=sys.stderr, flush=True)
    print(f"{len(data[0][0].samples)} pictures to learn from, {len(data[1])} held out\n")
    print_table(results, options.seeds)


def print_table(results: dict[str, list[dict[str, float]]], seeds: int) -> None:
    print(f"| {seeds} seeds | AUC-Judd | NSS | CC | SIM | KLD (eps 2.2e-16) | parts |")
    print("|---|---|---|---|---|---|---|")
    for name, rows in results.items():
        print(f"| {name} | " + " | ".join(spread([r[m] for r in rows]) for m in METRICS) + " |")
    for name, rows in list(results.items())[1:]:
        pairs = list(zip(rows, results["full"], strict=True))
        cells = [spread([a[m] - b[m] for a, b in pairs], signed=True) for m in METRICS]
        print(f"| {name} - full | " + " | ".join(cells) + " |")


def spread(values: Sequence[float], *, signed: bool = False) -> str:
    """Mean and sample standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    mean = statistics.mean(values)
    return f"{mean:+.3f} ± {deviation:.3f}" if signed else f"{mean:.3f} ± {deviation:.3f}"


if __name__ == "__main__":
    try:
        main()
    except RetoucherError as error:
        sys.exit(f"perception_ablation: {error}")
