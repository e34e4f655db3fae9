"""The parts of the page that are plain HTML. What is not ours goes through `report.markup.text`."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from retoucher.agents import RgbArray
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN
from retoucher.domain.trace import EditRecord, Outcome
from retoucher.report.markup import chip, text
from retoucher.report.pictures import crop_uri, picture_uri, saliency_uri
from retoucher.report.words import OUTCOME_WORDS, SEVERITY_WORDS, STOP_WORDS, category_words
from retoucher.ui.session import Place, Repaired, Session

CONTEXT = 0.25
"""A crop shows so much around its box, of the box's longer side."""

ZOOM = 3.0
"""Small pictures are shown larger, but at most so many times."""

WELCOME = (
    '<div class="rt-empty"><p><b>Drop a generated picture above.</b></p>'
    "<p>What looks wrong in it is listed on this page. You say what is to be repaired; only these "
    "places change, and each repair is checked and can be taken back.</p></div>"
)


def stage(session: Session) -> str:
    """The picture with its saliency and the outlines of its places."""
    if session.picture is None:
        return WELCOME
    image = session.picture.image_rgb
    height, width = image.shape[:2]
    base = f'<img src="{picture_uri(image)}" width="{width}" height="{height}" alt="your picture">'
    layers, switches = "", ""
    if session.saliency is not None:
        uri = saliency_uri(session.saliency)
        layers += f'<img class="rt-over rt-map" src="{uri}" alt="">'
        switches += '<label><input type="checkbox" class="rt-show-map" checked> Saliency</label>'
    if session.places:
        layers += _outlines(session.places, height, width)
        switches += '<label><input type="checkbox" class="rt-show-marks" checked> Places</label>'
    return (
        f'<div class="rt-stage"><div class="rt-frame" style="{_frame(height, width)}">'
        f'{base}{layers}</div><fieldset class="rt-switches"><legend class="rt-hidden">Show'
        f"</legend>{switches}{_peak(session)}</fieldset></div>"
    )


def _frame(height: int, width: int) -> str:
    wide = width * min(ZOOM, max(1.0, 720 / max(width, height)))
    return f"--wide: {wide:.0f}px; --aspect: {width / height:.4f}"


def _peak(session: Session) -> str:
    if session.saliency is None:
        return ""
    return f'<span class="rt-soft">highest saliency {session.saliency.peak:.2f}</span>'


def _outlines(places: Sequence[Place], height: int, width: int) -> str:
    size = max(height, width) / 36
    parts: list[str] = []
    for place in places:
        box = place.region.box
        css = "rt-mark" if place.chosen else "rt-mark rt-off"
        y = box.y0 - size / 3 if box.y0 > 1.3 * size else min(box.y1 + size, height - 2)
        x = min(box.x0, width - size * 1.4)
        parts.append(
            f'<path class="{css}" d="{_path(place.region)}"/><text class="{css}" x="{x:.0f}" '
            f'y="{y:.0f}" font-size="{size:.0f}">{text(place.region.id)}</text>'
        )
    return (
        f'<svg class="rt-over rt-marks" viewBox="0 0 {width} {height}" '
        f'preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>'
    )


def _path(region: Region) -> str:
    """The mask's outer borders as an SVG path."""
    mask = np.ascontiguousarray(region.mask_hw).view(np.uint8)
    rings, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_TC89_L1)
    parts: list[str] = []
    for ring in rings:
        points = np.asarray(ring).reshape(-1, 2) + np.array([region.box.x0, region.box.y0])
        parts.append("M" + "L".join(f"{x} {y}" for x, y in points.tolist()) + "Z")
    return "".join(parts)


def card(place: Place, image_rgb: RgbArray) -> str:
    """One row of the list: crop, category, words and how sure."""
    said = place.diagnosis
    crop = crop_uri(around(image_rgb, place.region.box))
    facts = [chip(category_words(said.category), _tone(said.category))]
    if said.severity:
        facts.append(chip(SEVERITY_WORDS[said.severity]))
    if not place.correction.is_empty:
        facts.append(chip("edited by you"))
    elif said.category != UNKNOWN:
        facts.append(chip(f"{said.confidence:.0%} sure"))
    if place.drawn:
        facts.append(chip("your mask"))
    hint = "" if place.is_named else _hint(said.category)
    return (
        f'<div class="rt-card"><img src="{crop}" alt="crop of {text(place.region.id)}">'
        f'<div><div class="rt-facts">{"".join(facts)}</div>'
        f"<p>{text(said.description)}</p>{hint}</div></div>"
    )


def _hint(category: str) -> str:
    words = "Nothing is thought to be wrong here." if category == NO_DEFECT else ""
    return f'<p class="rt-hint">{words} To repair it, say below what is wrong.</p>'


def _tone(category: str) -> str:
    return {NO_DEFECT: "good", UNKNOWN: ""}.get(category, "bad")


