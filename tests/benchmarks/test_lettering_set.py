import tomllib
from importlib import resources

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from lettering_set import fonts, make_set, spelling
from lettering_set.backgrounds import PHOTOS, surfaces
from lettering_set.place import fit, side_lengths, sub_quad
from lettering_set.scenes import BUILDERS
from lettering_set.truth import read
from PIL import Image


def _table(name):
    return tomllib.loads((resources.files("lettering_set") / name).read_text("utf-8"))


def _rgb(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def test_the_halves_share_nothing():
    dev, held = ({f.family for f in fonts.faces_of(s)} for s in ("dev", "heldout"))
    assert dev
    assert held
    assert not dev & held
    words = _table("words.toml")
    for key in ("phrases", "names"):
        assert not set(words["dev"][key]) & set(words["heldout"][key])
    assert not set(BUILDERS["dev"]) & set(BUILDERS["heldout"])
    assert not {s for s, _ in PHOTOS["dev"]} & {s for s, _ in PHOTOS["heldout"]}

    def pictures(split):
        return {s.source for s in surfaces() if s.split == split}

    assert not pictures("dev") & pictures("heldout")


def test_no_person_of_openpeople_stands_in_both_halves():
    def people(split):
        sources = [s.source for s in surfaces() if s.split == split]
        sources += [source for source, _ in PHOTOS[split]]
        return {s.split("/")[1] for s in sources if s.startswith("openpeople/")}

    assert not people("dev") & people("heldout")


def test_no_held_out_typeface_is_shipped_with_the_product():
    fonts_toml = resources.files("retoucher.tools") / "fonts" / "fonts.toml"
    shipped = [row["name"] for row in tomllib.loads(fonts_toml.read_text("utf-8"))["face"]]
    assert shipped
    for face in fonts.faces_of("heldout"):
        assert not any(name.startswith(face.family) for name in shipped), face.family


def test_the_same_seed_gives_the_same_bytes(small_set, tmp_path):
    folder, samples = small_set
    again = make_set(tmp_path, None, 7, limit_per_split=2)
    for sample in again:
        assert sample == next(s for s in samples if s.id == sample.id)
        for name in (sample.file, sample.twin):
            assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
    other = make_set(tmp_path / "other", None, 8, limit_per_split=1)
    assert other[0].units != samples[0].units


def test_truth_survives_its_file(small_set):
    folder, samples = small_set
    assert read(folder / "truth.jsonl") == samples


def test_lettering_lies_inside_its_picture(small_set):
    folder, samples = small_set
    for sample in samples:
        height, width = _rgb(folder / sample.file).shape[:2]
        for unit in sample.units:
            points = np.array(unit.quad_xy)
            assert points.min() >= 0
            assert (points <= [width, height]).all()


def test_picture_and_twin_differ_only_at_wrong_units(small_set):
    folder, samples = small_set
    wrong_seen = 0
    for sample in samples:
        if sample.file.endswith(".jpg"):
            continue
        gap = np.abs(_rgb(folder / sample.file) - _rgb(folder / sample.twin)).max(2)
        for unit in sample.units:
            if unit.kind == "clean":
                continue
            wrong_seen += 1
            xs, ys = np.array(unit.quad_xy).T
            assert gap[int(ys.min()) : int(ys.max()), int(xs.min()) : int(xs.max())].max() > 40
            # The intended line is fitted to the same slot: it may be a little larger.
            pad = int(2 * max(unit.cap_px, 20))
            gap[
                max(0, int(ys.min()) - pad) : int(ys.max()) + pad,
                max(0, int(xs.min()) - 3 * pad) : int(xs.max()) + 3 * pad,
            ] = 0
        assert gap.max() <= 1, sample.id
    assert wrong_seen


def test_each_kind_is_what_it_says(small_set):
    _, samples = small_set
    units = [unit for sample in samples for unit in sample.units]
    assert {unit.kind for unit in units} >= {"clean", "misspelled", "garbled"}
    for unit in units:
        if unit.kind == "clean":
            assert unit.drawn == unit.intended
            assert not unit.wrong_quads_xy
        if unit.kind == "misspelled":
            assert unit.drawn != unit.intended
            (word,) = unit.wrong_words
            assert word in unit.drawn.split(" ")
            assert word not in unit.intended.split(" ")
        if unit.kind in ("garbled", "unreadable"):
            assert unit.wrong_quads_xy == (unit.quad_xy,)


def test_a_named_prompt_holds_the_intended_words(small_set):
    _, samples = small_set
    for sample in samples:
        intended = [unit.intended for unit in sample.units if unit.intended]
        if sample.prompt_kind == "named" and intended:
            assert all(text.lower() in sample.prompt.lower() for text in intended)
        elif sample.prompt_kind == "empty":
            assert not sample.prompt


@given(seed=st.integers(0, 10_000), phrase=st.sampled_from(_table("words.toml")["dev"]["phrases"]))
def test_a_misspelling_is_no_word(seed, phrase):
    wrong, at = spelling.misspell(phrase, np.random.default_rng(seed))
    before, after = phrase.split(" "), wrong.split(" ")
    assert [w for i, w in enumerate(before) if i != at] == [
        w for i, w in enumerate(after) if i != at
    ]
    assert before[at].lower() != after[at].lower()
    assert not spelling.is_word(after[at])


def test_a_strip_keeps_its_proportions_in_a_slot():
    face = fonts.faces_of("dev")[0]
    try:
        font = fonts.load(face, 100)
    except fonts.BenchFontsMissingError as error:
        pytest.skip(str(error))
    from lettering_set.glyphs import line

    strip = line("Open Daily", font)
    slot = np.array([[10, 20], [410, 20], [410, 320], [10, 320]], float)
    placed = fit(strip, slot)
    width, height = side_lengths(placed.quad_xy)
    assert width == pytest.approx(400, rel=1e-3)
    assert width / height == pytest.approx(strip.ink_hw.shape[1] / strip.ink_hw.shape[0], rel=1e-3)
    assert placed.quad_xy.mean(0) == pytest.approx([210, 170])
    first, second = placed.word_quads_xy
    assert first[1, 0] < second[0, 0]


def test_sub_quad_of_a_rectangle():
    slot = np.array([[0, 0], [100, 0], [100, 50], [0, 50]], float)
    part = sub_quad(slot, 0.5, 0.0, 1.0, 0.5)
    assert part == pytest.approx(np.array([[50, 0], [100, 0], [100, 25], [50, 25]]))
