"""What the server tools share: addresses, frames, pictures, stopping; and that none is heavy."""

from __future__ import annotations

import asyncio
import contextlib
import io
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from retoucher.agents import Tool
from retoucher.domain.taxonomy import taxonomy
from retoucher.errors import Cancelled, ConfigError, MissingDependencyError, ToolError
from retoucher.tools.servers import pictures
from retoucher.tools.servers.a1111 import A1111Settings, A1111Tool
from retoucher.tools.servers.address import checked_url, is_loopback, same_origin
from retoucher.tools.servers.asked import wording
from retoucher.tools.servers.comfyui import ComfyUISettings, ComfyUITool
from retoucher.tools.servers.gemini_image import GeminiImageSettings, GeminiImageTool
from retoucher.tools.servers.openai_image import OpenAIImageSettings, OpenAIImageTool
from retoucher.tools.servers.pictures import Canvas, decoded, from_base64, png_of, png_with_hole
from retoucher.tools.servers.running import run
from tests.tools.servers.requests import blotted, surface

TOOLS: list[Tool] = [ComfyUITool(), A1111Tool(), GeminiImageTool(), OpenAIImageTool()]


@pytest.mark.parametrize("tool", TOOLS, ids=lambda t: t.spec.name)
def test_specs(tool: Tool) -> None:
    spec = tool.spec
    assert spec.opt_in
    assert spec.uses_prompt
    assert spec.extra in ("servers", "api")
    assert spec.categories <= taxonomy().keys()


def test_loopback_counts_as_this_machine() -> None:
    """Offline means that no picture leaves the machine; a server on it is no exception to that."""
    assert not ComfyUITool().spec.network
    assert not A1111Tool(A1111Settings(url="http://localhost:7860")).spec.network
    assert A1111Tool(A1111Settings(url="http://gpu.lan:7860")).spec.network
    assert ComfyUITool(ComfyUISettings(url="http://192.168.1.5:8188")).spec.network
    assert GeminiImageTool().spec.network
    assert OpenAIImageTool().spec.network
    local = OpenAIImageTool(OpenAIImageSettings(base_url="http://[::1]:8000/v1")).spec
    assert (local.network, local.cost_usd) == (False, 0.0)
    assert OpenAIImageTool().spec.cost_usd > 0
    assert GeminiImageTool(GeminiImageSettings(cost_usd=0.07)).spec.cost_usd == 0.07


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://127.0.0.1:1", True),
        ("http://127.8.9.1", True),
        ("https://[::1]:8188", True),
        ("http://localhost", True),
        ("http://LOCALHOST:1", True),
        ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
        ("http://0.0.0.0:8188", False),
        ("http://10.0.0.1", False),
        ("https://api.openai.com/v1", False),
    ],
)
def test_which_addresses_are_this_machine(url: str, loopback: bool) -> None:
    assert is_loopback(checked_url(url, "url")) is loopback


@pytest.mark.parametrize(
    "url",
    [
        *("", "host:8188", "ftp://h", "http://", "http://h:0", "http://h:x", "http://h:99999"),
        *("http://h/?a", "http://u@h", "http://u:p@h", "http://h/#f", "http://[::1"),
    ],
)
def test_addresses_that_cannot_be_used(url: str) -> None:
    with pytest.raises(ConfigError, match="the_url must"):
        checked_url(url, "the_url")


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("http://h/a", "http://h:80/b?c", True),
        ("https://h", "https://h:443/", True),
        ("http://h", "https://h", False),
        ("http://h:1", "http://h:2", False),
        ("http://h@evil", "http://h", False),
        ("//h/a", "http://h", False),
        ("http://[x", "http://h", False),
    ],
)
def test_same_origin(a: str, b: str, same: bool) -> None:
    assert same_origin(a, b) is same


