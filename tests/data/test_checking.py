from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retoucher.data.checking import (
    Checked,
    CheckSettings,
    apply_check,
    read_check_list,
    write_check_list,
    write_checked,
)
from retoucher.data.ours import read_labels
from retoucher.data.sample import Sample
from retoucher.data.voting import State, VotedPicture, VotedRegion
from retoucher.domain.geometry import Box
from retoucher.errors import ConfigError, InputError, OutputError
from tests.data.annotators import rgb_file


def region(name: str, state: State = "agreed", words: str = "an odd thing") -> VotedRegion:
    x = 20 * int(name[1:])
    return VotedRegion(
        id=name, box=Box(x, 10, x + 15, 40), category="hand_shape", severity=2, notes=(words,),
        votes={"hand_shape": 2, "no_defect": 1}, state=state,
    )  # fmt: skip


def voted(tmp_path: Path, words: str = "an odd thing") -> list[VotedPicture]:
    path = rgb_file(tmp_path / "one.png")
    sample = Sample(id="one", picture=path, width=200, height=120, prompt="a cat", source="s")
    first = (region("r1", words=words), region("r2", "tie"), region("r3", "minority"))
    other = replace(sample, id="two", picture=rgb_file(tmp_path / "two.jpg"))
    return [
        VotedPicture(sample=sample, annotators=("a", "b", "c"), regions=first),
        VotedPicture(sample=other, annotators=("a", "b", "c"), regions=(region("r1"),)),
    ]


def filled(path: Path, said: Mapping[tuple[str, str], Mapping[str, str]]) -> Path:
    """The list with an expert's words in it, as a spreadsheet would save it."""
    rows = list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"))))
    for row in rows:
        row.update(said.get((row["picture"], row["region"]), {}))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_expert_decides_and_the_rest_follows_the_majority(tmp_path: Path) -> None:
    pictures = voted(tmp_path)
    assert write_check_list(pictures, tmp_path / "list", CheckSettings()) == 4
    said = {
        ("one", "r1"): {"verdict": "changed", "new_category": "limb_shape", "new_severity": "3"},
        ("one", "r3"): {"verdict": "No defect"},
    }
    checked = read_check_list(filled(tmp_path / "list" / "check.csv", said))
    samples, report = apply_check(pictures, checked)
    (first,) = samples[0].regions
    assert (first.category, first.severity, first.description) == ("limb_shape", 3, "an odd thing")
    (part,) = samples[0].clean_parts
    assert (part.box, part.part, part.exact) == (Box(60, 10, 75, 40), "hand", False)
    assert len(samples[1].regions) == 1
    assert (report.regions, report.checked, report.undecided) == (4, 2, 1)
    assert (report.confirmed, report.changed, report.rejected) == (0, 1, 1)
    assert report.agreed_percent == 0.0
    assert [s.complete for s in samples] == [False, True]
    path = write_checked(samples, tmp_path / "labels")
    again = read_labels(path.parent)
    assert [s.id for s in again] == ["one", "two"]
    assert again[0].regions[0].category == "limb_shape"
    assert again[0].clean_parts[0].part == "hand"
    assert (again[0].load_rgb() == samples[0].load_rgb()).all()
    assert (tmp_path / "labels" / "images" / "000001.jpg").read_bytes() == (
        tmp_path / "two.jpg"
    ).read_bytes(), "a picture's file is copied as it is"


def test_how_often_the_expert_agrees(tmp_path: Path) -> None:
    pictures = voted(tmp_path)
    ok = Checked(word="ok")
    said = {("one", "r1"): ok, ("two", "r1"): Checked(word="no_defect"), ("one", "r2"): ok}
    samples, report = apply_check(pictures, said)
    assert report.agreed_percent == 50.0, "of what the annotators had agreed on"
    assert [len(s.regions) for s in samples] == [2, 0]
    assert apply_check(pictures, {})[1].agreed_percent is None
    with pytest.raises(InputError, match="picture one, region r9"):
        apply_check(pictures, {("one", "r9"): ok})


