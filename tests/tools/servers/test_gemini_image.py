"""The Gemini tool, through google-genai, against a server that speaks its REST protocol."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("google.genai", reason="extra api is not installed")

from retoucher.errors import Cancelled, ConfigError, ToolError
from retoucher.testing import assert_tool_contract
from retoucher.tools.servers.gemini_image import ASPECTS, GeminiImageSettings, GeminiImageTool
from tests.tools.servers.image_api_servers import (
    Behaviour,
    GeminiServer,
    gemini_error,
    gemini_reply,
    inline,
)
from tests.tools.servers.loopback import Reply, json_reply, png
from tests.tools.servers.requests import assert_repaired, blotted


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GeminiServer]:
    monkeypatch.setenv("GEMINI_API_KEY", "a-key")
    # What else may lie in a user's environment must not decide where a picture goes.
    monkeypatch.setenv("GOOGLE_API_KEY", "another-key")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true")
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    service = GeminiServer()
    with service.running():
        yield service


def tool_for(server: GeminiServer, **changes: Any) -> GeminiImageTool:
    settings = GeminiImageSettings(base_url=server.url, timeout_s=20, attempts=1)
    return GeminiImageTool(replace(settings, **changes))


def test_contract(server: GeminiServer) -> None:
    assert_tool_contract(tool_for(server))


def test_the_place_is_edited_and_the_result_registered(server: GeminiServer) -> None:
    """Another size, moved by a few pixels: it comes back in place."""
    request = blotted(480, 640)
    server.behaviour = Behaviour(size=(1184, 864), shift_px=(6, -4))
    out = tool_for(server).edit(request)
    assert_repaired(request, out)


def test_what_is_sent(server: GeminiServer) -> None:
    request = blotted(96, 128)
    tool_for(server, image_size="2K", model="gemini-3-pro-image").edit(request)
    sent = server.loopback.requests[0]
    assert sent.path == "/v1/models/gemini-3-pro-image:generateContent"
    config = sent.json["generationConfig"]
    assert config["imageConfig"] == {"aspectRatio": "4:3", "imageSize": "2K"}
    assert config["responseModalities"] == ["TEXT", "IMAGE"]
    assert config["seed"] == request.seed
    text = sent.json["contents"][0]["parts"][1]["text"]
    assert request.instruction in text
    assert "[166, 125, 500, 328]" in text


@pytest.mark.parametrize(("height", "width"), [(100, 100), (60, 200), (200, 60), (77, 91)])
def test_crops_of_any_shape_are_framed_to_an_aspect_the_model_makes(
    server: GeminiServer, height: int, width: int
) -> None:
    request = blotted(height, width)
    assert_repaired(request, tool_for(server).edit(request))
    aspect = server.loopback.requests[0].json["generationConfig"]["imageConfig"]["aspectRatio"]
    assert aspect in ASPECTS


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (
            gemini_reply([{"text": "I can't edit pictures of people.\nSorry."}]),
            r"returned no picture: I can't edit pictures of people. Sorry.",
        ),
        (gemini_reply([], "IMAGE_SAFETY"), "no picture: IMAGE_SAFETY"),
        (gemini_reply([{"text": "No."}], "PROHIBITED_CONTENT"), "PROHIBITED_CONTENT; No."),
        (gemini_reply([{"thought": True, **inline(b"x")}]), "did not say why"),
        (
            json_reply({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}),
            r"refused the request \(PROHIBITED_CONTENT\)",
        ),
        (json_reply({}), "no picture"),
        (json_reply({"candidates": [{}]}), "no picture"),
        (gemini_reply([inline(b"not a picture")]), "no readable picture"),
        (gemini_reply([inline(b"x", "audio/wav")]), "no picture"),
        (json_reply({"candidates": ["x"]}), "no (readable reply|picture)"),
        (Reply(body=b'{"candidates": ['), "no readable reply"),
        (Reply(body=b"{}", promised_bytes=999), "no answer from"),
        (gemini_error(429, "Quota exceeded.", "RESOURCE_EXHAUSTED"), "quota is used up: Quota"),
        (gemini_error(500, "Internal", "INTERNAL"), "answered with 500: Internal"),
        (Reply(status=302, headers={"Location": "http://127.0.0.1:9/"}), "answered with 302"),
        (Reply(body=b"{}", headers={"Content-Encoding": "gzip"}), "compressed"),
    ],
)
def test_refusals_and_broken_replies(server: GeminiServer, reply: Reply, message: str) -> None:
    server.behaviour.replies = [lambda _: reply]
    with pytest.raises(ToolError, match=message):
        tool_for(server).edit(blotted())


def test_a_picture_of_another_shape_is_refused(server: GeminiServer) -> None:
    server.behaviour.replies = [
        lambda _: gemini_reply([inline(png(np.zeros((64, 64, 3), np.uint8)))])
    ]
    with pytest.raises(ToolError, match="another shape"):
        tool_for(server).edit(blotted())


def test_an_overloaded_service_is_asked_again(server: GeminiServer) -> None:
    server.behaviour.replies = [lambda _: gemini_error(503, "Overloaded.", "UNAVAILABLE")]
    request = blotted()
    assert_repaired(request, tool_for(server, attempts=2).edit(request))
    assert len(server.loopback.requests) == 2


def test_keys(server: GeminiServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTHER", "wrong")
    with pytest.raises(ToolError, match="the key in OTHER was not accepted"):
        tool_for(server, api_key_env="OTHER").edit(blotted())
    monkeypatch.delenv("GEMINI_API_KEY")
    with pytest.raises(ToolError, match="set the environment variable GEMINI_API_KEY"):
        tool_for(server).edit(blotted())


def test_an_unknown_model(server: GeminiServer) -> None:
    with pytest.raises(ToolError, match=r"no model 'gemini-2.5-flash-image' for you; set model"):
        tool_for(server, model="gemini-2.5-flash-image").edit(blotted())


def test_cancelling_while_it_thinks(server: GeminiServer) -> None:
    server.behaviour.wait_s = 3
    began = time.monotonic()
    with pytest.raises(Cancelled, match="waiting for gemini"):
        tool_for(server).edit(blotted(cancelled=lambda: time.monotonic() - began > 0.5))
    assert time.monotonic() - began < 2.5


def test_a_service_that_is_too_slow(server: GeminiServer) -> None:
    server.behaviour.wait_s = 3
    with pytest.raises(ToolError, match=r"no (result|answer)"):
        tool_for(server, timeout_s=0.5).edit(blotted())


@pytest.mark.parametrize(
    "changes",
    [
        {"model": "x?key=y"},
        {"model": ""},
        {"base_url": "file:///x"},
        {"attempts": 0},
        {"cost_usd": -1.0},
        {"min_side_px": 5000},
    ],
)
def test_settings_are_checked(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        GeminiImageSettings(**changes)
