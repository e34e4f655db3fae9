"""Progress on standard error, one block a picture. Everything shown from outside is data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from retoucher.cli.plain import plain
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.events import (
    Diagnosed,
    EditJudged,
    EditStarted,
    Event,
    Perceived,
    Planned,
    RoundStarted,
)
from retoucher.domain.trace import EditRecord, Outcome
from retoucher.report.words import (
    OUTCOME_WORDS,
    SEVERITY_WORDS,
    category_words,
    count_words,
)

OUTCOME_STYLE = {
    Outcome.ACCEPTED: "green",
    Outcome.ROLLED_BACK: "yellow",
    Outcome.UNCHANGED: "yellow",
    Outcome.FAILED: "red",
}


def display_for(*, silent: bool) -> Display:
    """Progress on standard error, or none."""
    return Silence() if silent else RichDisplay()


class Display(Protocol):
    """What a command tells while it works."""

    def begin(self, name: str, about: str) -> None:
        """A picture's turn; `about` says what is known of it."""
        ...

    def see(self, event: Event) -> None:
        """An event of the run."""
        ...

    def end(self, words: str) -> None:
        """The picture is done; "" says nothing."""
        ...

    def note(self, words: str) -> None:
        """Something the user should know of this picture."""
        ...


class Silence:
    """Shows nothing."""

    def begin(self, name: str, about: str) -> None:
        """See `Display`."""

    def see(self, event: Event) -> None:
        """See `Display`."""

    def end(self, words: str) -> None:
        """See `Display`."""

    def note(self, words: str) -> None:
        """See `Display`."""


@dataclass(slots=True, eq=False)
class RichDisplay:
    """Lines for what happened; on a terminal, a spinner for what is happening."""

    console: Console = field(
        default_factory=lambda: Console(stderr=True, highlight=False, soft_wrap=True)
    )
    _live: Live | None = None

    def begin(self, name: str, about: str) -> None:
        self._say("", Text(plain(name), "bold"), Text(f"  {plain(about)}", "dim"))
        self._busy("reading")

    def see(self, event: Event) -> None:
        match event:
            case RoundStarted(index=index, limit=limit):
                self._busy(f"round {index} of {limit}: looking")
            case Perceived(index=index, saliency=saliency, regions=regions):
                found = count_words(len(regions), "region") if regions else "nothing found"
                self._say(
                    "  ", f"round {index}: {found}", Text(f", peak {saliency.peak:.2f}", "dim")
                )
            case Diagnosed(diagnoses=diagnoses):
                for diagnosis in diagnoses:
                    self._diagnosis(diagnosis)
            case Planned(steps=steps):
                for step in steps:
                    if step.tool is None:
                        self._say("    ", f"{step.region_id} left alone: {plain(step.reason)}")
            case EditStarted(step=step):
                self._busy(f"{step.region_id}: {step.tool}")
            case EditJudged(record=record):
                self._edit(record)
            case _:
                pass

    def end(self, words: str) -> None:
        self._stop()
        if words:
            self._say("  ", Text(plain(words), "bold"))

    def note(self, words: str) -> None:
        self._say("  ", Text(f"note: {plain(words)}", "yellow"))

    def _diagnosis(self, diagnosis: Diagnosis) -> None:
        level = SEVERITY_WORDS[diagnosis.severity]
        what = category_words(diagnosis.category)
        label = f"{level} {what}" if diagnosis.severity else what
        self._say(
            "    ",
            Text(f"{diagnosis.region_id} {label}", "cyan"),
            f": {plain(diagnosis.description)}",
            Text(f" ({diagnosis.confidence:.0%} sure)", "dim"),
        )

    def _edit(self, record: EditRecord) -> None:
        why = record.verdict.reason if record.verdict else record.error or ""
        self._say(
            "    ",
            f"{record.region_id} {plain(record.tool)}: ",
            Text(OUTCOME_WORDS[record.outcome], OUTCOME_STYLE[record.outcome]),
            f"; {plain(why)}" if why else "",
            Text(f" ({record.seconds:.1f} s)", "dim"),
        )

    def _say(self, *parts: str | Text) -> None:
        self.console.print(Text.assemble(*parts))

    def _busy(self, words: str) -> None:
        if not self.console.is_terminal:
            return
        spinner = Spinner("dots", Text(f" {plain(words)}", "dim"))
        if self._live is None:
            self._live = Live(spinner, console=self.console, transient=True)
            self._live.start()
        else:
            self._live.update(spinner)

    def _stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None
