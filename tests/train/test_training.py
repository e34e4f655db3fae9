"""The training loop and its parts: exact resume, sampling, labels that stay true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from retoucher.data.sample import CleanPart, LabelledRegion, Sample  # noqa: E402
from retoucher.data.synthetic.make import SyntheticPair  # noqa: E402
from retoucher.domain.geometry import Box  # noqa: E402
from retoucher.errors import ConfigError, InputError  # noqa: E402
from retoucher.perception.compact import CompactConfig, build_compact  # noqa: E402
from retoucher.perception.efficientnet_lite import EfficientNetLite  # noqa: E402
from retoucher.perception.network import NetworkConfig  # noqa: E402
from retoucher.train.augment import AugmentSettings, augment  # noqa: E402
from retoucher.train.averaging import WeightAverage  # noqa: E402
from retoucher.train.batches import BatchSettings, BatchSource, Group, collate  # noqa: E402
from retoucher.train.checkpoint import load_checkpoint, save_checkpoint  # noqa: E402
from retoucher.train.crops import CropSettings, draw_crop  # noqa: E402
from retoucher.train.logs import CsvLog  # noqa: E402
from retoucher.train.losses import LossSettings  # noqa: E402
from retoucher.train.perception import Run, Schedule, Trainer, start_run  # noqa: E402
from retoucher.train.split import held_out  # noqa: E402
from retoucher.train.style import MixStyle, mix_styles  # noqa: E402
from retoucher.train.transplant import DonorBank, TransplantSettings, transplant  # noqa: E402
from retoucher.vision.tokenizer import HashTokenizer  # noqa: E402

CONFIG = CompactConfig(
    trunk="tiny",
    network=NetworkConfig(token_width=16, heads=2, decoder_width=8, fusion_layers=1),
    tokenizer=HashTokenizer(buckets=64, max_tokens=8),
)
BATCH = BatchSettings(size=3, crops=CropSettings(size_px=64, min_side_px=64, max_side_px=160))
QUIET = AugmentSettings(tone=0, hue=0, grey=0, resolution=0, blur=0, sharpen=0, noise=0, jpeg=0)
PLAIN = replace(BATCH, augment=QUIET, transplant=TransplantSettings(swap=0, bend=0))


def sample(i: int, *, height: int = 120, width: int = 160, source: str = "a") -> Sample:
    """A dark picture with a bright square: wrong in even pictures, right in odd ones."""
    image = np.full((height, width, 3), 60, np.uint8)
    image += np.random.default_rng(i).integers(0, 20, image.shape, np.uint8)
    box = Box(30 + i, 40, 70 + i, 80)
    image[box.slices] = (220, 40, 40) if i % 2 == 0 else (40, 40, 220)
    wrong = (LabelledRegion(box=box, category="hand_shape", severity=3),) if i % 2 == 0 else ()
    right = () if i % 2 == 0 else (CleanPart(box=box, part="hand"),)
    return Sample(
        id=f"{source}{i}",
        picture=image,
        width=width,
        height=height,
        prompt="a square",
        source=source,
        regions=wrong,
        clean_parts=right,
    )


SAMPLES = [sample(i) for i in range(8)]


def trainer(
    folder: Path, schedule: Schedule, batch: BatchSettings = BATCH
) -> tuple[Trainer, Callable[[], Run]]:
    source = BatchSource([Group("all", SAMPLES, 1.0)], batch, seed=3)
    made = Trainer(
        source=source,
        validation=SAMPLES,
        tokenizer=CONFIG.tokenizer,
        schedule=schedule,
        losses=LossSettings(alpha=0.2, saliency=1.0, bce=1.0, part=1.0, rank=1.0),
        seed=5,
        folder=folder,
        long_side_px=96,
        report=lambda _line: None,
        logs=[CsvLog(folder)],
        workers=2,
    )

    def fresh() -> Run:
        torch.manual_seed(0)
        net = build_compact(CONFIG)
        trunk = net.image
        assert isinstance(trunk, EfficientNetLite)
        trunk.freeze(1)
        mix_styles(trunk.levels, 1, 0.5)
        return start_run(net, trunk, schedule)

    return made, fresh


def test_resume_equals_an_uninterrupted_run(tmp_path: Path) -> None:
    schedule = Schedule(steps=8, warmup=2, evaluate_every=4, save_every=3)
    whole, fresh = trainer(tmp_path / "whole", schedule)
    run = fresh()
    assert whole.train(run) == "finished"

    parted, again = trainer(tmp_path / "parted", schedule)
    first = again()
    assert parted.train(first, until=5) == "paused"
    second = again()
    assert parted.resume(second)
    assert second.step == 5
    parted.train(second)

    assert second.step == run.step == 8
    assert second.best == run.best
    for name, value in run.net.state_dict().items():
        assert torch.equal(value, second.net.state_dict()[name]), name
        assert torch.equal(run.average.state[name], second.average.state[name]), name


def test_training_learns_where_the_square_is(tmp_path: Path) -> None:
    schedule = Schedule(
        steps=120, warmup=5, rate=5e-3, trunk_rate=2e-3, frozen_levels=0, evaluate_every=120
    )
    made, fresh = trainer(tmp_path, schedule, PLAIN)
    run = fresh()
    made.train(run)
    best = load_checkpoint(tmp_path / "best.ckpt")
    assert best["auc_judd"] > 0.85
    rows = (tmp_path / "log.csv").read_text("utf-8").splitlines()
    assert len(rows) == 1 + 12
    assert (tmp_path / "validation.csv").read_text("utf-8").startswith("step,auc_judd")


def test_early_stopping(tmp_path: Path) -> None:
    schedule = Schedule(steps=50, rate=0.0, trunk_rate=0.0, evaluate_every=2, patience=2)
    made, fresh = trainer(tmp_path, schedule)
    run = fresh()
    assert made.train(run) == "no better"
    assert run.step < 50
    again = fresh()
    assert made.resume(again)
    assert made.train(again) == "no better"
    assert again.step == run.step


def test_stopping_keeps_the_state_and_what_was_logged_is_logged_once(tmp_path: Path) -> None:
    schedule = Schedule(steps=30, evaluate_every=99, save_every=10)
    made, fresh = trainer(tmp_path, schedule)
    run = fresh()
    assert made.train(run, cancelled=lambda: run.step == 23) == "cancelled"
    assert load_checkpoint(tmp_path / "last.ckpt")["step"] == 23
    # As a crash would leave it: figures of steps that the checkpoint does not hold, one cut short.
    with (tmp_path / "log.csv").open("a") as log:
        log.write("30.0,1,1,1,1,1,1,1,1\r\n40.0,1,")
    again = fresh()
    assert made.resume(again)
    assert made.train(again) == "finished"
    rows = (tmp_path / "log.csv").read_text("utf-8").splitlines()
    assert [row.split(",")[0] for row in rows] == ["step", "10.0", "20.0", "30.0"]
    assert rows[3].split(",")[2:] != ["1"] * 7


def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    made, fresh = trainer(tmp_path, Schedule(steps=1, evaluate_every=99))
    made.train(fresh())
    wide = replace(CONFIG, network=replace(CONFIG.network, decoder_width=16))
    net = build_compact(wide)
    assert isinstance(net.image, EfficientNetLite)
    other = start_run(net, net.image, Schedule())
    with pytest.raises(InputError, match="another network"):
        made.resume(other)


def test_frozen_levels_stay_as_they_were(tmp_path: Path) -> None:
    made, fresh = trainer(tmp_path, Schedule(steps=3, evaluate_every=99))
    run = fresh()
    before = {k: v.clone() for k, v in run.net.state_dict().items()}
    made.train(run)
    after = run.net.state_dict()
    frozen = [k for k in before if k.startswith(("image.stem", "image.levels.0"))]
    assert frozen
    assert all(torch.equal(before[k], after[k]) for k in frozen)
    assert not torch.equal(
        before["image.levels.3.0.0.layers.0.1.weight"],
        after["image.levels.3.0.0.layers.0.1.weight"],
    )


def test_the_rate_warms_up_and_falls_to_its_floor() -> None:
    schedule = Schedule(steps=100, warmup=10, floor=0.1)
    factors = [schedule.factor(i) for i in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == pytest.approx(1.0)
    assert factors[100] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(factors[10:]))


def test_weight_decay_does_not_follow_the_rate_of_another_group() -> None:
    run = trainer(Path("unused"), Schedule(weight_decay=0.07))[1]()
    assert [g["weight_decay"] for g in run.optimiser.param_groups] == [0.07, 0.07]
    assert [g["lr"] for g in run.optimiser.param_groups] == [2e-4, 8e-4]


def test_batches_depend_on_seed_and_step_alone() -> None:
    a = BatchSource([Group("all", SAMPLES, 1.0)], BATCH, seed=3)
    b = BatchSource([Group("all", SAMPLES, 1.0)], BATCH, seed=3)
    a.batch(0)
    first, second, other = a.batch(7), b.batch(7), b.batch(8)
    assert torch.equal(first.image_bchw, second.image_bchw)
    assert torch.equal(first.truth_bhw, second.truth_bhw)
    assert not torch.equal(first.image_bchw, other.image_bchw)


def test_parts_and_target_lie_on_the_part_in_every_crop() -> None:
    """The square's colour is in the picture, so geometry can be checked against pixels."""
    rng = np.random.default_rng(0)
    quiet = replace(BATCH, size=1)
    for i in range(60):
        crop = draw_crop(SAMPLES[i % 8], BATCH.crops, rng)
        assert max(crop.width, crop.height) <= 64
        batch = collate([crop], quiet)
        for k in range(len(batch.parts.picture_n)):
            cover = batch.parts.cover_nhw[k]
            rgb = torch.nn.functional.avg_pool2d(batch.image_bchw, 8)[0]
            contrast = (rgb[0] - rgb[2]) if bool(batch.parts.defective_n[k]) else (rgb[2] - rgb[0])
            inside = float((contrast * cover).sum() / cover.sum())
            assert inside > 0.6
        if crop.regions:
            ch, cw = crop.height // 8, crop.width // 8
            hot = batch.truth_bhw[0] > 0.6
            red = torch.nn.functional.avg_pool2d(batch.image_bchw, 8)[0]
            assert float((red[0] - red[2])[hot].mean()) > 0.6
            assert float(batch.truth_valid_bhw.sum()) == ch * cw


