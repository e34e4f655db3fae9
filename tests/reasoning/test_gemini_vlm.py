"""google-genai's own client against a server on loopback that speaks the API's REST format."""

import base64
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image

from retoucher.domain.codec import to_json
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.errors import ConfigError, PluginError
from retoucher.reasoning.gemini_vlm import GeminiReasoner, GeminiSettings
from retoucher.reasoning.reply import RegionReply, reply_schema, reply_text
from retoucher.reasoning.views import ViewSettings
from tests.reasoning.loopback import Loopback, Played, in_turn, serving

pytest.importorskip("google.genai", reason="needs the extra api")

IMAGE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), np.uint8)
REGIONS = [Region.from_box(Box(5, 5, 30, 30), id="a")]
GOOD = reply_text(
    [
        RegionReply(
            mark=1, description="bent ear", category="face_feature", severity=2, confidence=0.7
        )
    ]
)


def response(*parts: dict[str, Any], **candidate: Any) -> dict[str, Any]:
    return {
        "candidates": [
            {
                "content": {"parts": list(parts), "role": "model"},
                "finishReason": "STOP", "index": 0, **candidate,
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 1200, "candidatesTokenCount": 40, "thoughtsTokenCount": 60,
            "totalTokenCount": 1300,
        },
        "modelVersion": "gemini-x-001", "responseId": "1",
    }  # fmt: skip


def settings(server: Loopback, **changed: Any) -> GeminiSettings:
    base = GeminiSettings(
        model="gemini-x", base_url=server.url, lettering=False, retries=0, timeout_s=20,
        view=ViewSettings(picture_side_px=64, crop_side_px=32),
    )  # fmt: skip
    return replace(base, **changed)


def diagnose(server: Loopback, **changed: Any) -> Diagnosis:
    reasoner = GeminiReasoner(settings(server, **changed))
    (found,) = reasoner.diagnose(IMAGE, "a face", REGIONS)
    return found


def test_instructions_are_asked_for_by_a_setting_and_come_as_evidence() -> None:
    entry = json.loads(GOOD)["regions"][0]
    reply = json.dumps({"regions": [{**entry, "make": "a calm face"}]})
    with serving(in_turn(Played(body=response({"text": reply})))) as server:
        found = diagnose(server, write_instructions=True)
    config = server.requests[0]["generationConfig"]
    assert config["responseJsonSchema"] == reply_schema(instructions=True)
    (written,) = [e.data for e in found.evidence if e.kind == "repair_instruction"]
    assert written["make"] == "a calm face"
    assert str(written["by"]).startswith("the model ")


def test_what_is_sent() -> None:
    with serving(in_turn(Played(body=response({"text": GOOD})))) as server:
        assert diagnose(server).category == "face_feature"
    (asked,) = server.requests
    assert server.paths[0].endswith("/models/gemini-x:generateContent")
    config = asked["generationConfig"]
    assert config["responseMimeType"] == "application/json"
    assert config["responseJsonSchema"] == reply_schema()
    assert (config["temperature"], config["seed"]) == (0.0, 0)
    assert "local defects" in asked["systemInstruction"]["parts"][0]["text"]
    (turn,) = asked["contents"]
    images = [part["inlineData"] for part in turn["parts"] if "inlineData" in part]
    assert [image.get("mimeType", image.get("mime_type")) for image in images] == ["image/png"] * 2
    data = base64.urlsafe_b64decode(images[0]["data"])
    assert Image.open(io.BytesIO(data)).size == (64, 43)


def test_all_parts_are_read_and_thoughts_are_not() -> None:
    thought = {"text": GOOD.replace("face_feature", "limb_shape"), "thought": True}
    body = response(thought, {"text": GOOD[:30]}, {"text": GOOD[30:]})
    with serving(in_turn(Played(body=body))) as server:
        found = diagnose(
            server, usd_per_million_prompt_tokens=1.0, usd_per_million_completion_tokens=10.0
        )
    assert found.category == "face_feature"
    data = found.evidence[0].data
    assert (data["model"], data["prompt_tokens"], data["completion_tokens"]) == (
        "gemini-x-001", 1200, 100,
    )  # fmt: skip
    assert data["cost_usd"] == pytest.approx(0.0022)


def test_a_part_of_another_kind_is_named_and_ignored() -> None:
    call = {"functionCall": {"name": "delete_files", "args": {"path": "/"}}}
    with serving(in_turn(Played(body=response(call)))) as server:
        found = diagnose(server)
    assert found.category == "unknown"
    assert "function_call" in str(found.evidence[-1].data["replies"])


def test_a_blocked_request() -> None:
    body = {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {"promptTokenCount": 5, "totalTokenCount": 5},
    }
    with serving(in_turn(Played(body=body))) as server:
        found = diagnose(server)
        assert len(server.requests) == 1
    assert found.category == "unknown"
    assert "PROHIBITED_CONTENT" in str(found.evidence[-1].data["replies"])


@pytest.mark.parametrize("reason", ["SAFETY", "RECITATION", "BLOCKLIST", "SPII"])
def test_a_reply_that_was_withheld(reason: str) -> None:
    body = response(finishReason=reason)
    del body["candidates"][0]["content"]
    with serving(in_turn(Played(body=body))) as server:
        found = diagnose(server)
        assert len(server.requests) == 1
    assert "refused" in found.description
    assert reason in str(found.evidence[-1].data["replies"])


def test_a_refusal_in_words_is_asked_again_and_kept() -> None:
    with serving(in_turn(Played(body=response({"text": "I cannot judge people."})))) as server:
        found = diagnose(server)
        assert [turn["role"] for turn in server.requests[1]["contents"]] == [
            "user",
            "model",
            "user",
        ]
    assert found.category == "unknown"
    assert found.evidence[-1].data["replies"] == ["I cannot judge people."] * 2


def test_a_reply_cut_off_at_the_token_limit() -> None:
    body = response({"text": GOOD[:40]}, finishReason="MAX_TOKENS")
    with serving(in_turn(Played(body=body))) as server:
        assert "cut off" in str(diagnose(server).evidence[-1].data["problems"])


def test_no_candidate() -> None:
    with serving(in_turn(Played(body={"usageMetadata": {"promptTokenCount": 5}}))) as server:
        assert "no candidate" in str(diagnose(server).evidence[-1].data["replies"])


def error(code: int, status: str, message: str) -> Played:
    return Played(status=code, body={"error": {"code": code, "status": status, "message": message}})


def test_errors_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "AIza-secret")
    refused = error(403, "PERMISSION_DENIED", "key AIza-secret is not allowed")
    with serving(in_turn(refused)) as server, pytest.raises(ConfigError) as caught:
        diagnose(server, api_key_env="MY_KEY")
    assert "MY_KEY" in str(caught.value)
    assert "AIza-secret" not in str(caught.value)
    for played, kind, words in (
        (error(404, "NOT_FOUND", "retired"), ConfigError, "does not know the model 'gemini-x'"),
        (error(429, "RESOURCE_EXHAUSTED", "quota"), PluginError, "quota"),
        (Played(body={}, wait_s=30), PluginError, "did not answer within 1 s"),
    ):
        with serving(in_turn(played)) as server, pytest.raises(kind, match=words):
            diagnose(server, timeout_s=1.0)
    with pytest.raises(PluginError, match="cannot be reached"):
        diagnose(server)
    with serving(in_turn(Played(body="<html>"))) as server, pytest.raises(PluginError):
        diagnose(server)


