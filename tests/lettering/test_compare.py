"""When a reading counts as the intended words."""

from __future__ import annotations

import pytest

from retoucher.lettering.compare import says


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
