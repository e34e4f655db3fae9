"""`retouch fix`: the whole loop on each picture, its result written beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from retoucher.api import Result, Retoucher
from retoucher.cli.display import Display, display_for
from retoucher.cli.options import FixOptions, LookOptions
from retoucher.cli.own_regions import OwnRegions
from retoucher.cli.plain import complain
from retoucher.cli.plan import plan_answer
from retoucher.cli.settings import fix_settings
from retoucher.cli.targets import Target, choose_targets, find_pictures
from retoucher.cli.work import Answer, about, fitted, own_regions, work_through
from retoucher.cli.writing import make_folder, write_text
from retoucher.domain.codec import trace_to_json
from retoucher.domain.diagnosis import Json
from retoucher.domain.events import Event
from retoucher.domain.trace import StopReason, Trace
from retoucher.errors import ConfigError, OutputError
from retoucher.imaging.files import read_picture, target_format
from retoucher.imaging.prompts import prompt_for
from retoucher.records import fix_record
from retoucher.report import Recorder, render_report
from retoucher.report.words import STOP_WORDS


def run_fix(look: LookOptions, fix: FixOptions) -> int:
    """Repair the pictures and return the exit code.

    Raises:
        RetoucherError: before anything was done: bad options, or nothing can run.
    """
    if fix.dry_run and (fix.report or fix.trace):
        raise ConfigError("--dry-run writes nothing; leave out --report and --trace")
    settings = fix_settings(look, fix)
    own = own_regions(look)
    pictures = find_pictures(look.images)
    targets = choose_targets(
        pictures, out=fix.out, report=fix.report, trace=fix.trace, force=fix.force
    )
    retoucher = Retoucher.from_profile("embedded", settings)
    display = display_for(silent=look.quiet or look.as_json)
    for warning in retoucher.warnings:
        complain(f"note: {warning}")
    job = _Job(retoucher=retoucher, own=own, look=look, display=display, dry_run=fix.dry_run)
    return work_through(
        pictures.paths, lambda i, stop: job.do(targets[i], stop), look=look, display=display
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Job:
    retoucher: Retoucher
    own: OwnRegions | None
    look: LookOptions
    display: Display
    dry_run: bool

    def do(self, target: Target, cancelled: Callable[[], bool]) -> Answer:
        if target.error is not None and not self.dry_run:
            raise OutputError(target.error)
        picture = read_picture(target.picture)
        target_format(
            target.output, picture
        )  # says now, not after the work, what cannot be written
        regions = fitted(self.own, picture, target.picture)
        found = prompt_for(picture.path, picture.metadata, self.look.prompt)
        self.display.begin(str(target.picture), about(found.prompt, found.source))
        if self.dry_run:
            events = self.retoucher.run(picture, prompt=self.look.prompt, regions=regions)
            return plan_answer(target.picture, events, self.display)
        recorder = Recorder(before_rgb=picture.image_rgb) if target.report else None

        def see(event: Event) -> None:
            self.display.see(event)
            if recorder is not None:
                recorder.see(event)

        result = self.retoucher.fix(
            picture, prompt=self.look.prompt, regions=regions, on_event=see, cancelled=cancelled
        )
        return self._write(target, result, recorder)

    def _write(self, target: Target, result: Result, recorder: Recorder | None) -> Answer:
        """All files of one picture; of a cancelled run that kept nothing, none."""
        trace, notes = result.trace, list[str]()
        written = result.changed or trace.stop is not StopReason.CANCELLED
        if written:
            make_folder(target.output.parent)
            notes += result.save(target.output).notes
        if written and target.report is not None and recorder is not None:
            page = render_report([recorder.report(target.picture.name, trace, notes)])
            write_text(target.report, page)
        if written and target.trace is not None:
            text = json.dumps(trace_to_json(trace), ensure_ascii=False, indent=1)
            write_text(target.trace, text + "\n")
        for note in notes:
            self.display.note(note)
        self.display.end(summary(trace))
        if not written:
            complain(f"{target.picture}: cancelled before a repair was kept; nothing written")
        record = _record(target, result, written=written, notes=notes)
        return Answer(record=record, lines=(str(target.output),) if written else ())


def summary(trace: Trace) -> str:
    """How a run ended, in one line."""
    counts = f"{len(trace.accepted)} repaired, {len(trace.left)} left"
    return f"{STOP_WORDS[trace.stop]} ({counts}, {trace.seconds:.1f} s)"


def _record(target: Target, result: Result, *, written: bool, notes: list[str]) -> dict[str, Json]:
    return {
        "file": str(target.picture),
        "output": str(target.output) if written else None,
        "report": str(target.report) if target.report and written else None,
        "trace": str(target.trace) if target.trace and written else None,
        **fix_record(result, notes),
    }
