"""One card per region: what it looks like, what is wrong, what was tried, how it was judged."""

from __future__ import annotations

from collections.abc import Sequence

from retoucher.domain.diagnosis import Diagnosis, Evidence
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Step
from retoucher.domain.region import Region
from retoucher.domain.taxonomy import taxonomy
from retoucher.domain.trace import EditRecord, Outcome, Round
from retoucher.domain.verdict import Check, Verdict
from retoucher.report.markup import chip, number, table, text, value
from retoucher.report.pictures import crop_uri
from retoucher.report.record import Crop, PictureReport, RgbArray
from retoucher.report.words import OUTCOME_WORDS, SEVERITY_WORDS, category_words, count_words

OUTCOME_TONE = {Outcome.ACCEPTED: "good", Outcome.ROLLED_BACK: "bad", Outcome.FAILED: "bad"}


def round_section(picture: PictureReport, rnd: Round, prefix: str) -> str:
    """All regions of one round; `prefix` makes anchors unique on the page."""
    steps = {step.region_id: step for step in rnd.steps}
    cards = [
        _card(
            picture,
            rnd,
            region,
            diagnosis,
            step=steps.get(region.id),
            anchor=f"{prefix}-{region.id}",
        )
        for region, diagnosis in zip(rnd.regions, rnd.diagnoses, strict=True)
    ]
    seen = f"peak saliency {number(rnd.saliency.peak)}, {rnd.seconds:.1f} s"
    found = count_words(len(rnd.regions), "region") if rnd.regions else "nothing found"
    return (
        f'<section class="round"><h3>Round {rnd.index}: {found}</h3>'
        f'<p class="soft">{seen}</p>{"".join(cards)}</section>'
    )


def _card(
    picture: PictureReport,
    rnd: Round,
    region: Region,
    diagnosis: Diagnosis,
    *,
    step: Step | None,
    anchor: str,
) -> str:
    edits = [edit for edit in rnd.edits if edit.region_id == region.id]
    crops = picture.attempts.get((rnd.index, region.id), [])
    attempts = "".join(_attempt(edit, crop) for edit, crop in zip(edits, crops, strict=True))
    place = picture.places.get((rnd.index, region.id))
    if not edits and place is not None:
        attempts = _pair(place)
    return (
        f'<article class="region" id="{text(anchor)}"><header>'
        f"<h4>{text(region.id)}: {text(category_words(diagnosis.category))}</h4>"
        f"{_labels(region, diagnosis, edits)}</header>"
        f'<p class="words">{text(diagnosis.description)}</p>'
        f"{_plan(step)}{attempts}{_evidence(diagnosis.evidence)}</article>"
    )


def _labels(region: Region, diagnosis: Diagnosis, edits: Sequence[EditRecord]) -> str:
    category = taxonomy().get(diagnosis.category)
    labels = [chip(diagnosis.category)]
    if category is not None:
        labels.append(chip(f"severity {diagnosis.severity}: {SEVERITY_WORDS[diagnosis.severity]}"))
    labels.append(chip(f"confidence {number(diagnosis.confidence)}"))
    labels.append(chip(f"saliency {number(region.score)}"))
    labels.append(chip(f"box {', '.join(map(str, region.box.as_xyxy()))}"))
    if edits:
        last = edits[-1].outcome
        labels.append(chip(OUTCOME_WORDS[last], OUTCOME_TONE.get(last, "")))
    elif diagnosis.is_defect:
        labels.append(chip("left alone"))
    return "".join(labels)


def _plan(step: Step | None) -> str:
    if step is None:
        return ""
    if step.tool is None:
        return f'<p class="soft">Left alone: {text(step.reason)}</p>'
    instruction = f"<blockquote><p>{text(step.instruction)}</p></blockquote>"
    return (
        f'<p class="soft">Planned: <code>{text(step.tool)}</code>, {text(step.reason)}</p>'
        f"{instruction if step.instruction else ''}"
    )


def _attempt(edit: EditRecord, crop: Crop) -> str:
    tone = OUTCOME_TONE.get(edit.outcome, "")
    outcome = chip(OUTCOME_WORDS[edit.outcome], tone)
    words = edit.verdict.reason if edit.verdict else edit.error or ""
    return (
        f'<div class="attempt"><p>{outcome} <code>{text(edit.tool)}</code> '
        f'<span class="soft">{edit.seconds:.1f} s</span> {text(words)}</p>'
        f"{_pair(crop, edit.outcome)}{_checks(edit.verdict)}</div>"
    )


def _pair(crop: Crop, outcome: Outcome | None = None) -> str:
    before = _figure(crop.before_rgb, crop.inner_box, "as found" if outcome is None else "before")
    if crop.after_rgb is None or outcome is None:
        return f'<div class="pair one">{before}</div>'
    caption = "after" if outcome is Outcome.ACCEPTED else "the attempt, not kept"
    after = _figure(crop.after_rgb, crop.inner_box, caption)
    return f'<div class="pair">{before}{after}</div>'


def _figure(pixels: RgbArray, box: Box, caption: str) -> str:
    height, width = pixels.shape[:2]
    return (
        f'<figure><div class="crop"><img src="{crop_uri(pixels)}" '
        f'width="{width}" height="{height}" alt="the place {caption}">'
        f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect x="{box.x0}" y="{box.y0}" width="{box.width}" height="{box.height}"/></svg></div>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _checks(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    score = Check(
        name="defect score",
        passed=verdict.accepted,
        before=verdict.score_before,
        after=verdict.score_after,
        detail="verdict",
    )
    rows = [
        [
            text(check.name),
            chip("passed", "good") if check.passed else chip("failed", "bad"),
            number(check.before, 3),
            number(check.after, 3),
            text(check.detail),
        ]
        for check in (*verdict.checks, score)
    ]
    return table("What was checked", ("check", "", "before", "after", ""), rows)


def _evidence(evidence: Sequence[Evidence]) -> str:
    """Measured facts, one table a kind, a column for each thing measured."""
    tables: list[str] = []
    for kind in dict.fromkeys(item.kind for item in evidence):
        rows = [item.data for item in evidence if item.kind == kind]
        names = list(dict.fromkeys(key for row in rows for key in row))
        names.sort(key=lambda name: name.endswith("_xy"))  # words first, coordinates last
        cells = [[_fact(row.get(name)) for name in names] for row in rows]
        tables.append(table(f"Evidence: {kind}", names, cells))
    return f"<details><summary>Evidence</summary>{''.join(tables)}</details>" if tables else ""


def _fact(fact: object) -> str:
    if isinstance(fact, float):
        return number(fact, 3)
    return "–" if fact is None else value(fact)
