"""Exchanges in the shapes that vLLM, Ollama, LM Studio and OpenAI send, by the real client."""

import base64
import io
import json
import socket
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retoucher.agents import Reasoner
from retoucher.domain.codec import to_json
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.errors import ConfigError, PluginError
from retoucher.reasoning.openai_vlm import OpenAIReasoner, OpenAISettings
from retoucher.reasoning.reply import RegionReply, reply_schema, reply_text
from retoucher.reasoning.views import ViewSettings
from retoucher.tables import from_table
from tests.reasoning.loopback import Loopback, Played, in_turn, serving

pytest.importorskip("openai", reason="needs the extra api")

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
REGIONS = [Region.from_box(Box(5, 5, 30, 30), id="a"), Region.from_box(Box(40, 5, 80, 50), id="b")]
VIEW = ViewSettings(picture_side_px=64, crop_side_px=32)


def entry(mark: int) -> RegionReply:
    return RegionReply(
        mark=mark,
        description="bent strap",
        category="object_structure",
        severity=2,
        confidence=0.8,
    )


GOOD = reply_text([entry(1), entry(2)])


def completion(content: Any, **message: Any) -> dict[str, Any]:
    """vLLM's shape."""
    return {
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "served-name",
        "choices": [{
            "index": 0, "logprobs": None, "finish_reason": message.pop("finish_reason", "stop"),
            "stop_reason": None,
            "message": {"role": "assistant", "content": content, "tool_calls": [], **message},
        }],
        "usage": {"prompt_tokens": 2000, "total_tokens": 2100, "completion_tokens": 100,
                  "prompt_tokens_details": None},
    }  # fmt: skip


def settings(server: Loopback, **changed: Any) -> OpenAISettings:
    base = OpenAISettings(
        model="m", base_url=f"{server.url}/v1", view=VIEW, lettering=False, retries=0, timeout_s=20
    )
    return replace(base, **changed)


def diagnose(server: Loopback, **changed: Any) -> tuple[Diagnosis, ...]:
    return OpenAIReasoner(settings(server, **changed)).diagnose(IMAGE, "a bag", REGIONS)


def test_what_is_sent() -> None:
    with serving(in_turn(Played(body=completion(GOOD)))) as server:
        found = diagnose(server)
    assert [d.category for d in found] == ["object_structure"] * 2
    (asked,) = server.requests
    assert server.paths == ["/v1/chat/completions"]
    assert (asked["model"], asked["temperature"], asked["seed"]) == ("m", 0.0, 0)
    assert asked["max_tokens"] == 2048
    form = asked["response_format"]
    assert form["type"] == "json_schema"
    assert (form["json_schema"]["strict"], form["json_schema"]["schema"]) == (True, reply_schema())
    system, user = asked["messages"]
    assert (system["role"], user["role"]) == ("system", "user")
    urls = [part["image_url"]["url"] for part in user["content"] if part["type"] == "image_url"]
    assert len(urls) == 3
    for url in urls:
        head, data = url.split(",")
        assert head == "data:image/png;base64"
        assert Image.open(io.BytesIO(base64.b64decode(data))).mode == "RGB"


def test_usage_latency_and_cost_are_kept() -> None:
    with serving(in_turn(Played(body=completion(GOOD)))) as server:
        ticks = iter([10.0, 12.5])
        reasoner = OpenAIReasoner(
            settings(
                server, usd_per_million_prompt_tokens=1.0, usd_per_million_completion_tokens=4.0
            ),
            clock=lambda: next(ticks),
        )
        found = reasoner.diagnose(IMAGE, "", REGIONS)
    assert found[0].evidence[0].data == {
        "model": "served-name", "form": "json_schema", "requests": 1, "prompt_tokens": 2000,
        "completion_tokens": 100, "cost_usd": 0.0024, "latency_s": 2.5,
    }  # fmt: skip
    body = completion(GOOD)
    body["usage"]["cost"] = 0.01
    with serving(in_turn(Played(body=body))) as server:
        assert diagnose(server)[0].evidence[0].data["cost_usd"] == 0.01
    del body["usage"]
    with serving(in_turn(Played(body=body))) as server:
        data = diagnose(server)[0].evidence[0].data
        assert (data["prompt_tokens"], data["cost_usd"]) == (None, None)


UNSUPPORTED = {
    "error": {
        "message": "Invalid parameter: 'response_format' of type 'json_schema' is not supported",
        "type": "invalid_request_error", "param": "response_format", "code": None,
    }
}  # fmt: skip


