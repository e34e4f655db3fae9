"""Trains the classifier of the reasoner `embedded` on the shipped network's features.

    python recipes/diagnostician.py REAL_TRAIN [--corrections FILE] [--more LABELS PICTURES]
        [--out FILE.npz] [--threads 1]

REAL_TRAIN is a labelled set, with its corrections; --more names another, which is learnt whole.
Examples are marked regions and clean parts, each once as marked and once jittered and mirrored; the
regions that the product itself would propose; and a place of each picture where nothing is marked.
The pictures that recipes/perception.py holds out are held out here too: on them temperatures and
operating point are chosen, as the network did not see them.

Hands are measured as well, defective and clean ones; what that is worth is fitted by itself, since
the network that measures saw none of these pictures, and how much it counts beside the looks is
chosen on the held-out pictures.
About five minutes on one core. Train again whenever the network's weights change.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from retoucher.agents import RgbArray
from retoucher.data.corrections import correct_labels
from retoucher.data.ours import read_labels
from retoucher.data.sample import LabelledRegion, Sample
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT, taxonomy
from retoucher.errors import RetoucherError
from retoucher.imaging.regions import RegionSettings, find_regions
from retoucher.perception.saliency import SaliencyPerceiver
from retoucher.reasoning.embedded_features import zoom_features
from retoucher.reasoning.embedded_hands import hand_features, measure_hand
from retoucher.reasoning.embedded_model import (
    WEIGHTS_FILE,
    read_diagnostician,
    write_diagnostician,
)
from retoucher.train.diagnostician import Example, fit
from retoucher.train.split import held_out
from retoucher.vision.hands import HAND_GRAPH, HandNetworks
from retoucher.vision.runtime import PICTURE_GRAPH, SaliencyNetwork

HELD_OUT = 0.12
SEED = 0
JITTER = 0.1
"""Standard deviation of a jittered box's sides, over its size."""
PROPOSE_EVERY = 3
"""Proposals are taken from every so manieth training picture, and from all held-out ones: seeing a
whole picture takes as long as ten regions."""
PROPOSE_FROM = 0.25
"""Saliency from which a place is proposed here; lower than the product's, for more examples."""
ON_MARK, OFF_MARKS = 0.5, 0.05
"""Share of a proposal on a mark from which it is that defect, and up to which it is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A box of a picture and what the labels say of it; see `Example`."""

    box: Box
    category: str = NO_DEFECT
    severity: int = 0
    part: str = ""

    @classmethod
    def of_mark(cls, box: Box, mark: LabelledRegion) -> Place:
        """A place that is this defect."""
        dimension = taxonomy()[mark.category].dimension
        return cls(box=box, category=mark.category, severity=mark.severity, part=dimension)


@dataclass(frozen=True, slots=True, kw_only=True)
class Networks:
    """What looks at the pictures."""

    saliency: SaliencyNetwork
    hands: HandNetworks


def examples_of(
    sample: Sample, held: bool, networks: Networks, perceiver: SaliencyPerceiver | None
) -> Iterator[Example]:
    """Every example of a picture; without the perceiver, none that it proposes."""
    rng = np.random.default_rng([SEED, *sample.id.encode()])
    image_rgb = sample.load_rgb()
    size_hw = image_rgb.shape[:2]
    places = [Place.of_mark(r.box, r) for r in sample.regions]
    places += [Place(box=p.box, part=p.part) for p in sample.clean_parts]

    def example(rgb: RgbArray, region: Region, place: Place, kind: str) -> Example:
        measured = None
        if held or place.part == "hand":
            measured = measure_hand(networks.hands, rgb, region)
        return Example(
            category=place.category,
            severity=place.severity,
            kind=kind,
            source=sample.source,
            held_out=held,
            part=place.part,
            features_d=zoom_features(networks.saliency, rgb, region),
            hand_h=hand_features(measured),
        )

    mirrored = np.ascontiguousarray(image_rgb[:, ::-1])
    for place in places:
        yield example(image_rgb, _region(place.box, size_hw), place, "marked")
        if not held:
            box = mirror(jittered(place.box, size_hw, rng), size_hw[1])
            yield example(mirrored, _region(box, size_hw), place, "jittered")
    empty = elsewhere([p.box for p in places], size_hw, rng)
    if empty is not None:
        yield example(image_rgb, _region(empty, size_hw), Place(box=empty), "elsewhere")
    if perceiver is None:
        return
    saliency = perceiver.perceive(image_rgb, sample.prompt)
    for region in find_regions(saliency, RegionSettings(threshold=PROPOSE_FROM)):
        place = label_of(region, sample)
        if place is not None:
            yield example(image_rgb, region, place, "proposed")


