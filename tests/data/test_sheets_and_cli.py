from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from retoucher.cli.data import app
from retoucher.data.ours import read_labels, write_labels
from retoucher.data.sample import LabelledRegion, Sample
from retoucher.data.sheets import SheetSettings, contact_sheet, pairs_sheet
from retoucher.data.stats import dataset_stats
from retoucher.data.synthetic.make import make_pair
from retoucher.domain.geometry import Box
from retoucher.errors import InputError
from tests.data.scenes import drawn_sample


def labelled() -> list[Sample]:
    hand = LabelledRegion(
        box=Box(20, 20, 150, 170), category="hand_shape", severity=3, description="a melted hand"
    )
    text = LabelledRegion(box=Box(20, 200, 330, 260), category="text_wrong", severity=1)
    clean = replace(drawn_sample(), id="clean", prompt="", source="elsewhere")
    return [replace(drawn_sample(), id="bad", regions=(hand, text), source="here"), clean]


def test_statistics_count_everything() -> None:
    stats = dataset_stats(labelled())
    assert (stats.pictures, stats.clean_pictures, stats.with_prompt) == (2, 1, 1)
    assert (stats.regions, stats.masked_regions) == (2, 0)
    assert stats.by_category == {"hand_shape": 1, "text_wrong": 1}
    assert stats.by_severity == {1: 1, 2: 0, 3: 1}
    assert stats.by_part["face"] == 4
    assert stats.by_source == {"here": 1, "elsewhere": 1}
    assert (stats.words, stats.words_spread, stats.without_words) == (3.0, (3.0, 3.0, 3.0), 1)
    assert stats.by_dimension == {"hand": 1, "text": 1}
    assert stats.category_share == {"hand_shape": 0.5, "text_wrong": 0.5}
    assert (stats.regions_per_picture, stats.most_regions) == ((1.0, 2.0), 2)
    empty = dataset_stats([])
    assert (empty.region_side, empty.words, empty.megapixels) == (None, None, None)
    assert (empty.regions_per_picture, empty.most_regions, empty.category_share) == (None, 0, {})


def test_a_sheet_shows_what_was_asked_for() -> None:
    look = SheetSettings(cell_px=80, columns=3)
    sheet = contact_sheet(labelled(), settings=look)
    assert sheet.shape == (94, 160, 3)
    red = (sheet[..., 0] > 180) & (sheet[..., 1] < 90) & (sheet[..., 2] < 90)
    assert red.sum() > 60
    parts = contact_sheet(labelled(), what="parts", kinds=["hand"], settings=look)
    assert parts.shape == (94, 160, 3)
    pictures = contact_sheet(labelled(), what="pictures", count=1, settings=look)
    assert pictures.shape == (94, 80, 3)
    with pytest.raises(InputError, match="nothing to show: no regions limb_count"):
        contact_sheet(labelled(), kinds=["limb_count"])
    pair = make_pair(np.random.default_rng(0), drawn_sample())
    assert pair is not None
    assert pairs_sheet([pair, pair, pair], look).shape == (94, 480, 3)


def run(*args: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_command_counts_shows_and_makes(tmp_path: Path) -> None:
    write_labels(labelled(), tmp_path / "set")
    counted = json.loads(run("stats", tmp_path / "set", "--json"))
    assert counted["regions"] == 2
    assert "hand_shape" in run("stats", tmp_path / "set")
    run("show", tmp_path / "set", tmp_path / "sheet.png", "--kind", "hand_shape", "--count", 4)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == (192, 206)
    run("make", tmp_path / "set", tmp_path / "made", "--count", 2, "--size", 128, "--seed", 3)
    made = read_labels(tmp_path / "made")
    assert len(made) == 4
    assert made[0].regions[-1].mask_hw is not None


def test_the_command_says_what_is_wrong(tmp_path: Path) -> None:
    write_labels(labelled(), tmp_path / "set")
    for args, message in (
        (["stats", tmp_path / "set", "--format", "zip"], "unknown format 'zip'"),
        (["show", tmp_path / "set", tmp_path / "a.png", "--what", "x"], "--what must be"),
        (["make", tmp_path / "set"], "give at least one data set"),
        (["make", tmp_path / "set", tmp_path / "o", "--category", "paw"], "unknown category 'paw'"),
    ):
        with pytest.raises(InputError, match=message):
            run(*args)
