"""How fast `retouch batch` works through a folder, and what it costs beside the repairs.

usage: python benchmarks/batch_throughput.py [--pictures N] [--workers 1,2] [--megapixels M]
                                             [--journal] [--quick] [--json]

Copies of the shipped demo pictures, each with a text chunk or comment of its own, so that no two
files are the same (`--megapixels`: enlarged to about that size). Every row is a whole run of the
command as its user starts it, with the embedded profile:

- start: until the first picture is done, models loaded;
- a minute: pictures of the rest of the run, by the clock;
- CPU: seconds of all processes a picture, also of the rest: what counts where the machine has other
  work, and for arithmetic;
- memory: largest resident size of one worker, and of the command itself;
- again: the same command once more, when everything is done.

`--journal` measures only what the command itself spends on a picture: the journal's entries and the
rename, a look-up, and the digest of a file.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

from PIL import Image, PngImagePlugin

from retoucher.batch.journal import Staged, file_sha256, open_journal
from retoucher.domain.diagnosis import Json

COMMAND = [sys.executable, "-c", "from retoucher.cli.main import main; main()", "batch"]


@dataclass
class Row:
    """One run."""

    pictures: int
    workers: int
    mode: str
    start_s: float
    a_minute: float
    cpu_s: float
    worker_mb: float
    command_mb: float
    again_s: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--workers", default="1,2")
    parser.add_argument("--megapixels", type=float, default=None)
    parser.add_argument("--journal", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if arguments.journal:
        print(json.dumps(journal(1000)))
        return
    count = 10 if arguments.quick else arguments.pictures
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        source = make(Path(folder) / "in", count, arguments.megapixels)
        for workers in map(int, arguments.workers.split(",")):
            for mode in ("fix", "find"):
                out = Path(folder) / f"{mode}{workers}"
                rows.append(measure(source, out, count, workers, mode))
    machine = f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f}"
    if arguments.json:
        print(json.dumps({"machine": machine, "rows": [asdict(row) for row in rows]}))
        return
    print(machine)
    names = ("pictures", "workers", "mode", "start s", "a minute", "CPU s", "worker MB")
    names += ("command MB", "again s")
    print("| " + " | ".join(names) + " |")
    print("|" + "---|" * 9)
    for r in rows:
        print(
            f"| {r.pictures} | {r.workers} | {r.mode} | {r.start_s:.1f} | {r.a_minute:.0f} | "
            f"{r.cpu_s:.2f} | {r.worker_mb:.0f} | {r.command_mb:.0f} | {r.again_s:.1f} |"
        )


def make(folder: Path, count: int, megapixels: float | None) -> Path:
    """Copies of the demo pictures as PNG, metadata kept."""
    folder.mkdir()
    demo = resources.files("retoucher") / "demo"
    originals = sorted(
        Path(str(p)) for p in demo.iterdir() if p.name.endswith((".png", ".jpg"))
    )  # fmt: skip
    for i in range(count):
        path = originals[i % len(originals)]
        with Image.open(path) as image:
            picture = image.convert("RGB")
            info = PngImagePlugin.PngInfo()
            info.add_text("serial", str(i))
            if isinstance(image.info.get("parameters"), str):
                info.add_text("parameters", image.info["parameters"])
            if megapixels is not None:
                scale = (megapixels * 1e6 / (picture.width * picture.height)) ** 0.5
                size = round(picture.width * scale), round(picture.height * scale)
                picture = picture.resize(size, Image.Resampling.LANCZOS)
            picture.save(folder / f"{i:04}_{path.stem}.png", pnginfo=info)
    return folder


def measure(source: Path, out: Path, count: int, workers: int, mode: str) -> Row:
    """One run, and one more over what is done."""
    options = [str(source), str(out), "--workers", str(workers), "--json", "--sheet", "0"]
    command = [*COMMAND, *options, *(["--find-only"] if mode == "find" else [])]
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    watch = _Watch(process.pid)
    watch.start()
    assert process.stdout is not None
    moments: list[float] = []
    cpu_first = cpu_last = 0.0
    for line in process.stdout:
        if '"error"' in line:
            raise SystemExit(f"a picture failed: {line}")
        moments.append(time.monotonic())
        cpu_last = watch.cpu_s()
        cpu_first = cpu_first or cpu_last
    if process.wait() != 0:
        assert process.stderr is not None
        raise SystemExit(process.stderr.read())
    watch.stop()
    began_again = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    rest = len(moments) - 1
    return Row(
        pictures=count,
        workers=workers,
        mode=mode,
        start_s=moments[0] - began,
        a_minute=60 * rest / (moments[-1] - moments[0]),
        cpu_s=(cpu_last - cpu_first) / rest,
        worker_mb=watch.largest_worker_mb,
        command_mb=watch.largest_command_mb,
        again_s=time.monotonic() - began_again,
    )


def journal(count: int) -> dict[str, float]:
    """CPU and clock milliseconds a picture."""
    clocks = {"publish": [0.0, 0.0], "look_up": [0.0, 0.0], "digest_of_1_mb": [0.0, 0.0]}

    def timed(name: str, call: Callable[[], object]) -> None:
        cpu, wall = time.process_time(), time.monotonic()
        call()
        clocks[name][0] += time.process_time() - cpu
        clocks[name][1] += time.monotonic() - wall

    with tempfile.TemporaryDirectory() as folder, closing(open_journal(Path(folder))) as book:
        large = Path(folder, "large")
        large.write_bytes(b"x" * 1_000_000)
        for i in range(count):
            place = book.home / "staging" / str(i)
            (place / "result").mkdir(parents=True)
            (place / "result" / f"{i}.png").write_bytes(b"x")
            staged = Staged(
                name=f"d/{i}.png", folder=place, result_sha256=hashlib.sha256(b"x").hexdigest()
            )
            record: dict[str, Json] = {"stop": "clean", "prompt": "a cup " * 20}
            timed("publish", lambda s=staged, r=record: book.publish(
                s, content="a" * 64, work="b" * 64, record=r
            ))  # fmt: skip
        for i in range(count):
            timed("look_up", lambda i=i: book.entry(f"d/{i}.png", "fix"))
            timed("digest_of_1_mb", lambda: file_sha256(large))
    return {
        f"{name}_{kind}_ms": round(1000 * seconds / count, 4)
        for name, pair in clocks.items()
        for kind, seconds in zip(("cpu", "clock"), pair, strict=True)
    }


class _Watch(threading.Thread):
    """Samples memory and time of a process and its children (Linux)."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid, self._done = pid, threading.Event()
        self.largest_worker_mb = self.largest_command_mb = 0.0
        self._cpu_s: dict[int, float] = {}

    def run(self) -> None:
        while not self._done.wait(0.2):
            self.largest_command_mb = max(self.largest_command_mb, _rss_mb(self._pid))
            for child in _children(self._pid):
                self.largest_worker_mb = max(self.largest_worker_mb, _rss_mb(child))

    def cpu_s(self) -> float:
        """Of all processes that ever were seen, until now."""
        for pid in (self._pid, *_children(self._pid)):
            self._cpu_s[pid] = max(self._cpu_s.get(pid, 0.0), _process_cpu_s(pid))
        return sum(self._cpu_s.values())

    def stop(self) -> None:
        self._done.set()
        self.join()


def _children(pid: int) -> list[int]:
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += map(int, task.read_text().split())
        except OSError:
            continue
    return found


def _rss_mb(pid: int) -> float:
    try:
        return (
            int(Path(f"/proc/{pid}/statm").read_text().split()[1])
            * os.sysconf("SC_PAGE_SIZE")
            / 1e6
        )
    except OSError:
        return 0.0


def _process_cpu_s(pid: int) -> float:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
