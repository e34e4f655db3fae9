"""Saliency of the shipped perceivers on a labelled set, beside baselines, as a table.

    python benchmarks/perception_quality.py DATASET_DIR [--maps OUT_DIR] [--json FILE] [--no-prompt]

`--maps` writes the network's maps as ID.npy, for other people's evaluation.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from retoucher.agents import FloatArray
from retoucher.data.ours import read_labels
from retoucher.data.sample import Sample
from retoucher.evaluation.perception import evaluate
from retoucher.evaluation.tables import as_json, centre_map, markdown, uniform_map
from retoucher.perception.fusion import FusedPerceiver
from retoucher.perception.saliency import WEIGHTS, SaliencyPerceiver
from retoucher.perception.text import TextPerceiver


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--maps", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--no-prompt", action="store_true")
    parser.add_argument("--no-text", action="store_true", help="leave the lettering perceiver out")
    options = parser.parse_args()
    samples = read_labels(options.dataset)
    network = SaliencyPerceiver(options.weights)

    def seen(sample: Sample) -> str:
        return "" if options.no_prompt else sample.prompt

    def learned(sample: Sample) -> FloatArray:
        values = network.perceive(sample.load_rgb(), seen(sample)).values_hw
        if options.maps:
            options.maps.mkdir(parents=True, exist_ok=True)
            np.save(options.maps / f"{sample.id}.npy", values)
        return values

    models: list[tuple[str, Callable[[Sample], FloatArray]]] = [
        ("uniform", uniform_map),
        ("centre", centre_map),
        ("network", learned),
    ]
    if not options.no_text:
        text = TextPerceiver()
        fused = FusedPerceiver((network, text))
        models.insert(2, ("lettering", lambda s: text.perceive(s.load_rgb(), seen(s)).values_hw))
        models.append(
            ("network + lettering", lambda s: fused.perceive(s.load_rgb(), seen(s)).values_hw)
        )
    reports = [(name, evaluate(samples, predict)) for name, predict in models]
    print(markdown(reports))
    if options.json:
        data = {name: as_json(report) for name, report in reports}
        options.json.write_text(json.dumps(data, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
