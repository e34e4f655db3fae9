"""Ways to run the shipped network: int8 weights, and tiles on large pictures.

    python benchmarks/perception_variants.py int8 DATASET_DIR CALIBRATION_DIR
    python benchmarks/perception_variants.py tiles DATASET_DIR [--clean POOL_DIR]

`int8` quantises the picture's graph (dynamic: weights of matrix products; static: convolutions too,
calibrated on 48 pictures of CALIBRATION_DIR, per channel), and prints quality, CPU time on one
thread, and bytes. `tiles` adds tiles to the whole view: on DATASET_DIR's pictures that are large
enough, on every fourth one enlarged three times (no new detail), and on sheets of 3 by 3 of them
(parts as small as in a large picture, at full detail).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from retoucher.agents import FloatArray
from retoucher.data.ours import read_labels, read_pool
from retoucher.data.sample import Sample
from retoucher.data.transform import resize_sample
from retoucher.domain.saliency import SaliencyMap
from retoucher.errors import RetoucherError
from retoucher.evaluation.perception import Evaluation, evaluate
from retoucher.evaluation.tables import markdown
from retoucher.imaging.regions import RegionSettings, find_regions
from retoucher.perception.saliency import (
    WEIGHTS,
    SaliencyPerceiver,
    SaliencySettings,
    ViewSettings,
)
from retoucher.vision.preprocess import prepare

CALIBRATION_PICTURES = 48


def shipped_views(**changes: Any) -> ViewSettings:
    described = json.loads((WEIGHTS / "run.json").read_text("utf-8"))["views"]
    return ViewSettings(**{**described, **changes})


class Stopwatch:
    """Maps of a perceiver, and the CPU time that it took for each."""

    def __init__(self, perceiver: SaliencyPerceiver) -> None:
        self._perceiver = perceiver
        self.spent_ms: list[float] = []

    def __call__(self, sample: Sample) -> FloatArray:
        rgb = sample.load_rgb()
        started = time.process_time()
        values = self._perceiver.perceive(rgb, sample.prompt).values_hw
        self.spent_ms.append((time.process_time() - started) * 1000)
        return values

    @property
    def median_ms(self) -> float:
        return float(np.median(self.spent_ms))


def quantised(kind: str, samples: Sequence[Sample], folder: Path) -> Path:
    """A folder of weights whose picture graph is int8."""
    from onnxruntime.quantization import (
        CalibrationDataReader,
        QuantFormat,
        QuantType,
        quantize_dynamic,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    out = folder / kind
    shutil.copytree(WEIGHTS, out)
    plain, graph = folder / f"{kind}_plain.onnx", out / "saliency.onnx"
    # Half-precision weights are stored with casts: folding them gives the quantiser its weights.
    quant_pre_process(str(graph), str(plain), skip_symbolic_shape=True)
    if kind == "dynamic":
        quantize_dynamic(str(plain), str(graph), per_channel=True, op_types_to_quantize=["MatMul"])
    else:

        class Reader(CalibrationDataReader):
            def __init__(self) -> None:
                self.feeds = feeds(samples)

            def get_next(self) -> dict[str, np.ndarray] | None:
                return next(self.feeds, None)

        quantize_static(
            str(plain),
            str(graph),
            Reader(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=["Conv", "MatMul"],
        )
    described = json.loads((out / "run.json").read_text("utf-8"))
    described["sha256"]["saliency.onnx"] = hashlib.sha256(graph.read_bytes()).hexdigest()
    (out / "run.json").write_text(json.dumps(described), "utf-8")
    return out


def feeds(samples: Sequence[Sample]) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of the picture graph, with the prompt's tokens."""
    import onnxruntime

    from retoucher.vision.tokenizer import HashTokenizer

    described = json.loads((WEIGHTS / "run.json").read_text("utf-8"))
    tokenizer = HashTokenizer(**described["tokenizer"])
    prompts = onnxruntime.InferenceSession(str(WEIGHTS / "prompt.onnx"))
    for sample in samples:
        given = prepare(sample.load_rgb(), described["views"]["long_side_px"])
        ids, valid = (x[None] for x in tokenizer.encode(sample.prompt))
        text = prompts.run(["text"], {"ids": ids, "valid": valid})[0]
        yield {
            "image": given.image_1chw,
            "valid": given.valid_1hw,
            "text": text,
            "text_valid": valid,
        }


