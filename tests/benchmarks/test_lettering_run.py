"""The benchmark judges two made-up retouchers as it should: a perfect one and a vandal."""

from types import SimpleNamespace

import numpy as np
from lettering_run import load_rgb, naive_regions, read_line, read_page, run_sample
from lettering_score import character_error_rate, plain, quad_mask, rectified
from lettering_table import by_prompt, summary

from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.region import Region
from retoucher.domain.trace import EditRecord, Outcome, StopReason


class Scripted:
    """Claims a defect in the given quads and hands out a given picture, all of it accepted."""

    def __init__(self, quads, after_rgb, category="text_wrong"):
        self.quads, self.after_rgb, self.category = quads, after_rgb, category

    def fix(self, path, *, prompt):
        shape = self.after_rgb.shape[:2]
        regions = tuple(
            Region.from_mask(quad_mask([quad], shape), id=f"r{k}", score=1.0)
            for k, quad in enumerate(self.quads)
        )
        diagnoses = tuple(
            Diagnosis(
                region_id=r.id, category=self.category, severity=2, description="", confidence=0.9
            )
            for r in regions
        )
        edits = tuple(
            EditRecord(
                region_id=r.id, tool="t", outcome=Outcome.ACCEPTED, box=r.box.expand(40),
                verdict=None, error=None, seconds=0.0,
            )
            for r in regions
        )  # fmt: skip
        rounds = (SimpleNamespace(regions=regions, diagnoses=diagnoses, edits=edits),)
        trace = SimpleNamespace(rounds=rounds, stop=StopReason.CONVERGED)
        return SimpleNamespace(image_rgb=self.after_rgb, trace=trace)


def _wrong_quads(sample):
    return [quad for unit in sample.units for quad in unit.wrong_quads_xy]


def test_the_clean_twin_counts_as_a_repair(small_set):
    folder, samples = small_set
    sample = next(s for s in samples if s.theme == "misspelled")
    twin = load_rgb(folder / sample.twin)
    row, _ = run_sample(Scripted(_wrong_quads(sample), twin), sample, folder)
    wrong = [unit for unit in row.units if unit.kind == "misspelled"]
    assert all(unit.fate == "repaired" for unit in wrong)
    assert all(unit.cer_before > 0 == unit.cer_after for unit in wrong)
    assert all(unit.ink_delta_e == 0 == unit.surroundings_changed for unit in wrong)
    assert (row.right, row.false) == (len(wrong), 0)
    data = summary([row])
    assert data["found"]["misspelled"] == [len(wrong), len(wrong)]
    assert data["category_right"] == [len(wrong), len(wrong)]
    assert data["repaired_of_known"] == [len(wrong), len(wrong)]
    prompt = by_prompt([row])
    assert sum(prompt[k]["misspelled repaired"][0] for k in prompt) == len(wrong)


def test_painting_over_right_lettering_is_held_against_it(small_set):
    folder, samples = small_set
    sample = next(s for s in samples if s.clean)
    spoilt = load_rgb(folder / sample.file).copy()
    mask = quad_mask([unit.quad_xy for unit in sample.units], spoilt.shape[:2])
    spoilt[mask] = spoilt[mask].mean(0).astype(np.uint8)
    quads = [unit.quad_xy for unit in sample.units]
    row, _ = run_sample(Scripted(quads, spoilt), sample, folder)
    data = summary([row])
    assert data["clean_pictures_changed"] == [1, 1]
    assert data["clean_units_flagged"] == [len(quads), len(quads)]
    assert data["regions_right"] == [0, len(quads)]
    assert all(unit.cer_after > unit.cer_before for unit in row.units)
    assert row.changed_outside_boxes == 0


def test_a_lazy_retoucher_misses_everything_and_changes_nothing(small_set):
    folder, samples = small_set
    for sample in samples[:3]:
        before = load_rgb(folder / sample.file)
        row, _ = run_sample(Scripted([], before), sample, folder)
        assert not row.changed
        assert {unit.fate for unit in row.units} <= {None, "missed"}


def test_changes_outside_the_boxes_are_counted(small_set):
    folder, samples = small_set
    sample = samples[0]
    after = load_rgb(folder / sample.file).copy()
    after[0, :5] = 255 - after[0, :5]
    row, _ = run_sample(Scripted([], after), sample, folder)
    assert row.changed_outside_boxes == 5


def test_lines_and_pages_are_read_in_turn(small_set):
    folder, samples = small_set
    sample = next(s for s in samples if s.clean)
    page = load_rgb(folder / sample.file)
    for _ in range(2):
        for unit in sample.units:
            assert character_error_rate(read_line(rectified(page, unit))[0], unit.drawn) == 0
        texts = [plain(text) for text, _, _ in read_page(page)]
        assert all(plain(unit.drawn) in "".join(texts) for unit in sample.units)


def test_naive_spell_check_takes_a_misspelled_line_and_spares_a_right_one(small_set):
    folder, samples = small_set
    sample = next(s for s in samples if s.theme == "misspelled")
    assert naive_regions(load_rgb(folder / sample.file), "spell-check")
    assert not naive_regions(np.full((80, 80, 3), 128, np.uint8), "spell-check")
