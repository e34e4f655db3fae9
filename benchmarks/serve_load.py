"""What `retouch serve` does under sustained load: answers, latency, and whether memory stays flat.

usage: python benchmarks/serve_load.py [--seconds S] [--clients N] [--queue Q] [--config T.toml]
                                       [--kind find|fix] [--quick] [--json]

Starts the real service on loopback with one worker, then lets N clients send the shipped demo
pictures one after the other, as fast as they are answered. With more clients than slots (1 + queue)
the rest is told 429 and comes back after half a second: that is the limit, held all the time. A
table of one row every tenth of the run: answers, median and 95th percentile latency of those that
were done, refusals, failures, and resident memory of the service and of its worker.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import statistics
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from uuid import uuid4


@dataclass
class Row:
    """One tenth of the run."""

    until_s: float
    done: int
    refused: int
    failed: int
    median_s: float
    p95_s: float
    service_mb: float
    worker_mb: float


@dataclass
class Tally:
    """What clients saw since the last row."""

    latencies_s: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--queue", type=int, default=4)
    parser.add_argument("--kind", choices=("find", "fix"), default="fix")
    parser.add_argument("--config", type=Path, default=None)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    seconds = 60.0 if arguments.quick else arguments.seconds
    service, url = start(arguments.queue, arguments.config)
    try:
        rows = load(service.pid, f"{url}/v1/{arguments.kind}", seconds, arguments.clients)
    finally:
        service.terminate()
        service.wait()
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    slots = 1 + arguments.queue
    print(f"{arguments.kind}, {arguments.clients} clients, {slots} slots, 1 worker")
    print("| until s | done | refused | failed | median s | p95 s | service MB | worker MB |")
    print("|" + "---|" * 8)
    for r in rows:
        print(
            f"| {r.until_s:.0f} | {r.done} | {r.refused} | {r.failed} | {r.median_s:.2f} | "
            f"{r.p95_s:.2f} | {r.service_mb:.0f} | {r.worker_mb:.0f} |"
        )


def start(queue: int, config: Path | None) -> tuple[subprocess.Popen[str], str]:
    """The service on a free port, its worker ready."""
    command = [
        sys.executable, "-c", "from retoucher.cli.main import main; main()", "serve", "--port",
        "0", "--queue", str(queue), *(["--config", str(config)] if config else []),
    ]  # fmt: skip
    service = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert service.stderr is not None
    for line in service.stderr:
        if (found := re.search(r"http://\S+", line)) is not None:
            break
        print(line, end="", file=sys.stderr)
    else:
        raise SystemExit("the service did not start")
    threading.Thread(target=service.stderr.read, daemon=True).start()
    url = found.group()
    while True:
        with urllib.request.urlopen(f"{url}/v1/health") as answer:
            if json.load(answer)["status"] == "ok":
                return service, url
        time.sleep(0.2)


def load(pid: int, url: str, seconds: float, clients: int) -> list[Row]:
    """Send pictures for so long; one row every tenth."""
    bodies = [form(picture) for picture in pictures()]
    tally, ends = Tally(), time.monotonic() + seconds
    threads = [
        threading.Thread(target=client, args=(url, bodies[i % len(bodies) :] + bodies, tally, ends))
        for i in range(clients)
    ]
    for thread in threads:
        thread.start()
    rows: list[Row] = []
    for tenth in range(1, 11):
        time.sleep(max(0.0, ends - seconds * (1 - tenth / 10) - time.monotonic()))
        with tally.lock:
            latencies, refused, failed = tally.latencies_s, tally.refused, tally.failed
            tally.latencies_s, tally.refused, tally.failed = [], 0, 0
        latencies.sort()
        rows.append(
            Row(
                until_s=seconds * tenth / 10,
                done=len(latencies),
                refused=refused,
                failed=failed,
                median_s=statistics.median(latencies) if latencies else 0.0,
                p95_s=latencies[math.ceil(0.95 * len(latencies)) - 1] if latencies else 0.0,
                service_mb=_rss_mb(pid),
                worker_mb=max(map(_rss_mb, _children(pid)), default=0.0),
            )
        )
    for thread in threads:
        thread.join()
    return rows


def pictures() -> list[bytes]:
    demo = resources.files("retoucher") / "demo"
    names = sorted(p.name for p in demo.iterdir() if p.name.endswith((".png", ".jpg")))
    return [(demo / name).read_bytes() for name in names]


def form(picture: bytes) -> tuple[bytes, str]:
    """A multipart body and its content type."""
    mark = uuid4().hex
    head = (
        f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    body = head.encode() + picture + f"\r\n--{mark}--\r\n".encode()
    return body, f"multipart/form-data; boundary={mark}"


def client(url: str, bodies: list[tuple[bytes, str]], tally: Tally, ends: float) -> None:
    number = 0
    while time.monotonic() < ends:
        body, kind = bodies[number % len(bodies)]
        request = urllib.request.Request(url, body, {"Content-Type": kind})
        began = time.monotonic()
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            error.read()
            with tally.lock:
                tally.refused += error.code == 429
                tally.failed += error.code != 429
            time.sleep(0.5)
            continue
        with tally.lock:
            tally.latencies_s.append(time.monotonic() - began)
        number += 1


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _rss_mb(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
