"""The page: header, and one section per picture."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from string import Template

from retoucher.domain.diagnosis import Json
from retoucher.domain.region import Region
from retoucher.domain.trace import AgentInfo, LeftRegion, Outcome, StopReason, Trace
from retoucher.report.cards import round_section
from retoucher.report.markup import chip, flat, number, table, text, value
from retoucher.report.pictures import picture_uri, saliency_uri
from retoucher.report.record import PictureReport
from retoucher.report.words import STOP_WORDS, category_words, count_words

LEAD = (
    "What looked wrong, what was done about it, and whether it helped. "
    "Outside the boxes of accepted repairs nothing was repainted."
)

COMFORTABLE_PX = 720
MAX_ENLARGEMENT = 3.0
"""Small pictures are shown larger: to this longer side, but at most so many times."""


def render_report(pictures: Sequence[PictureReport], *, title: str | None = None) -> str:
    """One self-contained HTML page: no other file, no address is loaded by it.

    Raises:
        ValueError: if there are no pictures.
    """
    if not pictures:
        raise ValueError("a report needs at least one picture")
    single = len(pictures) == 1
    heading = title or (pictures[0].name if single else f"{len(pictures)} pictures")
    script = _part("script.js")
    sections = [_picture(p, f"p{i}", headed=not single or title is not None)
                for i, p in enumerate(pictures, 1)]  # fmt: skip
    return Template(_part("page.html")).substitute(
        title=text(f"{heading}: retouching report"),
        heading=text(heading),
        lead=text(LEAD),
        contents="" if single else _contents(pictures),
        pictures="\n".join(sections),
        generator=text(pictures[0].trace.software),
        footer=text(f"Made by {pictures[0].trace.software}, {pictures[0].trace.created_at}."),
        style=_part("style.css"),
        script=script,
        script_hash=_csp_hash(script),
    )


@cache
def _part(name: str) -> str:
    return (resources.files("retoucher.report") / name).read_text("utf-8")


def _csp_hash(script: str) -> str:
    """Lets this one script run and no other, whatever the data says."""
    digest = hashlib.sha256(script.encode()).digest()
    return "sha256-" + base64.b64encode(digest).decode("ascii")


def _contents(pictures: Sequence[PictureReport]) -> str:
    items = "".join(
        f'<li><a href="#p{i}">{text(p.name)}</a> '
        f'<span class="soft">{text(_outcome(p.trace))}</span></li>'
        for i, p in enumerate(pictures, 1)
    )
    return f'<nav aria-label="Pictures"><ol>{items}</ol></nav>'


def _outcome(trace: Trace) -> str:
    return f"{len(trace.accepted)} repaired, {len(trace.left)} left, {STOP_WORDS[trace.stop]}"


def _picture(picture: PictureReport, anchor: str, *, headed: bool) -> str:
    trace = picture.trace
    heading = f"<h2>{text(picture.name)}</h2>" if headed else ""
    css = "picture" if headed else "picture alone"
    rounds = "".join(round_section(picture, rnd, f"{anchor}-{rnd.index}") for rnd in trace.rounds)
    return (
        f'<section class="{css}" id="{anchor}">{heading}{_facts(trace)}{_prompt(trace)}'
        f"{_stage(picture)}{_notes((*picture.notes, *trace.warnings))}{_left(trace.left)}{rounds}"
        f"{_details(trace)}</section>"
    )


def _facts(trace: Trace) -> str:
    rolled_back = sum(edit.outcome is Outcome.ROLLED_BACK for edit in trace.edits)
    good = trace.stop in (StopReason.CLEAN, StopReason.CONVERGED)
    facts = [chip(STOP_WORDS[trace.stop], "good" if good else "")]
    facts.append(chip(f"{len(trace.accepted)} repaired", "good" if trace.accepted else ""))
    if rolled_back:
        facts.append(chip(f"{rolled_back} rolled back", "bad"))
    if trace.left:
        facts.append(chip(f"{len(trace.left)} left", "bad"))
    facts.append(chip(count_words(len(trace.rounds), "round")))
    facts.append(chip(f"{trace.picture.width} × {trace.picture.height} px"))
    facts.append(chip(f"{trace.seconds:.1f} s"))
    return '<ul class="facts">' + "".join(f"<li>{fact}</li>" for fact in facts) + "</ul>"


def _prompt(trace: Trace) -> str:
    if not trace.prompt:
        return '<p class="soft">No prompt is known for this picture.</p>'
    return (
        f'<p class="soft">Prompt ({text(trace.prompt_source)}):</p>'
        f"<blockquote><p>{text(trace.prompt)}</p></blockquote>"
    )


def _stage(picture: PictureReport) -> str:
    """Before and after under one slider, with the map and the regions as layers."""
    before = picture_uri(picture.before_rgb)
    height, width = picture.before_rgb.shape[:2]
    size = f'width="{width}" height="{height}"'
    changed = bool(picture.trace.accepted)
    parts = [f'<img src="{before}" {size} alt="the picture before">']
    if changed:
        after = picture_uri(picture.after_rgb)
        parts.append(f'<img class="over after" src="{after}" {size} alt="the picture after">')
    layers, switches = _layers(picture)
    parts += layers
    if changed:
        parts.append(
            '<span class="tag left">before</span><span class="tag right">after</span>'
            '<span class="line"></span><input type="range" min="0" max="100" value="50" '
            'aria-label="Divide between before and after">'
        )
    note = "" if changed else '<p class="soft">The result is the input, unchanged.</p>'
    wide = width * min(MAX_ENLARGEMENT, max(1.0, COMFORTABLE_PX / max(width, height)))
    frame = f'<div class="compare" style="--wide: {wide:.0f}px; --aspect: {width / height:.4f}">'
    return (
        f'<div class="stage">{frame}{"".join(parts)}</div>{note}'
        f'<fieldset class="switches">{"".join(switches)}</fieldset></div>'
    )


def _layers(picture: PictureReport) -> tuple[list[str], list[str]]:
    layers: list[str] = []
    switches: list[str] = []
    seen = sorted(picture.maps)
    several = len(seen) > 1
    shown = (
        ("first", " before" if several else "", seen[:1]),
        ("last", " after", seen[1:][-1:]),
    )
    for css, label, index in shown:
        for i in index:
            uri = saliency_uri(picture.maps[i])
            layers.append(
                f'<div class="layer over {css}"><img class="over" src="{uri}" alt=""></div>'
            )
            switches.append(
                f'<label><input type="checkbox" class="show-{css}">Distortion map{label}</label>'
            )
    first = picture.trace.rounds[0] if picture.trace.rounds else None
    if first is not None and first.regions:
        layers.append(_marks(first.regions, *picture.before_rgb.shape[:2]))
        switches.append(
            '<label><input type="checkbox" class="show-marks" checked>Regions of round 1</label>'
        )
    return layers, switches


def _marks(regions: Sequence[Region], height: int, width: int) -> str:
    size = max(height, width) / 40
    parts: list[str] = []
    for region in regions:
        b = region.box
        y = b.y0 - size / 3 if b.y0 > 1.5 * size else b.y1 + size
        parts.append(f'<rect x="{b.x0}" y="{b.y0}" width="{b.width}" height="{b.height}"/>')
        parts.append(
            f'<text x="{b.x0}" y="{y:.1f}" font-size="{size:.1f}">{text(region.id)}</text>'
        )
    return (
        f'<svg class="over marks" viewBox="0 0 {width} {height}" preserveAspectRatio="none" '
        f'aria-hidden="true">{"".join(parts)}</svg>'
    )


def _notes(notes: Sequence[str]) -> str:
    if not notes:
        return ""
    items = "".join(f"<li>{text(note)}</li>" for note in notes)
    return f"<h3>Notes</h3><ul>{items}</ul>"


def _left(left: Sequence[LeftRegion]) -> str:
    rows = [
        [
            text(category_words(item.category)),
            text(item.description),
            text(item.reason),
            f"<code>{', '.join(map(str, item.box.as_xyxy()))}</code>",
        ]
        for item in left
    ]
    return table("Still in the picture", ("what", "in words", "why it was left", "box"), rows)


def _details(trace: Trace) -> str:
    picture = trace.picture
    facts: dict[str, Json] = {
        "file": picture.file_name,
        "format": picture.format,
        "mode": picture.mode,
        "file sha256": picture.file_sha256,
        "pixels sha256": picture.pixels_sha256,
        "output sha256": trace.output_sha256,
        "seed": trace.seed,
        "software": trace.software,
        "created": trace.created_at,
    }
    return (
        "<details><summary>Settings, agents and environment</summary>"
        + table(
            "Agents", ("role", "name", "version", "device", "settings"), map(_agent, trace.agents)
        )
        + _pairs("Settings", trace.settings)
        + _pairs("Run", facts)
        + _pairs("Environment", trace.environment)
        + "</details>"
    )


def _agent(agent: AgentInfo) -> list[str]:
    weights = [
        f"{name} {digest.removeprefix('sha256:')[:12]}" for name, digest in agent.weights.items()
    ]
    settings = [f"{name} = {number(v, 3) if isinstance(v, float) else v}"
                for name, v in flat(agent.settings)]  # fmt: skip
    return [
        text(agent.role),
        text(agent.name),
        text(agent.version),
        text(agent.device),
        "<br>".join(text(line) for line in (*settings, *weights)) or "–",
    ]


def _pairs(caption: str, data: Mapping[str, Json] | Mapping[str, str]) -> str:
    rows = [[text(key), "–" if item is None else value(item)] for key, item in flat(dict(data))]
    return table(caption, ("name", "value"), rows)
