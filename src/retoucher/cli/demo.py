"""`retouch demo`: the main job on the pictures that are shipped with the program."""

from __future__ import annotations

from contextlib import ExitStack
from importlib import resources
from pathlib import Path

from rich.console import Console
from rich.table import Table

from retoucher.api import Retoucher
from retoucher.cli.display import Display, display_for
from retoucher.cli.fix import summary
from retoucher.cli.interrupt import Interrupt
from retoucher.cli.options import ExitCode
from retoucher.cli.plain import complain, plain
from retoucher.cli.targets import output_path, unwritable
from retoucher.cli.work import about
from retoucher.cli.writing import make_folder, write_file, write_text
from retoucher.domain.events import Event
from retoucher.errors import OutputError
from retoucher.imaging.files import FORMAT_OF_SUFFIX, PictureFile, read_picture
from retoucher.imaging.prompts import prompt_for
from retoucher.report import PictureReport, Recorder, render_report

TITLE = "Retouching demo"
PAGE = "index.html"


def run_demo(out: Path, *, quiet: bool) -> int:
    """Repair every shipped picture into `out`, print a table and where to look.

    Raises:
        RetoucherError: nothing can run, or nothing can be written there.
    """
    if problem := unwritable(out / PAGE):
        raise OutputError(problem)
    retoucher = Retoucher.from_profile("embedded")
    for warning in retoucher.warnings:
        complain(f"note: {warning}")
    display = display_for(silent=quiet)
    make_folder(out)
    done: list[PictureReport] = []
    table = Table("picture", "found", "repaired", "left", "end", "seconds")
    with ExitStack() as stack:
        interrupt = stack.enter_context(Interrupt())
        folder = stack.enter_context(resources.as_file(resources.files("retoucher") / "demo"))
        for path in sorted(p for p in folder.iterdir() if p.suffix in FORMAT_OF_SUFFIX):
            if interrupt.cancelled():
                break
            report = _repair(retoucher, read_picture(path), out, display, interrupt)
            done.append(report)
            table.add_row(*_row(report))
        if done:
            repaired_first = sorted(done, key=lambda report: not report.trace.accepted)
            write_text(out / PAGE, render_report(repaired_first, title=TITLE))
        cancelled = interrupt.cancelled()
    _say(out, table, done)
    return ExitCode.CANCELLED if cancelled else ExitCode.OK


def _repair(
    retoucher: Retoucher, picture: PictureFile, out: Path, display: Display, interrupt: Interrupt
) -> PictureReport:
    """One picture: its copy and its result go to `out`."""
    assert picture.path is not None
    name = picture.path.name
    found = prompt_for(picture.path, picture.metadata)
    display.begin(name, about(found.prompt, found.source))
    recorder = Recorder(before_rgb=picture.image_rgb)

    def see(event: Event) -> None:
        display.see(event)
        recorder.see(event)

    try:
        result = retoucher.fix(picture, on_event=see, cancelled=interrupt.cancelled)
        write_file(out / name, lambda stream: stream.write(picture.raw))
        notes = result.save(out / _result_name(name)).notes
        for note in notes:
            display.note(note)
        display.end(summary(result.trace))
    finally:
        display.end("")
    return recorder.report(name, result.trace, notes)


def _result_name(name: str) -> str:
    return output_path(Path(name), None, many=False).name


def _row(report: PictureReport) -> list[str]:
    trace = report.trace
    found = [d for rnd in trace.rounds[:1] for d in rnd.diagnoses if d.is_defect]
    return [
        plain(report.name),
        ", ".join(dict.fromkeys(diagnosis.category for diagnosis in found)) or "nothing",
        str(len(trace.accepted)),
        str(len(trace.left)),
        trace.stop.value.replace("_", " "),
        f"{trace.seconds:.1f}",
    ]


def _say(out: Path, table: Table, done: list[PictureReport]) -> None:
    Console(highlight=False).print(table)
    folder = out.resolve()
    print(f"Before and after, side by side:  {folder / PAGE}")
    print(f"The pictures themselves:         {folder}")
    example = next((report.name for report in done if report.trace.accepted), None)
    if example is not None:
        print(f"For instance:                    {example} became {_result_name(example)}")
