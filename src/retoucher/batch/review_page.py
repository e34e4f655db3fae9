"""The review page: one picture after another, each repair before and after, to say what stays.

It lies beside the pictures it shows, needs no server, and saves a file of `decisions`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import shlex
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from string import Template
from typing import cast
from urllib.parse import quote

from retoucher.batch.journal import Journal
from retoucher.batch.kept import VIEW, Kept, Place, places_of, read_kept
from retoucher.domain.diagnosis import Json
from retoucher.domain.taxonomy import taxonomy
from retoucher.domain.trace import Outcome
from retoucher.recording import SOFTWARE
from retoucher.records import Record
from retoucher.report.markup import text
from retoucher.report.words import OUTCOME_WORDS, SEVERITY_WORDS, category_words


def review_page(journal: Journal, records: Iterable[Record], source: Path) -> str | None:
    """The page for the pictures in which something was found; None: there is none.

    Args:
        journal: of the output folder; the page is to lie in its home.
        records: of the batch, with `file`.
        source: IN, for the command that carries the decisions out.
    """
    pictures: list[dict[str, Json]] = []
    for record in records:
        name = str(record["file"])
        kept = read_kept(journal.review_path(name))
        if kept is not None and "error" not in record:
            pictures.append(_picture(journal, name, kept, record))
    if not pictures:
        return None
    runs = "".join(f"{picture['file']}\0{picture['run']}\0" for picture in pictures)
    data = {
        "key": hashlib.sha256(runs.encode()).hexdigest()[:16],
        "categories": [[name, category_words(name)] for name in taxonomy()],
        "pictures": pictures,
    }
    here = resources.files("retoucher.batch")
    script = (here / "review.js").read_text("utf-8")
    digest = hashlib.sha256(script.encode()).digest()
    command = shlex.join(["retouch", "review", str(source), str(journal.out), "decisions.json"])
    styles = resources.files("retoucher.report") / "style.css", here / "review.css"
    return Template((here / "review.html").read_text("utf-8")).substitute(
        generator=text(SOFTWARE),
        style="".join(style.read_text("utf-8") for style in styles),
        command=text(command),
        data=json.dumps(data, ensure_ascii=False).replace("<", "\\u003c"),
        script=script,
        script_hash="sha256-" + base64.b64encode(digest).decode("ascii"),
    )


def _picture(journal: Journal, name: str, kept: Kept, record: Record) -> dict[str, Json]:
    folder = journal.review_path(name).relative_to(journal.home).as_posix()
    trace = kept.trace
    return {
        "file": name,
        "run": kept.run,
        "view": quote(f"{folder}/{VIEW}"),
        "width": trace.picture.width,
        "height": trace.picture.height,
        "prompt": trace.prompt,
        "places": [_place(folder, place, kept) for place in places_of(trace)],
        "review": record.get("review"),
    }


def _place(folder: str, place: Place, kept: Kept) -> Json:
    said = place.diagnoses[0]
    reasons = [(e.verdict.reason if e.verdict else e.error) or "" for e in place.edits]
    chips: list[Json] = [[SEVERITY_WORDS[said.severity], "bad" if said.severity == 3 else ""]]
    for edit in place.edits:
        tone = "good" if edit.outcome is Outcome.ACCEPTED else ""
        chips.append([f"{edit.tool}: {OUTCOME_WORDS[edit.outcome]}", tone])
    return {
        "id": place.id,
        "state": place.state,
        "title": category_words(said.category),
        "category": said.category,
        "description": said.description,
        "reason": reasons[-1] if reasons else _why_left(place, kept),
        "chips": chips,
        "box": list(place.box.as_xyxy()),
        "repairs": [_repair(folder, i, kept) for i in place.repairs],
    }


def _why_left(place: Place, kept: Kept) -> str:
    boxes = {region.box for region in place.regions}
    return next((left.reason for left in kept.trace.left if left.box in boxes), "")


def _repair(folder: str, i: int, kept: Kept) -> Json:
    box = kept.trace.accepted[i].box
    assert box is not None
    return {
        "index": i,
        "box": cast("Json", list(box.as_xyxy())),
        "before": quote(f"{folder}/{i}.before.png"),
        "after": quote(f"{folder}/{i}.after.png"),
    }