def _region(box: Box, size_hw: tuple[int, ...]) -> Region:
    inside = box.clip(*size_hw[:2])
    assert inside is not None
    return Region.from_box(inside, id="r1")


def jittered(box: Box, size_hw: tuple[int, ...], rng: np.random.Generator) -> Box:
    """The box with each side moved a little; inside the picture."""
    moved = np.array(box.as_xyxy()) + rng.normal(0, JITTER, 4) * [
        box.width,
        box.height,
        box.width,
        box.height,
    ]
    x0, x1 = sorted((moved[0], moved[2]))
    y0, y1 = sorted((moved[1], moved[3]))
    return Box.from_xyxy((x0, y0, x1 + 1, y1 + 1)).clip(*size_hw[:2]) or box


def mirror(box: Box, width: int) -> Box:
    """Where the box lies once the picture is mirrored."""
    return Box(width - box.x1, box.y0, width - box.x0, box.y1)


def elsewhere(
    taken: Sequence[Box], size_hw: tuple[int, ...], rng: np.random.Generator
) -> Box | None:
    """A place of random size that touches none of the boxes much; None where twenty tries fail."""
    height, width = size_hw[:2]
    for _ in range(20):
        side = np.exp(rng.uniform(np.log(0.08), np.log(0.4))) * min(height, width)
        stretch = np.exp(rng.normal(0, 0.4))
        w, h = min(side * stretch, width), min(side / stretch, height)
        x, y = rng.uniform(0, width - w), rng.uniform(0, height - h)
        box = Box.from_xyxy((x, y, x + w, y + h)).clip(height, width)
        if box is not None and all(_common(box, b) < 0.1 for b in taken):
            return box
    return None


def _common(a: Box, b: Box) -> float:
    common = a.intersection(b)
    return common.area_px / min(a.area_px, b.area_px) if common else 0.0


def label_of(region: Region, sample: Sample) -> Place | None:
    """What the marks say of a proposed region; None where they do not agree with it."""
    best, best_share, total = None, 0.0, 0.0
    for mark in sample.regions:
        common = region.box.intersection(mark.box)
        if common is None:
            continue
        mask = region.mask_hw[common.shift(-region.box.x0, -region.box.y0).slices]
        share = float(mask.sum()) / region.area_px
        total += share
        if share > best_share:
            best, best_share = mark, share
    if best is not None and best_share >= ON_MARK:
        return Place.of_mark(region.box, best)
    return Place(box=region.box) if total <= OFF_MARKS else None


def collect(
    labelled: Sequence[Sample],
    more: Sequence[Sample],
    threads: int,
    report: Callable[[str], None],
) -> list[Example]:
    """The examples of a labelled set, a part of it held out, and of more to train on."""
    training, validation = held_out(labelled, HELD_OUT, SEED)
    networks = Networks(
        saliency=SaliencyNetwork(threads=threads), hands=HandNetworks(threads=threads)
    )
    perceiver = SaliencyPerceiver(threads=threads)
    out: list[Example] = []
    pictures = [(s, False) for s in (*training, *more)] + [(s, True) for s in validation]
    for i, (sample, held) in enumerate(pictures, 1):
        proposing = perceiver if held or i % PROPOSE_EVERY == 0 else None
        out += examples_of(sample, held, networks, proposing)
        if i % 50 == 0 or i == len(pictures):
            report(f"{i} of {len(pictures)} pictures, {len(out)} examples")
    return out


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("real_train", type=Path)
    parser.add_argument("--corrections", type=Path)
    parser.add_argument("--more", type=Path, nargs=2, metavar=("LABELS", "PICTURES"))
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    labelled = read_labels(args.real_train)
    if args.corrections:
        labelled = correct_labels(labelled, args.corrections)
    more = read_labels(*args.more) if args.more else []
    examples = collect(labelled, more, args.threads, lambda line: print(line, flush=True))
    digests = SaliencyNetwork().weights[PICTURE_GRAPH], HandNetworks().weights[HAND_GRAPH]
    write_diagnostician(fit(examples, *digests, print), args.out)
    written = read_diagnostician(args.out)
    print(f"written: {args.out}, {args.out.stat().st_size} bytes, {written.digest}")


if __name__ == "__main__":
    try:
        main()
    except RetoucherError as error:
        sys.exit(f"diagnostician: {error}")