def int8(options: argparse.Namespace) -> None:
    samples, calibration = read_labels(options.dataset), read_labels(options.calibration)
    step = max(1, len(calibration) // CALIBRATION_PICTURES)
    with tempfile.TemporaryDirectory() as scratch:
        folders = {"float (shipped)": WEIGHTS}
        for kind in ("dynamic", "static"):
            folders[f"int8 {kind}"] = quantised(kind, calibration[::step], Path(scratch))
        models = {
            name: Stopwatch(
                SaliencyPerceiver(
                    SaliencySettings(weights=str(f)), views=shipped_views(), threads=1
                )
            )
            for name, f in folders.items()
        }
        reports = [(name, evaluate(samples, model)) for name, model in models.items()]
        sizes = {name: (f / "saliency.onnx").stat().st_size for name, f in folders.items()}
    print(markdown(reports))
    for name, model in models.items():
        print(f"{name}: {model.median_ms:.0f} ms of CPU, {sizes[name] / 1e6:.1f} MB")


def tiles(options: argparse.Namespace) -> None:
    samples = read_labels(options.dataset)
    limit = 2 * shipped_views().long_side_px
    sets = {
        f"pictures larger than {limit} px": ([s for s in samples if longer(s) > limit], 1),
        "pictures enlarged 3 times": (samples[::4], 3),
        "sheets of 3 x 3 pictures": (sheets(samples), 1),
    }
    once = Stopwatch(SaliencyPerceiver(views=shipped_views(), threads=1))
    tiled = Stopwatch(SaliencyPerceiver(views=shipped_views(tiles=True), threads=1))
    models = {"whole view": once, "and tiles": tiled}
    for title, (chosen, enlarge) in sets.items():
        print(f"\n{len(chosen)} {title}\n")
        if not chosen:
            continue
        rows = {name: Evaluation() for name in models}
        for sample in chosen:
            size_wh = (sample.width, sample.height)
            shown = resize_sample(sample, (sample.width * enlarge, sample.height * enlarge))
            for name, model in models.items():
                rows[name].take(sample, cv2.resize(model(shown), size_wh))
        print(markdown([(name, figures.report()) for name, figures in rows.items()]))
        print(f"whole view {once.median_ms:.0f} ms of CPU, and tiles {tiled.median_ms:.0f} ms")
    if options.clean:
        photos = sheets(read_pool(options.clean, ("photo",)))
        for name, model in models.items():
            found = [len(find_regions(SaliencyMap(model(s)), RegionSettings())) for s in photos]
            print(
                f"{len(photos)} sheets of 3 x 3 photographs, {name}: "
                f"{sum(map(bool, found))} with a region, {sum(found)} regions"
            )


def sheets(samples: Sequence[Sample]) -> list[Sample]:
    whole = len(samples) // 9 * 9
    return [sheet(samples[i : i + 9]) for i in range(0, whole, 9)]


def longer(sample: Sample) -> int:
    return max(sample.width, sample.height)


def sheet(samples: Sequence[Sample]) -> Sample:
    """Nine pictures as one, 3 by 3, with all their labels and no prompt."""
    width, height = max(s.width for s in samples), max(s.height for s in samples)
    image = np.full((3 * height, 3 * width, 3), 128, np.uint8)
    regions, parts = [], []
    for i, sample in enumerate(samples):
        x, y = i % 3 * width, i // 3 * height
        image[y : y + sample.height, x : x + sample.width] = sample.load_rgb()
        regions += [replace(r, box=r.box.shift(x, y)) for r in sample.regions]
        parts += [replace(p, box=p.box.shift(x, y)) for p in sample.clean_parts]
    return Sample(
        id=f"sheet of {samples[0].id}",
        picture=image,
        width=3 * width,
        height=3 * height,
        regions=tuple(regions),
        clean_parts=tuple(parts),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    first = commands.add_parser("int8")
    first.add_argument("dataset", type=Path)
    first.add_argument("calibration", type=Path)
    first.set_defaults(work=int8)
    second = commands.add_parser("tiles")
    second.add_argument("dataset", type=Path)
    second.add_argument("--clean", type=Path, help="pool whose photographs must stay untouched")
    second.set_defaults(work=tiles)
    options = parser.parse_args()
    options.work(options)


if __name__ == "__main__":
    try:
        main()
    except RetoucherError as error:
        sys.exit(f"perception_variants: {error}")