def test_sources_can_be_balanced() -> None:
    many = [sample(i, source="many") for i in range(30)] + [sample(1, source="few")]
    source = BatchSource([Group("g", many, 1.0)], replace(BATCH, size=1, source_balance=1.0), 0)
    weights = source._weights[0]  # pyright: ignore[reportPrivateUsage]
    assert weights[-1] == pytest.approx(0.5)
    assert weights.sum() == pytest.approx(1.0)


def test_nothing_to_train_on_is_an_error() -> None:
    with pytest.raises(ConfigError, match="nothing to train on"):
        BatchSource([Group("a", [], 1.0), Group("b", SAMPLES, 0.0)], BATCH, 0)


class Pairs:
    """Even and odd squares as defect and twin, the index in the picture's first pixel."""

    def pair(self, index: int, category: str | None = None) -> SyntheticPair:
        def square(i: int) -> Sample:
            whole = sample(i, height=64, width=120)
            rgb = np.ascontiguousarray(whole.load_rgb()[:, 20:84])
            rgb[0, 0] = index
            return Sample(
                id=f"{category}{index}",
                picture=rgb,
                width=64,
                height=64,
                prompt="a pair",
                regions=whole.regions and (replace(whole.regions[0], box=Box(10, 40, 50, 64)),),
                clean_parts=whole.clean_parts
                and (replace(whole.clean_parts[0], box=Box(11, 40, 51, 64)),),
            )

        return SyntheticPair(defect=square(0), twin=square(1), generators=("test",))


