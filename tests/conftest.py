"""What tests of several rooms share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser import headless_browser


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium: one for all tests, as Playwright runs once in a process."""
    with headless_browser() as browser:
        yield browser
