"""Training of the perception network: one straight loop, resumed exactly where it stopped."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from retoucher.agents import FloatArray
from retoucher.data.sample import Sample
from retoucher.evaluation.perception import PerceptionReport, evaluate
from retoucher.perception.network import DistortionSaliencyNet
from retoucher.perception.preprocess import prepare, restore
from retoucher.perception.tensors import to_tensor
from retoucher.perception.tokenizer import HashTokenizer
from retoucher.train.averaging import WeightAverage
from retoucher.train.batches import Batch, BatchSource
from retoucher.train.checkpoint import load_checkpoint, save_checkpoint
from retoucher.train.losses import LossSettings, LossTerms, perception_loss

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: in all.
        warmup: steps over which the rate rises from 0; then it falls by a cosine to `floor`.
        rate, trunk_rate: peak learning rates of the new parts and of the pretrained trunk.
        floor: share of the peak rate at the end.
        weight_decay: AdamW's, not scaled by the rate of another group.
        clip_norm: largest norm of the gradient.
        average_decay: of the weight average that is evaluated and kept.
        frozen_levels: of the trunk, that do not learn; the stem is frozen with the first.
        evaluate_every, save_every: steps between validations and between checkpoints.
        patience: validations without a better one before stopping early; 0: never.
        style_chance, style_levels: MixStyle after the first levels of the trunk.
        amp: half precision on a GPU.
    """

    steps: int = 2000
    warmup: int = 60
    rate: float = 8e-4
    trunk_rate: float = 2e-4
    floor: float = 0.02
    weight_decay: float = 0.02
    clip_norm: float = 1.0
    average_decay: float = 0.995
    frozen_levels: int = 2
    evaluate_every: int = 500
    save_every: int = 50
    patience: int = 0
    style_chance: float = 0.25
    style_levels: int = 2
    amp: bool = True

    def factor(self, step: int) -> float:
        """Learning rate over its peak at a step counted from 0."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


@dataclass(slots=True)
class Run:
    """State of a training run: everything that a checkpoint holds."""

    net: DistortionSaliencyNet
    optimiser: torch.optim.AdamW
    average: WeightAverage
    step: int = 0
    best: float = -math.inf
    stale: int = 0
    log: list[dict[str, float]] = field(default_factory=list[dict[str, float]])

    def state(self) -> dict[str, Any]:
        """Tensors and plain values."""
        return {
            "net": self.net.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "average": self.average.state,
            "step": self.step,
            "best": self.best,
            "stale": self.stale,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Back to where `state` was taken."""
        self.net.load_state_dict(state["net"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.average.state = dict(state["average"])
        self.step, self.best, self.stale = state["step"], state["best"], state["stale"]


def start_run(net: DistortionSaliencyNet, trunk: nn.Module, schedule: Schedule) -> Run:
    """A fresh run: two groups of weights with their own rates."""
    inside = {id(p) for p in trunk.parameters()}
    slow = [p for p in trunk.parameters() if p.requires_grad]
    fast = [p for p in net.parameters() if id(p) not in inside]
    optimiser = torch.optim.AdamW(
        [{"params": slow, "lr": schedule.trunk_rate}, {"params": fast, "lr": schedule.rate}],
        weight_decay=schedule.weight_decay,
    )
    return Run(net=net, optimiser=optimiser, average=WeightAverage(net, schedule.average_decay))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """What a run needs besides its state.

    Attributes:
        source: draws the batches.
        validation: labelled pictures to choose the best weights by.
        tokenizer: of the network's text branch.
        schedule, losses: settings.
        seed: with the step, decides all randomness.
        folder: gets last.ckpt, best.ckpt, log.csv and validation.csv.
        long_side_px: at which validation shows pictures.
        report: takes progress lines.
        device: "cpu" or a GPU's name.
    """

    source: BatchSource
    validation: Sequence[Sample]
    tokenizer: HashTokenizer
    schedule: Schedule
    losses: LossSettings
    seed: int
    folder: Path
    long_side_px: int
    report: Report
    device: str = "cpu"

    def train(self, run: Run, until: int | None = None) -> None:
        """Trains to the schedule's end, or to step `until`; last.ckpt then holds the state."""
        end = min(self.schedule.steps, until if until is not None else self.schedule.steps)
        self.folder.mkdir(parents=True, exist_ok=True)
        cast("Any", run.net).to(self.device, memory_format=torch.channels_last)
        # The next batch is drawn while this one is learnt from; it depends on its step alone.
        with ThreadPoolExecutor(1) as ahead:
            coming = ahead.submit(self.source.batch, run.step)
            while run.step < end and not self._tired(run):
                started = time.monotonic()
                batch = coming.result()
                coming = ahead.submit(self.source.batch, run.step + 1)
                terms, rate = self._step(run, batch)
                self._log_step(run, terms, rate, time.monotonic() - started)
                if run.step % self.schedule.evaluate_every == 0 or run.step == self.schedule.steps:
                    self._validate(run)
                if run.step % self.schedule.save_every == 0 or run.step == end:
                    save_checkpoint(run.state(), self.folder / "last.ckpt")

    def resume(self, run: Run) -> bool:
        """Continues from last.ckpt where there is one; False where there is none."""
        file = self.folder / "last.ckpt"
        if not file.exists():
            return False
        run.restore(load_checkpoint(file))
        return True

    def _tired(self, run: Run) -> bool:
        return 0 < self.schedule.patience <= run.stale

    def _step(self, run: Run, batch: Batch) -> tuple[LossTerms, float]:
        cast("Any", torch).manual_seed(self.seed * 1_000_003 + run.step)
        factor = self.schedule.factor(run.step)
        peaks = (self.schedule.trunk_rate, self.schedule.rate)
        for group, peak in zip(run.optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        run.net.train()
        on_gpu = self.device != "cpu"
        with torch.autocast(self.device.split(":")[0], enabled=self.schedule.amp and on_gpu):
            logits = self._logits(run.net, batch)
        terms = perception_loss(
            logits,
            batch.truth_bhw.to(self.device),
            batch.truth_valid_bhw.to(self.device),
            type(batch.parts)(*(x.to(self.device) for x in batch.parts)),
            self.losses,
        )
        run.optimiser.zero_grad(set_to_none=True)
        cast("Any", terms.total).backward()
        nn.utils.clip_grad_norm_(run.net.parameters(), self.schedule.clip_norm)
        cast("Any", run.optimiser).step()
        run.step += 1
        run.average.follow(run.net, run.step)
        return terms, factor

    def _logits(self, net: DistortionSaliencyNet, batch: Batch) -> Tensor:
        image, valid = batch.image_bchw.to(self.device), batch.valid_bhw.to(self.device)
        if net.text is None:
            return net(image, valid).logits_bhw
        encoded = [self.tokenizer.encode(p) for p in batch.prompts]
        ids = torch.stack([to_tensor(i) for i, _ in encoded]).to(self.device)
        seen = torch.stack([to_tensor(v) for _, v in encoded]).to(self.device)
        return net(image, valid, net.encode_text(ids, seen), seen).logits_bhw

    def _validate(self, run: Run) -> None:
        report = validate(
            run.net, run.average, self.validation, self.tokenizer, self.long_side_px, self.device
        )
        score = selection_score(report)
        figures = {**report.saliency.scores.as_dict(), "parts": report.parts, "score": score}
        _append(self.folder / "validation.csv", {"step": float(run.step), **figures})
        text = "  ".join(f"{k} {v:.4f}" for k, v in figures.items())
        self.report(f"step {run.step}  validation  {text}")
        if score > run.best:
            run.best, run.stale = score, 0
            save_checkpoint({"average": run.average.state, **figures}, self.folder / "best.ckpt")
        else:
            run.stale += 1

    def _log_step(self, run: Run, terms: LossTerms, rate: float, seconds: float) -> None:
        row = {"step": float(run.step), "rate": rate, "seconds": seconds}
        row |= {k: float(v.detach()) for k, v in terms._asdict().items()}
        run.log.append(row)
        if run.step % 10 and run.step != self.schedule.steps:
            return
        mean = {k: sum(r[k] for r in run.log) / len(run.log) for k in row}
        mean["step"] = float(run.step)
        run.log.clear()
        _append(self.folder / "log.csv", mean)
        self.report("  ".join(f"{k} {v:.4g}" for k, v in mean.items()))


def selection_score(report: PerceptionReport) -> float:
    """What the best weights are chosen by: ranking of pixels and of parts, and sharpness."""
    scores = report.saliency.scores
    return scores.auc_judd + report.parts + scores.nss / 5


@torch.no_grad()
def predict(
    net: DistortionSaliencyNet,
    sample: Sample,
    tokenizer: HashTokenizer,
    long_side_px: int,
    device: str = "cpu",
) -> FloatArray:
    """Saliency of a sample by the torch network, float32 (H, W)."""
    given = prepare(sample.load_rgb(), long_side_px)
    image = to_tensor(given.image_1chw).to(device, memory_format=torch.channels_last)
    valid = to_tensor(given.valid_1hw).to(device)
    text = seen = None
    if net.text is not None:
        ids, mask = tokenizer.encode(sample.prompt)
        seen = to_tensor(mask)[None].to(device)
        text = net.encode_text(to_tensor(ids)[None].to(device), seen)
    logits = net(image, valid, text, seen).logits_bhw[0].float().cpu().numpy()
    size = (sample.height, sample.width)
    return restore(logits, given.shown_hw, net.config.decoder_stride, size)


def validate(
    net: DistortionSaliencyNet,
    average: WeightAverage,
    samples: Sequence[Sample],
    tokenizer: HashTokenizer,
    long_side_px: int,
    device: str = "cpu",
) -> PerceptionReport:
    """Scores the averaged weights; the network's own are back in place afterwards."""
    own = {k: v.clone() for k, v in net.state_dict().items()}
    was_training = net.training
    net.load_state_dict(average.state)
    net.eval()
    try:
        return evaluate(samples, lambda s: predict(net, s, tokenizer, long_side_px, device))
    finally:
        net.load_state_dict(own)
        net.train(was_training)


def _append(file: Path, row: dict[str, float]) -> None:
    new = not file.exists()
    with file.open("a", newline="") as stream:
        writer = csv.DictWriter(stream, list(row))
        if new:
            writer.writeheader()
        writer.writerow(row)
