"""`retouch fix`: what it writes, what it prints, how it ends."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from retoucher.agents import EditRequest, RgbArray
from retoucher.domain.codec import trace_from_json
from retoucher.domain.trace import Outcome, StopReason
from retoucher.testing import keep, paint
from tests.cli.conftest import CORE, Command, blotted, clean, load, save

Scripted = Callable[..., Command]


def test_the_result_lies_beside_the_input_and_only_the_defect_differs(
    tmp_path: Path, scripted: Scripted
):
    picture = save(tmp_path / "a.png", blotted())
    before = picture.read_bytes()
    said = scripted()("fix", picture)
    assert said.code == 0
    assert said.out == f"{tmp_path / 'a.retouched.png'}\n"
    after = load(tmp_path / "a.retouched.png")
    assert (after[CORE] == 128).all()
    changed = (after != blotted()).any(axis=2)
    ys, xs = np.nonzero(changed)
    assert ys.min() >= 10
    assert ys.max() < 46
    assert xs.min() >= 20
    assert xs.max() < 70
    assert picture.read_bytes() == before


def test_progress_says_each_round_on_standard_error(tmp_path: Path, scripted: Scripted):
    said = scripted()("fix", save(tmp_path / "a.png", blotted()))
    for words in (
        "a.png",
        "round 1: 1 region, peak 0.90",
        "r1 clear broken texture: scripted object_texture (90% sure)",
        "r1 brush: accepted; scripted",
        "round 2: nothing found",
        "converged: repaired, and nothing significant is left (1 repaired, 0 left",
    ):
        assert words in said.err, words


def test_quiet_prints_the_result_only(tmp_path: Path, scripted: Scripted):
    said = scripted()("fix", save(tmp_path / "a.png", blotted()), "-q")
    assert said.err == ""
    assert said.out.splitlines() == [str(tmp_path / "a.retouched.png")]


def test_json_prints_one_object_a_picture(tmp_path: Path, scripted: Scripted):
    save(tmp_path / "a.png", blotted())
    save(tmp_path / "b.png", clean())
    said = scripted()("fix", tmp_path, "--json", "--prompt", "a wall", "-o", tmp_path / "out")
    assert said.err == ""
    first, second = (json.loads(line) for line in said.out.splitlines())
    assert first["output"] == str(tmp_path / "out" / "a.png")
    assert (first["changed"], first["stop"], first["repaired"]) == (True, "converged", 1)
    assert first["prompt"] == "a wall"
    (edit,) = first["edits"]
    assert (edit["tool"], edit["outcome"], edit["category"]) == (
        "brush",
        "accepted",
        "object_texture",
    )
    x0, y0, x1, y1 = edit["box_xyxy"]
    changed = (load(tmp_path / "out" / "a.png") != blotted()).any(axis=2)
    changed[y0:y1, x0:x1] = False
    assert not changed.any()
    assert (second["changed"], second["stop"], second["edits"]) == (False, "clean", [])


def test_a_clean_picture_comes_back_byte_for_byte(tmp_path: Path, scripted: Scripted):
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", "a wall\nSteps: 20, Sampler: Euler, Seed: 1")
    Image.fromarray(clean()).save(tmp_path / "a.png", pnginfo=info)
    assert scripted()("fix", tmp_path / "a.png", "-o", tmp_path / "b.png").code == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "a.png").read_bytes()


def test_a_rolled_back_repair_leaves_the_picture_and_is_reported(
    tmp_path: Path, scripted: Scripted
):
    picture = save(tmp_path / "a.png", blotted())
    said = scripted(accepted=[False])("fix", picture, "--json")
    record = json.loads(said.out)
    assert said.code == 0
    assert (record["changed"], record["stop"]) == (False, "no_progress")
    assert record["edits"][0]["outcome"] == "rolled_back"
    assert len(record["left"]) == 1
    assert np.array_equal(load(tmp_path / "a.retouched.png"), blotted())


def test_report_and_trace_are_written_and_complete(tmp_path: Path, scripted: Scripted):
    picture = save(tmp_path / "a.png", blotted())
    said = scripted([keep, paint(128)], [True])(
        "fix", picture, "--report", tmp_path / "r.html", "--trace", tmp_path / "t.json", "--seed", 7
    )
    assert said.code == 0
    page = (tmp_path / "r.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    assert "a.png" in page
    trace = trace_from_json(json.loads((tmp_path / "t.json").read_text("utf-8")))
    assert trace.seed == 7
    assert trace.edits[0].outcome is Outcome.UNCHANGED


def test_several_pictures_get_a_report_each(tmp_path: Path, scripted: Scripted):
    for name in "ab":
        save(tmp_path / f"{name}.png", blotted())
    pictures = (tmp_path / "a.png", tmp_path / "b.png")
    said = scripted()("fix", *pictures, "--report", tmp_path / "reports", "-q")
    assert said.code == 0
    assert {path.name for path in (tmp_path / "reports").iterdir()} == {"a.html", "b.html"}


def test_a_dry_run_plans_and_writes_nothing(tmp_path: Path, scripted: Scripted):
    picture = save(tmp_path / "a.png", blotted())

    def never(request: EditRequest) -> RgbArray:
        raise AssertionError("a dry run used a tool")

    said = scripted([never])("fix", picture, "--dry-run")
    assert said.code == 0
    assert "would do" in said.out
    assert "brush" in said.out
    record = json.loads(scripted([never])("fix", picture, "--dry-run", "--json").out)
    assert record["plan"][0]["tool"] == "brush"
    assert record["regions"][0]["category"] == "object_texture"
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_dry_run_of_a_clean_picture_says_so(tmp_path: Path, scripted: Scripted):
    said = scripted()("fix", save(tmp_path / "a.png", clean()), "--dry-run", "-q")
    assert said.out == f"{tmp_path / 'a.png'}: nothing to repair\n"


def test_skip_only_and_dimensions(tmp_path: Path, scripted: Scripted):
    picture = save(tmp_path / "a.png", blotted())
    for options, stop in (
        (["--skip", "object"], "nothing_repairable"),
        (["--only", "text"], "nothing_repairable"),
        (["--only", "object_texture"], "converged"),
        (["--only", "text", "--only", "object"], "converged"),
    ):
        record = json.loads(scripted()("fix", picture, "--json", *options).out)
        assert record["stop"] == stop, options


def test_own_regions_replace_perception(tmp_path: Path, scripted: Scripted):
    picture = save(tmp_path / "a.png", clean())
    grey = np.zeros((64, 96), np.uint8)
    grey[5:15, 5:25] = 255
    mask = save(tmp_path / "m.png", grey)
    said = scripted()("fix", picture, "--mask", mask, "--json")
    record = json.loads(said.out)
    assert record["edits"][0]["outcome"] == "accepted"
    after = load(tmp_path / "a.retouched.png")
    assert (after[7:13, 7:23] == 128).all()
    assert np.array_equal(after[40:], clean()[40:])


def test_force_overwrites_the_input_when_asked(tmp_path: Path, scripted: Scripted):
    picture = save(tmp_path / "a.png", blotted())
    assert scripted()("fix", picture, "-o", picture, "--force", "-q").code == 0
    assert (load(picture)[CORE] == 128).all()


def test_ctrl_c_keeps_what_is_done_and_says_so(tmp_path: Path, scripted: Scripted):
    two = clean()
    two[5:15, 5:25] = two[40:50, 60:90] = (255, 0, 255)
    pictures = [save(tmp_path / f"{name}.png", two) for name in "ab"]

    def interrupted(request: EditRequest) -> RgbArray:
        signal.raise_signal(signal.SIGINT)
        return paint(128)(request)

    before = signal.getsignal(signal.SIGINT)  # ignored where the tests run in the background
    said = scripted([interrupted])("fix", *pictures, "--json", "--trace", tmp_path / "t")
    assert said.code == 130
    (record,) = (json.loads(line) for line in said.out.splitlines())
    assert (record["stop"], record["repaired"], len(record["left"])) == ("cancelled", 1, 1)
    repaired = (load(tmp_path / "a.retouched.png") == 128).all(axis=2)
    assert repaired.any()
    assert not (tmp_path / "b.retouched.png").exists()
    trace = trace_from_json(json.loads((tmp_path / "t" / "a.json").read_text("utf-8")))
    assert trace.stop is StopReason.CANCELLED
    assert "cancelled; 1 of 2 pictures" in said.complaints[-1]
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_before_anything_is_kept_writes_nothing(tmp_path: Path, scripted: Scripted):
    picture = save(tmp_path / "a.png", blotted())

    def interrupted(request: EditRequest) -> RgbArray:
        signal.raise_signal(signal.SIGINT)
        return keep(request)

    said = scripted([interrupted])("fix", picture, "-q")
    assert said.code == 130
    assert said.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_a_second_ctrl_c_stops_at_once(tmp_path: Path, scripted: Scripted):
    picture = save(tmp_path / "a.png", blotted())

    def twice(request: EditRequest) -> RgbArray:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    assert scripted([twice])("fix", picture).code == 130
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


@pytest.mark.parametrize("suffix", ["jpg", "webp", "tiff"])
def test_other_formats_keep_their_format(tmp_path: Path, scripted: Scripted, suffix: str):
    picture = save(tmp_path / f"a.{suffix}", clean())
    grey = np.zeros((64, 96), np.uint8)
    grey[20:40, 30:60] = 255
    mask = save(tmp_path / "m.png", grey)
    assert scripted()("fix", picture, "--mask", mask, "-q").code == 0
    with Image.open(tmp_path / f"a.retouched.{suffix}") as after, Image.open(picture) as before:
        assert after.format == before.format


def test_a_setting_on_the_command_line_goes_over_the_file(
    tmp_path: Path, scripted: Scripted
) -> None:
    config = tmp_path / "retouch.toml"
    config.write_text("rounds = 2\nseed = 5\n")
    trace = tmp_path / "trace.json"
    picture = save(tmp_path / "a.png", blotted())
    said = scripted()("fix", picture, "--config", config, "--set", "rounds=1", "--trace", trace)
    assert said.code == 0
    settings = trace_from_json(json.loads(trace.read_text())).settings
    assert settings["rounds"] == 1
    assert settings["seed"] == 5
