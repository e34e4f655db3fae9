"""What lies beside a batch's results: tables, contact sheet and review page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from retoucher.batch.items import Item
from retoucher.batch.journal import Journal, Mode
from retoucher.batch.review_page import review_page
from retoucher.batch.sheet import choose, contact_sheet
from retoucher.batch.tables import Totals, known_records, triage, write_tables
from retoucher.imaging import atomic

SHEET, REVIEW_PAGE = "index.html", "review.html"


def summarise(
    journal: Journal,
    items: Sequence[Item],
    mode: Mode,
    *,
    sheet: int,
    review: Path | None = None,
) -> Totals:
    """Write them for all that is known, earlier runs included.

    Args:
        journal: of the output folder.
        items: in the order of the tables.
        mode: of the batch.
        sheet: pictures on the contact sheet; 0: none is written.
        review: IN, where the review page is wanted.

    Returns:
        The batch in numbers.

    Raises:
        OutputError: one cannot be written; the old ones are untouched.
    """
    ordered = triage(journal, items) if mode == "find" else items
    totals = write_tables(journal.home, known_records(journal, ordered, mode), mode)
    if sheet and totals.outcomes:
        records = known_records(journal, ordered, mode)
        shown = (
            [record for record, _ in zip(records, range(sheet), strict=False)]
            if mode == "find"
            else choose(records, sheet)
        )
        inputs = {item.name: item.path for item in items}
        _write(journal.home / SHEET, contact_sheet(journal, inputs, shown, totals, mode))
    if review is not None:
        page = review_page(journal, known_records(journal, items, mode), review)
        if page is not None:
            _write(journal.home / REVIEW_PAGE, page)
    return totals


def _write(path: Path, page: str) -> None:
    atomic.write_bytes(path, page.encode())
