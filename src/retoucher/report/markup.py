"""The few ways in which data becomes HTML. Everything that is not ours passes through `text`."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence

from retoucher.domain.codec import to_json
from retoucher.domain.diagnosis import Json


def text(value: object) -> str:
    """Escaped for element content and quoted attributes; control characters made visible."""
    shown = "".join(c if c in "\n\t" or c.isprintable() else f"\\x{ord(c):02x}" for c in str(value))
    return html.escape(shown, quote=True)


def chip(value: object, tone: str = "") -> str:
    """A small label; tone "", "good" or "bad"."""
    return f'<span class="chip {tone}">{text(value)}</span>'


def number(value: float | None, digits: int = 2) -> str:
    """Rounded to `digits`, a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def table(caption: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose cells are markup already; "" when there are no rows."""
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    if not body:
        return ""
    heads = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    return (
        f'<div class="scroll"><table><caption>{text(caption)}</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def value(data: object) -> str:
    """Plain JSON in a cell."""
    if isinstance(data, str):
        return text(data)
    return f"<code>{text(json.dumps(to_json(data), ensure_ascii=False))}</code>"


def flat(data: Mapping[str, Json], prefix: str = "") -> Iterable[tuple[str, Json]]:
    """Nested settings as dotted names."""
    for key, item in data.items():
        if isinstance(item, Mapping):
            yield from flat(item, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", item