def test_pairs_close_every_batch_and_never_repeat() -> None:
    settings = replace(BATCH, size=6, pairs=2, prompt_dropout=0.5)
    source = BatchSource([Group("all", SAMPLES, 1.0)], settings, 0, Pairs())
    drawn: list[int] = []
    prompts: set[str] = set()
    for step in range(8):
        batch = source.batch(step)
        first = ((batch.image_bchw[2:, 0, 0, 0] + 1) * 127.5).round().int().tolist()
        assert first[0] == first[1]
        assert first[2] == first[3]
        drawn += first[::2]
        assert batch.prompts[2] == batch.prompts[3]
        prompts |= set(batch.prompts[2:])
        in_pairs = batch.parts.picture_n >= 2
        assert batch.parts.defective_n[in_pairs].tolist() == [True, False] * 2
    assert drawn == list(range(16))
    assert prompts == {"", "a pair"}
    with pytest.raises(ConfigError, match="stream"):
        BatchSource([Group("all", SAMPLES, 1.0)], settings, 0)
    with pytest.raises(ConfigError, match="do not fit"):
        replace(BATCH, size=3, pairs=2)


def test_transplants_keep_labels_true() -> None:
    """Red squares are wrong and blue ones right: after any number of swaps, still."""
    bank = DonorBank(SAMPLES)
    rng = np.random.default_rng(1)
    swapped = 0
    for i in range(80):
        host = SAMPLES[i % 8]
        out = transplant(host, bank, TransplantSettings(swap=1.0, tone=0.0, bend=0.0), rng)
        for label in (*out.regions, *out.clean_parts):
            inside = out.load_rgb()[label.box.slices][15:25, 15:25].astype(float).mean((0, 1))
            assert (inside[0] > inside[2]) == isinstance(label, LabelledRegion)
        swapped += bool(out.regions) != bool(host.regions)
        assert np.array_equal(host.load_rgb(), sample(i % 8).load_rgb())
    assert swapped > 15


