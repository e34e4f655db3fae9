"""The paper's ablation at small scale: attention refinement and the KLD term, on and off.

    python benchmarks/perception_ablation.py RECIPE.toml OUT_DIR [--steps 300] [--seeds 3]

Each configuration trains `--seeds` times on the recipe's data with the paper's loss alone, at the
recipe's crop size, and is scored on the recipe's held-out pictures. Prints mean and spread (sample
standard deviation over seeds); a difference below the spread says nothing.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "recipes"))

from perception import Recipe, group_settings, initial_weights, load_group

from retoucher.evaluation.perception import PerceptionReport
from retoucher.perception.compact import build_compact
from retoucher.perception.efficientnet_lite import EfficientNetLite
from retoucher.train.batches import BatchSource, Group
from retoucher.train.losses import LossSettings
from retoucher.train.perception import Trainer, start_run, validate
from retoucher.train.settings import read_settings

METRICS = ("auc_judd", "nss", "cc", "sim", "kld")


def one(
    recipe: Recipe,
    groups: list[Group],
    held: list,
    refinement: bool,
    kld: bool,
    seed: int,
    out: Path,
) -> PerceptionReport:
    """One training run and its figures on the held-out pictures."""
    torch.manual_seed(seed)
    network = replace(recipe.network.network, refinement=refinement)
    net = build_compact(replace(recipe.network, network=network))
    initial_weights(net, recipe)
    trunk = net.image
    assert isinstance(trunk, EfficientNetLite)
    trunk.freeze(recipe.schedule.frozen_levels)
    trainer = Trainer(
        source=BatchSource(groups, recipe.batch, seed),
        validation=(),
        tokenizer=recipe.network.tokenizer,
        schedule=recipe.schedule,
        losses=LossSettings(alpha=0.5 if kld else 1.0),
        seed=seed,
        folder=out / f"refinement_{refinement}_kld_{kld}_{seed}",
        long_side_px=recipe.long_side_px,
        report=lambda _line: None,
    )
    run = start_run(net, trunk, recipe.schedule)
    trainer.train(run)
    return validate(net, run.average, held, recipe.network.tokenizer, recipe.long_side_px)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    recipe = read_settings(options.recipe, Recipe)
    torch.set_num_threads(recipe.threads)
    # Validation is done here, once, at the end.
    schedule = replace(recipe.schedule, steps=options.steps, evaluate_every=options.steps + 1)
    recipe = replace(recipe, schedule=replace(schedule, patience=0))
    groups, held = [], []
    for name, table in recipe.groups.items():
        group, validation = load_group(name, group_settings(table, name), recipe)
        groups.append(group)
        held += validation
    print("| refinement | KLD | AUC-Judd | NSS | CC | SIM | KLD (eps 2.2e-16) | parts |")
    print("|---|---|---|---|---|---|---|---|")
    for refinement, kld in ((True, True), (False, True), (True, False), (False, False)):
        reports = [
            one(recipe, groups, held, refinement, kld, seed, options.out)
            for seed in range(options.seeds)
        ]
        columns = [[r.saliency.scores.as_dict()[m] for r in reports] for m in METRICS]
        columns.append([r.parts for r in reports])
        cells = [spread(values) for values in columns]
        print(f"| {refinement} | {kld} | " + " | ".join(cells) + " |", flush=True)


def spread(values: list[float]) -> str:
    """Mean and sample standard deviation."""
    deviation = statistics.stdev(values) if len(values) > 1 else float("nan")
    return f"{statistics.mean(values):.3f} ± {deviation:.3f}"


if __name__ == "__main__":
    main()
