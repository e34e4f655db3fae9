"""Calibrates trained weights and writes what ships.

    python recipes/perception_export.py RECIPE.toml CLEAN_DIR OUT_DIR RUN.ckpt [RUN.ckpt ...]

RECIPE.toml is the recipe of a run: its network, and its held-out pictures, on which the calibration
is chosen. CLEAN_DIR holds photographs without defects that the run did not see. Of several
checkpoints (of runs that started from the same weights) the mean of the weights ships.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch

from retoucher.data.sample import Sample, load_rgb
from retoucher.errors import RetoucherError
from retoucher.evaluation.calibration import calibrate
from retoucher.imaging.regions import RegionSettings
from retoucher.perception.compact import build_compact
from retoucher.perception.export import export_compact
from retoucher.perception.saliency import ViewSettings
from retoucher.train.averaging import mean_weights
from retoucher.train.checkpoint import load_checkpoint
from retoucher.train.perception import predict_view
from retoucher.train.recipe import load_groups, read_recipe
from retoucher.vision.preprocess import joined, to_saliency

TOUCHED_SHARE, RIGHT_SHARE = 0.05, 0.85
"""At most so many clean pictures have a region after calibration, and at least so many of the
regions in held-out pictures lie on a mark. (Marks are not complete.)"""
CONTEXT_SIDE_PX, CONTEXT_WEIGHT = 256, 0.4
"""Second view of `ViewSettings`, chosen on the held-out pictures (docs/perception-training.md)."""


def export(recipe_file: Path, clean_folder: Path, out: Path, checkpoints: Sequence[Path]) -> None:
    """See the module's text."""
    recipe = read_recipe(recipe_file)
    net = build_compact(recipe.network)
    net.load_state_dict(mean_weights([load_checkpoint(file)["average"] for file in checkpoints]))
    net.eval()

    def saliency(sample: Sample):
        fine, coarse = (
            predict_view(net, sample, recipe.network.tokenizer, side)[0]
            for side in (recipe.long_side_px, CONTEXT_SIDE_PX)
        )
        logits = joined(fine, coarse, CONTEXT_WEIGHT)
        return to_saliency(logits, (sample.height, sample.width))

    labelled = [(sample, saliency(sample)) for sample in load_groups(recipe)[1]]
    clean = [m for s, m in labelled if s.is_clean]
    clean += [saliency(sample) for sample in photographs(clean_folder)]
    chosen = calibrate(
        labelled,
        clean,
        regions=RegionSettings(),
        touched_share=TOUCHED_SHARE,
        right_share=RIGHT_SHARE,
    )
    print(len(clean), "clean pictures", chosen)
    views = ViewSettings(
        long_side_px=recipe.long_side_px,
        context_side_px=CONTEXT_SIDE_PX,
        context_weight=CONTEXT_WEIGHT,
        scale=chosen.scale,
        shift=chosen.shift,
    )
    export_compact(net, recipe.network, out, asdict(views))
    print({f.name: f.stat().st_size for f in sorted(out.iterdir())})


def photographs(folder: Path) -> list[Sample]:
    """The pictures of a folder as clean samples."""
    samples: list[Sample] = []
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in (".jpg", ".jpeg", ".png"):
            rgb = load_rgb(file)
            samples.append(
                Sample(id=file.stem, picture=rgb, width=rgb.shape[1], height=rgb.shape[0])
            )
    return samples


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("recipe", type=Path)
    parser.add_argument("clean", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("runs", type=Path, nargs="+")
    given = parser.parse_args()
    export(given.recipe, given.clean, given.out, given.runs)


if __name__ == "__main__":
    torch.set_num_threads(2)
    try:
        main()
    except (RetoucherError, ValueError) as error:
        sys.exit(f"perception_export: {error}")
