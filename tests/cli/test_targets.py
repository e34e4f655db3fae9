"""Where results go: beside the input by default, never over anything by accident."""

from __future__ import annotations

from pathlib import Path

import pytest

from retoucher.cli.targets import Target, choose_targets, find_pictures
from retoucher.errors import InputError, OutputError


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def choose(*arguments: Path, force: bool = False, **where: Path) -> tuple[Target, ...]:
    options = {"out": None, "report": None, "trace": None} | where
    return choose_targets(find_pictures(arguments), force=force, **options)


def test_the_default_lies_beside_the_input_and_may_be_written_again(tmp_path: Path):
    touch(tmp_path / "a.b.png", tmp_path / "a.b.retouched.png")
    (target,) = choose(tmp_path / "a.b.png")
    assert target.output == tmp_path / "a.b.retouched.png"
    assert target.error is None


def test_a_folder_stands_for_its_pictures_without_our_own_results(tmp_path: Path):
    touch(*(tmp_path / n for n in ("b.PNG", "a.jpg", "a.retouched.jpg", "notes.txt", ".h.png")))
    touch(tmp_path / "sub" / "c.png")
    pictures = find_pictures([tmp_path])
    assert [path.name for path in pictures.paths] == ["a.jpg", "b.PNG"]
    assert pictures.many


def test_the_same_picture_twice_is_done_once(tmp_path: Path):
    touch(tmp_path / "a.png", tmp_path / "b.png")
    twice = find_pictures([tmp_path / "a.png", tmp_path / "b.png", tmp_path / "x" / ".." / "a.png"])
    assert [path.name for path in twice.paths] == ["a.png", "b.png"]


def test_an_empty_folder_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="holds no picture"):
        find_pictures([tmp_path])


def test_one_picture_takes_a_file_or_a_folder(tmp_path: Path):
    touch(tmp_path / "a.png")
    assert choose(tmp_path / "a.png", out=tmp_path / "x.webp")[0].output == tmp_path / "x.webp"
    assert choose(tmp_path / "a.png", out=tmp_path / "new")[0].output == tmp_path / "new" / "a.png"
    (here,) = choose(tmp_path / "a.png", out=tmp_path)
    assert here.output == tmp_path / "a.retouched.png"


def test_several_pictures_need_a_folder(tmp_path: Path):
    touch(tmp_path / "a.png", tmp_path / "b.png")
    both = (tmp_path / "a.png", tmp_path / "b.png")
    outputs = [target.output for target in choose(*both, out=tmp_path / "new")]
    assert outputs == [tmp_path / "new" / "a.png", tmp_path / "new" / "b.png"]
    with pytest.raises(OutputError, match="several pictures need a folder"):
        choose(*both, out=tmp_path / "x.png")


def test_nothing_is_overwritten_without_force(tmp_path: Path):
    touch(tmp_path / "a.png", tmp_path / "old.png")
    assert "exists" in (choose(tmp_path / "a.png", out=tmp_path / "old.png")[0].error or "")
    assert "is an input" in (choose(tmp_path / "a.png", out=tmp_path / "a.png")[0].error or "")
    for out in ("old.png", "a.png"):
        assert choose(tmp_path / "a.png", out=tmp_path / out, force=True)[0].error is None


def test_an_input_that_looks_like_a_default_output_is_safe(tmp_path: Path):
    touch(tmp_path / "a.png", tmp_path / "a.retouched.png")
    first, second = choose(tmp_path / "a.png", tmp_path / "a.retouched.png")
    assert "is an input" in (first.error or "")
    assert second.error is None


def test_two_pictures_of_one_name_must_not_share_a_target(tmp_path: Path):
    touch(tmp_path / "x" / "a.png", tmp_path / "y" / "a.png")
    both = (tmp_path / "x" / "a.png", tmp_path / "y" / "a.png")
    with pytest.raises(OutputError, match="two pictures would be written"):
        choose(*both, out=tmp_path / "new")
    with pytest.raises(OutputError, match="two pictures would be written"):
        choose(*both, report=tmp_path / "reports")


def test_a_folder_or_a_file_in_the_way_is_said_before_work(tmp_path: Path):
    touch(tmp_path / "a.png", tmp_path / "file")
    (tmp_path / "d.png").mkdir()
    inside = choose(tmp_path / "a.png", out=tmp_path / "d.png")[0]
    assert inside.output == tmp_path / "d.png" / "a.png"
    blocked = choose(tmp_path / "a.png", out=tmp_path / "file" / "x.png")[0]
    assert "is no folder" in (blocked.error or "")
    report = choose(tmp_path / "a.png", report=tmp_path / "file" / "x.html")[0]
    assert "is no folder" in (report.error or "")


def test_reports_and_traces(tmp_path: Path):
    touch(tmp_path / "a.png", tmp_path / "b.png")
    both = (tmp_path / "a.png", tmp_path / "b.png")
    (one,) = choose(both[0], report=tmp_path / "r.html", trace=tmp_path / "t.json")
    assert (one.report, one.trace) == (tmp_path / "r.html", tmp_path / "t.json")
    many = choose(*both, report=tmp_path / "reports", trace=tmp_path / "{stem}.t.json")
    assert many[1].report == tmp_path / "reports" / "b.html"
    assert many[1].trace == tmp_path / "b.t.json"
    with pytest.raises(OutputError, match=r"needs? a folder, or a name with \{stem\}"):
        choose(*both, report=tmp_path / "r.html")
    with pytest.raises(OutputError, match=r"ending in \.json"):
        choose(both[0], trace=tmp_path / "b.png")
