"""Trains the classifier of the reasoner `embedded` on the shipped network's features.

    python recipes/diagnostician.py REAL_TRAIN [--out FILE.npz] [--threads 1]

REAL_TRAIN is a labelled set. Examples are its marked regions and clean parts, each once as marked
and once jittered and mirrored; the regions that the product itself would propose; and a place of
each picture where nothing is marked. The pictures that recipes/perception.py holds out are held out
here too: on them temperatures and operating point are chosen, as the network did not see them.
About four minutes on one core. Train again whenever the network's weights change.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from retoucher.agents import FloatArray, RgbArray
from retoucher.data.ours import read_labels
from retoucher.data.sample import Sample
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT, taxonomy
from retoucher.errors import RetoucherError
from retoucher.evaluation.diagnosis import expected_calibration_error
from retoucher.imaging.regions import RegionSettings, find_regions
from retoucher.perception.saliency import SaliencyPerceiver
from retoucher.reasoning.embedded_features import zoom_features
from retoucher.reasoning.embedded_model import (
    WEIGHTS_FILE,
    Diagnostician,
    OperatingPoint,
    read_diagnostician,
    softmax,
    standardised,
    write_diagnostician,
)
from retoucher.train.split import held_out
from retoucher.vision.runtime import PICTURE_GRAPH, SaliencyNetwork

CATEGORIES = tuple(taxonomy())
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
L2 = 0.01
SUBTLE_WEIGHT = 0.4
"""Of regions of severity 1, the least certain labels."""
RARE_EXPONENT = -0.3
"""A category weighs as its number of examples to this power."""
CLEAN_NAMED = 0.1
"""At most so many held-out clean parts are called defective at the operating point, in each source
by itself: where a generator's pictures are mostly wrong, its right hands and faces are as right as
another's."""
MIN_CLEAN_PARTS = 10
"""A source with fewer held-out clean parts has no say of its own."""
DEFECTS_SOUND = 0.10
"""At most so many held-out defects are called sound."""
NAMED_RIGHT = 0.7
"""So many of the held-out defects that are named are named right, where that can be reached."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Example:
    """One place of a picture.

    Attributes:
        category: of the taxonomy, or no_defect.
        severity: 1 to 3, 0 for no_defect.
        kind: "marked", "jittered", "proposed" or "elsewhere".
        source: of its picture.
        held_out: its picture is.
        features_d: see `zoom_features`.
    """

    category: str
    severity: int
    kind: str
    source: str
    held_out: bool
    features_d: FloatArray


Place = tuple[Box, str, int]


def examples_of(
    sample: Sample, held: bool, network: SaliencyNetwork, perceiver: SaliencyPerceiver | None
) -> Iterator[Example]:
    """Every example of a picture; without the perceiver, none that it proposes."""
    rng = np.random.default_rng([SEED, *sample.id.encode()])
    image_rgb = sample.load_rgb()
    size_hw = image_rgb.shape[:2]
    places: list[Place] = [(r.box, r.category, r.severity) for r in sample.regions]
    places += [(p.box, NO_DEFECT, 0) for p in sample.clean_parts]

    def example(rgb: RgbArray, region: Region, place: Place, kind: str) -> Example:
        features = zoom_features(network, rgb, region)
        return Example(
            category=place[1],
            severity=place[2],
            kind=kind,
            source=sample.source,
            held_out=held,
            features_d=features,
        )

    mirrored = np.ascontiguousarray(image_rgb[:, ::-1])
    for place in places:
        yield example(image_rgb, _region(place[0], size_hw), place, "marked")
        if not held:
            box = mirror(jittered(place[0], size_hw, rng), size_hw[1])
            yield example(mirrored, _region(box, size_hw), place, "jittered")
    empty = elsewhere([p[0] for p in places], size_hw, rng)
    if empty is not None:
        yield example(image_rgb, _region(empty, size_hw), (empty, NO_DEFECT, 0), "elsewhere")
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
        return region.box, best.category, best.severity
    return (region.box, NO_DEFECT, 0) if total <= OFF_MARKS else None


def collect(folder: Path, threads: int, report: Callable[[str], None]) -> list[Example]:
    """The examples of a labelled set."""
    training, validation = held_out(read_labels(folder), HELD_OUT, SEED)
    network, perceiver = SaliencyNetwork(threads=threads), SaliencyPerceiver(threads=threads)
    out: list[Example] = []
    pictures = [(s, False) for s in training] + [(s, True) for s in validation]
    for i, (sample, held) in enumerate(pictures, 1):
        proposing = perceiver if held or i % PROPOSE_EVERY == 0 else None
        out += examples_of(sample, held, network, proposing)
        if i % 50 == 0 or i == len(pictures):
            report(f"{i} of {len(pictures)} pictures, {len(out)} examples")
    return out


def linear(x: FloatArray, y: NDArray[np.int64], w: FloatArray, classes: int) -> FloatArray:
    """Weighted multinomial logistic regression with L2 (not on the bias); (classes, D + 1)."""
    inputs, target, weight = (torch.from_numpy(a) for a in (x, y, w))
    beta = torch.zeros(classes, x.shape[1], requires_grad=True)
    optimiser = torch.optim.LBFGS([beta], max_iter=150, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        each = torch.nn.functional.cross_entropy(inputs @ beta.T, target, reduction="none")
        total = (each * weight).sum() / weight.sum() + L2 * beta[:, :-1].square().sum()
        total.backward()
        return total

    optimiser.step(loss)
    return beta.detach().numpy()


def temperature(logits: NDArray[np.floating], y: NDArray[np.int64]) -> float:
    """The temperature of the least cross-entropy, from a grid of ratios of 2%."""
    grid = np.exp(np.arange(-70, 90) * 0.02)
    losses = [
        -float(np.log(np.maximum(softmax(logits / t)[np.arange(len(y)), y], 1e-9)).mean())
        for t in grid
    ]
    return float(grid[int(np.argmin(losses))])


def two_class(logit: NDArray[np.floating]) -> NDArray[np.floating]:
    """Logits of (no, yes)."""
    return np.stack([np.zeros_like(logit), logit], 1)


def share(flags: NDArray[np.bool_]) -> str:
    """How many are true, as text; "none" of none."""
    return f"{flags.mean():.3f}" if flags.size else "none"


def fit(
    examples: Sequence[Example], network_sha256: str, report: Callable[[str], None]
) -> Diagnostician:
    """Heads on the training pictures, temperatures and operating point on those held out."""
    features = np.stack([e.features_d for e in examples])
    category = np.array([e.category for e in examples])
    severity = np.array([e.severity for e in examples])
    held = np.array([e.held_out for e in examples])
    bad = category != NO_DEFECT
    mean, scale = features[~held].mean(0), features[~held].std(0) + 1e-3
    x = standardised(features, mean, scale).astype(np.float32)
    index = np.array([CATEGORIES.index(c) if c != NO_DEFECT else 0 for c in category], np.int64)
    sure = np.where(severity == 1, SUBTLE_WEIGHT, 1.0).astype(np.float32)
    train, train_bad = ~held, ~held & bad
    counts = np.bincount(index[train_bad], minlength=len(CATEGORIES))
    rare = (counts[index].clip(1) ** RARE_EXPONENT).astype(np.float32)
    both = linear(x[train], bad[train].astype(np.int64), sure[train], 2)
    categories = linear(x[train_bad], index[train_bad], (sure * rare)[train_bad], len(CATEGORIES))
    severities = linear(
        x[train_bad],
        severity[train_bad].astype(np.int64) - 1,
        np.ones(train_bad.sum(), np.float32),
        3,
    )
    model = Diagnostician(
        mean_d=mean,
        scale_d=scale,
        defect_d1=both[1] - both[0],
        category_kd1=categories,
        severity_3d1=severities,
        temperatures=(1.0, 1.0, 1.0),
        point=OperatingPoint(defect=0.5, sound=0.5, category=0.0),
        network=network_sha256,
        digest="",
    )
    judged = held & ((severity >= 2) | ~bad)
    source = np.array([e.source if e.kind == "marked" else "" for e in examples])
    held_x = HeldOut(
        x=x[judged], index=index[judged], severity=severity[judged], source=source[judged]
    )
    return calibrated(model, held_x, report)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOut:
    """Standardised features of held-out places and what they are.

    Attributes:
        x: float32 (N, D + 1).
        index: of the category, where there is a defect.
        severity: 2 or 3, 0 for a clean place.
        source: of the picture, for marked places; "" for others.
    """

    x: FloatArray
    index: NDArray[np.int64]
    severity: NDArray[np.int64]
    source: NDArray[np.str_]


def calibrated(model: Diagnostician, held: HeldOut, report: Callable[[str], None]) -> Diagnostician:
    """The model with temperatures and operating point chosen on these places."""
    x, index, severity = held.x, held.index, held.severity
    bad = severity > 0
    defect, kinds = x @ model.defect_d1, x[bad] @ model.category_kd1.T
    levels = x[bad] @ model.severity_3d1.T
    temperatures = (
        temperature(two_class(defect), bad.astype(np.int64)),
        temperature(kinds, index[bad]),
        temperature(levels, severity[bad] - 1),
    )
    p = softmax(two_class(defect / temperatures[0]))[:, 1]
    shares = softmax(kinds / temperatures[1])
    hit = shares.argmax(1) == index[bad]
    guesses = softmax(x @ model.category_kd1.T / temperatures[1])
    point = operating_point(p, guesses, held)
    named = (p >= point.defect) & (guesses.max(1) >= point.category)
    report(
        f"held out: {bad.sum()} defects of severity >= 2, {(~bad).sum()} clean places; "
        f"category right {share(hit)}; severity right "
        f"{share(levels.argmax(1) == severity[bad] - 1)}; temperatures "
        + ", ".join(f"{t:.2f}" for t in temperatures)
    )
    sound = p <= point.sound
    ece = expected_calibration_error(p.tolist(), bad.tolist())
    kinds_ece = expected_calibration_error(shares.max(1).tolist(), hit.tolist())
    report(
        f"ECE: defect {ece:.3f}, category {kinds_ece:.3f}; at {point}: {share(named[bad])} of "
        f"the defects named, {share(hit[named[bad]])} of these right, {share(named[~bad])} of the "
        f"clean places named; called sound: {share(sound[bad])} of the defects, "
        f"{share(sound[~bad])} of the clean places"
    )
    return replace(model, temperatures=temperatures, point=point)


def operating_point(
    p: NDArray[np.float64], shares: NDArray[np.float64], held: HeldOut
) -> OperatingPoint:
    """As the constants of this file ask: few clean parts named, few defects called sound.

    Args:
        p: probability of a defect, (N,).
        shares: of the categories, (N, K).
        held: what the places are.
    """
    bad = held.severity > 0
    best, top = shares.argmax(1), shares.max(1)
    category = 0.0
    for step in range(80):
        named = bad & (top >= step / 100)
        category = step / 100
        if not named.any() or (best == held.index)[named].mean() >= NAMED_RIGHT:
            break
    defect = 0.5
    for source in np.unique(held.source):
        parts = ~bad & (held.source == source)
        if source == "" or parts.sum() < MIN_CLEAN_PARTS:
            continue
        rivals = np.sort(p[parts & (top >= category)])[::-1]
        allowed = int(CLEAN_NAMED * parts.sum())
        if allowed < len(rivals):
            defect = max(defect, float(rivals[allowed]) + 1e-4)
    sound = float(np.quantile(p[bad], DEFECTS_SOUND)) if bad.any() else 0.5
    return OperatingPoint(defect=min(defect, 1.0), sound=min(sound, defect, 0.5), category=category)


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("real_train", type=Path)
    parser.add_argument("--out", type=Path, default=WEIGHTS_FILE)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(SEED)
    torch.set_num_threads(args.threads)
    examples = collect(args.real_train, args.threads, lambda line: print(line, flush=True))
    digest = SaliencyNetwork().weights[PICTURE_GRAPH]
    write_diagnostician(fit(examples, digest, print), args.out)
    written = read_diagnostician(args.out)
    print(f"written: {args.out}, {args.out.stat().st_size} bytes, {written.digest}")


if __name__ == "__main__":
    try:
        main()
    except RetoucherError as error:
        sys.exit(f"diagnostician: {error}")