def around(image_rgb: RgbArray, box: Box) -> RgbArray:
    """The pixels of a box with some context."""
    margin = max(12, round(CONTEXT * max(box.width, box.height)))
    outer = box.expand(margin).clip(*image_rgb.shape[:2])
    assert outer is not None  # regions lie inside the picture
    return np.ascontiguousarray(image_rgb[outer.slices])


def compare(before_rgb: RgbArray, after_rgb: RgbArray) -> str:
    """Before and after under one slider, which the keyboard moves, too."""
    height, width = before_rgb.shape[:2]
    size = f'width="{width}" height="{height}"'
    if np.array_equal(before_rgb, after_rgb):
        return (
            f'<div class="rt-stage"><div class="rt-frame" style="{_frame(height, width)}">'
            f'<img src="{picture_uri(before_rgb)}" {size} alt="the picture"></div>'
            '<p class="rt-soft">The result is the input, unchanged.</p></div>'
        )
    return (
        f'<div class="rt-stage"><div class="rt-frame rt-compare" style="{_frame(height, width)}">'
        f'<img src="{picture_uri(before_rgb)}" {size} alt="before">'
        f'<img class="rt-over rt-after" src="{picture_uri(after_rgb)}" alt="after">'
        '<span class="rt-tag rt-left">before</span><span class="rt-tag rt-right">after</span>'
        '<span class="rt-line"></span><input type="range" min="0" max="100" value="50" '
        'aria-label="Divide between before and after" '
        "oninput=\"this.parentNode.style.setProperty('--x', this.value + '%')\"></div></div>"
    )


def repairs(repaired: Repaired, rejected: frozenset[int]) -> str:
    """Every accepted repair before and after, and why it was kept; then what was not kept."""
    said = {
        (rnd.index, d.region_id): d for rnd in repaired.result.trace.rounds for d in rnd.diagnoses
    }
    before, after = repaired.result.picture.image_rgb, repaired.result.image_rgb
    rows: list[str] = []
    for i, repair in enumerate(repaired.repairs):
        record = repair.record
        assert record.box is not None
        assert record.verdict is not None
        diagnosis = said[repair.round_index, record.region_id]
        state = chip("rejected", "bad") if i in rejected else chip("kept", "good")
        pair = "".join(
            f'<figure><img src="{crop_uri(around(image, record.box))}" alt="{label}">'
            f"<figcaption>{label}</figcaption></figure>"
            for image, label in ((before, "before"), (after, "after"))
        )
        rows.append(
            f'<div class="rt-repair"><div class="rt-facts"><b>{text(record.region_id)}</b>{state}'
            f"{chip(category_words(diagnosis.category))}{chip(record.tool)}</div>"
            f'<div class="rt-pair">{pair}</div><p class="rt-soft">{text(record.verdict.reason)}'
            f"</p></div>"
        )
    return "".join(rows) + _not_kept(repaired)


def _not_kept(repaired: Repaired) -> str:
    trace = repaired.result.trace
    tried = [edit for edit in trace.edits if edit.outcome is not Outcome.ACCEPTED]
    items = [f"{text(e.region_id)}, {text(e.tool)}: {text(outcome(e))}" for e in tried]
    shown = {edit.region_id for edit in tried}
    if trace.rounds:
        last = trace.rounds[-1]
        items += [
            f"{text(step.region_id)}: left, {text(step.reason)}"
            for step in last.steps
            if step.tool is None and step.region_id not in shown
        ]
    if not items:
        return ""
    rows = "".join(f"<li>{item}</li>" for item in items)
    return f'<div class="rt-left-over"><b>Not kept</b><ul>{rows}</ul></div>'


def outcome(edit: EditRecord) -> str:
    """What became of an edit, in words."""
    why = edit.verdict.reason if edit.verdict is not None else edit.error
    words = OUTCOME_WORDS[edit.outcome]
    return f"{words}; {why}" if why else words


def ended(repaired: Repaired) -> str:
    """How the run ended, in one line."""
    trace = repaired.result.trace
    counts = f"{len(trace.accepted)} repaired, {len(trace.left)} left, {trace.seconds:.1f} s"
    return f"{STOP_WORDS[trace.stop]} ({counts})"


def downloads(session: Session, address: str) -> str:
    """Links to what can be downloaded now; `address` is the folder they lie in."""
    links: list[tuple[str, str]] = []
    if session.repaired is not None:
        own = session.need_picture.format
        links.append(("picture", f"Picture ({own}, metadata kept)"))
        if own != "PNG":
            links.append(("png", "Picture as PNG (exact)"))
        links += [("report", "Report (HTML)"), ("trace", "Record (JSON)")]
    if session.chosen:
        links += [("mask", "Mask (PNG)"), ("coco", "Mask (COCO)")]
    if not links:
        return ""
    items = "".join(
        f'<li><a class="rt-button" href="{text(address)}/{kind}" download>{text(label)}</a></li>'
        for kind, label in links
    )
    return f'<nav aria-label="Downloads"><ul class="rt-links">{items}</ul></nav>'