def test_a_server_without_schemas_is_asked_for_json_then_for_words() -> None:
    def answer(path: str, asked: dict[str, Any]) -> Played:
        form = asked.get("response_format", {}).get("type")
        if form == "json_schema":
            return Played(status=400, body=UNSUPPORTED)
        if form == "json_object":  # LM Studio
            error = "'response_format.type' must be 'json_schema' or 'text'"
            return Played(status=400, body={"error": error})
        return Played(body=completion(GOOD))

    with serving(answer) as server:
        reasoner = OpenAIReasoner(settings(server))
        found = reasoner.diagnose(IMAGE, "", REGIONS)
        assert found[0].evidence[0].data["form"] == "text"
        assert len(server.requests) == 3
        reasoner.diagnose(IMAGE, "", REGIONS)
        assert len(server.requests) == 4, "what the server does not know is not asked again"


def test_the_last_form_that_is_refused_is_an_error_with_the_servers_words() -> None:
    body = {"error": {"message": "image is too large\nfor me", "code": 400}}
    with (
        serving(in_turn(Played(status=400, body=body))) as server,
        pytest.raises(PluginError, match=r"error 400: .*image is too large"),
    ):
        diagnose(server)


def test_instructions_are_asked_for_by_a_setting_and_come_as_evidence() -> None:
    rows = [{**entry(mark).model_dump(), "make": f"cup {mark}"} for mark in (1, 2)]
    reply = completion(json.dumps({"regions": rows}))
    with serving(in_turn(Played(body=reply))) as server:
        found = diagnose(server, write_instructions=True)
    form = server.requests[0]["response_format"]
    assert form["json_schema"]["schema"] == reply_schema(instructions=True)
    assert '"make"' in json.dumps(server.requests[0]["messages"][0]).replace("\\", "")
    written = [
        [e.data["make"] for e in d.evidence if e.kind == "repair_instruction"] for d in found
    ]
    assert written == [["cup 1"], ["cup 2"]]


def test_vllms_own_field() -> None:
    with serving(in_turn(Played(body=completion(GOOD)))) as server:
        diagnose(server, structured_outputs=True)
    assert server.requests[0]["structured_outputs"] == {"json": reply_schema()}
    assert "response_format" not in server.requests[0]


def test_reasoning_content_of_vllm_is_no_answer() -> None:
    """A parser that took the whole reply for thinking leaves the content empty."""
    body = completion(None, reasoning_content=f"I think {GOOD}")
    with serving(in_turn(Played(body=body), Played(body=completion(GOOD)))) as server:
        assert [d.category for d in diagnose(server)] == ["object_structure"] * 2
        assert len(server.requests) == 2
    with serving(in_turn(Played(body=completion(GOOD, reasoning_content="hm")))) as server:
        assert [d.category for d in diagnose(server)] == ["object_structure"] * 2


