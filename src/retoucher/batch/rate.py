"""At most so many calls a minute of a reasoner or tool, over all worker processes of a machine."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from retoucher.agents import EditRequest, Reasoner, RgbArray, Tool, ToolSpec
from retoucher.api import Retoucher
from retoucher.batch.process import Context
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.region import Region
from retoucher.domain.trace import AgentInfo
from retoucher.errors import ConfigError

_UNITS_S = {"s": 1.0, "min": 60.0, "h": 3600.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """`calls` of the agent `name` in `seconds`, evenly spaced.

    A call is one edit of a tool, or one region that a reasoner is asked about.
    """

    name: str
    calls: float
    seconds: float

    @property
    def interval_s(self) -> float:
        return self.seconds / self.calls


def parse_rates(texts: Sequence[str]) -> tuple[Rate, ...]:
    """Rates from "NAME=CALLS/UNIT" with the units s, min and h.

    Raises:
        ConfigError: another form, no positive number, or a name given twice.
    """
    rates: dict[str, Rate] = {}
    for text in texts:
        match = re.fullmatch(r"([^=]+)=([0-9]+(?:\.[0-9]+)?)/(s|min|h)", text.strip())
        if match is None or not float(match[2]) > 0:
            raise ConfigError(f"--rate {text}: expected NAME=CALLS/UNIT, such as openai=30/min")
        if match[1] in rates:
            raise ConfigError(f"--rate: {match[1]} was given twice")
        rates[match[1]] = Rate(name=match[1], calls=float(match[2]), seconds=_UNITS_S[match[3]])
    return tuple(rates.values())


class Turnstile:
    """Lets one caller through every `interval_s`. Shared by processes of one `context`."""

    def __init__(self, interval_s: float, context: Context) -> None:
        self.interval_s = interval_s
        self._next_s: Any = context.Value("d", 0.0)  # the monotonic clock is the machine's

    def wait(self, calls: int = 1, sleep: Callable[[float], None] = time.sleep) -> None:
        """Reserve the next free moments, and sleep until the first of them."""
        with self._next_s.get_lock():
            now = time.monotonic()
            turn = max(now, self._next_s.value)
            self._next_s.value = turn + calls * self.interval_s
        if turn > now:
            sleep(turn - now)


def turnstiles(rates: Sequence[Rate], context: Context) -> dict[str, Turnstile]:
    """One for each name."""
    return {rate.name: Turnstile(rate.interval_s, context) for rate in rates}


def check_names(retoucher: Retoucher, rates: Sequence[Rate]) -> None:
    """That every rate is for something that runs.

    Raises:
        ConfigError: one is not.
    """
    known = {retoucher.agents.reasoner.info.name, retoucher.settings.reasoner}
    known |= set(retoucher.agents.tools)
    for rate in rates:
        if rate.name not in known:
            raise ConfigError(
                f"--rate {rate.name}: no reasoner or tool of that name runs; "
                f"there are {', '.join(sorted(known))}"
            )


class PacedReasoner:
    """A reasoner that waits for its turn before it is asked: a call for each region."""

    def __init__(self, reasoner: Reasoner, stile: Turnstile) -> None:
        self._reasoner, self._stile = reasoner, stile

    @property
    def info(self) -> AgentInfo:
        return self._reasoner.info

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        """See `agents.Reasoner`."""
        if regions:
            self._stile.wait(len(regions))
        return self._reasoner.diagnose(image_rgb, prompt, regions)


class PacedTool:
    """A tool that waits for its turn before each edit."""

    def __init__(self, tool: Tool, stile: Turnstile) -> None:
        self._tool, self._stile = tool, stile

    def __getattr__(self, name: str) -> object:
        """What a tool may say of itself beside its contract: `info`, `notes`."""
        return getattr(self._tool, name)

    @property
    def spec(self) -> ToolSpec:
        return self._tool.spec

    def edit(self, request: EditRequest) -> RgbArray:
        """See `agents.Tool`."""
        self._stile.wait()
        return self._tool.edit(request)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Puts the turnstiles before the agents that they are for.

    Attributes:
        stiles: by the name of a reasoner or tool.
    """

    stiles: Mapping[str, Turnstile] = field(default_factory=dict[str, Turnstile])

    def of_reasoner(self, reasoner: Reasoner, configured: str) -> Reasoner:
        """`configured`: its name in the settings, which may differ from its own."""
        stile = self.stiles.get(reasoner.info.name) or self.stiles.get(configured)
        return reasoner if stile is None else PacedReasoner(reasoner, stile)

    def of_tool(self, tool: Tool) -> Tool:
        stile = self.stiles.get(tool.spec.name)
        return tool if stile is None else PacedTool(tool, stile)
