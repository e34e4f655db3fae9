"""The defect taxonomy, as data (paper: 6 dimensions, 12 fine categories)."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

NO_DEFECT = "no_defect"
"""The verdict with which reasoning overrules perception: the region is fine."""

UNKNOWN = "unknown"
"""Reasoning could not tell; the planner leaves such a region alone unless told otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Category:
    """One fine category. `phrase` is what a person would call it."""

    name: str
    dimension: str
    phrase: str


@cache
def taxonomy() -> dict[str, Category]:
    """All categories by name, in the order of the data file."""
    text = (resources.files("retoucher.domain") / "taxonomy.toml").read_text("utf-8")
    rows = tomllib.loads(text)["category"]
    return {row["name"]: Category(**row) for row in rows}


def is_verdict(name: str) -> bool:
    """True for a category of the taxonomy, `no_defect` or `unknown`."""
    return name in taxonomy() or name in (NO_DEFECT, UNKNOWN)
