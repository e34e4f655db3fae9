"""Training of the perception network: one straight loop, resumed exactly where it stopped."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from retoucher.agents import FloatArray
from retoucher.data.sample import Sample
from retoucher.errors import InputError
from retoucher.evaluation.metrics import pearson, spearman
from retoucher.evaluation.perception import PerceptionReport, evaluate
from retoucher.perception.network import DistortionSaliencyNet
from retoucher.perception.tensors import to_tensor
from retoucher.train.averaging import WeightAverage
from retoucher.train.batches import Batch
from retoucher.train.checkpoint import load_checkpoint, save_checkpoint
from retoucher.train.logs import Kind, RunLog
from retoucher.train.losses import LossSettings, LossTerms, Scores, perception_loss
from retoucher.train.placement import OneCpu, Placement
from retoucher.train.prompts import PromptTokenizer
from retoucher.vision.preprocess import prepare, shown_logits, to_saliency

Report = Callable[[str], None]
Watch = Callable[[int, int, Mapping[str, float]], None]
"""Told after every step: how many are done, of how many, and the step's figures."""

Ending = Literal["finished", "paused", "no better", "cancelled"]
"""Why training returned: schedule at its end, step asked for reached, `patience` out, user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: in all.
        warmup: steps over which the rate rises from 0; then it falls by a cosine to `floor`.
        rate, trunk_rate: peak learning rates of the new parts and of the pretrained ones.
        floor: share of the peak rate at the end.
        weight_decay: AdamW's, not scaled by the rate of another group.
        clip_norm: largest norm of the gradient.
        average_decay: of the weight average that is evaluated and kept.
        frozen_levels: of the trunk, that do not learn; the stem is frozen with the first.
        evaluate_every, save_every: steps between validations and between checkpoints.
        patience: validations without a better one before stopping early; 0: never.
        style_chance, style_levels: MixStyle after the first levels of the trunk.
        amp: bfloat16 on a GPU.
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
        """Back to where `state` was taken, on this run's device.

        Raises:
            InputError: it is the state of another network.
        """
        try:
            self.net.load_state_dict(state["net"])
            self.optimiser.load_state_dict(state["optimiser"])
            average: dict[str, Tensor] = dict(state["average"])
            self.step, self.best, self.stale = state["step"], state["best"], state["stale"]
        except (KeyError, RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise InputError(f"the checkpoint is of another network ({reason})") from None
        self.average.state = {k: v.to(self.average.state[k].device) for k, v in average.items()}


def start_run(net: DistortionSaliencyNet, trunk: nn.Module, schedule: Schedule) -> Run:
    """A fresh run of a network that is on its device already.

    Args:
        net: what learns.
        trunk: its pretrained parts, which learn at `trunk_rate`; the rest learns at `rate`.
        schedule: rates and decay.
    """
    inside = {id(p) for p in trunk.parameters()}
    slow = [p for p in trunk.parameters() if p.requires_grad]
    fast = [p for p in net.parameters() if id(p) not in inside]
    optimiser = torch.optim.AdamW(
        [{"params": slow, "lr": schedule.trunk_rate}, {"params": fast, "lr": schedule.rate}],
        weight_decay=schedule.weight_decay,
    )
    return Run(net=net, optimiser=optimiser, average=WeightAverage(net, schedule.average_decay))


class Batches(Protocol):
    """Draws batches by number; `retoucher.train.batches.BatchSource` is one."""

    def batch(self, step: int) -> Batch: ...


class _Forward(nn.Module):
    """The network with prompt encoding inside one forward pass, which gradient sync needs."""

    def __init__(self, net: DistortionSaliencyNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, image_bchw: Tensor, valid_bhw: Tensor, ids_bt: Tensor | None, seen_bt: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        text = None
        if ids_bt is not None and seen_bt is not None:
            text = self.net.encode_text(ids_bt, seen_bt)
        return tuple(self.net(image_bchw, valid_bhw, text, seen_bt))


@dataclass(frozen=True, slots=True, kw_only=True)
class Trainer:
    """What a run needs besides its state.

    Attributes:
        source: draws the batches.
        validation: labelled pictures to choose the best weights by, some with defects; none: there
            is no validation, and no best.ckpt.
        tokenizer: of the network's text branch.
        schedule, losses: settings.
        seed: with the step, decides all randomness.
        folder: gets last.ckpt and best.ckpt.
        long_side_px: at which validation shows pictures.
        report: takes lines for people.
        logs: take the figures.
        watch: told after every step.
        placement: where it computes.
        workers: threads that draw batches ahead.
    """

    source: Batches
    validation: Sequence[Sample]
    tokenizer: PromptTokenizer
    schedule: Schedule
    losses: LossSettings
    seed: int
    folder: Path
    long_side_px: int
    report: Report
    logs: Sequence[RunLog] = ()
    watch: Watch = lambda _done, _end, _figures: None
    placement: Placement = field(default_factory=OneCpu)
    workers: int = 1

    def train(
        self,
        run: Run,
        until: int | None = None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Ending:
        """Trains to the schedule's end, or to step `until`; last.ckpt then holds the state.

        Args:
            run: is changed in place.
            until: step to pause at; None: none.
            cancelled: asked before every step; True stops, with the state kept.
        """
        end = min(self.schedule.steps, until if until is not None else self.schedule.steps)
        self.folder.mkdir(parents=True, exist_ok=True)
        for log in self._logs():
            log.rewind(run.step)
        learner = self.placement.prepare(_Forward(run.net))
        saved = run.step
        # Batches are drawn while others are learnt from; each depends on its number alone.
        with ThreadPoolExecutor(self.workers) as ahead:
            coming: deque[Future[Batch]] = deque()
            try:
                while run.step < end and not self._tired(run):
                    if self.placement.agreed(float(cancelled())):
                        break
                    for step in range(run.step + len(coming), run.step + self.workers + 1):
                        coming.append(ahead.submit(self.source.batch, self._number(step)))
                    self._round(run, learner, coming.popleft().result(), end)
                    if run.step % self.schedule.save_every == 0:
                        saved = self._save(run)
            finally:
                for future in coming:
                    future.cancel()
        if saved != run.step:
            self._save(run)
        return self._ending(run, end)

    def resume(self, run: Run) -> bool:
        """Continues from last.ckpt where there is one; False where there is none."""
        file = self.folder / "last.ckpt"
        if not file.exists():
            return False
        run.restore(load_checkpoint(file))
        return True

    def _round(self, run: Run, learner: nn.Module, batch: Batch, end: int) -> None:
        started = time.monotonic()
        terms, rate = self._step(run, learner, batch)
        row = {k: float(v.detach()) for k, v in terms._asdict().items()}
        self._log_step(run, row, rate, time.monotonic() - started)
        self.watch(run.step, end, row)
        due = run.step % self.schedule.evaluate_every == 0 or run.step == self.schedule.steps
        if due and self.validation:
            self._validate(run)

    def _ending(self, run: Run, end: int) -> Ending:
        if run.step >= self.schedule.steps:
            return "finished"
        if self._tired(run):
            return "no better"
        return "paused" if run.step >= end else "cancelled"

    def _number(self, step: int) -> int:
        """Number of this process's batch of a step."""
        return step * self.placement.processes + self.placement.rank

    def _logs(self) -> Sequence[RunLog]:
        return self.logs if self.placement.rank == 0 else ()

    def _save(self, run: Run) -> int:
        if self.placement.rank == 0:
            save_checkpoint(run.state(), self.folder / "last.ckpt")
        return run.step

    def _tired(self, run: Run) -> bool:
        return 0 < self.schedule.patience <= run.stale

    def _step(self, run: Run, learner: nn.Module, batch: Batch) -> tuple[LossTerms, float]:
        cast("Any", torch).manual_seed(self.seed * 1_000_003 + self._number(run.step))
        factor = self.schedule.factor(run.step)
        peaks = (self.schedule.trunk_rate, self.schedule.rate)
        for group, peak in zip(run.optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        learner.train()
        device = self.placement.device
        logits, predicted = self._forward(run.net, learner, batch)
        terms = perception_loss(
            logits,
            batch.truth_bhw.to(device),
            batch.truth_valid_bhw.to(device),
            type(batch.parts)(*(x.to(device) for x in batch.parts)),
            self.losses,
            Scores(predicted, batch.scores_bn.to(device)) if predicted.shape[1] else None,
        )
        run.optimiser.zero_grad(set_to_none=True)
        self.placement.backward(terms.total)
        nn.utils.clip_grad_norm_(run.net.parameters(), self.schedule.clip_norm)
        cast("Any", run.optimiser).step()
        run.step += 1
        run.average.follow(run.net, run.step)
        return terms, factor

    def _forward(
        self, net: DistortionSaliencyNet, learner: nn.Module, batch: Batch
    ) -> tuple[Tensor, Tensor]:
        device = self.placement.device
        ids = seen = None
        if net.text is not None:
            encoded = [self.tokenizer.encode(p) for p in batch.prompts]
            ids = torch.stack([to_tensor(i) for i, _ in encoded]).to(device)
            seen = torch.stack([to_tensor(v) for _, v in encoded]).to(device)
        return learner(batch.image_bchw.to(device), batch.valid_bhw.to(device), ids, seen)

    def _validate(self, run: Run) -> None:
        figures: dict[str, float] = {}
        if self.placement.rank == 0:
            net, average, tokenizer = run.net, run.average, self.tokenizer
            report, agreement = validate(
                net, average, self.validation, tokenizer, self.long_side_px
            )
            score = selection_score(report)
            figures = {**report.saliency.scores.as_dict(), "parts": report.parts}
            figures |= {**agreement, "score": score}
            self._write("validation", {"step": float(run.step), **figures})
            text = "  ".join(f"{k} {v:.4f}" for k, v in figures.items())
            self.report(f"step {run.step}  validation  {text}")
        score = self.placement.agreed(figures.get("score", 0.0))
        if score > run.best:
            run.best, run.stale = score, 0
            if self.placement.rank == 0:
                best = {"average": run.average.state, **figures}
                save_checkpoint(best, self.folder / "best.ckpt")
        else:
            run.stale += 1

    def _log_step(self, run: Run, terms: dict[str, float], rate: float, seconds: float) -> None:
        row = {"step": float(run.step), "rate": rate, "seconds": seconds, **terms}
        run.log.append(row)
        if run.step % 10 and run.step != self.schedule.steps:
            return
        mean = {k: sum(r[k] for r in run.log) / len(run.log) for k in row}
        mean["step"] = float(run.step)
        run.log.clear()
        self._write("training", mean)
        if self.placement.rank == 0:
            self.report("  ".join(f"{k} {v:.4g}" for k, v in mean.items()))

    def _write(self, kind: Kind, row: Mapping[str, float]) -> None:
        for log in self._logs():
            log.write(kind, row)


def selection_score(report: PerceptionReport) -> float:
    """What the best weights are chosen by: ranking of pixels and of parts, and sharpness.

    Where the validation set has no clean parts, the ranking of parts is left out.
    """
    scores = report.saliency.scores
    parts = 0.0 if math.isnan(report.parts) else report.parts
    return scores.auc_judd + parts + scores.nss / 5


def predict(
    net: DistortionSaliencyNet,
    sample: Sample,
    tokenizer: PromptTokenizer,
    long_side_px: int,
) -> FloatArray:
    """Saliency of a sample by the torch network, float32 (H, W)."""
    logits, _ = predict_view(net, sample, tokenizer, long_side_px)
    return to_saliency(logits, (sample.height, sample.width))


@torch.no_grad()
def predict_view(
    net: DistortionSaliencyNet, sample: Sample, tokenizer: PromptTokenizer, long_side_px: int
) -> tuple[FloatArray, dict[str, float]]:
    """What the network says of a sample shown at that size: logits, float32, one a shown pixel, and
    scores by the names of the score heads."""
    device = net.head_bias.device
    given = prepare(sample.load_rgb(), long_side_px)
    image = to_tensor(given.image_1chw).to(device, memory_format=torch.channels_last)
    valid = to_tensor(given.valid_1hw).to(device)
    text = seen = None
    if net.text is not None:
        ids, mask = tokenizer.encode(sample.prompt)
        seen = to_tensor(mask)[None].to(device)
        text = net.encode_text(to_tensor(ids)[None].to(device), seen)
    out = net(image, valid, text, seen)
    logits = out.logits_bhw[0].float().cpu().numpy()
    scores = zip(net.config.score_heads, out.scores_bn[0].tolist(), strict=True)
    return shown_logits(logits, given.shown_hw, net.config.decoder_stride), dict(scores)


def validate(
    net: DistortionSaliencyNet,
    average: WeightAverage,
    samples: Sequence[Sample],
    tokenizer: PromptTokenizer,
    long_side_px: int,
) -> tuple[PerceptionReport, dict[str, float]]:
    """Measures the averaged weights; the network's own are back in place afterwards.

    Returns:
        The report on the maps, and for every score head, where samples have its score, the linear
        and the rank correlation with it, as "<name>_plcc" and "<name>_srcc" (RAHF's figures).
    """
    own = {k: v.clone() for k, v in net.state_dict().items()}
    was_training = net.training
    net.load_state_dict(average.state)
    net.eval()
    predicted: list[dict[str, float]] = []

    def look(sample: Sample) -> FloatArray:
        logits, scores = predict_view(net, sample, tokenizer, long_side_px)
        predicted.append(scores)
        return to_saliency(logits, (sample.height, sample.width))

    try:
        report = evaluate(samples, look)
        return report, _agreement(net.config.score_heads, predicted, samples)
    finally:
        net.load_state_dict(own)
        net.train(was_training)


def _agreement(
    names: Sequence[str], predicted: Sequence[Mapping[str, float]], samples: Sequence[Sample]
) -> dict[str, float]:
    figures: dict[str, float] = {}
    for name in names:
        rows = [
            (p[name], s.scores[name])
            for p, s in zip(predicted, samples, strict=True)
            if name in s.scores
        ]
        given, true = np.array(rows, np.float64).reshape(-1, 2).T
        figures |= {f"{name}_plcc": pearson(given, true), f"{name}_srcc": spearman(given, true)}
    return figures
