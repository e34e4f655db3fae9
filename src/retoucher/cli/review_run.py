"""`retouch review`: a reviewer's decisions carried out, one picture after the other."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from pathlib import Path

from retoucher.batch.decisions import PictureDecisions, read_decisions
from retoucher.batch.items import Item, Selection, find_items
from retoucher.batch.journal import HOME, Journal, open_journal
from retoucher.batch.review import apply
from retoucher.batch.summary import REVIEW_PAGE, SHEET, summarise
from retoucher.cli.interrupt import Interrupt
from retoucher.cli.options import ExitCode
from retoucher.cli.plain import complain, plain
from retoucher.cli.targets import OWN_MARK
from retoucher.errors import InputError, RetoucherError
from retoucher.report.words import count_words

SHEET_PICTURES = 200
"""On a contact sheet that is made again; how many the batch was told is not known any more."""


def run_review(
    source: Path, out: Path, decisions: Path, feedback: Path | None, *, quiet: bool, as_json: bool
) -> int:
    """Carry out the decisions and return the exit code.

    Raises:
        RetoucherError: bad files; nothing was done.
    """
    if not (out / HOME).is_dir():
        raise InputError(f"{out} holds no batch; run `retouch batch {source} {out} --review` first")
    said = read_decisions(decisions)
    items = {i.name: i for i in find_items(source, Selection(exclude=(f"*{OWN_MARK}.*",)))}
    done = failed = 0
    with closing(open_journal(out)) as journal, Interrupt() as interrupt:
        for picture in said:
            if interrupt.cancelled():
                break
            done += 1
            failed += not _one(journal, items, picture, feedback, as_json=as_json, quiet=quiet)
        sheet = SHEET_PICTURES if (journal.home / SHEET).exists() else 0
        summarise(journal, list(items.values()), "fix", sheet=sheet, review=source)
        page = journal.home / REVIEW_PAGE
    if done < len(said):
        complain(f"cancelled; {done} of {len(said)} pictures are done, run it again")
        return ExitCode.CANCELLED
    if not as_json:
        print(_counts(said))
        if feedback is not None:
            print(plain(f"kept for training in {feedback}"))
        print(plain(page))
    return ExitCode.SOME_FAILED if failed else ExitCode.OK


def _one(
    journal: Journal,
    items: dict[str, Item],
    said: PictureDecisions,
    feedback: Path | None,
    *,
    as_json: bool,
    quiet: bool,
) -> bool:
    """One picture; whether it could be done."""
    try:
        if said.file not in items:
            raise InputError(f"{said.file}: is not in IN")
        record = apply(journal, items[said.file], said, feedback)
    except RetoucherError as error:
        complain(error)
        if as_json:
            print(json.dumps({"file": said.file, "error": plain(error)}, ensure_ascii=False))
        return False
    if as_json:
        print(json.dumps({"file": said.file, **record}, ensure_ascii=False), flush=True)
    elif not quiet:
        verdicts = Counter(place.verdict for place in said.places)
        words = [f"{count} {name}" for name, count in sorted(verdicts.items())]
        words += [f"{len(said.missed)} missed"] if said.missed else []
        print(plain(f"{said.file}: {', '.join(words) or 'undecided'}"))
    return True


def _counts(said: tuple[PictureDecisions, ...]) -> str:
    verdicts = Counter(place.verdict for picture in said for place in picture.places)
    marked = sum(len(picture.missed) for picture in said)
    accepted = count_words(verdicts["accept"], "repair")
    return (
        f"{count_words(len(said), 'picture')}: {accepted} accepted, "
        f"{verdicts['reject']} rejected; {count_words(verdicts['defect'], 'place')} confirmed, "
        f"{verdicts['no_defect']} called right, {marked} marked"
    )
