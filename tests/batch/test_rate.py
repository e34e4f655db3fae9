"""Rates over several processes: calls are spread evenly, whoever makes them."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

import numpy as np
import pytest

from retoucher.api import Retoucher
from retoucher.batch.pool import ProcessPool
from retoucher.batch.process import Cancelled, Handler, Tell, WorkerSettings
from retoucher.batch.rate import Rate, Turnstile, check_names, parse_rates, slow_down, turnstiles
from retoucher.config import Settings
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
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
    fixer, brush, reasoner = retoucher(), Counting(), Counting()
    slow_down(fixer, {"brush": brush, "scripted": reasoner})
    result = fixer.fix(np.full((64, 96, 3), 120, np.uint8))
    assert len(result.trace.edits) == 2
    assert brush.calls == [1, 1]
    assert reasoner.calls == [2]


def test_whoever_holds_the_agent_waits_and_no_region_is_no_call():
    fixer, stile = retoucher(), Counting()
    verifiers = fixer.agents.reasoner  # the same object that a verifier was given
    slow_down(fixer, {"scripted": stile})
    image = np.zeros((8, 8, 3), np.uint8)
    verifiers.diagnose(image, "", [Region.from_box(Box(0, 0, 4, 4), id="r1")])
    verifiers.diagnose(image, "", [])
    assert stile.calls == [1]


def test_a_rate_for_nothing_is_refused():
    with pytest.raises(ConfigError, match="no reasoner or tool of that name"):
        check_names(retoucher(), parse_rates(["openai=1/s"]))
    check_names(retoucher(), parse_rates(["brush=1/s", "scripted=1/s"]))
