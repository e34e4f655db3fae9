"""Full runs of the loop with each server tool: found, planned, edited, verified, traced."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("httpx2", reason="extra servers is not installed")
pytest.importorskip("websockets", reason="extra servers is not installed")
pytest.importorskip("google.genai", reason="extra api is not installed")
pytest.importorskip("openai", reason="extra api is not installed")

from retoucher.agents import RgbArray, Tool
from retoucher.api import Result, Retoucher
from retoucher.config import settings_from
from retoucher.domain.codec import trace_from_json, trace_to_json
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.events import Event
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo, Outcome
from retoucher.job import Agents
from retoucher.report import Recorder, render_report
from retoucher.tools.servers.a1111 import A1111Settings, A1111Tool
from retoucher.tools.servers.comfyui import ComfyUISettings, ComfyUITool
from retoucher.tools.servers.gemini_image import GeminiImageSettings, GeminiImageTool
from retoucher.tools.servers.openai_image import OpenAIImageSettings, OpenAIImageTool
from retoucher.verification.improvement import ImprovementVerifier
from tests.tools.servers.comfy_server import CHECKPOINTS, Behaviour, ComfyServer
from tests.tools.servers.image_api_servers import Behaviour as ServiceBehaviour
from tests.tools.servers.image_api_servers import GeminiServer, OpenAIServer
from tests.tools.servers.requests import BLOT, surface
from tests.tools.servers.webui_server import WebuiServer

PLACE = (slice(60, 100), slice(110, 170))


class BlotPerceiver:
    """Sees a defect in and around pixels that are nearly the blot's magenta."""

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="perceiver", name="blot", version="0")

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        far = np.abs(image_rgb.astype(int) - BLOT).sum(axis=2)
        near = cv2.dilate((far < 120).astype(np.uint8), np.ones((17, 17), np.uint8))
        return SaliencyMap(np.where(near, 0.95, 0.02).astype(np.float32))


class BlotReasoner:
    """A broken texture where there is magenta, nothing wrong where there is none."""

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(role="reasoner", name="blot", version="0")

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        def judged(region: Region) -> Diagnosis:
            far = np.abs(image_rgb[region.box.slices].astype(int) - BLOT).sum(axis=2)
            bad = bool((far < 120).any())
            return Diagnosis(
                region_id=region.id,
                category="object_texture" if bad else "no_defect",
                severity=3 if bad else 0,
                description="a magenta blot" if bad else "a wall",
                confidence=0.9,
            )

        return tuple(map(judged, regions))


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    monkeypatch.setenv("GEMINI_API_KEY", "a-key")
    with ExitStack() as stack:
        comfy = stack.enter_context(ComfyServer(Behaviour(vae_noise=1.0)))
        webui = stack.enter_context(WebuiServer().running())
        gemini, openai = GeminiServer(), OpenAIServer()
        stack.enter_context(gemini.running())
        stack.enter_context(openai.running())
        yield {"comfyui": comfy, "a1111": webui, "gemini-image": gemini, "openai-image": openai}


def made(name: str, url: str) -> Tool:
    if name == "comfyui":
        return ComfyUITool(ComfyUISettings(url=url, checkpoint=CHECKPOINTS[0], steps=3))
    if name == "a1111":
        return A1111Tool(A1111Settings(url=url, steps=3))
    if name == "gemini-image":
        return GeminiImageTool(GeminiImageSettings(base_url=url, attempts=1))
    return OpenAIImageTool(OpenAIImageSettings(base_url=f"{url}/v1", retries=0, min_side_px=64))


def picture() -> np.ndarray:
    image = surface(200, 300)
    image[PLACE] = BLOT
    return image


def retouched(tool: Tool, on_event: Callable[[Event], None] | None = None) -> Result:
    settings = settings_from({"preference": {"tools": [tool.spec.name]}, "rounds": 2})
    base = Retoucher.from_profile("embedded", settings, tools=[tool])
    perceiver, reasoner = BlotPerceiver(), BlotReasoner()
    agents = Agents(
        perceiver=perceiver,
        reasoner=reasoner,
        planner=base.agents.planner,
        tools={tool.spec.name: tool},
        verifier=ImprovementVerifier(
            perceiver, reasoner, threshold=settings.regions.threshold, settings=settings.verify
        ),
    )
    return Retoucher(agents, settings).fix(picture(), prompt="a striped wall", on_event=on_event)


@pytest.mark.parametrize("name", ["comfyui", "a1111", "gemini-image", "openai-image"])
def test_a_defect_is_repaired_and_the_rest_left_alone(
    servers: dict[str, Any], name: str, tmp_path: Path
) -> None:
    server = servers[name]
    if isinstance(server.behaviour, ServiceBehaviour):
        server.behaviour.shift_px = (4, -3)
    recorder = Recorder(before_rgb=picture())
    result = retouched(made(name, server.url), recorder.see)
    accepted = result.trace.accepted
    assert [edit.tool for edit in accepted] == [name], [
        edit.error or edit.verdict for edit in result.trace.edits
    ]
    before, after = picture(), result.image_rgb
    box = accepted[0].box
    assert box is not None
    outside = np.ones(before.shape[:2], bool)
    outside[box.slices] = False
    assert np.array_equal(after[outside], before[outside])
    assert np.abs(after[PLACE].astype(int) - BLOT).sum(axis=2).min() > 120
    result.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as saved:
        assert np.array_equal(np.asarray(saved), after)
    text = json.dumps(trace_to_json(result.trace))
    trace = trace_from_json(json.loads(text))
    assert [edit.tool for edit in trace.accepted] == [name]
    page = render_report([recorder.report("wall.png", trace)])
    assert page.count("<img") >= 4  # before, after, and the crop of the edit twice
    assert name in page
    assert "a-key" not in text + page


def test_a_server_that_fails_costs_its_region_and_not_the_run(servers: dict[str, Any]) -> None:
    servers["comfyui"].behaviour.fail_with = "out of memory"
    result = retouched(made("comfyui", servers["comfyui"].url))
    assert not result.changed
    assert [edit.outcome for edit in result.trace.edits] == [Outcome.FAILED]
    assert "out of memory" in str(result.trace.edits[0].error)
