"""Saliency of the shipped perceivers on a labelled set, beside baselines, as tables.

    python benchmarks/perception_quality.py DATASET_DIR [--mediapipe MODULES] [--maps OUT_DIR]
        [--json FILE] [--weights DIR] [--no-prompt] [--no-text]

`retouch eval perception` measures any one model; this adds the baseline of every hand, face and
text box (see perception_parts.py), and prints all tables. `--maps` writes the network's maps as
ID.npy, for other people's evaluation.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from perception_parts import PartDetectors

from retoucher.agents import FloatArray
from retoucher.data.ours import read_labels
from retoucher.data.sample import Sample
from retoucher.errors import RetoucherError
from retoucher.evaluation.baselines import BASELINES
from retoucher.evaluation.perception import Evaluation, Predict
from retoucher.evaluation.tables import as_json, markdown_all
from retoucher.perception.fusion import FusedPerceiver
from retoucher.perception.saliency import WEIGHTS, SaliencyPerceiver, SaliencySettings
from retoucher.perception.text import TextPerceiver


def models(options: argparse.Namespace) -> list[tuple[str, Predict]]:
    """Rows of the table: baselines first, then the perceivers."""
    network, text = (
        SaliencyPerceiver(SaliencySettings(weights=str(options.weights))),
        TextPerceiver(),
    )
    fused = FusedPerceiver((network, text))

    def seen(sample: Sample) -> str:
        return "" if options.no_prompt else sample.prompt

    def learned(sample: Sample) -> FloatArray:
        values = network.perceive(sample.load_rgb(), seen(sample)).values_hw
        if options.maps:
            options.maps.mkdir(parents=True, exist_ok=True)
            np.save(options.maps / f"{sample.id}.npy", values)
        return values

    rows: list[tuple[str, Predict]] = list(BASELINES.items())
    if options.no_text:
        return [*(r for r in rows if r[0] != "text-boxes"), ("network", learned)]
    if options.mediapipe:
        parts = PartDetectors(options.mediapipe)
        rows.append(("hand, face and text boxes", parts.parts_map))
    else:
        print("hand and face boxes left out: --mediapipe brings them", file=sys.stderr)
    rows.append(("lettering", lambda s: text.perceive(s.load_rgb(), seen(s)).values_hw))
    rows.append(("network", learned))
    rows.append(("network + lettering", lambda s: fused.perceive(s.load_rgb(), seen(s)).values_hw))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--mediapipe", type=Path, metavar="MODULES")
    parser.add_argument("--maps", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--no-prompt", action="store_true")
    parser.add_argument("--no-text", action="store_true", help="leave out whatever reads lettering")
    options = parser.parse_args()
    samples = read_labels(options.dataset)
    rows = [(name, predict, Evaluation()) for name, predict in models(options)]
    for sample in samples:
        for _, predict, figures in rows:
            figures.take(sample, predict(sample))
    reports = [(name, figures.report()) for name, _, figures in rows]
    print(markdown_all(reports))
    if options.json:
        data = {name: as_json(report) for name, report in reports}
        options.json.write_text(json.dumps(data, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    try:
        main()
    except RetoucherError as error:
        sys.exit(f"perception_quality: {error}")