def test_a_share_is_drawn_and_what_is_open_always_shown(tmp_path: Path) -> None:
    sample = voted(tmp_path)[0].sample
    many = tuple(region("r1") for _ in range(40))
    many = tuple(
        replace(r, id=f"r{i}", state="tie" if i == 7 else "agreed") for i, r in enumerate(many)
    )
    picture = VotedPicture(sample=sample, annotators=("a",), regions=many)
    listed: list[list[str]] = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_check_list([picture], tmp_path / name, CheckSettings(share=0.3, seed=seed))
        text = (tmp_path / name / "check.csv").read_text("utf-8-sig")
        listed.append([row["region"] for row in csv.DictReader(io.StringIO(text))])
    assert listed[0] == listed[1] != listed[2]
    assert all("r7" in rows for rows in listed)
    assert 5 <= len(listed[0]) <= 20
    with pytest.raises(ConfigError):
        CheckSettings(share=1.5)


def test_the_list_shows_the_place_and_words_stay_words(tmp_path: Path) -> None:
    words = "=HYPERLINK(1) <script>"
    pictures = voted(tmp_path, words)
    write_check_list(pictures, tmp_path / "list", CheckSettings())
    page = (tmp_path / "list" / "check.html").read_text("utf-8")
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    raw = (tmp_path / "list" / "check.csv").read_text("utf-8-sig")
    assert ",'=HYPERLINK" in raw, "no formula in a spreadsheet"
    with Image.open(tmp_path / "list" / "crops" / "000000.png") as crop:
        pixels = np.asarray(crop).astype(int)
    red = (pixels[..., 0] > 180) & (pixels[..., 1] < 90)
    assert red.sum() > 200
    said = {("one", "r1"): {"verdict": "changed", "new_description": "'=HYPERLINK(1) <script>"}}
    checked = read_check_list(filled(tmp_path / "list" / "check.csv", said))
    assert checked["one", "r1"].description == words


def test_a_list_with_semicolons_is_read(tmp_path: Path) -> None:
    head = "picture;region;crop;state;votes;category;severity;description;verdict;new_category;"
    row = "one;r1;c;agreed;x;y;2;odd, very;OK;;;"
    path = tmp_path / "check.csv"
    path.write_text(f"\ufeff{head}new_severity;new_description\r\n{row}\r\n", "utf-8")
    assert read_check_list(path) == {("one", "r1"): Checked(word="ok")}


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"verdict": "yes"}, "row 2: the verdict must be one of ok, changed, no_defect"),
        ({"verdict": "changed"}, "row 2: 'changed' goes with"),
        ({"verdict": "ok", "new_severity": "3"}, "row 2: 'changed' goes with"),
        ({"new_category": "limb_shape"}, "row 2: has a correction, but no verdict"),
        ({"verdict": "changed", "new_category": "nose"}, "'nose' is not in the taxonomy"),
        ({"verdict": "changed", "new_severity": "9"}, "severity must be 1, 2 or 3"),
    ],
)
def test_a_row_that_is_not_clear_is_named(
    tmp_path: Path, said: dict[str, str], message: str
) -> None:
    write_check_list(voted(tmp_path), tmp_path / "list", CheckSettings())
    path = filled(tmp_path / "list" / "check.csv", {("one", "r1"): said})
    with pytest.raises(InputError, match=message):
        read_check_list(path)


def test_lists_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("a,b\n1,2\n", "utf-8")
    with pytest.raises(InputError, match="column 'new_category' is missing"):
        read_check_list(tmp_path / "other.csv")
    pictures = voted(tmp_path)
    write_check_list(pictures, tmp_path / "list", CheckSettings())
    with pytest.raises(OutputError, match="is there already"):
        write_check_list(pictures, tmp_path / "list", CheckSettings())