def test_core_imports_without_the_libraries() -> None:
    """Importing and making the tools loads none of them; using one names the extra."""
    code = (
        "import sys\n"
        "for name in ('httpx2', 'websockets', 'openai', 'google'): sys.modules[name] = None\n"
        "from tests.tools.servers.requests import blotted\n"
        "from tests.tools.servers.test_common import TOOLS\n"
        "from retoucher.errors import MissingDependencyError, ToolError\n"
        "for tool in TOOLS:\n"
        "    try: tool.edit(blotted())\n"
        "    except MissingDependencyError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(TOOLS), done.stderr
    assert sum("agentic-retoucher[servers]" in line for line in lines) == 2
    assert sum("agentic-retoucher[api]" in line for line in lines) == 2
    assert MissingDependencyError.__name__ not in done.stderr


@pytest.mark.parametrize(("height", "width"), [(1, 1), (96, 128), (97, 129), (5, 300)])
def test_frames(height: int, width: int) -> None:
    request = blotted(96, 128)
    crop, mask = surface(height, width), np.zeros((height, width), bool)
    mask[0, 0] = True
    request = blotted(96, 128, crop_rgb=crop, mask_hw=mask)
    canvas = Canvas.of(request, multiple=16, min_side_px=64)
    assert canvas.width % 16 == canvas.height % 16 == 0
    assert min(canvas.width, canvas.height) >= 64
    assert canvas.width - width < max(16, 65 - width)
    assert np.array_equal(canvas.image_rgb[:height, :width], crop)
    assert canvas.mask_hw.sum() == 1
    assert np.array_equal(canvas.taken_back(canvas.image_rgb, moved=False), crop)


@pytest.mark.parametrize(("height", "width"), [(100, 100), (60, 200), (200, 60), (90, 100), (1, 1)])
def test_frames_of_given_aspects(height: int, width: int) -> None:
    crop, mask = surface(height, width), np.ones((height, width), bool)
    request = blotted(96, 128, crop_rgb=crop, mask_hw=mask)
    canvas = Canvas.of(request, aspects=(1.0, 4 / 3, 3 / 4, 21 / 9, 9 / 16))
    aspect = canvas.width / canvas.height
    off = min(abs(aspect - a) for a in (1.0, 4 / 3, 3 / 4, 21 / 9, 9 / 16))
    assert off < 1.5 / canvas.height
    assert canvas.height == height or canvas.width == width


def test_an_empty_mask_is_refused() -> None:
    with pytest.raises(ToolError, match="the mask is empty"):
        Canvas.of(blotted(96, 128, mask_hw=np.zeros((96, 128), bool)))


def test_the_hole_keeps_its_colours() -> None:
    request = blotted()
    image = Image.open(io.BytesIO(png_with_hole(request.crop_rgb, request.mask_hw)))
    assert np.array_equal(np.asarray(image.convert("RGB")), request.crop_rgb)
    assert np.array_equal(np.asarray(image.getchannel("A")) == 0, request.mask_hw)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_replies_are_decoded(kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(surface()).save(buffer, kind)
    out = decoded(buffer.getvalue(), "it")
    assert out.shape == (96, 128, 3)
    assert np.abs(out.astype(int) - surface()).mean() < 12


@pytest.mark.parametrize("mode", ["L", "LA", "P", "RGBA", "1", "I;16"])
def test_replies_of_any_mode_are_decoded(mode: str) -> None:
    buffer = io.BytesIO()
    source = Image.fromarray(surface()).convert("L" if mode == "I;16" else "RGB")
    source.convert(mode).save(buffer, "PNG")
    out = decoded(buffer.getvalue(), "it")
    assert out.shape == (96, 128, 3)
    assert out.std() > 5


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP", "PPM"])
def test_other_formats_are_not(kind: str) -> None:
    buffer = io.BytesIO()
    Image.fromarray(surface()).save(buffer, kind)
    with pytest.raises(ToolError, match="no readable picture"):
        decoded(buffer.getvalue(), "it")


def test_truncated_and_spoilt_replies_are_refused_or_decoded_and_nothing_else() -> None:
    data = png_of(surface(20, 20))
    for end in range(0, len(data) * 3 // 4, 7):
        with pytest.raises(ToolError):
            decoded(data[:end], "it")
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(data), 200):
        spoilt = bytearray(data)
        spoilt[at] ^= 0xFF
        with contextlib.suppress(ToolError):
            assert decoded(bytes(spoilt), "it").dtype == np.uint8


def test_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_REPLY_BYTES", 1000)
    with pytest.raises(ToolError, match="more than"):
        decoded(png_of(surface()), "it")
    with pytest.raises(ToolError, match="more than"):
        from_base64("A" * 2000, "it")


def test_words_name_the_place() -> None:
    mask = np.zeros((100, 200), bool)
    mask[10:20, 50:150] = True
    assert "[100, 250, 200, 750]" in wording("Mend it.", mask)
    assert "Mend it." in wording("Mend it.", mask)
    assert "Repair what is damaged" in wording("", mask)


def test_work_is_stopped_where_it_waits_and_may_say_goodbye() -> None:
    said: list[str] = []

    async def work() -> int:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)
            said.append("goodbye")
            raise
        return 1

    began = time.monotonic()
    with pytest.raises(Cancelled, match="stopped"):
        run(
            work,
            cancelled=lambda: time.monotonic() - began > 0.2,
            timeout_s=60,
            doing=lambda: "sleeping",
        )
    assert said == ["goodbye"]
    with pytest.raises(ToolError, match=r"no result within 0\.2 s \(sleeping\)"):
        run(work, cancelled=lambda: False, timeout_s=0.2, doing=lambda: "sleeping")
    assert said == ["goodbye"] * 2


def test_nothing_starts_once_cancelled() -> None:
    async def work() -> int:
        raise AssertionError("started")

    with pytest.raises(Cancelled):
        run(work, cancelled=lambda: True, timeout_s=1, doing=str)


def test_ctrl_c_stops_the_work() -> None:
    ended: list[bool] = []

    async def work() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append(True)

    def ctrl_c() -> bool:
        raise KeyboardInterrupt

    calls = iter([False, False])
    with pytest.raises(KeyboardInterrupt):
        run(work, cancelled=lambda: next(calls, None) is None and ctrl_c(), timeout_s=60, doing=str)
    assert ended == [True]


def test_it_runs_inside_a_running_loop() -> None:
    """As in a notebook or an asynchronous service."""

    async def work() -> int:
        await asyncio.sleep(0)
        return 7

    async def outer() -> int:
        return run(work, cancelled=lambda: False, timeout_s=5, doing=str)

    assert asyncio.run(outer()) == 7
