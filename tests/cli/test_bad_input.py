"""Whatever is wrong: one clear line, the exit code, and no file that was not there before."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.conftest import Command, blotted, clean, load, save


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds next to nothing."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checked = kind + body
        return struct.pack(">I", len(body)) + checked + struct.pack(">I", zlib.crc32(checked))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


def broken(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def truncated(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    whole = save(folder / "whole.png", rng.integers(0, 255, (64, 64, 3)).astype(np.uint8))
    content = whole.read_bytes()
    whole.unlink()
    return broken(folder, "cut.png", content[: len(content) // 2])


def wide(folder: Path) -> Path:
    path = folder / "wide.png"
    Image.new("L", (30_000, 8)).save(path)
    return path


PICTURES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda d: d / "none.png", "none.png"),
    "text": (lambda d: broken(d, "text.png", b"this is no picture\n"), "text.png"),
    "empty file": (lambda d: broken(d, "zero.png", b""), "zero.png"),
    "truncated": (truncated, "cut.png"),
    "no pixels": (lambda d: broken(d, "flat.png", png_header(0, 10)), "flat.png"),
    "bomb": (lambda d: broken(d, "bomb.png", png_header(29_000, 29_000)), "million"),
    "too wide": (wide, "30000x8"),
    "a folder without pictures": (lambda d: (d / "sub").mkdir() or d / "sub", "holds no picture"),
}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("verb", ["fix", "find"])
@pytest.mark.parametrize(("make", "words"), PICTURES.values(), ids=PICTURES.keys())
def test_bad_pictures(
    tmp_path: Path,
    scripted: Callable[..., Command],
    verb: str,
    make: Callable[[Path], Path],
    words: str,
):
    picture = make(tmp_path)
    before = files(tmp_path)
    said = scripted()(verb, picture)
    assert said.code in (1, 2)
    assert said.out == ""
    assert len(said.err.splitlines()) == 1, said.err
    assert said.err.startswith("retouch: ")
    assert words in said.err
    assert files(tmp_path) == before


def written(folder: Path, name: str, content: str) -> Path:
    (folder / name).write_text(content)
    return folder / name


OPTIONS: dict[str, tuple[str, Callable[[Path], list[object]], int, str]] = {
    "unknown tool": ("fix", lambda d: ["--tool", "letering"], 2, "did you mean 'lettering'?"),
    "unknown tool to avoid": ("fix", lambda d: ["--avoid", "x"], 2, "unknown tool 'x'"),
    "unknown category": ("fix", lambda d: ["--only", "text_wrogn"], 2, "did you mean 'text_wrong'"),
    "unknown category to skip": ("fix", lambda d: ["--skip", "x"], 2, "unknown category 'x'"),
    "no time": ("fix", lambda d: ["--time-budget", "0"], 2, "positive number of seconds"),
    "no end of time": ("fix", lambda d: ["--time-budget", "nan"], 2, "positive number of seconds"),
    "seed too large": ("fix", lambda d: ["--seed", 2**40], 2, "seed must lie between"),
    "threshold 0": ("find", lambda d: ["--threshold", "0"], 2, "threshold must lie in (0, 1]"),
    "no regions file": ("find", lambda d: ["--regions", d / "n.json"], 2, "cannot read regions"),
    "bad regions": (
        "fix",
        lambda d: ["--regions", written(d, "r.json", '[{"box_xyxy": [9, 9, 1, 1]}]')],
        2,
        "r.json: entry 1: box_xyxy needs x0 < x1",
    ),
    "regions outside": (
        "find",
        lambda d: ["--regions", written(d, "r.json", '[{"box_xyxy": [900, 9, 910, 20]}]')],
        1,
        "lies outside the picture of 96x64",
    ),
    "mask of another size": (
        "find",
        lambda d: ["--mask", save(d / "m.png", np.full((64, 95, 3), 255, np.uint8))],
        1,
        "is 95x64, but the picture is 96x64",
    ),
    "black mask": (
        "fix",
        lambda d: ["--mask", save(d / "m.png", np.zeros((64, 96, 3), np.uint8))],
        2,
        "no white pixel",
    ),
    "no mask": ("fix", lambda d: ["--mask", d / "none.png"], 2, "none.png"),
    "mask and regions": (
        "fix",
        lambda d: ["--mask", d / "m.png", "--regions", d / "r.json"],
        2,
        "exclude each other",
    ),
    "unknown setting": (
        "fix",
        lambda d: ["--config", written(d, "c.toml", "[regions]\nthreshhold = 0.2\n")],
        2,
        "did you mean 'threshold'?",
    ),
    "bad TOML": ("find", lambda d: ["--config", written(d, "c.toml", "=")], 2, "not valid TOML"),
    "no settings": ("find", lambda d: ["--config", d / "c.toml"], 2, "cannot read settings"),
    "output in a file": (
        "fix",
        lambda d: ["-o", written(d, "file", "") / "x.png"],
        1,
        "is no folder",
    ),
    "output where nothing can be": ("fix", lambda d: ["-o", "/proc/x/y.png"], 1, "/proc/x"),
    "output of no known format": ("fix", lambda d: ["-o", d / "a.xyz"], 1, "a.xyz"),
    "output exists": ("fix", lambda d: ["-o", written(d, "o.png", "")], 1, "--force overwrites"),
    "output is the input": ("fix", lambda d: ["-o", d / "a.png"], 1, "is an input"),
    "report is no page": ("fix", lambda d: ["--report", d / "r.png"], 2, "ending in .html"),
    "dry run with a report": (
        "fix",
        lambda d: ["--dry-run", "--report", d / "r.html"],
        2,
        "--dry-run writes nothing",
    ),
    "maps in a file": (
        "find",
        lambda d: ["--saliency-dir", written(d, "file", "")],
        1,
        "is no folder",
    ),
}


@pytest.mark.parametrize(("verb", "options", "code", "words"), OPTIONS.values(), ids=OPTIONS.keys())
def test_bad_options(
    tmp_path: Path,
    scripted: Callable[..., Command],
    verb: str,
    options: Callable[[Path], list[object]],
    code: int,
    words: str,
):
    picture = save(tmp_path / "a.png", blotted())
    arguments = options(tmp_path)
    content = picture.read_bytes()
    before = files(tmp_path)
    said = scripted()(verb, picture, *arguments, "--quiet")
    assert said.code == code
    assert said.out == ""
    assert len(said.err.splitlines()) == 1, said.err
    assert said.err.startswith("retouch: ")
    assert words in said.err
    assert files(tmp_path) == before
    assert picture.read_bytes() == content


@pytest.mark.parametrize("arguments", [[], ["--rounds", "0"], ["--no-such"], ["--threshold", "x"]])
def test_usage_errors_have_code_2(scripted: Callable[..., Command], arguments: list[str]):
    said = scripted()("fix", *arguments)
    assert said.code == 2
    assert "Traceback" not in said.err
    assert said.out == ""


def test_one_failure_does_not_stop_the_others(tmp_path: Path, scripted: Callable[..., Command]):
    good = [save(tmp_path / f"{name}.png", blotted()) for name in "ac"]
    bad = broken(tmp_path, "b.png", b"no picture")
    said = scripted()("fix", good[0], bad, good[1], "-o", tmp_path / "out", "--json")
    assert said.code == 1
    records = [json.loads(line) for line in said.out.splitlines()]
    assert [("error" in r, Path(r["file"]).name) for r in records] == [
        (False, "a.png"),
        (True, "b.png"),
        (False, "c.png"),
    ]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a.png", "c.png"}
    assert said.complaints[-1] == "retouch: 1 of 3 pictures failed"


def test_a_bug_with_one_picture_is_reported_and_does_not_stop_the_others(
    tmp_path: Path, scripted: Callable[..., Command], monkeypatch: pytest.MonkeyPatch
):
    from tests.cli.conftest import MagentaPerceiver

    real = MagentaPerceiver.perceive

    def perceive(self, image_rgb, prompt):
        if image_rgb.shape[0] == 50:
            raise KeyError("oops")
        return real(self, image_rgb, prompt)

    monkeypatch.setattr(MagentaPerceiver, "perceive", perceive)
    pictures = [save(tmp_path / "a.png", clean(50)), save(tmp_path / "b.png", blotted())]
    said = scripted()("fix", *pictures, "--quiet")
    assert said.code == 1
    assert "a.png: internal error, KeyError: 'oops'" in said.complaints[0]
    assert (load(tmp_path / "b.retouched.png")[25, 40] == 128).all()


def test_control_characters_from_outside_do_not_reach_the_terminal(
    tmp_path: Path, scripted: Callable[..., Command]
):
    said = scripted()("find", tmp_path / "\x1b[2J.png")
    assert said.code == 1
    assert "\x1b" not in said.err


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["fix", "none.png"], 1, "none.png"),
        (["find", "text.png"], 1, "text.png"),
        (["fix", "a.png", "--tool", "nothing"], 2, "unknown tool 'nothing'"),
    ],
)
def test_the_real_program_prints_one_line_and_no_traceback(
    tmp_path: Path, arguments: list[str], code: int, words: str
):
    broken(tmp_path, "text.png", b"no picture")
    save(tmp_path / "a.png", clean())
    run = subprocess.run(
        [sys.executable, "-c", "from retoucher.cli.main import main; main()", *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert run.returncode == code, run.stderr
    assert run.stdout == ""
    lines = run.stderr.splitlines()
    assert len(lines) == 1, run.stderr
    assert words in lines[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("rounds", "--set rounds: expected KEY=VALUE"),
        ("rounds.x=2", "rounds: Input should be a valid integer"),
        ("roundz=2", "roundz is no setting; did you mean 'rounds'?"),
        ("regions.threshold=high", "regions: threshold: Input should be a valid number"),
        ("options.tool.patchmatch.speed=2", "tool 'patchmatch' has no settings"),
    ],
)
def test_a_bad_setting_on_the_command_line(
    tmp_path: Path, command: Command, given: str, message: str
) -> None:
    said = command("fix", save(tmp_path / "a.png", clean()), "--set", given)
    assert said.code == 2
    assert len(said.complaints) == 1
    assert message in said.complaints[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png"]