def test_ollamas_shape() -> None:
    body = {
        "id": "chatcmpl-7", "object": "chat.completion", "created": 1, "model": "qwen2.5vl:7b",
        "system_fingerprint": "fp_ollama",
        "choices": [{"index": 0, "finish_reason": "stop",
                     "message": {"role": "assistant", "content": f"```json\n{GOOD}\n```"}}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }  # fmt: skip
    with serving(in_turn(Played(body=body))) as server:
        found = diagnose(server)
    assert found[0].evidence[0].data["model"] == "qwen2.5vl:7b"
    assert found[1].category == "object_structure"


def test_content_in_parts() -> None:
    parts = [{"type": "text", "text": GOOD[:20]}, {"type": "text", "text": GOOD[20:]}]
    with serving(in_turn(Played(body=completion(parts)))) as server:
        assert diagnose(server)[1].category == "object_structure"


def test_openais_refusal() -> None:
    body = completion(None, refusal="I'm sorry, I can't assist with that.")
    with serving(in_turn(Played(body=body))) as server:
        found = diagnose(server)
        assert len(server.requests) == 1
    assert {d.category for d in found} == {"unknown"}
    assert found[0].evidence[-1].data["replies"] == ["I'm sorry, I can't assist with that."]


def test_a_content_filter_is_a_refusal() -> None:
    with serving(in_turn(Played(body=completion("", finish_reason="content_filter")))) as server:
        assert "refused" in diagnose(server)[0].description


def test_a_reply_cut_off_at_the_token_limit() -> None:
    cut = completion(GOOD[:-30], finish_reason="length")
    with serving(in_turn(Played(body=cut))) as server:
        found = diagnose(server)
    assert [d.category for d in found] == ["object_structure", "unknown"]
    assert "cut off" in str(found[1].evidence[-1].data["problems"])


def test_retry_after_is_obeyed_and_server_errors_are_tried_again() -> None:
    busy = Played(
        status=429, body={"error": {"message": "slow down"}}, headers={"Retry-After": "0.05"}
    )
    broken = Played(status=503, body="down", headers={"Retry-After": "0.05"})
    with serving(in_turn(busy, broken, Played(body=completion(GOOD)))) as server:
        assert diagnose(server, retries=2)[0].category == "object_structure"
        assert len(server.requests) == 3
    with (
        serving(in_turn(busy)) as server,
        pytest.raises(PluginError, match=r"error 429: .*slow down"),
    ):
        diagnose(server, retries=1)


def test_a_slow_server_is_given_up() -> None:
    slow = Played(body=completion(GOOD), wait_s=30)
    with (
        serving(in_turn(slow)) as server,
        pytest.raises(PluginError, match=r"did not answer within 0\.2 s"),
    ):
        diagnose(server, timeout_s=0.2)


def test_no_server() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    reasoner = OpenAIReasoner(
        OpenAISettings(model="m", base_url=f"http://127.0.0.1:{port}/v1", retries=0)
    )
    with pytest.raises(PluginError, match="cannot be reached"):
        reasoner.diagnose(IMAGE, "", REGIONS)


@pytest.mark.parametrize("body", ["<html>", "{}", {"choices": []}, {"error": {"message": "quota"}}])
def test_something_else_than_a_completion(body: Any) -> None:
    with (
        serving(in_turn(Played(body=body))) as server,
        pytest.raises(PluginError, match="no chat completion"),
    ):
        diagnose(server)


def test_requests_at_a_time_are_limited() -> None:
    regions = [Region.from_box(Box(9 * i, 0, 9 * i + 5, 9), id=f"r{i}") for i in range(6)]

    def answer(path: str, asked: dict[str, Any]) -> Played:
        words = asked["messages"][1]["content"][-1]["text"]
        return Played(body=completion(reply_text([entry(int(words.split()[2][0]))])), wait_s=0.1)

    with serving(answer) as server:
        view = replace(VIEW, regions_per_request=1)
        reasoner = OpenAIReasoner(settings(server, concurrency=2, view=view))
        found = reasoner.diagnose(IMAGE, "", regions)
        assert len(server.requests) == 6
        assert server.most_at_once == 2
    assert [d.region_id for d in found] == [f"r{i}" for i in range(6)]
    assert {d.category for d in found} == {"object_structure"}


def test_the_key_goes_where_it_is_meant_to_and_is_never_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-for-openai")
    monkeypatch.setenv("MY_KEY", "sk-mine")
    with serving(in_turn(Played(body=completion(GOOD)))) as server:
        diagnose(server)
        assert "sk-for-openai" not in str(server.headers), "a key for OpenAI went elsewhere"
        diagnose(server, api_key_env="MY_KEY")
        assert server.headers[-1]["authorization"] == "Bearer sk-mine"
        named = settings(server, api_key_env="MY_KEY")
    assert "sk-mine" not in str(to_json(OpenAIReasoner(named).info))
    wrong = Played(status=401, body={"error": {"message": "Incorrect API key provided: sk-mine"}})
    with serving(in_turn(wrong)) as server, pytest.raises(ConfigError) as refused:
        diagnose(server, api_key_env="MY_KEY")
    assert "sk-mine" not in str(refused.value)
    assert "MY_KEY" in str(refused.value)
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(ConfigError, match="set MY_KEY"):
        OpenAIReasoner(named).diagnose(IMAGE, "", REGIONS)


def test_credentials_in_the_address_are_not_recorded() -> None:
    secret = OpenAISettings(model="m", base_url="https://user:secret@host:99/v1?token=abc")
    info = OpenAIReasoner(secret).info
    assert info.settings["base_url"] == "https://host:99/v1"
    assert "secret" not in str(info)


def test_settings() -> None:
    assert isinstance(OpenAIReasoner(), Reasoner)
    with pytest.raises(ConfigError, match="needs the model's name"):
        OpenAIReasoner().diagnose(IMAGE, "", REGIONS)
    hosted = OpenAISettings(model="m", base_url="https://api.openai.com/v1")
    assert hosted.forms == ("json_schema", "json_object", "text")
    for wrong in ({"base_url": "localhost:8000"}, {"timeout_s": 0}, {"retries": -1}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            OpenAISettings(model="m", **wrong)  # pyright: ignore[reportArgumentType]
    with (
        serving(in_turn(Played(status=404, body={"error": "no model 'm'"}))) as server,
        pytest.raises(ConfigError, match="does not know 'm'"),
    ):
        diagnose(server)


def test_settings_come_from_a_table() -> None:
    table = {"model": "m", "timeout_s": 5, "temperature": None, "view": {"margin": 1}}
    read = from_table(OpenAISettings, table, "options.reasoner.openai")
    assert (read.timeout_s, read.temperature, read.view.margin) == (5.0, None, 1.0)
    with pytest.raises(ConfigError, match="did you mean 'base_url'"):
        from_table(OpenAISettings, {"baseurl": "x"}, "options.reasoner.openai")
    with pytest.raises(ConfigError, match="regions_per_request must lie"):
        from_table(OpenAISettings, {"view": {"regions_per_request": 0}}, "options")