def test_a_visibly_bent_clean_part_becomes_a_defect_and_a_plain_one_does_not() -> None:
    rng = np.random.default_rng(2)
    bank = DonorBank(SAMPLES)
    settings = TransplantSettings(swap=0.0, bend=1.0)
    plain = SAMPLES[1]
    stripes = plain.load_rgb().copy()
    stripes[40:80, 31:71:6] = 255
    stripes[40:80, 32:71:6] = 255
    striped = replace(plain, picture=stripes)
    assert not any(transplant(plain, bank, settings, rng).regions for _ in range(20))
    outs = [transplant(striped, bank, settings, rng) for _ in range(60)]
    change = np.array([np.abs(o.load_rgb().astype(int) - stripes).mean() for o in outs])
    bent = np.array([bool(o.regions) for o in outs])
    assert 30 < bent.sum() < 58
    assert change[bent].min() > np.median(change[~bent])


def test_augmentation_keeps_size_and_the_original() -> None:
    image = SAMPLES[0].load_rgb()
    before = image.copy()
    everything = AugmentSettings(
        tone=1, hue=1, grey=1, resolution=1, blur=1, sharpen=1, noise=1, jpeg=1
    )
    out = augment(image, everything, np.random.default_rng(0))
    assert out.shape == image.shape
    assert out.dtype == np.uint8
    assert not np.array_equal(out, image)
    assert np.array_equal(image, before)
    assert np.array_equal(augment(image, QUIET, np.random.default_rng(0)), image)


def test_mixstyle_swaps_statistics_while_training_only() -> None:
    torch.manual_seed(0)
    x = torch.randn(4, 3, 16, 16) * torch.tensor([1.0, 2.0, 3.0, 4.0])[:, None, None, None]
    mixer = MixStyle(1.0)
    assert torch.equal(mixer.eval()(x), x)
    y = mixer.train()(x)
    assert not torch.equal(x, y)

    def normed(z: torch.Tensor) -> torch.Tensor:
        return (z - z.mean((2, 3), keepdim=True)) / z.std((2, 3), keepdim=True)

    assert torch.allclose(normed(x), normed(y), atol=1e-3)


def test_average_follows_and_ends_near_the_weights() -> None:
    net = torch.nn.Linear(2, 2)
    average = WeightAverage(net, 0.9)
    with torch.no_grad():
        net.weight.fill_(1.0)
    for step in range(1, 200):
        average.follow(net, step)
    assert torch.allclose(average.state["weight"], torch.ones(2, 2), atol=1e-4)


def test_checkpoints_are_whole_or_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a" / "last.ckpt"
    save_checkpoint({"step": 1, "x": torch.ones(3)}, file)

    def fail(*_args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint({"step": 2}, file)
    assert load_checkpoint(file)["step"] == 1
    (tmp_path / "bad").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="cannot be read"):
        load_checkpoint(tmp_path / "bad")
    with pytest.raises(InputError, match="no such"):
        load_checkpoint(tmp_path / "none")


def test_a_split_keeps_prompts_together_and_is_stable() -> None:
    samples = [
        replace(sample(i), id=f"s{i}", prompt=f"a picture of a {i % 10}") for i in range(100)
    ]
    train, held = held_out(samples, 0.3, 0)
    assert {s.prompt for s in train} & {s.prompt for s in held} == set()
    assert 5 <= len(held) <= 60
    again, _ = held_out(samples[:60], 0.3, 0)
    assert {s.id for s in again} <= {s.id for s in train}
