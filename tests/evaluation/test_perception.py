"""What an evaluation counts, on maps whose figures are known beforehand."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from retoucher.agents import FloatArray
from retoucher.data.sample import CleanPart, LabelledRegion, Sample
from retoucher.domain.geometry import Box
from retoucher.errors import InputError
from retoucher.evaluation.baselines import centre_map, uniform_map
from retoucher.evaluation.calibration import calibrate, rescaled
from retoucher.evaluation.metrics import measure
from retoucher.evaluation.perception import evaluate, judge_regions, truth_map
from retoucher.evaluation.tables import as_json, markdown, markdown_all
from retoucher.imaging.regions import RegionSettings

HAND, FACE, SUBTLE = Box(10, 10, 40, 40), Box(60, 10, 90, 40), Box(60, 60, 90, 90)


def sample(name: str, *, clean: bool = False) -> Sample:
    regions = (
        LabelledRegion(box=HAND, category="hand_shape", severity=3),
        LabelledRegion(box=SUBTLE, category="object_texture", severity=1),
    )
    return Sample(
        id=name,
        picture=np.zeros((100, 120, 3), np.uint8),
        width=120,
        height=100,
        regions=() if clean else regions,
        clean_parts=(CleanPart(box=FACE, part="face"), CleanPart(box=SUBTLE, part="hand"))
        if clean
        else (CleanPart(box=FACE, part="face"),),
    )


def lit(*boxes: Box, level: float = 0.9) -> FloatArray:
    values = np.full((100, 120), 0.05, np.float32)
    for box in boxes:
        values[box.slices] = level
    return values


def test_a_map_that_knows_everything() -> None:
    samples = [sample("a"), sample("b", clean=True)]
    report = evaluate(samples, lambda s: lit() if s.is_clean else lit(HAND))
    assert report.saliency.pictures == 1
    assert report.saliency.scores.auc_judd == 1.0
    assert report.parts == 1.0
    assert report.parts_by_kind == {"hand": 1.0}
    op = report.operation
    assert (op.found, op.defects, op.right, op.regions) == (1, 1, 1, 1)
    assert (op.touched, op.clean_pictures, op.clean_area) == (0, 1, 0.0)
    assert op.clean_mse == pytest.approx(0.0025)
    assert (op.recall, op.precision, op.touched_share) == (1.0, 1.0, 0.0)
    assert report.recall_by_category == {"hand_shape": (1.0, 1)}
    assert report.recall_by_severity == {3: (1.0, 1)}


def test_a_map_that_marks_the_sound_part_everywhere() -> None:
    samples = [sample("a"), sample("b", clean=True)]
    report = evaluate(samples, lambda _s: lit(FACE))
    assert report.parts == pytest.approx((0 + 0 + 0.5) / 3)
    assert report.operation.right == 0
    assert report.operation.regions == 2
    assert report.operation.touched_share == 1.0
    assert report.operation.recall == 0.0
    assert report.operation.clean_area == pytest.approx(900 / 12000)


def test_subtle_marks_are_no_defects_but_no_mistakes_either() -> None:
    report = evaluate([sample("a")], lambda _s: lit(HAND, SUBTLE))
    op = report.operation
    assert (op.defects, op.found, op.regions, op.right) == (1, 1, 2, 2)
    assert math.isnan(op.touched_share)
    assert math.isnan(op.clean_mse)
    stricter = evaluate([sample("a")], lambda _s: lit(HAND, SUBTLE), min_severity=1)
    assert stricter.operation.defects == 2


def test_truth_weighs_by_severity_and_uses_masks_where_there_are_some() -> None:
    mask = np.zeros((30, 30), np.bool_)
    mask[:5] = True
    masked = Sample(
        id="m",
        picture=np.zeros((100, 120, 3), np.uint8),
        width=120,
        height=100,
        regions=(
            LabelledRegion(box=HAND, category="hand_shape", severity=2, mask_hw=mask),
            LabelledRegion(box=Box(10, 10, 12, 40), category="hand_shape", severity=3),
        ),
    )
    truth = truth_map(masked)
    assert truth[10:15, 12:40].min() == truth[10:15, 12:40].max() == 2
    assert truth[10:40, 10:12].min() == 3
    assert truth.sum() == 5 * 28 * 2 + 30 * 2 * 3


def test_pictures_without_defects_are_not_averaged_in() -> None:
    alone = evaluate([sample("a")], lambda _s: lit(HAND, FACE))
    both = evaluate([sample("a"), sample("b", clean=True)], lambda _s: lit(HAND, FACE))
    assert alone.saliency == both.saliency
    nothing = evaluate([sample("b", clean=True)], lambda _s: lit())
    assert nothing.saliency.pictures == 0
    assert math.isnan(nothing.parts)
    assert math.isnan(nothing.operation.recall)
    assert math.isnan(nothing.operation.precision)


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(InputError, match="shape"):
        evaluate([sample("a")], lambda _s: np.zeros((10, 10), np.float32))


def test_baselines_and_tables() -> None:
    samples = [sample("a"), sample("b", clean=True)]
    reports = [
        ("uniform", evaluate(samples, uniform_map)),
        ("centre", evaluate(samples, centre_map)),
    ]
    assert reports[0][1].saliency.scores.auc_judd == 0.5
    assert reports[0][1].parts == 0.5
    peak = np.unravel_index(int(np.argmax(centre_map(samples[0]))), (100, 120))
    assert peak == (50, 60)
    table = markdown(reports).splitlines()
    assert len(table) == 4
    assert table[2].startswith("| uniform | 0.500 | 0.000 | 0.000 |")
    assert "| 0/1 | 0/0 | 0/1 |" in table[2]
    everything = markdown_all(reports)
    assert "| uniform | 1 | 0 (0.0%) | 0.00% | 0.01000 |" in everything
    assert "| model | all (1 / 3) | hand (1 / 1) |" in everything
    assert "hand_shape (1)" in everything
    data = json.loads(json.dumps(as_json(evaluate([samples[1]], uniform_map)), allow_nan=False))
    assert data["parts"] is None
    assert data["operation"]["clean_pictures"] == 1


def noisy(level: float, seed: int) -> FloatArray:
    values = np.full((100, 120), 0.1, np.float32)
    values[20:60, 20:60] = level
    return values + np.random.default_rng(seed).random(values.shape).astype(np.float32) * 0.01


def test_calibration_leaves_clean_pictures_alone_and_no_more_than_that() -> None:
    clean = [noisy(0.2 + 0.02 * i, i) for i in range(20)]
    labelled = [(sample("a"), lit(HAND))]
    chosen = calibrate(
        labelled, clean, regions=RegionSettings(), touched_share=0.1, right_share=0.0, scales=(1.0,)
    )
    assert chosen.touched_share <= 0.1

    def touched(shift: float) -> int:
        return sum(float(rescaled(m, 1.0, shift).max()) >= 0.4 for m in clean)

    assert touched(chosen.shift) <= 2 < touched(chosen.shift + 0.15)
    before = measure(lit(HAND), truth_map(sample("a")))
    after = measure(rescaled(lit(HAND), 1.0, chosen.shift), truth_map(sample("a")))
    assert after.auc_judd == before.auc_judd


def test_calibration_takes_the_sharper_scale_where_that_helps() -> None:
    blurred = lit(HAND, level=0.6)
    blurred[50:, :] = 0.3
    chosen = calibrate(
        [(sample("a"), blurred)],
        [np.full((100, 120), 0.5, np.float32)],
        regions=RegionSettings(),
        touched_share=0.0,
        right_share=0.0,
        scales=(0.8, 3.0),
    )
    assert chosen.scale == 3.0


def test_calibration_keeps_regions_right_where_clean_pictures_say_nothing() -> None:
    """A second spot beside the mark is nearly as bright; the clean pictures are dark."""
    doubled = lit(HAND, level=0.6)
    doubled[5:35, 80:115] = 0.5
    dark = [np.full((100, 120), 0.001, np.float32)]
    case = [(sample("a"), doubled)]
    settings = RegionSettings()
    loose, strict = (
        calibrate(case, dark, regions=settings, touched_share=0.0, right_share=share, scales=(1.0,))
        for share in (0.0, 0.9)
    )
    assert strict.shift < loose.shift
    assert loose.right_share < 0.9 <= strict.right_share
    shown = judge_regions(sample("a"), rescaled(doubled, 1.0, strict.shift), settings)
    assert shown.right == [True]


def test_calibration_needs_both_kinds_of_pictures() -> None:
    with pytest.raises(InputError, match="clean pictures"):
        calibrate(
            [(sample("a"), lit(HAND))],
            [],
            regions=RegionSettings(),
            touched_share=0.1,
            right_share=0.0,
        )
    with pytest.raises(InputError, match="no shift"):
        calibrate(
            [(sample("a"), lit(HAND))],
            [np.ones((100, 120), np.float32)],
            regions=RegionSettings(),
            touched_share=0.0,
            right_share=0.0,
        )


def test_a_data_sets_own_saliency_is_truth_too() -> None:
    own = np.zeros((50, 60), np.float32)
    own[10:20, 10:20] = 0.5
    rated = Sample(
        id="r",
        picture=np.zeros((100, 120, 3), np.uint8),
        width=120,
        height=100,
        saliency_hw=own,
    )
    truth = truth_map(rated)
    assert truth.shape == (100, 120)
    assert truth[25:35, 25:35].min() == pytest.approx(1.5)
    assert truth[:, 60:].max() == 0
    assert evaluate([rated], lambda _s: truth_map(rated) / 3).saliency.scores.auc_judd == 1.0
