"""What the page's fields say, as data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from retoucher.errors import InputError
from retoucher.imaging.regions import RegionSettings
from retoucher.ui.corrections import MAX_WORDS_CHARS, Correction, lettering_of
from retoucher.ui.desk import Wishes
from retoucher.ui.session import Place


def at_threshold(settings: RegionSettings, threshold: float) -> RegionSettings:
    """The settings at another tau_s; a lower hysteresis threshold above it gives way."""
    low = settings.threshold_low
    return replace(
        settings,
        threshold=threshold,
        threshold_low=None if low is None or low > threshold else low,
    )


def read_correction(
    place: Place, category: str | None, words: str, make: str, lines: str | None
) -> Correction:
    """What differs from what reasoning said.

    Args:
        place: it is said of.
        category, words, make: as in the fields.
        lines: what the lettering should read, None where there is none.
    """
    found = place.found
    lettering = None
    if lines is not None:
        typed = tuple(line.strip()[:MAX_WORDS_CHARS] for line in lines.split("\n"))
        lettering = None if typed == lettering_of(found) else typed
    return Correction(
        category=category if category and category != found.category else None,
        description=words[:MAX_WORDS_CHARS] if words != found.description else None,
        instruction=make.strip()[:MAX_WORDS_CHARS] or None,
        lettering=lettering,
    )


def read_wishes(
    tools: Sequence[str],
    avoid: Sequence[str],
    rounds: float,
    seconds: float | None,
    seed: float | None,
    quality: bool,
    identity: bool,
) -> Wishes:
    """The preferences as the page sends them.

    Raises:
        InputError: they contradict each other.
    """
    if both := sorted({*tools} & {*avoid}):
        raise InputError(f"{', '.join(both)}: chosen and never to be used; take one of them back")
    budget = float(seconds or 0)
    return Wishes(
        tools=tuple(tools),
        avoid=frozenset(avoid),
        rounds=int(rounds),
        seed=min(max(int(seed or 0), 0), 2**31 - 1),
        time_budget_s=budget if budget > 0 and math.isfinite(budget) else None,
        quality_over_speed=quality,
        keep_identity=identity,
    )
