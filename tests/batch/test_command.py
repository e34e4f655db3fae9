"""`retouch batch` as its user runs it: real worker processes; one shade of blue is a defect."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from retoucher.batch.journal import HOME, open_journal
from retoucher.cli.main import main
from tests.batch.pictures import (
    CONFIG,
    DEFECT_BLUE,
    DIES,
    FAILS,
    PLUGIN,
    blotted,
    clean,
    files_in,
    folder_of,
    save,
    troubled,
)


@dataclass
class Said:
    code: int
    out: str
    err: str

    @property
    def records(self) -> dict[str, dict[str, object]]:
        lines = [json.loads(line) for line in self.out.splitlines()]
        return {line["file"]: line for line in lines}


Command = Callable[..., Said]


@pytest.fixture
def batch(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.syspath_prepend(PLUGIN)  # workers inherit the path
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments: object) -> Said:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["batch", *map(str, arguments), "--config", str(CONFIG)])
        said = capsys.readouterr()
        return Said(code=int(stop.value.code or 0), out=said.out, err=said.err)

    return run


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_a_folder_with_bad_pictures_in_it(tmp_path: Path, batch: Command):
    source, out = tmp_path / "in", tmp_path / "out"
    save(source / "s" / "blot.png", blotted(1))
    (source / "s" / "blot.txt").write_text("a cup")
    save(source / "clean.png", clean(2))
    save(source / "crash.png", troubled(DIES))
    save(source / "bug.png", troubled(FAILS))
    whole = save(source / "cut.png", blotted(3)).read_bytes()
    (source / "cut.png").write_bytes(whole[: len(whole) // 2])
    before = files_in(source)

    said = batch(source, out, "--json", "--reports", "--traces", "--workers", 2)

    assert said.code == 1
    assert files_in(source) == before
    records = said.records
    assert records["s/blot.png"]["repaired"] == 1
    assert records["s/blot.png"]["prompt"] == "a cup"
    assert records["clean.png"]["stop"] == "clean"
    assert "ended 2 times" in str(records["crash.png"]["error"])
    assert "internal error, RuntimeError: a bug" in str(records["bug.png"]["error"])
    assert "cut.png" in str(records["cut.png"]["error"])
    assert said.err.count("retouch: ") == 3

    assert (pixels(out / "s" / "blot.png") != blotted(1)).any()
    assert not (pixels(out / "s" / "blot.png")[..., 2] == DEFECT_BLUE).any()
    assert (out / "clean.png").read_bytes() == before["clean.png"]
    assert not any((out / name).exists() for name in ("crash.png", "bug.png", "cut.png"))
    rows = {row["file"]: row for row in table(out / HOME / "summary.csv")}
    assert {name: row["outcome"] for name, row in rows.items()} == {
        "s/blot.png": "repaired", "clean.png": "clean", "crash.png": "failed",
        "bug.png": "failed", "cut.png": "failed",
    }  # fmt: skip
    assert rows["s/blot.png"]["tools"] == "opencv-inpaint"
    lines = (out / HOME / "results.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["file"] for line in lines] == sorted(rows)
    assert (out / HOME / "reports" / "s" / "blot.png.html").is_file()
    assert (out / HOME / "traces" / "s" / "blot.png.json").is_file()
    page = (out / HOME / "index.html").read_text("utf-8")
    assert page.count('<li class="tile">') == 5
    assert 'href="reports/s/blot.png.html"' in page

    # The pictures that failed are tried again; the others are left as they are.
    save(source / "bug.png", blotted(5))
    stamp = (out / "clean.png").stat().st_mtime_ns
    said = batch(source, out, "--json", "--reports", "--traces", "--workers", 1)
    assert set(said.records) == {"bug.png", "crash.png", "cut.png"}
    assert "error" not in said.records["bug.png"]
    assert (out / "clean.png").stat().st_mtime_ns == stamp


def test_what_changed_is_done_again_and_foreign_files_are_left(tmp_path: Path, batch: Command):
    source, out = tmp_path / "in", tmp_path / "out"
    for name in ("a.png", "b.png", "c.png", "d.png", "e.png"):
        save(source / name, blotted(ord(name[0])))
    save(out / "e.png", clean(9))  # somebody else's
    foreign = (out / "e.png").read_bytes()

    said = batch(source, out, "--json", "--workers", 1)
    assert said.code == 1
    assert "e.png exists and is not as this batch left it" in str(said.records["e.png"]["error"])
    assert (out / "e.png").read_bytes() == foreign

    save(source / "a.png", clean(1))  # another content: done again, our own result replaced
    (source / "b.txt").write_text("another prompt")  # done again
    (out / "c.png").unlink()  # lost: done again
    save(out / "d.png", clean(4))  # edited by the user since: left alone, and said
    (out / "e.png").unlink()
    said = batch(source, out, "--json", "--workers", 1)
    assert said.code == 1
    assert set(said.records) == {"a.png", "b.png", "c.png", "d.png", "e.png"}
    assert {name for name, record in said.records.items() if "error" in record} == {"d.png"}
    assert (out / "a.png").read_bytes() == (source / "a.png").read_bytes()
    assert (pixels(out / "d.png") == clean(4)).all()

    said = batch(source, out, "--json", "--workers", 1, "--rounds", 2)  # other settings: all
    assert set(said.records) == {"a.png", "b.png", "c.png", "d.png", "e.png"}


def test_settings_by_name_decide_what_is_done_again(tmp_path: Path, batch: Command):
    source, out = folder_of(tmp_path / "in", 3), tmp_path / "out"
    mask = np.zeros((48, 64), np.uint8)
    mask[40:46, 40:46] = 255
    save(tmp_path / "mask.png", mask)

    def done(*options: object) -> set[object]:
        """The stops of the pictures that were worked on."""
        said = batch(source, out, "--json", "--workers", 1, *options)
        assert said.code == 0, said.err
        return {record["stop"] for record in said.records.values()}

    assert done() == {"clean", "converged"}
    assert done("--set", "rounds=3", "--reasoner", "tint") == set()  # as it was: nothing to do
    assert done("--set", "regions.threshold=0.95") == {"clean"}
    assert done("--set", "regions.threshold=0.95") == set()
    assert done("--set", "options.tool.opencv-inpaint={}", "--mask", tmp_path / "mask.png") == {
        "clean"
    }
    save(tmp_path / "mask.png", mask[::-1])  # the same name, another mask
    assert done("--mask", tmp_path / "mask.png") == {"clean"}


def test_find_only_sorts_by_severity_and_writes_no_picture(tmp_path: Path, batch: Command):
    source, out = tmp_path / "in", tmp_path / "out"
    save(source / "small.png", blotted(1, 4))
    save(source / "clean.png", clean(2))
    save(source / "large.png", blotted(3, 24))
    (source / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    said = batch(source, out, "--find-only", "--workers", 1)
    assert said.code == 1
    assert "something is wrong │ 2" in said.out
    rows = table(out / HOME / "triage.csv")
    assert [(row["rank"], row["file"], row["severity"]) for row in rows] == [
        ("1", "large.png", "3"), ("2", "small.png", "1"), ("3", "clean.png", "0"),
        ("4", "cut.png", ""),
    ]  # fmt: skip
    assert {path.name for path in out.iterdir()} == {HOME}


def test_jsonl_in_with_boxes_and_formulas_in_prompts(tmp_path: Path, batch: Command):
    save(tmp_path / "pics" / "a.png", clean(1))
    save(tmp_path / "pics" / "b.png", blotted(2))
    line = {"file": "pics/a.png", "prompt": "=1+1", "regions": [{"box_xyxy": [4, 4, 20, 20]}]}
    (tmp_path / "list.jsonl").write_text(json.dumps(line) + "\n")
    said = batch(tmp_path / "list.jsonl", tmp_path / "out", "--find-only", "--json")
    (record,) = said.records.values()
    assert record["prompt"] == "=1+1"
    assert record["regions"][0]["box_xyxy"] == [4, 4, 20, 20]  # type: ignore[index]
    assert table(tmp_path / "out" / HOME / "triage.csv")[0]["prompt"] == "'=1+1"


def test_bad_options_do_nothing(tmp_path: Path, batch: Command):
    source = folder_of(tmp_path / "in", 2)
    for options, words in (
        ([source, source], "lies in IN"),
        ([source, source / "d0" / "new"], "lies in IN"),
        ([source / "d1", tmp_path / "in"], "lie in OUT"),
        ([source, tmp_path / "out", "--rate", "openai"], "expected NAME=CALLS/UNIT"),
        ([source, tmp_path / "out", "--rate", "openai=3/min"], "no reasoner or tool of that name"),
        ([source, tmp_path / "out", "--find-only", "--traces"], "repairs nothing"),
        ([source, tmp_path / "out", "--set", "rouns=2"], "did you mean 'rounds'"),
        ([source, tmp_path / "out", "--reasoner", "nobody"], "unknown reasoner 'nobody'"),
        ([tmp_path / "no", tmp_path / "out"], "expected a folder"),
    ):
        said = batch(*options)
        assert said.code == 2, options
        assert words in said.err
    assert not (tmp_path / "out").exists()


def test_two_batches_at_once_are_refused(tmp_path: Path, batch: Command):
    source = folder_of(tmp_path / "in", 1)
    with closing(open_journal(tmp_path / "out")):
        done = subprocess.run(
            retouch(source, tmp_path / "out"),
            check=False, env=environment(), capture_output=True, text=True,
        )  # fmt: skip
    assert done.returncode == 2
    assert "another `retouch batch` is writing to" in done.stderr


def retouch(source: Path, out: Path) -> list[str]:
    code = "from retoucher.cli.main import main; main()"
    return [
        sys.executable, "-c", code, "batch", str(source), str(out), "--config", str(CONFIG),
        "--json", "--workers", "2",
    ]  # fmt: skip


def environment(sleep_s: float = 0.0) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(PLUGIN), "TINT_SLEEP_S": str(sleep_s)}


def finished(text: str) -> list[str]:
    return [json.loads(line)["file"] for line in text.splitlines() if line.endswith("}")]


@pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc")
def test_ctrl_c_then_a_dead_worker_then_done(tmp_path: Path):
    source, out = folder_of(tmp_path / "in", 16), tmp_path / "out"

    first = subprocess.Popen(
        retouch(source, out), env=environment(0.1), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    assert first.stdout is not None
    line = first.stdout.readline()
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does: the whole group gets it
    rest, complaints = first.communicate(timeout=120)
    done = finished(line + rest)
    assert first.returncode == 130, complaints
    assert "run it again" in complaints
    assert 1 <= len(done) < 16
    assert not list(out.rglob("*.part"))

    second = subprocess.Popen(
        retouch(source, out), env=environment(0.1), stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert second.stdout is not None
    line = second.stdout.readline()
    os.kill(worker_of(second.pid), signal.SIGKILL)
    rest, complaints = second.communicate(timeout=120)
    assert second.returncode == 0, complaints
    again = finished(line + rest)
    assert sorted(done + again) == sorted(files_in(source))


def worker_of(pid: int) -> int:
    for _ in range(200):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for child in children:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"spawn_main" in command:
                return int(child)
        time.sleep(0.05)
    raise AssertionError("no worker process was found")
