"""What a run is doing, per round and region, as HTML; fed by the event stream."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from retoucher.domain.events import (
    EditJudged,
    EditStarted,
    Event,
    Perceived,
    Planned,
    RoundStarted,
)
from retoucher.domain.trace import Outcome
from retoucher.report.markup import chip, text
from retoucher.report.words import OUTCOME_WORDS
from retoucher.ui.views import outcome


@dataclass(slots=True, kw_only=True)
class _Line:
    """What stands behind one region of one round."""

    words: str
    tone: str = ""
    detail: str = ""


@dataclass(slots=True, kw_only=True, eq=False)
class Progress:
    """Give every event to `see`, then ask for the `html`."""

    _now: str = "waiting for a free turn"
    _rounds: list[tuple[str, dict[str, _Line]]] = field(
        default_factory=list[tuple[str, dict[str, _Line]]]
    )
    _open: int = 0
    _done: int = 0

    def see(self, event: Event) -> None:
        """Take over what the event tells."""
        match event:
            case RoundStarted():
                self._rounds.append((f"Round {event.index} of at most {event.limit}", {}))
                self._now = f"round {event.index}: looking at the picture"
                self._open, self._done = 0, 0
            case Perceived():
                self._now = f"round {event.index}: naming what is wrong"
                for region in event.regions:
                    self._lines[region.id] = _Line(words="waiting")
            case Planned():
                self._plan(event)
            case EditStarted():
                self._lines[event.step.region_id] = _Line(
                    words="repairing", tone="busy", detail=f"with {event.step.tool}"
                )
                self._now = (
                    f"round {event.index}: repairing {event.step.region_id} with "
                    f"{event.step.tool} ({self._done + 1} of {self._open})"
                )
            case EditJudged():
                self._judge(event)
            case _:
                pass

    def _plan(self, event: Planned) -> None:
        for step in event.steps:
            if step.tool is None:
                self._lines[step.region_id] = _Line(words="left", detail=step.reason)
            else:
                self._lines[step.region_id] = _Line(words="waiting", detail=f"for {step.tool}")
        self._open = sum(step.tool is not None for step in event.steps)

    def _judge(self, event: EditJudged) -> None:
        record = event.record
        good = record.outcome is Outcome.ACCEPTED
        line = _Line(
            words=OUTCOME_WORDS[record.outcome],
            tone="good" if good else "bad",
            detail=f"{record.tool}: {outcome(record)} ({record.seconds:.1f} s)",
        )
        self._lines[record.region_id] = line
        self._done += 1

    @property
    def _lines(self) -> dict[str, _Line]:
        return self._rounds[-1][1]

    def html(self, ended: str | None = None) -> str:
        """As it stands now; `ended` says how the run ended."""
        now = ended or f"{self._now} …"
        busy = "" if ended else " rt-busy"
        bar = "" if ended else f'<progress max="{max(1, self._open)}" value="{self._done}">'
        close = "" if ended else "</progress>"
        rounds = "".join(_round(title, lines) for title, lines in self._rounds if lines)
        return (
            f'<div class="rt-progress{busy}"><p role="status" aria-live="polite"><b>{text(now)}'
            f"</b></p>{bar}{close}{rounds}</div>"
        )


def _round(title: str, lines: dict[str, _Line]) -> str:
    items: Sequence[str] = [
        f"<li><b>{text(id)}</b> {chip(line.words, line.tone)} "
        f'<span class="rt-soft">{text(line.detail)}</span></li>'
        for id, line in lines.items()
    ]
    return f"<h4>{text(title)}</h4><ul>{''.join(items)}</ul>"
