"""How far annotators agree: percent, Cohen's kappa for two, Fleiss' kappa for several.

J. Cohen, A coefficient of agreement for nominal scales (1960); J. L. Fleiss, Measuring nominal
scale agreement among many raters (1971). kappa = (P - P_e) / (1 - P_e): what is observed beyond
chance, over what could be; 1 is full agreement, 0 is chance. It is not defined (None) where chance
alone would always agree, as with a single category.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations


@dataclass(frozen=True, slots=True, kw_only=True)
class PairAgreement:
    """Of two annotators over the `items` that both judged."""

    first: str
    second: str
    items: int
    percent: float
    cohen_kappa: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Of all annotators.

    Attributes:
        items: judged by at least two.
        percent: mean share of pairs of judgements of an item that are equal, 0 to 100.
        fleiss_kappa: see `fleiss_kappa`.
        pairs: of every two that judged an item both.
    """

    items: int
    percent: float | None
    fleiss_kappa: float | None
    pairs: tuple[PairAgreement, ...]


def agreement(items: Sequence[Mapping[str, str]]) -> Agreement:
    """All figures of some items, each with the category that each annotator gave it.

    >>> told = [{"ann": "a", "bob": "a"}, {"ann": "a", "bob": "b"}, {"ann": "b", "bob": "b"}]
    >>> figures = agreement(told)
    >>> (figures.items, round(figures.percent, 1), round(figures.pairs[0].cohen_kappa, 2))
    (3, 66.7, 0.4)
    """
    judged = [item for item in items if len(item) > 1]
    people = sorted({person for item in judged for person in item})
    pairs: list[PairAgreement] = []
    for first, second in combinations(people, 2):
        both = [(item[first], item[second]) for item in judged if {first, second} <= item.keys()]
        if both:
            equal = sum(a == b for a, b in both)
            pairs.append(
                PairAgreement(
                    first=first,
                    second=second,
                    items=len(both),
                    percent=100 * equal / len(both),
                    cohen_kappa=cohen_kappa(both),
                )
            )
    counts = [Counter(item.values()) for item in judged]
    return Agreement(
        items=len(judged),
        percent=100 * _observed(counts) if counts else None,
        fleiss_kappa=fleiss_kappa(counts),
        pairs=tuple(pairs),
    )


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of two people's judgements of the same items.

    >>> table = {("yes", "yes"): 20, ("yes", "no"): 5, ("no", "yes"): 10, ("no", "no"): 15}
    >>> round(cohen_kappa([pair for pair, count in table.items() for _ in range(count)]), 4)
    0.4
    >>> cohen_kappa([("a", "a"), ("a", "a")]) is None
    True
    """
    if not pairs:
        return None
    firsts, seconds = Counter(a for a, _ in pairs), Counter(b for _, b in pairs)
    observed = sum(a == b for a, b in pairs) / len(pairs)
    chance = sum(count * seconds[name] for name, count in firsts.items()) / len(pairs) ** 2
    return _beyond_chance(observed, chance)


def fleiss_kappa(counts: Sequence[Mapping[str, int]]) -> float | None:
    """Fleiss' kappa of items, each with the number of judgements per category.

    Items may have different numbers of judgements, of at least two; with equal ones it is exactly
    Fleiss' own. The well-known worked example, ten items and fourteen people:

    >>> rows = ["0 0 0 0 14", "0 2 6 4 2", "0 0 3 5 6", "0 3 9 2 0", "2 2 8 1 1", "7 7 0 0 0",
    ...         "3 2 6 3 0", "2 5 3 2 2", "6 5 2 1 0", "0 2 2 3 7"]
    >>> table = [dict(zip("abcde", map(int, row.split()))) for row in rows]
    >>> round(fleiss_kappa(table), 3)
    0.21
    """
    if not counts:
        return None
    totals: Counter[str] = Counter()
    for item in counts:
        totals.update(item)
    everything = totals.total()
    chance = sum((count / everything) ** 2 for count in totals.values())
    return _beyond_chance(_observed(counts), chance)


def _observed(counts: Sequence[Mapping[str, int]]) -> float:
    """Mean over the items of the share of equal pairs of judgements."""
    shares: list[float] = []
    for item in counts:
        judgements = sum(item.values())
        equal = sum(count * (count - 1) for count in item.values())
        shares.append(equal / (judgements * (judgements - 1)))
    return sum(shares) / len(shares)


def _beyond_chance(observed: float, chance: float) -> float | None:
    return None if chance >= 1.0 else (observed - chance) / (1 - chance)
