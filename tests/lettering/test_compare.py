"""When a reading counts as the intended words."""

from __future__ import annotations

import pytest

from retoucher.lettering.compare import remnants, says


@pytest.mark.parametrize(
    ("readings", "intended", "expected"),
    [
        (["OPEN!"], "open", True),
        (["SUMMER FESTIVAL"], "FESTIVAL", True),
        (["FRESH", "SOUP"], "Fresh Soup", True),
        (["FRESHSOUP"], "Fresh Soup", True),
        (["BAKE RY"], "BAKERY", True),
        (["FESTIVALS"], "FESTIVAL", False),
        (["OPEN"], "OPEN DAILY", False),
        (["DAILY OPEN"], "OPEN DAILY", False),
        ([], "OPEN", False),
        (["..."], "OPEN", False),
        (["ＯＰＥＮ"], "OPEN", True),
    ],
)
def test_says(readings: list[str], intended: str, expected: bool) -> None:
    assert says(readings, intended) is expected


def test_nothing_intended_is_never_said() -> None:
    assert not says(["OPEN"], "!")


@pytest.mark.parametrize(
    ("readings", "old", "intended", "expected"),
    [
        (["nrg Art Gallery"], "nrg Oglsere", "Art Gallery", ("nrg",)),
        (["ROYAL THEATRE"], "ROYLA THEATRE", "ROYAL THEATRE", ()),
        (["SUMMER FESTIVAL"], "FESTVIAL", "FESTIVAL", ()),
        (["a OPEN"], "a OPNE", "OPEN", ()),
        ([], "OPNE", "OPEN", ()),
    ],
)
def test_remnants(readings: list[str], old: str, intended: str, expected: tuple[str, ...]) -> None:
    assert remnants(readings, old, intended) == expected
