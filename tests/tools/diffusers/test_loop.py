"""The whole loop with every diffusion tool: the user's regions, an edit, trace and report."""

from __future__ import annotations

import html
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("diffusers", reason="needs the extra [diffusers]")

from PIL import Image

from retoucher.api import Retoucher
from retoucher.config import Settings
from retoucher.domain.codec import trace_from_json, trace_to_json
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Preference
from retoucher.domain.region import Region
from retoucher.domain.trace import Outcome
from retoucher.job import Agents
from retoucher.planning.policy import StaticPlanner
from retoucher.report import Recorder, render_report
from retoucher.testing import (
    ScriptedPerceiver,
    ScriptedReasoner,
    ScriptedVerifier,
    saliency_of_boxes,
)
from tests.tools.diffusers.asks import picture
from tests.tools.diffusers.tools import TOOLS, AnyTool


@pytest.mark.parametrize("name", TOOLS)
def test_a_run(name: str, make: Callable[..., AnyTool], tmp_path: Path) -> None:
    """A real planner and loop; only finding and judging are scripted."""
    tool = make(name)
    image, place = picture(117, 143), Box(31, 22, 68, 60)
    agents = Agents(
        perceiver=ScriptedPerceiver([saliency_of_boxes(117, 143, [place])]),
        reasoner=ScriptedReasoner([("hand_shape", 3)]),
        planner=StaticPlanner(),
        tools={name: tool},
        verifier=ScriptedVerifier([True]),
    )
    settings = Settings(rounds=1, seed=5, preference=Preference(tools=(name,)))
    recorder = Recorder(before_rgb=image)
    result = Retoucher(agents, settings).fix(
        image,
        prompt="a woman waves",
        regions=[Region.from_box(place, id="mine")],
        on_event=recorder.see,
    )
    (edit,) = result.trace.edits
    assert (edit.tool, edit.outcome, edit.error) == (name, Outcome.ACCEPTED, None)
    changed = (result.image_rgb != image).any(axis=2)
    assert changed[place.slices].mean() > 0.5
    changed[place.slices] = False
    assert not changed.any()
    result.save(tmp_path / "out.png")
    with Image.open(tmp_path / "out.png") as saved:
        assert np.array_equal(np.asarray(saved), result.image_rgb)
    trace = trace_from_json(json.loads(json.dumps(trace_to_json(result.trace))))
    (step,) = trace.rounds[0].steps
    assert (step.tool, step.params["negative_prompt"] != "") == (name, True)
    (told,) = [agent for agent in trace.agents if agent.role == "tool"]
    assert told.settings["used"] == {"dtype": "float32", "offload": "none", "commit": None}
    page = render_report([recorder.report("picture.png", trace)])
    assert page.count("<img") >= 4  # before, after, and the crop of the edit twice
    assert name in page
    assert html.escape(step.instruction, quote=False)[:40] in page
    again = Retoucher(replace(agents, verifier=ScriptedVerifier([True])), settings).fix(
        image, prompt="a woman waves", regions=[Region.from_box(place, id="mine")]
    )
    assert again.trace.output_sha256 == result.trace.output_sha256
