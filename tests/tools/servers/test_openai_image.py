"""The OpenAI tool, through its client, against a server that speaks images/edits."""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("openai", reason="extra api is not installed")

from retoucher.errors import Cancelled, ConfigError, ToolError
from retoucher.testing import assert_tool_contract
from retoucher.tools.servers.openai_image import OpenAIImageSettings, OpenAIImageTool
from tests.tools.servers.image_api_servers import Behaviour, OpenAIServer, openai_error
from tests.tools.servers.loopback import Reply, json_reply, opened, png
from tests.tools.servers.requests import assert_repaired, blotted


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[OpenAIServer]:
    monkeypatch.setenv("OPENAI_API_KEY", "for OpenAI only")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    service = OpenAIServer()
    with service.running():
        yield service


def tool_for(server: OpenAIServer, **changes: Any) -> OpenAIImageTool:
    settings = OpenAIImageSettings(base_url=f"{server.url}/v1", timeout_s=20, retries=0)
    return OpenAIImageTool(replace(settings, **changes))


def test_contract(server: OpenAIServer) -> None:
    assert_tool_contract(tool_for(server))


def test_the_place_is_edited_and_the_result_registered(server: OpenAIServer) -> None:
    request = blotted(480, 640)
    server.behaviour = Behaviour(size=(1024, 768), shift_px=(-5, 3))
    assert_repaired(request, tool_for(server).edit(request))


def test_what_is_sent(server: OpenAIServer) -> None:
    request = blotted(100, 120)
    tool_for(server, model="m", quality="high", response_format="b64_json").edit(request)
    form = server.loopback.requests[0].form
    plain = {k: v.decode() for k, (name, v) in form.items() if name is None}
    assert plain == {
        "model": "m",
        "prompt": request.instruction,
        "n": "1",
        "size": "128x112",
        "quality": "high",
        "response_format": "b64_json",
    }
    hole = np.asarray(opened(form["mask"][1]).getchannel("A"))
    assert (hole[:100, :120] == 0).tolist() == request.mask_hw.tolist()
    assert (hole[100:] == 255).all()


def test_without_a_mask_the_words_say_where(server: OpenAIServer) -> None:
    tool_for(server, send_mask=False, size="1024x1024").edit(blotted())
    form = server.loopback.requests[0].form
    assert "mask" not in form
    assert "[166, 125, 500, 328]" in form["prompt"][1].decode()
    assert form["size"][1] == b"1024x1024"


def test_openais_key_goes_to_openai_only(
    server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool_for(server).edit(blotted())
    assert "for OpenAI only" not in str(server.loopback.requests[0].headers)
    server.key = "theirs"
    monkeypatch.setenv("THEIR_KEY", "theirs")
    request = blotted()
    assert_repaired(request, tool_for(server, api_key_env="THEIR_KEY").edit(request))
    with pytest.raises(ToolError, match="no key was sent"):
        tool_for(server).edit(request)
    monkeypatch.setenv("THEIR_KEY", "wrong")
    with pytest.raises(ToolError, match="the key in THEIR_KEY was not accepted"):
        tool_for(server, api_key_env="THEIR_KEY").edit(request)
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(ToolError, match="set the environment variable OPENAI_API_KEY"):
        OpenAIImageTool().edit(request)


def test_a_link_to_the_same_server_is_followed(server: OpenAIServer) -> None:
    server.behaviour.links = server.url
    request = blotted()
    assert_repaired(request, tool_for(server).edit(request))


@pytest.mark.parametrize("where", ["http://127.0.0.1:9", "http://localhost", "file:///etc"])
def test_a_link_to_elsewhere_is_not(server: OpenAIServer, where: str) -> None:
    server.behaviour.links = where
    with pytest.raises(ToolError, match="link to another server, which is not followed"):
        tool_for(server).edit(blotted())


def picture(data: bytes) -> Reply:
    return json_reply({"created": 1, "data": [{"b64_json": base64.b64encode(data).decode()}]})


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            openai_error(
                400, "Your request was rejected by the safety system.", "moderation_blocked"
            ),
            "refused the request: .*safety system",
        ),
        (openai_error(429, "Rate limit reached", "rate_limit_exceeded"), "too many requests"),
        (openai_error(404, "Not found", "model_not_found"), "no model .* or no image editing at"),
        (openai_error(500, "The server had an error", "server_error"), "answered with 500"),
        (json_reply({"created": 1, "data": []}), "returned no picture"),
        (json_reply({"created": 1}), "returned no picture"),
        (json_reply({"created": 1, "data": "x"}), "not what its protocol says"),
        (json_reply({"created": 1, "data": [{"b64_json": 7}]}), "not what its protocol says"),
        (json_reply({"data": [{"b64_json": "%%%"}]}), "no base64"),
        (picture(b"hello"), "no readable picture"),
        (picture(png(np.zeros((64, 64, 3), np.uint8))), "another shape"),
        (picture(png(np.zeros((960, 1280, 3), np.uint8))[:300]), "no readable picture"),
        (Reply(body=b"<html>", kind="text/html"), "not what its protocol says"),
        (Reply(body=b"{", promised_bytes=999), "no answer from"),
        (Reply(status=302, headers={"Location": "http://127.0.0.1:9/"}), "answered with 302"),
        (Reply(body=b"{}", headers={"Content-Encoding": "gzip"}), "compressed"),
    ],
)
def test_refusals_and_broken_replies(server: OpenAIServer, reply: Reply, message: str) -> None:
    server.behaviour.replies = [lambda _: reply]
    with pytest.raises(ToolError, match=message):
        tool_for(server).edit(blotted())


def test_an_overloaded_service_is_asked_again(server: OpenAIServer) -> None:
    server.behaviour.replies = [lambda _: openai_error(503, "Overloaded", "overloaded")]
    request = blotted()
    assert_repaired(request, tool_for(server, retries=1).edit(request))
    assert len(server.loopback.requests) == 2


def test_cancelling_while_it_paints(server: OpenAIServer) -> None:
    server.behaviour.wait_s = 3
    began = time.monotonic()
    with pytest.raises(Cancelled, match="waiting for gpt-image-2"):
        tool_for(server).edit(blotted(cancelled=lambda: time.monotonic() - began > 0.5))
    assert time.monotonic() - began < 2.5


def test_no_server() -> None:
    settings = OpenAIImageSettings(base_url="http://127.0.0.1:9/v1", retries=0)
    with pytest.raises(ToolError, match=r"no answer from http://127\.0\.0\.1:9/v1"):
        OpenAIImageTool(settings).edit(blotted())


@pytest.mark.parametrize(
    "changes",
    [
        {"model": " "},
        {"base_url": "http://u:p@h/v1"},
        {"retries": -1},
        {"cost_usd": -1.0},
        {"min_side_px": 3000},
        {"max_side_px": 9000},
    ],
)
def test_settings_are_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        OpenAIImageSettings(**changes)
