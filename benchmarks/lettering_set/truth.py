"""What is known of every picture of the set, and its JSON."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["clean", "misspelled", "garbled", "unreadable"]
PromptKind = Literal["named", "unnamed", "empty"]
Points = tuple[tuple[float, float], ...]
"""Corners x, y in pixels, clockwise from the lettering's own top-left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """One line of lettering (unreadable: one block of smeared rows).

    Attributes:
        kind: what was done to it.
        drawn: what stands there ("" where it is no text).
        intended: what should stand there; None where nobody can know.
        quad_xy: the ink's bounds.
        wrong_quads_xy: the misspelled words' bounds, or the whole unit, or nothing when clean.
        wrong_words: the misspelled words as drawn.
        cap_px: height of a capital letter.
        family: typeface.
        name: clean, but no dictionary knows it.
    """

    kind: Kind
    drawn: str
    intended: str | None
    quad_xy: Points
    wrong_quads_xy: tuple[Points, ...]
    wrong_words: tuple[str, ...]
    cap_px: float
    family: str
    name: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One picture. `twin` is the same picture with every unit as intended (and without those
    whose intention is unknown)."""

    id: str
    split: Literal["dev", "heldout"]
    file: str
    twin: str
    prompt: str
    prompt_kind: PromptKind
    background: str
    look: str
    units: tuple[Unit, ...]

    @property
    def clean(self) -> bool:
        return all(unit.kind == "clean" for unit in self.units)

    @property
    def theme(self) -> Kind:
        """The kind of its first unit that is not clean."""
        return next((u.kind for u in self.units if u.kind != "clean"), "clean")


def _points(raw: Any) -> Points:
    return tuple((float(x), float(y)) for x, y in raw)


def write(samples: tuple[Sample, ...], path: Path) -> None:
    path.write_text("\n".join(json.dumps(asdict(s)) for s in samples) + "\n", "utf-8")


def read(path: Path) -> tuple[Sample, ...]:
    samples: list[Sample] = []
    for row in map(json.loads, path.read_text("utf-8").splitlines()):
        units = tuple(
            Unit(
                **{
                    **unit,
                    "quad_xy": _points(unit["quad_xy"]),
                    "wrong_quads_xy": tuple(_points(q) for q in unit["wrong_quads_xy"]),
                    "wrong_words": tuple(unit["wrong_words"]),
                }
            )
            for unit in row.pop("units")
        )
        samples.append(Sample(**row, units=units))
    return tuple(samples)
