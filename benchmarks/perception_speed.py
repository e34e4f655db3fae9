"""Time and memory of the shipped network beside a network of RAHF's size, in the same run.

    python benchmarks/perception_speed.py [--threads 2] [--repeats 5] [--no-rahf]

The large one has random weights and RAHF's shape: ViT-L/16 at 384, a T5-base encoder over image and
text tokens, and one head of residual deconvolutions from 24x24 to 384x384, of about 340 GMAC, the
low end of the public ports. It always works at 384x384, whatever the picture's size; it needs torch
and transformers. Peak memory is that of the whole process, so each row runs in its own. Time on the
clock depends on what else the machine does; CPU time (of all threads) much less.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

SIZES = (512, 1024, 2048)


def timed(work: Callable[[int], object], repeats: int) -> tuple[float, float]:
    """Median wall-clock and CPU milliseconds of calls 1, 2, ... after call 0 to warm up."""
    work(0)
    spans: list[float] = []
    spent: list[float] = []
    for i in range(1, repeats + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        work(i)
        spans.append((time.perf_counter() - wall) * 1000)
        spent.append((time.process_time() - cpu) * 1000)
    return statistics.median(spans), statistics.median(spent)


def compact(size: int, threads: int, repeats: int, weights: Path | None) -> tuple[float, float]:
    from retoucher.perception.saliency import WEIGHTS, SaliencyPerceiver, SaliencySettings

    perceiver = SaliencyPerceiver(
        SaliencySettings(weights=str(weights or WEIGHTS)), threads=threads
    )
    # The network remembers what it has seen: every call gets a picture of its own.
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (size, size, 3), np.uint8) for _ in range(repeats + 1)]
    return timed(lambda i: perceiver.perceive(images[i], "a nurse holds a cup"), repeats)


def rahf_size(threads: int, repeats: int) -> tuple[float, float]:
    import torch

    torch.set_num_threads(threads)
    net, text = _rahf()
    image = torch.rand(1, 3, 384, 384)

    def work(_call: int) -> object:
        with torch.inference_mode():
            return net(image, text)

    return timed(work, repeats)


def _rahf() -> tuple[Any, Any]:
    import torch
    from torch import nn
    from transformers import T5Config, T5EncoderModel, ViTConfig, ViTModel

    class Residual(nn.Module):
        def __init__(self, inputs: int, outputs: int) -> None:
            super().__init__()
            self.up = nn.ConvTranspose2d(inputs, outputs, 4, 2, 1)
            self.body = nn.Sequential(
                nn.Conv2d(outputs, outputs, 3, padding=1),
                nn.GELU(),
                nn.Conv2d(outputs, outputs, 3, padding=1),
            )

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            up = self.up(x)
            return up + self.body(up)

    class Rahf(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            vit = ViTConfig(
                hidden_size=1024,
                num_hidden_layers=24,
                num_attention_heads=16,
                intermediate_size=4096,
                image_size=384,
                patch_size=16,
            )
            t5 = T5Config(d_model=768, d_kv=64, d_ff=3072, num_layers=12, num_heads=12)
            self.vit = ViTModel(vit, add_pooling_layer=False)
            self.t5 = T5EncoderModel(t5)
            self.project = nn.Linear(1024, 768)
            widths = (768, 768, 512, 384, 256)
            self.decoder = nn.Sequential(
                *(Residual(a, b) for a, b in pairwise(widths)),
                nn.Conv2d(256, 1, 3, padding=1),
            )

        def forward(self, image: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
            seen = self.vit(pixel_values=image).last_hidden_state[:, 1:]
            words = self.t5.get_input_embeddings()(ids)
            tokens = torch.cat((self.project(seen), words), 1)
            fused = self.t5(inputs_embeds=tokens).last_hidden_state[:, :576]
            return torch.sigmoid(self.decoder(fused.transpose(1, 2).reshape(1, 768, 24, 24)))

    return Rahf().eval(), torch.randint(1, 1000, (1, 16))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--no-rahf", action="store_true")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.row:
        row(options)
        return
    jobs = [f"compact {size}" for size in SIZES] + ([] if options.no_rahf else ["rahf"])
    rows = {job: measured(job) for job in jobs}
    print(f"| network | picture | ms, {options.threads} threads | ms of CPU | peak memory, MiB |")
    print("|---|---|---|---|---|")
    for job, (wall, cpu, mib) in rows.items():
        name, size = (*job.split(), "384")[:2]
        print(f"| {name} | {size} x {size} | {wall:.0f} | {cpu:.0f} | {mib:.0f} |")
    if "rahf" in rows:
        wall, cpu = (rows["rahf"][i] / rows["compact 512"][i] for i in (0, 1))
        print(f"\nAt 512 x 512: {wall:.0f} times faster, {cpu:.0f} times less CPU")


def measured(job: str) -> tuple[float, float, float]:
    """Wall-clock and CPU milliseconds and MiB of a job in a process of its own."""
    arguments = [a for a in sys.argv[1:] if a != "--no-rahf"]
    command = [sys.executable, __file__, *arguments, "--row", job]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    wall, cpu, mib = json.loads(out.splitlines()[-1])
    return wall, cpu, mib


def row(options: argparse.Namespace) -> None:
    name, *size = options.row.split()
    if name == "compact":
        times = compact(int(size[0]), options.threads, options.repeats, options.weights)
    else:
        times = rahf_size(options.threads, max(1, options.repeats // 3))
    peak_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps((*times, peak_kib / 1024)))


if __name__ == "__main__":
    main()
