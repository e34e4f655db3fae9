"""Words from outside on one plain line. Light: needed also when a part is missing."""

from __future__ import annotations

import sys


def plain(value: object) -> str:
    """One line without control characters, so that no text from outside moves the cursor."""
    return "".join(c if c.isprintable() else " " for c in str(value))


def complain(message: object) -> None:
    """One line on standard error."""
    print(f"retouch: {plain(message)}", file=sys.stderr, flush=True)
