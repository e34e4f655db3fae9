"""What the product costs besides its models: time and peak memory at 1, 4 and 16 megapixels.

usage: python benchmarks/overhead.py [--quick] [--json]

Runs the real loop, regions, crop, stitch, trace and files with agents that do no work of their own:
a map computed beforehand, a fixed diagnosis, a tool that paints the mask, a verifier that accepts.
The time inside these agents is subtracted. Three regions are repaired in the first round, a second
round looks again. Ratios are against Pillow decoding and encoding the same PNG in the same run.
Memory is the peak of Python and numpy allocations above what the input itself takes.
"""

from __future__ import annotations

import argparse
import io
import json
import platform
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from retoucher.agents import EditRequest, RgbArray
from retoucher.api import Result, Retoucher
from retoucher.config import Settings
from retoucher.domain.geometry import Box
from retoucher.domain.saliency import SaliencyMap
from retoucher.imaging.files import PictureFile, read_picture
from retoucher.job import Agents
from retoucher.planning.policy import StaticPlanner
from retoucher.testing import (
    ScriptedPerceiver,
    ScriptedReasoner,
    ScriptedTool,
    ScriptedVerifier,
    saliency_of_boxes,
)

SIDES = {1: 1024, 4: 2048, 16: 4096}


@dataclass
class Row:
    """Medians of one picture size: milliseconds and MB."""

    megapixels: int
    loop_ms: float
    read_ms: float
    write_ms: float
    pillow_ms: float
    extra_mb: float
    input_mb: float


class Meter:
    """Adds up the time spent inside a function."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, edit: Callable[[EditRequest], RgbArray]) -> Callable[[EditRequest], RgbArray]:
        def timed(request: EditRequest) -> RgbArray:
            began = time.perf_counter()
            out = edit(request)
            self.seconds += time.perf_counter() - began
            return out

        return timed


def paint_flat(request: EditRequest) -> RgbArray:
    out = request.crop_rgb.copy()
    out[request.mask_hw] = (120, 110, 100)
    return out


def picture_png(side: int) -> bytes:
    """A smooth scene with fine grain, so that it packs like a photograph."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    scene = np.stack([np.sin(7 * x + c) * np.cos(5 * y) for c in range(3)], axis=2) * 90 + 128
    scene += rng.normal(0, 4, (side, side, 3)).astype(np.float32)
    buffer = io.BytesIO()
    image = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def retoucher_for(side: int, meter: Meter) -> Retoucher:
    unit = side // 16
    boxes = [Box(k * 4 * unit, 3 * unit, k * 4 * unit + 2 * unit, 5 * unit) for k in (0, 1, 3)]
    maps = [saliency_of_boxes(side, side, boxes), SaliencyMap.zeros(side, side)]
    agents = Agents(
        perceiver=ScriptedPerceiver(maps),
        reasoner=ScriptedReasoner(),
        planner=StaticPlanner(),
        tools={"paint": ScriptedTool("paint", [meter.around(paint_flat)])},
        verifier=ScriptedVerifier(),
    )
    return Retoucher(agents, Settings())


def run_once(picture: PictureFile, side: int) -> tuple[float, Result]:
    """Seconds of a whole run without the time inside the agents, and its result."""
    meter = Meter()
    retoucher = retoucher_for(side, meter)
    began = time.perf_counter()
    result = retoucher.fix(picture, prompt="")
    seconds = time.perf_counter() - began - meter.seconds
    assert len(result.trace.accepted) == 3, "the benchmark must repair its three regions"
    return seconds, result


def timed(action: Callable[[], object]) -> float:
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def pillow_round_trip(png: bytes) -> None:
    image = Image.open(io.BytesIO(png))
    image.load()
    image.save(io.BytesIO(), "PNG")


def measure(megapixels: int, repeats: int) -> Row:
    side = SIDES[megapixels]
    png = picture_png(side)
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder, "in.png"), Path(folder, "out.png")
        source.write_bytes(png)
        read = [timed(lambda: read_picture(source).image_rgb) for _ in range(repeats)]
        picture = read_picture(source)
        input_bytes = picture.image_rgb.nbytes
        run_once(picture, side)
        loop = [run_once(picture, side)[0] for _ in range(repeats)]
        tracemalloc.start()
        retoucher = retoucher_for(side, Meter())
        base = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        result = retoucher.fix(picture, prompt="")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        write = [timed(lambda: result.save(target)) for _ in range(repeats)]
        pillow = [timed(lambda: pillow_round_trip(png)) for _ in range(repeats)]
    ms = 1000.0
    return Row(
        megapixels=megapixels,
        loop_ms=ms * statistics.median(loop),
        read_ms=ms * statistics.median(read),
        write_ms=ms * statistics.median(write),
        pillow_ms=ms * statistics.median(pillow),
        extra_mb=(peak - base) / 1e6,
        input_mb=input_bytes / 1e6,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="1 and 4 megapixels, 3 repeats")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    sizes = [1, 4] if options.quick else [1, 4, 16]
    rows = [measure(size, 3 if options.quick else 7) for size in sizes]
    if options.json:
        print(json.dumps({"machine": platform.machine(), "rows": [vars(row) for row in rows]}))
        return
    print(f"Overhead without models: three repaired regions, two looks, {platform.machine()} CPU")
    print("loop: all but agents and files; ratio: (read + loop + write) / Pillow's read + write")
    print("   MP   loop ms   read ms  write ms  Pillow ms  ratio  extra MB  input MB")
    for r in rows:
        ratio = (r.loop_ms + r.read_ms + r.write_ms) / r.pillow_ms
        print(
            f"{r.megapixels:5d} {r.loop_ms:9.1f} {r.read_ms:9.1f} {r.write_ms:9.1f} "
            f"{r.pillow_ms:10.1f} {ratio:6.2f} {r.extra_mb:9.1f} {r.input_mb:9.1f}"
        )


if __name__ == "__main__":
    main()
