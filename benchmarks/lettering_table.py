"""Counts and shares of a run, as plain rows and as JSON."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from lettering_real import PhotoRow, RealPicture
from lettering_run import PictureRow, UnitRow
from lettering_score import EXPECTED, FATES, wilson

Line = tuple[str, str]
KINDS = ("misspelled", "garbled", "unreadable")


def _counts(units: dict[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in units.items())


def share(hits: int, total: int) -> str:
    """`12/15 80% (55-93)`: count, share, 95% Wilson interval."""
    if total == 0:
        return "0/0"
    p, low, high = wilson(hits, total)
    return f"{hits}/{total} {p:.0%} ({100 * low:.0f}-{100 * high:.0f})"


def _median(values: Iterable[float]) -> float:
    finite = [v for v in values if not math.isnan(v)]
    return statistics.median(finite) if finite else math.nan


def _mean(values: Iterable[float]) -> float:
    finite = [v for v in values if not math.isnan(v)]
    return statistics.fmean(finite) if finite else math.nan


Pair = list[int]
"""Hits and total."""


def _count(units: Sequence[UnitRow], hit: Callable[[UnitRow], bool]) -> Pair:
    return [sum(hit(u) for u in units), len(units)]


def _of(units: Sequence[UnitRow], *kinds: str) -> list[UnitRow]:
    return [u for u in units if u.kind in kinds]


def _worse(unit: UnitRow) -> bool:
    return unit.pixels_changed > 0 and unit.cer_after > unit.cer_before


def summary(rows: Sequence[PictureRow]) -> dict[str, Any]:
    """All figures of one system on one part of the set, as plain JSON."""
    units = [unit for row in rows for unit in row.units]
    clean, wrong = _of(units, "clean"), _of(units, *KINDS)
    clean_pictures = [row for row in rows if row.clean]
    mixed_clean = [u for row in rows if not row.clean for u in _of(row.units, "clean")]
    known = [u for u in wrong if u.intended is not None]
    unknown = [u for u in wrong if u.intended is None]
    edited = [u for u in known if u.fate in ("repaired", "changed, still wrong")]
    found = [u for u in wrong if u.found is not None]
    kept = [u for u in wrong if u.fate in ("repaired", "removed", "changed, still wrong")]
    return {
        "pictures": len(rows),
        "units": dict(Counter(u.kind for u in units)),
        "found": {k: _count(_of(wrong, k), lambda u: u.found is not None) for k in KINDS},
        "regions_right": [sum(r.right for r in rows), sum(r.right + r.false for r in rows)],
        "category_right": _count(found, lambda u: u.found == EXPECTED[u.kind]),
        "clean_units_flagged": _count(clean, lambda u: u.flagged),
        "names_flagged": _count([u for u in clean if u.name], lambda u: u.flagged),
        "fates": {k: dict(Counter(u.fate for u in _of(wrong, k))) for k in KINDS},
        "repaired_of_known": _count(known, lambda u: u.fate == "repaired"),
        "twin_readable_of_known": _count(known, lambda u: u.twin_readable),
        "removed_of_unknown": _count(unknown, lambda u: u.fate == "removed"),
        "cer_before": _mean(u.cer_before for u in known),
        "cer_after": _mean(u.cer_after for u in known),
        "ink_delta_e": _median(u.ink_delta_e for u in edited),
        "paper_delta_e": _median(u.paper_delta_e for u in edited),
        "surroundings_kept": _count(kept, lambda u: u.surroundings_changed < 0.05),
        "repaired_surroundings_kept": _count(
            known, lambda u: u.fate == "repaired" and u.surroundings_changed < 0.05
        ),
        "edits": sum(r.edits for r in rows),
        "accepted": sum(r.accepted for r in rows),
        "clean_pictures_changed": [sum(r.changed for r in clean_pictures), len(clean_pictures)],
        "clean_units_touched": _count(mixed_clean, lambda u: u.pixels_changed > 0),
        "clean_units_read_worse": _count(mixed_clean, _worse),
        "bytes_outside_boxes": sum(r.changed_outside_boxes for r in rows),
        "seconds_per_picture": _median(r.seconds for r in rows),
    }


def set_lines(data: dict[str, Any]) -> list[Line]:
    """The figures of `summary` as rows of a table."""
    lines: list[Line] = [
        ("pictures; units", f"{data['pictures']}; {_counts(data['units'])}"),
        *((f"found, {kind}", share(*data["found"][kind])) for kind in KINDS),
        ("regions that are right (precision)", share(*data["regions_right"])),
        ("category right, of found", share(*data["category_right"])),
        ("clean units flagged", share(*data["clean_units_flagged"])),
        ("  of them names and codes", share(*data["names_flagged"])),
    ]
    for kind in KINDS:
        counts = data["fates"][kind]
        shown = ", ".join(f"{fate} {counts[fate]}" for fate in FATES if fate in counts)
        lines.append((f"became of {kind}", shown))
    error = f"{data['cer_before']:.3f}, {data['cer_after']:.3f}"
    colour = f"{data['ink_delta_e']:.1f}, {data['paper_delta_e']:.1f}"
    return [
        *lines,
        ("repaired (reads as intended), of known", share(*data["repaired_of_known"])),
        ("  and nothing above or below disturbed", share(*data["repaired_surroundings_kept"])),
        ("  clean twin reads as intended, of known", share(*data["twin_readable_of_known"])),
        ("removed, of those without known words", share(*data["removed_of_unknown"])),
        ("character error rate before, after", error),
        ("colour off the twin's: ink, paper (median dE)", colour),
        ("surroundings kept, of units with a kept edit", share(*data["surroundings_kept"])),
        ("edits made, kept", f"{data['edits']}, {data['accepted']}"),
        ("CLEAN PICTURES CHANGED (must be 0)", share(*data["clean_pictures_changed"])),
        ("clean units touched in mixed pictures", share(*data["clean_units_touched"])),
        ("  of all, read worse afterwards", share(*data["clean_units_read_worse"])),
        ("pixels changed outside the trace's boxes", str(data["bytes_outside_boxes"])),
        ("seconds a picture (median)", f"{data['seconds_per_picture']:.1f}"),
    ]


def by_prompt(rows: Sequence[PictureRow]) -> dict[str, dict[str, Pair]]:
    """Repair with the words named in the prompt, with a prompt that does not, and without."""
    out: dict[str, dict[str, Pair]] = {}
    for kind in ("named", "unnamed", "empty"):
        wrong = [u for r in rows if r.prompt_kind == kind for u in _of(r.units, *KINDS)]
        out[kind] = {
            "found": _count(wrong, lambda u: u.found is not None),
            "misspelled repaired": _count(_of(wrong, "misspelled"), lambda u: u.fate == "repaired"),
            "garbled repaired": _count(_of(wrong, "garbled"), lambda u: u.fate == "repaired"),
            "removed": _count(_of(wrong, "garbled", "unreadable"), lambda u: u.fate == "removed"),
        }
    return out


def prompt_lines(data: dict[str, dict[str, Pair]]) -> list[Line]:
    return [
        (f"prompt {kind}", "; ".join(f"{key} {share(*pair)}" for key, pair in figures.items()))
        for kind, figures in data.items()
    ]


def real_summary(rows: Sequence[RealPicture]) -> dict[str, Any]:
    """All figures of the labelled real pictures, as plain JSON."""
    regions = [region for row in rows for region in row.regions]
    named = [r for r in regions if r.diagnosed is not None]
    as_text = sum(r.diagnosed.startswith("text") for r in named if r.diagnosed)
    return {
        "pictures": len(rows),
        "labelled_text_regions": len(regions),
        "diagnosed_as_text_defect": [as_text, len(regions)],
        "category_agrees": [sum(r.diagnosed == r.label for r in named), len(named)],
        "fates": dict(Counter(r.fate for r in regions)),
        "pictures_changed_off_labels": [sum(bool(r.false_boxes) for r in rows), len(rows)],
        "defects_off_labels": sum(r.false_defects for r in rows),
        "seconds_per_picture": _median(r.seconds for r in rows),
    }


def real_lines(data: dict[str, Any]) -> list[Line]:
    return [
        ("pictures; labelled text regions", f"{data['pictures']}; {data['labelled_text_regions']}"),
        ("diagnosed as a text defect", share(*data["diagnosed_as_text_defect"])),
        ("  same category as the label", share(*data["category_agrees"])),
        ("became of them", ", ".join(f"{k} {v}" for k, v in data["fates"].items())),
        ("PICTURES CHANGED OFF THE LABELS", share(*data["pictures_changed_off_labels"])),
        ("regions called a defect off the labels", str(data["defects_off_labels"])),
        ("seconds a picture (median)", f"{data['seconds_per_picture']:.1f}"),
    ]


def photo_summary(rows: Sequence[PhotoRow]) -> dict[str, Any]:
    return {
        "pictures": len(rows),
        "with_a_defect_called": [sum(r.defects > 0 for r in rows), len(rows)],
        "changed": [sum(r.changed for r in rows), len(rows)],
        "seconds_per_picture": _median(r.seconds for r in rows),
    }


def photo_lines(data: dict[str, Any]) -> list[Line]:
    return [
        ("photographs", str(data["pictures"])),
        ("with something called a defect", share(*data["with_a_defect_called"])),
        ("PHOTOGRAPHS CHANGED", share(*data["changed"])),
        ("seconds a picture (median)", f"{data['seconds_per_picture']:.1f}"),
    ]


def render(title: str, lines: Sequence[Line]) -> str:
    width = max((len(name) for name, _ in lines), default=0)
    body = "\n".join(f"  {name:<{width}}  {value}" for name, value in lines)
    return f"{title}\n{body}\n"
