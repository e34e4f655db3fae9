"""`retouch serve` as a process of its own on loopback: start, work, fuzz, end."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.batch.pictures import CONFIG, PLUGIN, blotted, save
from tests.serve.conftest import data_url

pytest.importorskip("fastapi", reason="the extra [serve] is not installed")
pytest.importorskip("uvicorn", reason="the extra [serve] is not installed")

COMMAND = [sys.executable, "-c", "from retoucher.cli.main import main; main()", "serve"]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(PLUGIN)}


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [*COMMAND, "--port", "0", "--config", str(CONFIG), "--max-megabytes", "1"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", line)
    assert found is not None, line + process.stderr.read()
    yield process, found.group()
    process.kill()
    process.wait()
    process.stderr.close()


def get(url: str) -> str:
    for _ in range(200):
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                return answer.read().decode()
        except ConnectionError:
            time.sleep(0.1)
    raise AssertionError("the service does not answer")


def test_events_arrive_while_the_work_goes_on(service: tuple[subprocess.Popen[str], str]):
    _, url = service
    body = json.dumps({"image": data_url(blotted())}).encode()
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/fix?wait=false", body, headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 202
        job = json.load(answer)
    names: list[str] = []
    with urllib.request.urlopen(url + job["events_url"], timeout=60) as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        for raw in stream:
            line = raw.decode().strip()
            if line.startswith("event: "):
                names.append(line.removeprefix("event: "))
    assert (names[0], names[-1]) == ("queued", "done")
    done = json.loads(get(f"{url}/v1/jobs/{job['id']}"))
    assert done["result"]["repaired"] == 1


def test_the_example_client(service: tuple[subprocess.Popen[str], str], tmp_path: Path):
    _, url = service
    example = Path(__file__).parents[2] / "examples" / "http_client.py"
    command = [sys.executable, str(example), "--url", url, "--prompt", "a wall"]

    def run(picture: Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, str(picture), str(tmp_path / "fixed.png")],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    picture = save(tmp_path / "blot.png", blotted())
    done = run(picture)
    assert done.returncode == 0, done.stderr
    assert "1 repaired, 0 left" in done.stdout
    assert done.stderr.splitlines()[0].startswith("queued: ")
    assert (tmp_path / "fixed.png").read_bytes().startswith(b"\x89PNG")
    (tmp_path / "fixed.png").unlink()
    picture.write_bytes(b"no picture")
    done = run(picture)
    assert done.returncode == 1
    assert len(done.stderr.strip().splitlines()) >= 1
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "fixed.png").exists()


def test_no_fuzz_makes_it_fail(service: tuple[subprocess.Popen[str], str], tmp_path: Path):
    """A bounded run of the command in docs/service.md."""
    beside = Path(sys.executable).with_name("schemathesis")
    tool = str(beside) if beside.exists() else shutil.which("schemathesis")
    if tool is None:
        pytest.skip("schemathesis is not installed")
    process, url = service
    done = subprocess.run(
        [
            tool, "run", f"{url}/v1/openapi.json", "--checks", "not_a_server_error",
            "--phases", "examples,fuzzing", "--max-examples", "5", "--seed", "1",
            "--generation-deterministic", "--request-timeout", "60",
        ],
        cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert process.poll() is None
    assert json.loads(get(f"{url}/v1/health"))["status"] == "ok"


def test_it_ends_when_told_and_takes_its_worker_along(service: tuple[subprocess.Popen[str], str]):
    process, url = service
    get(f"{url}/v1/health")
    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"{url}/v1/health", timeout=5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--host", "0.0.0.0"], "can be reached from other machines"),
        (["--api-key-env", "NO_SUCH_KEY"], "the environment has no NO_SUCH_KEY"),
        (["--set", "regions.treshold=1"], "did you mean 'threshold'"),
        (["--reasoner", "nobody"], "unknown reasoner 'nobody'"),
    ],
)
def test_bad_options_end_it_at_once(options: list[str], words: str):
    done = subprocess.run(
        [*COMMAND, *options], env=ENVIRONMENT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
