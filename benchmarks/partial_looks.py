"""Does a look at what changed see what a look at the whole picture sees?

    python benchmarks/partial_looks.py lettering --data DIR
    python benchmarks/partial_looks.py saliency [--data DIR]

lettering: the product on the dev half of the lettering set (benchmarks/lettering.py), once with
whole looks only and once as it is, reading again only what changed: outputs, outcomes, scores, CPU
time. saliency: what the network would say of a crop around an edit, shown at the scale at which the
whole picture is and pasted into the map of before; the product does not do this. Needs the extra
`bench`; DIR holds `pool/`.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from lettering import made_set
from lettering_run import load_rgb
from numpy.typing import NDArray
from verification import OTHER
from verification_pairs import pairs

from retoucher import loop
from retoucher.agents import BoolArray, RgbArray
from retoucher.api import Result, Retoucher
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.lettering.judge import shared_judge
from retoucher.lettering.reading import shared_reader
from retoucher.looking import looking_since
from retoucher.perception.saliency import ViewSettings
from retoucher.verification.improvement import region_scores
from retoucher.vision.preprocess import shown_logits, to_saliency
from retoucher.vision.runtime import SaliencyNetwork, shared_network


def timed(retoucher: Retoucher, image_rgb: RgbArray, prompt: str) -> tuple[Result, float]:
    """A run by a process that has seen nothing of the picture yet, and its CPU seconds."""
    for cache in (shared_reader()._cache, shared_judge()._cache, shared_network()._views):
        cache.clear()
    began = time.process_time()
    result = retoucher.fix(image_rgb, prompt=prompt)
    return result, time.process_time() - began


def lettering_table(data: Path | None) -> str:
    folder, samples = made_set(data / "pool" if data else None)
    retoucher = Retoucher.from_profile()
    retoucher.fix(np.full((64, 64, 3), 200, np.uint8))  # loads everything
    pictures = edits = same_bytes = same_outcomes = 0
    seconds, gaps = [0.0, 0.0], [0.0]
    for sample in (s for s in samples if s.split == "dev"):
        image = load_rgb(folder / sample.file)
        found: list[Result] = []
        for k, since in enumerate((lambda _: looking_since(None), looking_since)):
            loop.looking_since = since
            result, took = timed(retoucher, image, sample.prompt)
            found.append(result)
            seconds[k] += took if result.trace.edits else 0.0
        whole, part = (result.trace for result in found)
        pictures += 1
        edits += len(whole.edits)
        same_bytes += whole.output_sha256 == part.output_sha256
        same_outcomes += [e.outcome for e in whole.edits] == [e.outcome for e in part.edits]
        gaps += [
            abs(a.verdict.score_after - b.verdict.score_after)
            for a, b in zip(whole.edits, part.edits, strict=False)
            if a.verdict and b.verdict
        ]
    loop.looking_since = looking_since
    return (
        f"{pictures} pictures, {edits} edits\n"
        f"same bytes: {same_bytes}; same outcomes: {same_outcomes}\n"
        f"largest difference of a verdict's score: {max(gaps):.3f}\n"
        f"CPU seconds, pictures with edits: whole {seconds[0]:.1f}, what changed {seconds[1]:.1f}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class CropLook:
    """One edit seen by a crop, against the whole picture.

    Attributes:
        cost: CPU time over that of the whole picture.
        mean, worst: difference of the two maps inside the crop's middle.
        flipped: the saliency check comes out differently.
    """

    cost: float
    mean: float
    worst: float
    flipped: bool


def crops_table(data: Path | None, count: int) -> str:
    """Markdown: what a crop's look is worth, by how much of its surroundings it shows."""
    network = SaliencyNetwork(threads=1)
    views = ViewSettings(**network.described_views)
    some = list(pairs(data, OTHER, count, 77))
    lines = [
        "| shown around the edit, px of 512 | cost | mean difference | worst | verdicts changed |",
        "|---|---|---|---|---|",
    ]
    for margin in (32, 64, 128):
        found = [
            look_by_crop(network, views, p.rgb, p.twin_rgb, p.prompt, p.mask_hw, margin)
            for p in some
        ]
        lines.append(
            f"| {margin} | {statistics.mean(f.cost for f in found):.2f} "
            f"| {statistics.mean(f.mean for f in found):.3f} "
            f"| {max(f.worst for f in found):.2f} "
            f"| {sum(f.flipped for f in found)} of {len(found)} |"
        )
    return "\n".join(lines)


def look_by_crop(
    network: SaliencyNetwork,
    views: ViewSettings,
    before_rgb: RgbArray,
    after_rgb: RgbArray,
    prompt: str,
    mask_hw: BoolArray,
    margin_px: int,
) -> CropLook:
    """The crop is shown at the scale at which the whole picture is; margin in shown pixels."""
    height, width = mask_hw.shape
    scale = views.long_side_px / max(height, width)
    region = Region.from_mask(mask_hw, id="r1", score=1.0)
    box = region.box.expand(round(margin_px / scale)).clip(height, width)
    inner = region.box.expand(round(16 / scale)).clip(height, width)
    assert box is not None
    assert inner is not None

    def seen(image_rgb: RgbArray) -> tuple[NDArray[np.float32], float]:
        network._views.clear()
        side = max(1, round(max(image_rgb.shape[:2]) * scale))
        began = time.process_time()
        view = network.look(np.ascontiguousarray(image_rgb), prompt, side)
        took = time.process_time() - began
        logits = shown_logits(view.logits_hw, view.shown_hw, network.stride)
        calibrated = logits * np.float32(views.scale) + np.float32(views.shift)
        return to_saliency(calibrated, (image_rgb.shape[0], image_rgb.shape[1])), took

    before, _ = seen(before_rgb)
    whole, took = seen(after_rgb)
    crop, took_crop = seen(after_rgb[box.slices])
    pasted = before.copy()
    pasted[inner.slices] = crop[inner.shift(-box.x0, -box.y0).slices]
    gap = np.abs(pasted - whole)[inner.slices]
    verdicts: list[bool] = []
    for after in (whole, pasted):
        was, now = region_scores(SaliencyMap(before), SaliencyMap(after), region)
        verdicts.append(now <= min(was - 0.15, 0.75 * was))
    return CropLook(
        cost=took_crop / took,
        mean=float(gap.mean()),
        worst=float(gap.max()),
        flipped=verdicts[0] != verdicts[1],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("of", choices=("lettering", "saliency"))
    parser.add_argument("--data", type=Path, default=os.environ.get("RETOUCHER_DATA"))
    parser.add_argument("--count", type=int, default=24, help="pictures of saliency")
    options = parser.parse_args()
    if options.of == "lettering":
        print(lettering_table(options.data))
    else:
        print(crops_table(options.data, options.count))


if __name__ == "__main__":
    main()
