"""Rates over several processes: calls are spread evenly, whoever makes them."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest

from retoucher.agents import Tool
from retoucher.api import Retoucher
from retoucher.batch.pool import ProcessPool
from retoucher.batch.process import Cancelled, Handler, Tell, WorkerSettings
from retoucher.batch.rate import Pace, Rate, Turnstile, check_names, parse_rates, turnstiles
from retoucher.batch.work import embedded
from retoucher.config import Settings, load_settings
from retoucher.domain.geometry import Box
from retoucher.errors import ConfigError
from retoucher.job import Agents
from retoucher.planning.policy import StaticPlanner
from retoucher.testing import (
    ScriptedPerceiver,
    ScriptedReasoner,
    ScriptedTool,
    ScriptedVerifier,
    paint,
    saliency_of_boxes,
)
from tests.batch.pictures import CONFIG, PLUGIN, blotted


def test_rates_are_read():
    assert parse_rates(["openai=30/min", "flux=1.5/s", "gemini=100/h"]) == (
        Rate(name="openai", calls=30, seconds=60),
        Rate(name="flux", calls=1.5, seconds=1),
        Rate(name="gemini", calls=100, seconds=3600),
    )
    assert parse_rates(["openai=30/min"])[0].interval_s == 2.0


@pytest.mark.parametrize("text", ["openai", "openai=", "openai=0/s", "openai=3/day", "=3/s", "a=b"])
def test_other_forms_are_refused(text: str):
    with pytest.raises(ConfigError, match="expected NAME=CALLS/UNIT"):
        parse_rates([text])


def test_a_name_twice_is_refused():
    with pytest.raises(ConfigError, match="given twice"):
        parse_rates(["a=1/s", "a=2/s"])


def passing(stile: Turnstile) -> Handler:
    def handle(request: Any, tell: Tell, cancelled: Cancelled) -> float:
        stile.wait()
        return time.monotonic()

    return handle


def test_processes_share_one_turnstile():
    context = WorkerSettings().context
    (stile,) = turnstiles([Rate(name="x", calls=10, seconds=1)], context).values()
    pool = ProcessPool(make=partial(passing, stile), count=3)
    moments = sorted(a.value for a in pool.run(range(9), lambda: False))
    assert moments[-1] - moments[0] >= 8 * 0.1 - 0.02


def retoucher() -> Retoucher:
    agents = Agents(
        perceiver=ScriptedPerceiver([
            saliency_of_boxes(64, 96, [Box(10, 10, 30, 30), Box(60, 20, 80, 40)]),
            saliency_of_boxes(64, 96, []),
        ]),
        reasoner=ScriptedReasoner(),
        planner=StaticPlanner(),
        tools={"brush": ScriptedTool("brush", [paint(9)])},
        verifier=ScriptedVerifier(),
    )  # fmt: skip
    return Retoucher(agents, Settings())


class Counting(Turnstile):
    def __init__(self) -> None:
        super().__init__(1e-6, WorkerSettings().context)
        self.calls: list[int] = []

    def wait(self, calls: int = 1, sleep: Any = None) -> None:
        self.calls.append(calls)


def test_each_region_and_each_edit_is_a_call():
    plain, brush, reasoner = retoucher(), Counting(), Counting()
    pace = Pace(stiles={"brush": brush, "scripted": reasoner})
    agents = replace(
        plain.agents,
        reasoner=pace.of_reasoner(plain.agents.reasoner, "scripted"),
        tools={name: pace.of_tool(tool) for name, tool in plain.agents.tools.items()},
    )
    result = Retoucher(agents, Settings()).fix(np.full((64, 96, 3), 120, np.uint8))
    assert len(result.trace.edits) == 2
    assert brush.calls == [1, 1]
    assert reasoner.calls == [2]
    agents.reasoner.diagnose(np.zeros((8, 8, 3), np.uint8), "", [])
    assert reasoner.calls == [2]  # no region is no call


def test_the_verifier_waits_too_and_nothing_else_changes(monkeypatch: pytest.MonkeyPatch):
    """As a worker makes its retoucher: with the real verifier, and a plug-in's reasoner."""
    monkeypatch.syspath_prepend(PLUGIN)
    settings = load_settings(CONFIG)
    tint, inpaint = Counting(), Counting()
    paced = embedded(settings, {"tint": tint, "opencv-inpaint": inpaint, "other": Counting()})
    plain = embedded(settings)
    assert paced.infos() == plain.infos()  # what decides about results is the same
    result, expected = paced.fix(blotted()), plain.fix(blotted())
    assert (result.image_rgb == expected.image_rgb).all()
    assert len(result.trace.accepted) == 1
    assert inpaint.calls == [1]
    assert len(tint.calls) >= 2  # once for the diagnosis, once for the verdict
    assert isinstance(paced.agents.tools["opencv-inpaint"], Tool)


class Noting(ScriptedTool):
    notes = ("it ran out of memory and went on smaller",)


def test_what_a_tool_says_beside_its_contract_is_heard():
    tool = Pace(stiles={"brush": Counting()}).of_tool(Noting("brush", [paint(9)]))
    assert tool.notes == Noting.notes  # type: ignore[attr-defined]
    assert getattr(tool, "info", None) is None


def test_a_rate_for_nothing_is_refused():
    with pytest.raises(ConfigError, match="no reasoner or tool of that name"):
        check_names(retoucher(), parse_rates(["openai=1/s"]))
    check_names(retoucher(), parse_rates(["brush=1/s", "scripted=1/s"]))