def test_a_busy_server_is_asked_again() -> None:
    busy = error(503, "UNAVAILABLE", "overloaded")
    with serving(in_turn(busy, Played(body=response({"text": GOOD})))) as server:
        assert diagnose(server, retries=1).category == "face_feature"
        assert len(server.requests) == 2


def test_the_key_goes_where_it_is_meant_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GEMINI_API_KEY", "AIza-google")
    monkeypatch.setenv("GOOGLE_API_KEY", "AIza-google")
    monkeypatch.setenv("MY_KEY", "AIza-mine")
    with serving(in_turn(Played(body=response({"text": GOOD})))) as server:
        diagnose(server)
        assert "AIza-google" not in str(server.headers) + str(server.paths)
        diagnose(server, api_key_env="MY_KEY")
        assert "AIza-mine" in str(server.headers[-1])
        info = GeminiReasoner(settings(server, api_key_env="MY_KEY")).info
    assert "AIza-mine" not in str(to_json(info))
    monkeypatch.delenv("GEMINI_API_KEY")
    with pytest.raises(ConfigError, match="set GEMINI_API_KEY"):
        GeminiReasoner(GeminiSettings(model="m")).diagnose(IMAGE, "", REGIONS)
    with pytest.raises(ConfigError, match="needs the model's name"):
        GeminiReasoner().diagnose(IMAGE, "", REGIONS)


def test_settings() -> None:
    for wrong in ({"base_url": "http://u:p@h"}, {"timeout_s": 0}, {"concurrency": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            GeminiSettings(model="m", **wrong)  # pyright: ignore[reportArgumentType]
