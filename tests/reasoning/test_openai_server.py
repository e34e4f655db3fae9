"""The reasoner `openai` against transformers' own server, which serves a tiny Qwen2.5-VL."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.reasoning.conversation import questions
from retoucher.reasoning.openai_vlm import OpenAIReasoner, OpenAISettings
from retoucher.reasoning.views import ViewSettings

for module in ("openai", "torch", "transformers", "peft", "fastapi", "uvicorn"):
    pytest.importorskip(module, reason="needs the extras api and vlm, fastapi and uvicorn")

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")

ROOT = Path(__file__).parents[2]
IMAGE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
REGIONS = [
    Region.from_box(Box(10, 10, 40, 40), id="a"),
    Region.from_box(Box(50, 50, 90, 80), id="b"),
]
VIEW = ViewSettings(picture_side_px=112, crop_side_px=56)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAISettings]:
    """The server's process, as `transformers serve FOLDER` starts it."""
    from tests.reasoning.tiny_vlm import save_adapter, save_merged, save_tiny

    tiny = save_tiny(tmp_path_factory.mktemp("tiny"))
    (question,) = questions(IMAGE, "a cat", REGIONS[:1], VIEW)
    adapter = save_adapter(tmp_path_factory.mktemp("lora"), tiny, question.conversation)
    merged = save_merged(tmp_path_factory.mktemp("merged"), tiny, adapter)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "tests.reasoning.serve_tiny", str(merged), str(port)]
    log = tmp_path_factory.mktemp("log") / "server.txt"
    with log.open("w") as out:
        server = subprocess.Popen(
            command, cwd=ROOT, stdout=out, stderr=subprocess.STDOUT,
            env={**os.environ, "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
        try:
            _wait(f"http://127.0.0.1:{port}/health", server, log)
            yield OpenAISettings(
                model=str(merged), base_url=f"http://127.0.0.1:{port}/v1", view=VIEW,
                lettering=False, max_tokens=20, retries=0,
            )  # fmt: skip
        finally:
            server.terminate()
            server.wait(30)


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 300
    while time.monotonic() < end:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    raise AssertionError(f"no answer from the server: {log.read_text()}")


def test_the_round_trip(served: OpenAISettings) -> None:
    (found,) = OpenAIReasoner(served).diagnose(IMAGE, "a cat", REGIONS[:1])
    assert (found.category, found.severity, found.confidence) == ("hand_finger_count", 3, 0.9)
    usage = found.evidence[0].data
    assert usage["model"] == served.model
    assert (usage["requests"], usage["form"], usage["completion_tokens"]) == (1, "json_schema", 2)
    assert isinstance(usage["prompt_tokens"], int)
    assert usage["prompt_tokens"] > 500, "words and pictures were counted"


def test_a_field_that_the_server_does_not_know(served: OpenAISettings) -> None:
    """vLLM's own field is refused with 422; the next form is asked for."""
    from dataclasses import replace

    reasoner = OpenAIReasoner(replace(served, structured_outputs=True))
    (found,) = reasoner.diagnose(IMAGE, "a cat", REGIONS[:1])
    assert found.category == "hand_finger_count"
    assert found.evidence[0].data["form"] == "json_schema"


def test_what_the_model_leaves_out_is_unknown(served: OpenAISettings) -> None:
    """It knows one verdict, about mark 1; of mark 2 nothing is made up."""
    found = OpenAIReasoner(served).diagnose(IMAGE, "a cat", REGIONS)
    assert [d.category for d in found] == ["hand_finger_count", "unknown"]
    assert found[0].evidence[0].data["requests"] == 2
    assert len(found[1].evidence[-1].data["replies"]) == 2  # pyright: ignore[reportArgumentType]
