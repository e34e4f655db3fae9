"""The ComfyUI tool against a server that speaks ComfyUI's protocol."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httpx2", reason="extra servers is not installed")
pytest.importorskip("websockets", reason="extra servers is not installed")

from retoucher.errors import Cancelled, ConfigError, ToolError
from retoucher.testing import assert_tool_contract
from retoucher.tools.servers import comfyui_session
from retoucher.tools.servers.comfyui import ComfyUISettings, ComfyUITool
from tests.tools.servers.comfy_server import (
    CHECKPOINTS,
    Behaviour,
    ComfyServer,
    Prompt,
)
from tests.tools.servers.loopback import Reply, json_reply
from tests.tools.servers.requests import assert_repaired, blotted

SHIPPED = Path(comfyui_session.__file__).with_name("comfyui_inpaint.json")


@pytest.fixture
def server() -> Iterator[ComfyServer]:
    with ComfyServer() as running:
        yield running


def tool_for(server: ComfyServer, **changes: Any) -> ComfyUITool:
    settings = ComfyUISettings(url=server.url, checkpoint=CHECKPOINTS[0], steps=3, timeout_s=20)
    return ComfyUITool(replace(settings, **changes))


def later(action: Any, seconds: float) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
    return timer


def test_contract(server: ComfyServer) -> None:
    assert_tool_contract(tool_for(server))


def test_the_masked_place_is_repainted_and_nothing_else(server: ComfyServer) -> None:
    request = blotted()
    out = tool_for(server).edit(request)
    assert_repaired(request, out)
    assert np.array_equal(out[~request.mask_hw], request.crop_rgb[~request.mask_hw])


def test_what_is_asked_reaches_the_workflow(server: ComfyServer) -> None:
    request = blotted(
        params={"strength": 0.6, "negative_prompt": "six fingers", "steps": 2}, seed=2**31 - 1
    )
    tool_for(server, negative_prompt="text", guidance=5.5).edit(request)
    graph = next(iter(server.history.values()))["prompt"][2]
    sampler = graph["7"]["inputs"]
    assert (sampler["seed"], sampler["steps"], sampler["cfg"]) == (2**31 - 1, 2, 5.5)
    assert sampler["denoise"] == 0.6
    assert graph["4"]["inputs"]["text"] == "a striped wall, photograph"
    assert graph["5"]["inputs"]["text"] == "six fingers, text"
    assert graph["1"]["inputs"]["ckpt_name"] == CHECKPOINTS[0]


def test_the_users_own_denoise_counts_before_the_plan_and_is_named(server: ComfyServer) -> None:
    tool = tool_for(server, denoise=0.35)
    tool.edit(blotted(params={"strength": 0.6}))
    graph = next(iter(server.history.values()))["prompt"][2]
    assert graph["7"]["inputs"]["denoise"] == 0.35
    assert tool.notes == ("denoise 0.35 by the tool's settings; the plan asked for 0.6",)


def test_words_are_data_even_when_they_look_like_placeholders(server: ComfyServer) -> None:
    words = 'a wall %seed% %image%", "evil": "%checkpoint%'
    tool_for(server).edit(blotted(instruction=words))
    graph = next(iter(server.history.values()))["prompt"][2]
    assert graph["4"]["inputs"] == {"clip": ["1", 1], "text": words}


def test_nothing_is_left_in_the_servers_input_and_output_folders(server: ComfyServer) -> None:
    tool_for(server).edit(blotted())
    assert {kind for kind, _, _ in server.files} == {"temp"}


def test_odd_sizes_are_framed_and_come_back_as_they_were(server: ComfyServer) -> None:
    request = blotted(101, 67)
    assert_repaired(request, tool_for(server).edit(request))
    sizes = {len(data) for data in server.files.values()}
    assert sizes, "nothing was uploaded"


def test_without_a_websocket_the_history_is_polled() -> None:
    with ComfyServer(Behaviour(refuse_websocket=True)) as server:
        request = blotted()
        assert_repaired(request, tool_for(server).edit(request))


def test_a_websocket_that_breaks_off_does_not_matter() -> None:
    with ComfyServer(Behaviour(drop_websocket_after=6, step_s=0.05)) as server:
        request = blotted()
        assert_repaired(request, tool_for(server).edit(request))
        assert not server.sockets


def test_a_server_that_mints_its_own_ids(server: ComfyServer) -> None:
    server.behaviour.old_server = True
    request = blotted()
    assert_repaired(request, tool_for(server).edit(request))


def test_a_bearer_token_goes_with_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with ComfyServer(Behaviour(token="s3cret", step_s=0.05)) as server:
        monkeypatch.setenv("COMFY_TOKEN", "s3cret")
        request = blotted()
        assert_repaired(request, tool_for(server, auth_env="COMFY_TOKEN").edit(request))
        assert server.sent > 3, "the websocket was refused"
        with pytest.raises(ToolError, match="401: who are you"):
            tool_for(server).edit(request)
        with pytest.raises(ToolError, match="set the environment variable NO_SUCH"):
            tool_for(server, auth_env="NO_SUCH").edit(request)


@pytest.mark.parametrize("old_server", [False, True])
def test_cancelling_in_the_middle_interrupts_our_prompt(old_server: bool) -> None:
    with ComfyServer(Behaviour(step_s=0.1, old_server=old_server)) as server:
        stop = threading.Event()
        later(stop.set, 0.6)
        began = time.monotonic()
        with pytest.raises(Cancelled, match=r"Sampler, step \d+ of 500"):
            tool_for(server, steps=500).edit(blotted(cancelled=stop.is_set))
        assert time.monotonic() - began < 10
        assert len(server.interrupts) == 1
        deadline = time.monotonic() + 5
        while not server.history and time.monotonic() < deadline:
            time.sleep(0.02)
        entry = next(iter(server.history.values()))
        assert entry["status"]["messages"][-1][0] == "execution_interrupted"


def test_cancelling_in_the_queue_leaves_the_running_prompt_alone() -> None:
    with ComfyServer(Behaviour(step_s=0.05)) as server:
        graph = json.loads(SHIPPED.read_text())
        foreign = threading.Thread(target=tool_for(server, steps=40).edit, args=(blotted(),))
        foreign.start()
        while server.current is None:
            time.sleep(0.01)
        theirs = server.current
        stop = threading.Event()
        later(stop.set, 0.5)
        with pytest.raises(Cancelled, match="waiting in the queue"):
            tool_for(server).edit(blotted(cancelled=stop.is_set))
        assert server.interrupts == []
        assert server.pending == []
        foreign.join()
        assert server.history[theirs.id]["status"]["status_str"] == "success"
        assert isinstance(theirs, Prompt)
        assert len(theirs.graph) == len(graph)


def test_a_server_that_is_too_slow(server: ComfyServer) -> None:
    server.behaviour.step_s = 0.2
    with pytest.raises(ToolError, match=r"no result within 1 s \(Sampler"):
        tool_for(server, steps=100, timeout_s=1).edit(blotted())
    assert len(server.interrupts) == 1


def test_no_server() -> None:
    settings = ComfyUISettings(url="http://127.0.0.1:9", checkpoint="x")
    with pytest.raises(ToolError, match=r"no ComfyUI at http://127\.0\.0\.1:9.*is it running"):
        ComfyUITool(settings).edit(blotted())


def test_an_unknown_checkpoint_is_named_with_what_there_is(server: ComfyServer) -> None:
    with pytest.raises(ToolError) as error:
        tool_for(server, checkpoint="flux1-fill.safetensors").edit(blotted())
    message = str(error.value)
    assert "'flux1-fill.safetensors'" in message
    assert "models/checkpoints" in message
    assert CHECKPOINTS[1] in message


def test_a_checkpoint_has_to_be_set(server: ComfyServer) -> None:
    with pytest.raises(ToolError, match=f"no ckpt_name was set.*it has {CHECKPOINTS[0][:10]}"):
        tool_for(server, checkpoint=None).edit(blotted())


def test_missing_nodes_are_all_named(server: ComfyServer) -> None:
    server.behaviour.without_nodes = ("InpaintModelConditioning", "LoadImageMask")
    with pytest.raises(
        ToolError, match=r"no node InpaintModelConditioning, LoadImageMask: .*instal"
    ):
        tool_for(server).edit(blotted())


def test_other_complaints_about_the_workflow(server: ComfyServer, tmp_path: Path) -> None:
    graph = json.loads(SHIPPED.read_text())
    del graph["7"]["inputs"]["cfg"]
    graph["7"]["inputs"]["sampler_name"] = "magic"
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(graph))
    with pytest.raises(ToolError) as error:
        tool_for(server, workflow=str(path)).edit(blotted())
    assert "Sampler: Required input is missing (cfg)" in str(error.value)
    assert "sampler_name 'magic' is not among euler, dpmpp_2m" in str(error.value)


def test_a_node_that_breaks(server: ComfyServer) -> None:
    server.behaviour.fail_with = "CUDA out of memory. " + "x" * 1000
    with pytest.raises(ToolError, match=r"KSampler \(node 7\) failed: CUDA out of memory") as error:
        tool_for(server).edit(blotted())
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"view": lambda data: Reply(body=data[:200])}, "no readable picture"),
        ({"view": lambda data: Reply(body=b"GIF89a" + data)}, "no readable picture"),
        ({"view": lambda data: Reply(body=data, promised_bytes=10**6)}, "broke off GET /view"),
        ({"view": lambda data: Reply(status=500, body=b"disk full")}, "500: disk full"),
        (
            {"view": lambda data: Reply(status=302, headers={"Location": "http://10.0.0.1/x"})},
            "redirects /view to http://10.0.0.1/x",
        ),
        (
            {"view": lambda data: Reply(body=data, headers={"Content-Encoding": "gzip"})},
            "compressed",
        ),
        ({"history": Reply(body=b"<html>")}, "not what its protocol says"),
        ({"history": json_reply({"x": {"outputs": {"9": {"images": "no"}}}})}, "protocol"),
        ({"upload": json_reply([])}, "not what its protocol says"),
        ({"upload": Reply(status=413, body=b"too large")}, "413: too large"),
        ({"prompt": json_reply({"error": "nope", "node_errors": []}, 400)}, "workflow: nope"),
        ({"prompt": Reply(status=400, body=b"\xff")}, "400"),
        ({"prompt": json_reply({"number": 1})}, "prompt_id"),
    ],
)
def test_broken_replies(server: ComfyServer, change: dict[str, Any], message: str) -> None:
    for name, value in change.items():
        setattr(server.behaviour, name, value)
    with pytest.raises(ToolError, match=message):
        tool_for(server).edit(blotted())


def test_a_reply_without_end_is_cut_off(
    server: ComfyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("retoucher.tools.servers.http._MOST_BYTES", 200_000)
    server.behaviour.view = lambda data: Reply(body=b"x" * 300_000)
    with pytest.raises(ToolError, match="longer than"):
        tool_for(server).edit(blotted())


def scaled(by: float) -> dict[str, Any]:
    graph = json.loads(SHIPPED.read_text())
    inputs = {"image": ["8", 0], "scale_by": by}
    graph["10"] = {"class_type": "ImageScaleBy", "inputs": inputs}
    graph["9"]["inputs"]["images"] = ["10", 0]
    return graph


def test_a_workflow_that_enlarges(server: ComfyServer, tmp_path: Path) -> None:
    path = tmp_path / "own.json"
    path.write_text(json.dumps(scaled(1.5)))
    request = blotted()
    assert_repaired(request, tool_for(server, workflow=str(path)).edit(request))


def test_own_workflow_with_bindings_by_title_and_id(server: ComfyServer, tmp_path: Path) -> None:
    graph = json.loads(SHIPPED.read_text())
    graph["1"]["inputs"]["ckpt_name"] = CHECKPOINTS[1]
    for node, key, value in (
        ("2", "image", "example.png"),
        ("3", "image", "example.png"),
        ("4", "text", "masterpiece, %prompt%"),
        ("5", "text", ""),
    ):
        graph[node]["inputs"][key] = value
    graph["7"]["inputs"] |= {"seed": 1, "steps": 2, "cfg": 4.0, "denoise": 1.0}
    path = tmp_path / "own.json"
    path.write_text(json.dumps(graph))
    tool = tool_for(
        server,
        workflow=str(path),
        checkpoint=None,
        bindings={"image": "Crop.image", "mask": "3.image", "seed": "Sampler.seed"},
        output="Result",
    )
    request = blotted()
    assert_repaired(request, tool.edit(request))
    sent = next(iter(server.history.values()))["prompt"][2]
    assert sent["4"]["inputs"]["text"] == "masterpiece, a striped wall, photograph"
    assert sent["7"]["inputs"]["seed"] == request.seed


def test_own_workflow_that_takes_the_mask_from_transparency(
    server: ComfyServer, tmp_path: Path
) -> None:
    graph = json.loads(SHIPPED.read_text())
    del graph["3"]
    graph["6"]["inputs"]["mask"] = ["2", 1]
    path = tmp_path / "alpha.json"
    path.write_text(json.dumps(graph))
    request = blotted()
    assert_repaired(request, tool_for(server, workflow=str(path)).edit(request))


def test_two_pictures_need_a_choice(server: ComfyServer, tmp_path: Path) -> None:
    graph = json.loads(SHIPPED.read_text())
    graph["11"] = {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}}
    path = tmp_path / "two.json"
    path.write_text(json.dumps(graph))
    with pytest.raises(ToolError, match=r"pictures at .*name one as output"):
        tool_for(server, workflow=str(path)).edit(blotted())
    request = blotted()
    assert_repaired(request, tool_for(server, workflow=str(path), output="9").edit(request))


@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        ("{", {}, "no JSON"),
        ('{"nodes": [], "links": []}', {}, r"Export \(API\)"),
        ("[]", {}, "API format"),
        ('{"1": {"class_type": "PreviewImage", "inputs": {}}}', {}, "takes no picture"),
        (None, {"bindings": {"imagee": "2.image"}}, "did you mean 'image'"),
        (None, {"bindings": {"image": "Crup.image"}}, "did you mean 'Crop'"),
        (None, {"bindings": {"image": "Crop.imge"}}, "did you mean 'image'"),
        (None, {"bindings": {"image": "Crop"}}, "'node.input'"),
        (None, {"output": "Resul"}, "did you mean 'Result'"),
    ],
)
def test_workflows_that_cannot_be_used(
    tmp_path: Path, text: str | None, changes: dict[str, Any], message: str
) -> None:
    if text is not None:
        path = tmp_path / "w.json"
        path.write_text(text)
        changes = {**changes, "workflow": str(path)}
    with pytest.raises(ConfigError, match=message):
        ComfyUITool(ComfyUISettings(**changes))


def test_a_workflow_file_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="cannot read workflow"):
        ComfyUITool(ComfyUISettings(workflow="/no/such/file.json"))


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "ftp://x"},
        {"url": "http://user:pw@host:1"},
        {"steps": 0},
        {"guidance": -1},
        {"denoise": 0.0},
        {"min_side_px": 2048},
        {"timeout_s": 0},
    ],
)
def test_settings_are_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        ComfyUISettings(**changes)


@pytest.mark.parametrize("params", [{"strength": 2}, {"steps": 0.5}, {"negative_prompt": 3}])
def test_params_are_checked(params: dict[str, Any]) -> None:
    with pytest.raises(ToolError, match=next(iter(params))):
        ComfyUITool(ComfyUISettings(checkpoint="x")).edit(blotted(params=params))
