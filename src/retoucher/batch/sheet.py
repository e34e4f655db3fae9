"""The contact sheet: a batch's pictures on one self-contained page, the most telling first."""

from __future__ import annotations

import base64
import hashlib
import heapq
import io
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from string import Template
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retoucher.batch.journal import Journal, Mode
from retoucher.batch.tables import OUTCOMES, Totals, outcome
from retoucher.domain.diagnosis import Json
from retoucher.errors import RetoucherError
from retoucher.imaging.files import read_picture
from retoucher.recording import SOFTWARE
from retoucher.records import Record, defects
from retoucher.report.markup import chip, table, text
from retoucher.report.words import category_words, count_words

THUMBNAIL_PX = 320

_STYLE = """
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(19rem, 1fr)); gap: .9rem;
  margin-top: 1rem; padding: 0; list-style: none; }
.tile { padding: .7rem; border: 1px solid var(--line); border-radius: .6rem;
  background: var(--card); }
.tile .pair { margin-top: 0; gap: .4rem; align-items: start; }
.tile h3 { font-size: .95rem; margin-top: .5rem; }
.tile .facts { margin: .4rem 0 0; }
.tile .crop rect { opacity: 1; }
"""

_WORDS = {
    "failed": "failed",
    "left": "something is left",
    "repaired": "repaired",
    "clean": "nothing to repair",
}
_TONE = {"failed": "bad", "left": "bad", "repaired": "good", "clean": ""}


def choose(records: Iterable[Record], limit: int) -> list[Record]:
    """The most telling: repaired pictures, then those with something left, failures, clean ones."""
    rank = {"repaired": 0, "left": 1, "failed": 2, "clean": 3}
    return heapq.nsmallest(limit, records, lambda r: (rank[outcome(r)], not r.get("repaired")))


def contact_sheet(
    journal: Journal,
    inputs: Mapping[str, Path],
    records: Sequence[Record],
    totals: Totals,
    mode: Mode,
) -> str:
    """The page for these records, in their order.

    Args:
        journal: of the output folder; the page is to lie in its home.
        inputs: each record's picture, by its `file`.
        records: what to show, with `file`.
        totals: of the whole batch.
        mode: what was done.
    """
    count = sum(totals.outcomes.values())
    shown = "" if len(records) == count else f" The first {len(records)} are shown."
    verb = "looked at" if mode == "find" else "worked on"
    tiles = "".join(_tile(journal, inputs, record, mode) for record in records)
    page = resources.files("retoucher.report")
    return Template((page / "page.html").read_text("utf-8")).substitute(
        title=text("Retouching: contact sheet"),
        heading=text(f"{count_words(count, 'picture')} {verb}"),
        lead=text(f"The tables beside this page list every one.{shown}"),
        contents=_facts(totals, mode),
        pictures=f'{_categories(totals, mode)}<ul class="tiles">{tiles}</ul>',
        generator=text(SOFTWARE),
        footer=text(f"Made by {SOFTWARE}."),
        style=(page / "style.css").read_text("utf-8") + _STYLE,
        script="",
        script_hash="sha256-" + base64.b64encode(hashlib.sha256(b"").digest()).decode("ascii"),
    )


def _facts(totals: Totals, mode: Mode) -> str:
    words = _WORDS | ({"left": "something is wrong", "clean": "clean"} if mode == "find" else {})
    chips = [
        chip(f"{totals.outcomes[name]} {words[name]}", _TONE[name])
        for name in reversed(OUTCOMES)
        if totals.outcomes[name]
    ]
    return '<ul class="facts">' + "".join(f"<li>{item}</li>" for item in chips) + "</ul>"


def _categories(totals: Totals, mode: Mode) -> str:
    head = ("what", "found") if mode == "find" else ("what", "found", "repaired", "left")
    rows = [
        [text(category_words(name)), str(totals.found[name])]
        + ([] if mode == "find" else [str(totals.repaired[name]), str(totals.left[name])])
        for name, _ in totals.found.most_common()
    ]
    return table("Defects of the first look, by category", head, rows)


def _tile(journal: Journal, inputs: Mapping[str, Path], record: Record, mode: Mode) -> str:
    name = str(record["file"])
    before = _figure(inputs[name], _boxes(record, mode), "before" if mode == "fix" else "")
    after = ""
    if mode == "fix" and record.get("repaired"):
        after = _figure(journal.out / name, [], "after")
    pair = "pair" if after else "pair one"
    return (
        f'<li class="tile"><div class="{pair}">{before}{after}</div>'
        f"<h3>{_link(journal, name, mode)}</h3>{_labels(record, mode)}{_words(record)}</li>"
    )


def _link(journal: Journal, name: str, mode: Mode) -> str:
    if mode == "find" or not (journal.out / name).exists():
        return text(name)
    report = journal.report_path(name)
    target = report.relative_to(journal.home) if report.exists() else Path("..", name)
    return f'<a href="{text(quote(target.as_posix()))}">{text(name)}</a>'


def _labels(record: Record, mode: Mode) -> str:
    kind = outcome(record)
    labels = [chip(_WORDS[kind], _TONE[kind])]
    if mode == "find":
        found = defects(record)
        severity = record.get("severity", 0)
        labels = [chip(f"severity {severity}", "bad" if found else "")]
        labels += [chip(category_words(str(d["category"]))) for d in found[:4]]
    else:
        edits = record.get("edits")
        tried = [e for e in edits if isinstance(e, dict)] if isinstance(edits, list) else []
        names = [f"{e['category']}: {e['tool']} {e['outcome']}" for e in tried]
        labels += [chip(name) for name in names[:4]]
    return '<ul class="facts">' + "".join(f"<li>{label}</li>" for label in labels) + "</ul>"


def _words(record: Record) -> str:
    found = defects(record)
    words = record.get("error") or (found[0]["description"] if found else "")
    return f'<p class="soft">{text(words)}</p>' if words else ""


def _boxes(record: Record, mode: Mode) -> list[Json]:
    if mode == "find":
        return [d["box_xyxy"] for d in defects(record)]
    edits = record.get("edits")
    tried = [e for e in edits if isinstance(e, dict)] if isinstance(edits, list) else []
    return [e["box_xyxy"] for e in tried if e["outcome"] == "accepted"]


def _figure(path: Path, boxes: Sequence[Json], caption: str) -> str:
    try:
        image = read_picture(path).image_rgb
    except RetoucherError:
        return f'<p class="soft">{text("cannot be shown")}</p>'
    height, width = image.shape[:2]
    marks = "".join(_mark(box) for box in boxes)
    svg = f'<svg viewBox="0 0 {width} {height}" aria-hidden="true">{marks}</svg>' if marks else ""
    label = f"<figcaption>{text(caption)}</figcaption>" if caption else ""
    return (
        f'<figure><div class="crop"><img loading="lazy" src="{_thumbnail(image)}" alt="">{svg}'
        f"</div>{label}</figure>"
    )


def _mark(box: Json) -> str:
    if not isinstance(box, list):
        return ""
    x0, y0, x1, y1 = (float(v) if isinstance(v, int | float) else 0.0 for v in box)
    return f'<rect x="{x0:g}" y="{y0:g}" width="{x1 - x0:g}" height="{y1 - y0:g}"/>'


def _thumbnail(image_rgb: NDArray[np.uint8]) -> str:
    image = Image.fromarray(image_rgb)
    image.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
    stream = io.BytesIO()
    image.save(stream, "WEBP", quality=80)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
