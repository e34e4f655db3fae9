"""How often each labelled place is taken, so that no category drowns the others."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from retoucher.domain.taxonomy import NO_DEFECT
from retoucher.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class BalanceSettings:
    """How many rows of each category are made.

    Attributes:
        temperature: a category with n places gets a share of n^(1/temperature): 1 keeps the set's
            own shares, 2 takes their roots, a large value makes them equal.
        rows: of all defects together; None: as many as there are places with a defect.
        cap: of one category at most; None: no limit.
        max_repeats: so often at most is one place shown.
        no_defect_share: share of rows without a defect, of all rows; fewer where clean parts run
            out, as none is shown twice.
        seed: chooses places.
    """

    temperature: float = 2.0
    rows: int | None = None
    cap: int | None = None
    max_repeats: int = 4
    no_defect_share: float = 0.4
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.temperature >= 1.0:
            raise ConfigError(f"temperature must be at least 1, got {self.temperature}")
        if self.max_repeats < 1 or (self.rows or 1) < 1 or (self.cap or 1) < 1:
            raise ConfigError("max_repeats, rows and cap must be at least 1")
        if not 0.0 <= self.no_defect_share < 1.0:
            raise ConfigError(f"no_defect_share must lie in [0, 1), got {self.no_defect_share}")


def quotas(available: Mapping[str, int], settings: BalanceSettings) -> dict[str, int]:
    """Rows per category.

    Args:
        available: places per category, `no_defect` among them; none is 0.
        settings: see `BalanceSettings`.

    >>> quotas({"a": 400, "b": 100, "no_defect": 900}, BalanceSettings(no_defect_share=0.5))
    {'a': 333, 'b': 167, 'no_defect': 500}
    >>> quotas({"a": 400, "b": 4, "no_defect": 10}, BalanceSettings(cap=100))
    {'a': 100, 'b': 16, 'no_defect': 10}
    >>> quotas({"a": 3, "b": 1}, BalanceSettings(temperature=1.0))
    {'a': 3, 'b': 1}
    """
    defects = {name: n for name, n in available.items() if name != NO_DEFECT}
    weights = {name: n ** (1 / settings.temperature) for name, n in defects.items()}
    rows = settings.rows or sum((defects or available).values())
    wanted: dict[str, int] = {}
    for name, n in defects.items():
        fair = max(1, round(rows * weights[name] / sum(weights.values())))
        wanted[name] = min(fair, n * settings.max_repeats, settings.cap or fair)
    if NO_DEFECT in available:
        share = settings.no_defect_share
        clean = (
            round(sum(wanted.values()) * share / (1 - share)) if defects else available[NO_DEFECT]
        )
        wanted[NO_DEFECT] = min(clean, available[NO_DEFECT])
    return wanted


def repeats(keys: Sequence[str], rows: int, seed: int) -> dict[str, int]:
    """How often each of some places is taken, `rows` times together: as evenly as can be.

    Args:
        keys: names of the places; which come first depends on each name and the seed alone.
        rows: of them.
        seed: of the choice.

    >>> sorted(repeats(["x", "y", "z"], 7, seed=0).values())
    [2, 2, 3]
    >>> len(repeats(["x", "y", "z"], 2, seed=0))
    2
    """
    order = sorted(keys, key=lambda key: drawn(seed, key))
    each, more = divmod(rows, len(order))
    taken = {key: each + (i < more) for i, key in enumerate(order)}
    return {key: count for key, count in taken.items() if count}


def drawn(seed: int, key: str) -> int:
    """A number below 2^64 that depends on the seed and the name alone."""
    return int.from_bytes(hashlib.sha256(f"{seed} {key}".encode()).digest()[:8], "big")
