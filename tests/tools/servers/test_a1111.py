"""The A1111 tool against a server that speaks the web UI's protocol."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httpx2", reason="extra servers is not installed")

from retoucher.errors import Cancelled, ConfigError, ToolError
from retoucher.testing import assert_tool_contract
from retoucher.tools.servers.a1111 import A1111Settings, A1111Tool
from tests.tools.servers.loopback import Reply, Request, json_reply, png
from tests.tools.servers.requests import assert_repaired, blotted, surface
from tests.tools.servers.webui_server import CHECKPOINTS, Behaviour, WebuiServer, other_job


@pytest.fixture
def server() -> Iterator[WebuiServer]:
    with WebuiServer().running() as running:
        yield running


def tool_for(server: WebuiServer, **changes: Any) -> A1111Tool:
    return A1111Tool(replace(A1111Settings(url=server.url, steps=3, timeout_s=20), **changes))


def after(seconds: float) -> Callable[[], bool]:
    """`cancelled` that turns True so many seconds from now."""
    begin = time.monotonic()
    return lambda: time.monotonic() - begin > seconds


def test_contract(server: WebuiServer) -> None:
    assert_tool_contract(tool_for(server))


def test_the_masked_place_is_repainted_and_nothing_else(server: WebuiServer) -> None:
    request = blotted()
    out = tool_for(server, mask_blur_px=0).edit(request)
    assert_repaired(request, out)
    assert np.array_equal(out[~request.mask_hw], request.crop_rgb[~request.mask_hw])


def test_odd_sizes_are_framed_and_come_back_as_they_were(server: WebuiServer) -> None:
    request = blotted(101, 67)
    assert_repaired(request, tool_for(server, mask_blur_px=0).edit(request))
    sent = server.payloads[0]
    assert (sent["width"], sent["height"]) == (72, 104)


def test_what_is_asked_reaches_the_server(server: WebuiServer) -> None:
    request = blotted(params={"strength": 0.6, "negative_prompt": "six fingers", "steps": 2})
    tool_for(
        server,
        negative_prompt="text",
        checkpoint=CHECKPOINTS[1],
        sampler="DPM++ 2M",
        scheduler="Karras",
        inpaint_area="masked",
        masked_padding_px=48,
        masked_content="fill",
    ).edit(request)
    sent = server.payloads[0]
    wanted = {
        "denoising_strength": 0.6,
        "negative_prompt": "six fingers, text",
        "prompt": "a striped wall, photograph",
        "steps": 2,
        "seed": 11,
        "sampler_name": "DPM++ 2M",
        "scheduler": "Karras",
        "inpaint_full_res": True,
        "inpaint_full_res_padding": 48,
        "inpainting_fill": 0,
        "inpainting_mask_invert": 0,
        "mask_blur": 4,
        "save_images": False,
        "override_settings": {"sd_model_checkpoint": CHECKPOINTS[1]},
        "override_settings_restore_afterwards": True,
    }
    assert {key: sent[key] for key in wanted} == wanted


def test_the_users_own_denoise_counts_before_the_plan_and_is_named(server: WebuiServer) -> None:
    tool = tool_for(server, denoise=0.35)
    tool.edit(blotted(params={"strength": 0.6}))
    assert tool.notes == ("denoise 0.35 by the tool's settings; the plan asked for 0.6",)
    tool.edit(blotted(params={}))
    assert tool.notes == ()
    assert [sent["denoising_strength"] for sent in server.payloads] == [0.35, 0.35]


def test_words_cannot_make_the_server_load_files(server: WebuiServer) -> None:
    request = blotted(instruction="", prompt="a wall <lora:evil:1> (old:1.2) <hypernet:x:2>")
    tool_for(server).edit(request)
    assert server.payloads[0]["prompt"] == "a wall (old:1.2)"


def test_user_and_password(monkeypatch: pytest.MonkeyPatch) -> None:
    with WebuiServer(Behaviour(auth="me:pa:ss")).running() as server:
        monkeypatch.setenv("WEBUI_AUTH", "me:pa:ss")
        request = blotted()
        tool = tool_for(server, auth_env="WEBUI_AUTH", mask_blur_px=0)
        assert_repaired(request, tool.edit(request))
        with pytest.raises(ToolError, match=r"wants a user and password: .*auth_env"):
            tool_for(server).edit(request)


@pytest.mark.parametrize("knows_tasks", [True, False])
def test_cancelling_in_the_middle_interrupts(knows_tasks: bool) -> None:
    with WebuiServer(Behaviour(step_s=0.1, knows_tasks=knows_tasks)).running() as server:
        began = time.monotonic()
        with pytest.raises(Cancelled, match=r"stopped \(step \d+ of 140\)"):
            tool_for(server, steps=140).edit(blotted(cancelled=after(1.6)))
        assert time.monotonic() - began < 10
        assert server.interrupts == 1


def test_cancelling_in_the_queue_leaves_the_running_job_alone(server: WebuiServer) -> None:
    theirs = other_job(server, 2.5)
    with pytest.raises(Cancelled, match="still run it when its turn comes"):
        tool_for(server).edit(blotted(cancelled=after(0.4)))
    assert server.interrupts == 0
    theirs.join()


def test_a_server_that_is_too_slow(server: WebuiServer) -> None:
    server.behaviour.step_s = 0.2
    with pytest.raises(ToolError, match=r"no result within 1\.5 s \(step"):
        tool_for(server, steps=100, timeout_s=1.5).edit(blotted())
    assert server.interrupts == 1


def test_no_server() -> None:
    with pytest.raises(ToolError, match="is it running"):
        A1111Tool(A1111Settings(url="http://127.0.0.1:9")).edit(blotted())


def test_without_its_interface(server: WebuiServer) -> None:
    del server.loopback.routes["POST /sdapi/v1/img2img"]
    with pytest.raises(ToolError, match="start the web UI with --api"):
        tool_for(server).edit(blotted())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": "nope"}, "model 'nope' not found"),
        ({"sampler": "Magic"}, "Sampler not found; set checkpoint or sampler"),
    ],
)
def test_what_the_server_does_not_have(
    server: WebuiServer, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ToolError, match=message):
        tool_for(server, **changes).edit(blotted())


def test_another_size_of_the_same_shape_is_fitted(server: WebuiServer) -> None:
    server.behaviour.wrong_size = (192, 144)
    request = blotted()
    assert_repaired(request, tool_for(server, mask_blur_px=0).edit(request))


def test_another_shape_is_refused(server: WebuiServer) -> None:
    server.behaviour.wrong_size = (128, 128)
    with pytest.raises(ToolError, match="128 x 128 px for 128 x 96 px: another shape"):
        tool_for(server).edit(blotted())


def _pictures(*texts: str) -> Callable[[Request], Reply]:
    return lambda _: json_reply({"images": list(texts), "parameters": {}, "info": ""})


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (_pictures(), "no picture"),
        (_pictures("%%%"), "no base64"),
        (_pictures(_b64(b"hello")), "no readable picture"),
        (_pictures(_b64(png(surface())[:500])), "no readable picture"),
        (lambda _: json_reply({"images": "x"}), "not what its protocol says"),
        (lambda _: Reply(body=b'{"images": ["aGVsb'), "not what its protocol says"),
        (lambda _: Reply(body=b'{"images"', promised_bytes=1000), "broke off"),
        (lambda _: Reply(status=500, body=b'{"errors": "CUDA out of memory"}'), "CUDA out of"),
        (lambda _: Reply(status=503, body=b"busy"), "503: busy"),
    ],
)
def test_broken_replies(server: WebuiServer, reply: Any, message: str) -> None:
    server.behaviour.reply = reply
    with pytest.raises(ToolError, match=message):
        tool_for(server).edit(blotted())


def test_a_picture_too_large_is_not_decoded(server: WebuiServer) -> None:
    server.behaviour.reply = _pictures(_b64(png(np.zeros((7000, 7000), np.uint8))))
    with pytest.raises(ToolError, match="7000 x 7000 px, more than is accepted"):
        tool_for(server).edit(blotted())


def test_a_data_url_is_understood(server: WebuiServer) -> None:
    out = surface(96, 128)
    server.behaviour.reply = _pictures("data:image/png;base64," + _b64(png(out)))
    assert np.array_equal(tool_for(server).edit(blotted()), out)


def test_edits_at_the_same_time_do_not_mix(server: WebuiServer) -> None:
    server.behaviour.step_s = 0.02
    tool, found = tool_for(server, mask_blur_px=0), dict[int, np.ndarray]()

    def work(seed: int) -> None:
        found[seed] = tool.edit(blotted(seed=seed))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, out in found.items():
        assert np.array_equal(out, tool.edit(blotted(seed=seed)))
    assert len({out.tobytes() for out in found.values()}) == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "127.0.0.1:7860"},
        {"url": "http://host/?a=b"},
        {"steps": 151},
        {"guidance": -1},
        {"denoise": 1.5},
        {"masked_content": "x"},
        {"inpaint_area": "x"},
        {"mask_blur_px": -1},
        {"min_side_px": 8},
        {"timeout_s": -1},
    ],
)
def test_settings_are_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        A1111Settings(**changes)
