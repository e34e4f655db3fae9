"""Label Studio: tasks and labelling configuration out, its JSON export in.

Shapes as in its documentation ("Label Studio task format", and the result of each tag): coordinates
are percent of the upright picture, rectangles turn about their top left corner, and what belongs to
one region (its outline, the note, the severity) comes as several results with one id.
"""

from __future__ import annotations

import base64
import json
import math
import mimetypes
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from urllib.parse import quote, unquote
from xml.etree import ElementTree

from retoucher.data.annotation import AnnotatedPicture, Mark, by_name, one_line
from retoucher.data.coco import decode_segmentation
from retoucher.data.folders import new_folder
from retoucher.data.jsonl import Record, as_record, get_floats, get_list, read_json
from retoucher.data.label_studio_brush import decode_brush
from retoucher.data.sample import LabelledRegion, Sample
from retoucher.domain.geometry import Box
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.errors import InputError, OutputError

LOCAL_FILES = "/data/local-files/?d="
SEVERITIES = {"subtle": 1, "clear": 2, "glaring": 3}
_CENTRE, _BOX, _NOTE, _SEVERITY, _IMAGE = "centre", "box", "note", "severity", "image"
_OUTLINES = ("keypointlabels", "rectanglelabels", "polygonlabels", "brushlabels")
_BESIDE = ("textarea", "choices", "relation")
_COLOURS = ("#d62728", "#ff7f0e", "#2ca02c", "#1f77b4", "#9467bd", "#8c564b")
"""One for each dimension of the taxonomy, in its order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskSettings:
    """How tasks name their pictures.

    Attributes:
        embed: as a data URL inside the task; no file has to be served.
        prefix: else: what stands before a picture's path; Label Studio's local files by default.
        root: folder that such paths begin at (LOCAL_FILES_DOCUMENT_ROOT).
        predictions: give regions that are labelled already as predictions to correct.
    """

    embed: bool = False
    prefix: str = LOCAL_FILES
    root: Path = Path()
    predictions: bool = False


def labelling_config() -> str:
    """The labelling interface as XML: a point or a rectangle per defect with a category of the
    taxonomy; a note and a severity for each."""
    view = ElementTree.Element("View")
    ElementTree.SubElement(view, "Header", value="$prompt", size="5")
    ElementTree.SubElement(view, "Image", name=_IMAGE, value=f"${_IMAGE}", zoomControl="true")
    dimensions = list(dict.fromkeys(c.dimension for c in taxonomy().values()))
    for tag, name, more in (
        ("KeyPointLabels", _CENTRE, {}),
        ("RectangleLabels", _BOX, {"canRotate": "false"}),
    ):
        labels = ElementTree.SubElement(view, tag, {"name": name, "toName": _IMAGE, **more})
        for category in taxonomy().values():
            colour = _COLOURS[dimensions.index(category.dimension) % len(_COLOURS)]
            ElementTree.SubElement(
                labels, "Label", value=category.name, hint=category.phrase, background=colour
            )
    place = ElementTree.SubElement(view, "View", visibleWhen="region-selected")
    ElementTree.SubElement(place, "Header", value="What is wrong, in a few words", size="6")
    per_region = {"toName": _IMAGE, "perRegion": "true"}
    ElementTree.SubElement(
        place, "TextArea", {"name": _NOTE, "maxSubmissions": "1", "editable": "true", **per_region}
    )
    choices = ElementTree.SubElement(
        place,
        "Choices",
        {"name": _SEVERITY, "choice": "single", "showInline": "true", **per_region},
    )
    for word in SEVERITIES:
        ElementTree.SubElement(choices, "Choice", value=word)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode") + "\n"


def write_tasks(samples: Sequence[Sample], out: Path, settings: TaskSettings) -> int:
    """Write `tasks.json` (to import) and `labelling.xml` (the labelling configuration) to a folder.

    Returns:
        How many tasks there are.

    Raises:
        OutputError: something is there already, or a picture lies outside the settings' root.
        InputError: a picture cannot be read.
    """
    tasks = [_task(sample, settings) for sample in samples]
    with new_folder(out) as folder:
        text = json.dumps(tasks, ensure_ascii=False, indent=1)
        (folder / "tasks.json").write_text(text + "\n", "utf-8")
        (folder / "labelling.xml").write_text(labelling_config(), "utf-8")
    return len(tasks)


def read_export(path: Path, samples: Sequence[Sample]) -> list[AnnotatedPicture]:
    """The marks in a JSON export ("JSON", not "JSON-MIN"), by annotator.

    Annotations that were skipped (`was_cancelled`) do not count; of two by one annotator the later
    one does. A picture that nobody annotated is left out.

    Args:
        path: the export.
        samples: the pictures that the tasks were made of.

    Raises:
        InputError: the file is no such export, or a result cannot be understood, with its task.
    """
    known = by_name(samples)
    marks: dict[str, dict[str, tuple[Mark, ...]]] = {}
    content = read_json(path)
    if not isinstance(content, list):
        raise InputError(f"{path}: expected a list of tasks; export as JSON")
    for index, item in enumerate(cast("list[object]", content)):
        where = f"{path}, task {index}"
        task = as_record(item, where)
        if "annotations" not in task:
            raise InputError(f"{where}: has no 'annotations'; export as JSON, not as JSON-MIN")
        sample = _picture(as_record(task.get("data"), where), known, where)
        for entry in get_list(task, "annotations", where):
            annotation = as_record(entry, where)
            if annotation.get("was_cancelled"):
                continue
            person = _annotator(annotation)
            marks.setdefault(sample.id, {})[person] = _marks(
                get_list(annotation, "result", where), sample, f"{where}, annotator {person}"
            )
    return [
        AnnotatedPicture(sample=sample, marks=dict(sorted(marks[sample.id].items())))
        for sample in samples
        if sample.id in marks
    ]


def _task(sample: Sample, settings: TaskSettings) -> dict[str, object]:
    if not isinstance(sample.picture, Path):
        raise OutputError(f"{sample.id}: is in memory only; write the set to a folder first")
    task: dict[str, object] = {
        "data": {
            _IMAGE: _address(sample.picture, settings),
            "picture": sample.id,
            "prompt": sample.prompt,
        }
    }
    if settings.predictions and sample.regions:
        results = [
            result
            for number, region in enumerate(sample.regions, 1)
            for result in _results(f"region{number}", region, sample)
        ]
        task["predictions"] = [{"model_version": "retoucher", "result": results}]
    return task


def _address(picture: Path, settings: TaskSettings) -> str:
    if settings.embed:
        kind = mimetypes.guess_type(picture.name)[0] or "application/octet-stream"
        try:
            data = base64.b64encode(picture.read_bytes()).decode()
        except OSError as error:
            raise InputError(f"{picture}: cannot be read ({error.strerror})") from None
        return f"data:{kind};base64,{data}"
    place = Path(os.path.relpath(picture.resolve(), settings.root.resolve()))
    if ".." in place.parts:
        raise OutputError(
            f"{picture}: lies outside {settings.root}; name the folder that is served, or embed"
        )
    return settings.prefix + quote(place.as_posix())


def _results(key: str, region: LabelledRegion, sample: Sample) -> list[dict[str, object]]:
    """A labelled region as results of Label Studio."""
    box = region.box
    place: dict[str, object] = {
        "x": 100 * box.x0 / sample.width,
        "y": 100 * box.y0 / sample.height,
        "width": 100 * box.width / sample.width,
        "height": 100 * box.height / sample.height,
        "rotation": 0,
    }
    shared: dict[str, object] = {
        "id": key,
        "to_name": _IMAGE,
        "original_width": sample.width,
        "original_height": sample.height,
        "image_rotation": 0,
    }
    words = next(word for word, level in SEVERITIES.items() if level == region.severity)
    values = [
        (_BOX, "rectanglelabels", {"rectanglelabels": [region.category]}),
        (_SEVERITY, "choices", {"choices": [words]}),
    ]
    if region.category == UNKNOWN:  # no label of the configuration
        values[0] = (_BOX, "rectanglelabels", {"rectanglelabels": []})
    if region.description:
        values.append((_NOTE, "textarea", {"text": [region.description]}))
    return [
        {**shared, "from_name": name, "type": kind, "value": {**place, **value}}
        for name, kind, value in values
    ]


def _picture(data: Record, known: Mapping[str, Sample], where: str) -> Sample:
    """The task's picture: by our own id, else by its file's name."""
    name = data.get("picture")
    if not isinstance(name, str) or name not in known:
        address = data.get(_IMAGE)
        path = unquote(address).split("?d=")[-1] if isinstance(address, str) else ""
        name = path[-200:].rsplit("/", 1)[-1].rsplit(".", 1)[0]
        if name not in known:  # an upload's name begins with eight digits of its own
            name = re.sub(r"^[0-9a-f]{8}-", "", name)
    if name not in known:
        raise InputError(f"{where}: its picture {name!r} is not in the data set given")
    return known[name]


def _annotator(annotation: Record) -> str:
    """Who annotated, as a number; the annotation's own where nobody is named."""
    person = annotation.get("completed_by")
    if isinstance(person, Mapping):
        person = cast("Mapping[str, object]", person).get("id")
    return f"annotation {annotation.get('id')}" if person is None else str(person)


def _marks(results: Sequence[object], sample: Sample, where: str) -> tuple[Mark, ...]:
    regions: dict[str, list[Record]] = {}
    for item in results:
        result = as_record(item, where)
        if result.get("type") not in (*_OUTLINES, *_BESIDE):
            raise InputError(
                f"{where}: results of type {result.get('type')!r} are not read; mark with "
                f"{', '.join(_OUTLINES)}"
            )
        regions.setdefault(str(result.get("id")), []).append(result)
    out: list[Mark] = []
    for key, group in regions.items():
        outline = next((r for r in group if r.get("type") in _OUTLINES), None)
        if outline is not None:  # else: words or a choice about the whole picture
            out.append(_mark(outline, group, sample, f"{where}, region {key}"))
    return tuple(out)


def _mark(outline: Record, group: Sequence[Record], sample: Sample, where: str) -> Mark:
    kind = str(outline.get("type"))
    value = as_record(outline.get("value"), where)
    _check_size(outline, sample, where)
    category = _category(value, kind, where)
    note, severity = _note(group, where), _severity(group, where)
    if kind == "keypointlabels":
        x, y = (_pixels(value, key, side, where) for key, side in _sides(sample))
        return Mark(centre_xy=(x, y), category=category, note=note, severity=severity)
    try:
        if kind == "rectanglelabels":
            box = _rectangle(value, sample, where)
            if isinstance(box, Box):
                return Mark.of_box(box, category, note, severity)
            return Mark(centre_xy=box, category=category, note=note, severity=severity)
        if kind == "polygonlabels":
            points = [
                get_floats(point, "a point", where, 2) for point in get_list(value, "points", where)
            ]
            flat = [v for x, y in points for v in (x * sample.width / 100, y * sample.height / 100)]
            mask = decode_segmentation([flat], sample.height, sample.width, where)
        else:
            data = get_floats(value.get("rle"), "'rle'", where)
            mask = decode_brush([int(v) for v in data], sample.height, sample.width)
            mask = mask if bool(mask.any()) else None
        if mask is None:
            raise InputError(f"{where}: its area is empty")
        return Mark.from_mask(mask, category, note, severity)
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None


def _check_size(outline: Record, sample: Sample, where: str) -> None:
    if outline.get("image_rotation", 0) not in (0, None):
        raise InputError(
            f"{where}: was marked on a rotated view; rotate the picture's file instead"
        )
    size = [outline.get("original_width"), outline.get("original_height")]
    if size == [None, None]:
        return
    width, height = get_floats(size, "original_width and original_height", where, 2)
    if abs(width * sample.height - height * sample.width) > 0.02 * height * sample.width:
        raise InputError(
            f"{where}: marked on {width:.0f}x{height:.0f} pixels, the picture has "
            f"{sample.width}x{sample.height}"
        )


def _sides(sample: Sample) -> tuple[tuple[str, int], tuple[str, int]]:
    return ("x", sample.width), ("y", sample.height)


def _pixels(value: Record, key: str, side: int, where: str) -> float:
    """A percent value in pixels, inside the picture."""
    (percent,) = get_floats([value.get(key)], f"'{key}'", where)
    return min(max(percent, 0.0), 100.0) * side / 100


def _rectangle(value: Record, sample: Sample, where: str) -> Box | tuple[float, float]:
    """Bounds of a rectangle, turned about its top left corner; its centre where it has no area."""
    keys = ("x", "y", "width", "height")
    x, y, w, h = get_floats([value.get(key) for key in keys], ", ".join(keys), where, 4)
    x, w = x * sample.width / 100, w * sample.width / 100
    y, h = y * sample.height / 100, h * sample.height / 100
    (degrees,) = get_floats([value.get("rotation", 0)], "'rotation'", where)
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    corners = [(x + a * cos - b * sin, y + a * sin + b * cos) for a in (0, w) for b in (0, h)]
    xs, ys = zip(*corners, strict=True)
    # Percent values carry rounding of a few millionths of a pixel, which must not cost a whole one.
    bounds = [round(v, 3) for v in (min(xs), min(ys), max(xs), max(ys))]
    if bounds[0] >= bounds[2] or bounds[1] >= bounds[3]:
        return (
            min(max(bounds[0], 0.0), float(sample.width)),
            min(max(bounds[1], 0.0), float(sample.height)),
        )
    box = Box.from_xyxy(bounds).clip(sample.height, sample.width)
    if box is None:
        raise InputError(f"{where}: lies outside the picture")
    return box


def _category(value: Record, kind: str, where: str) -> str:
    names = get_list(value, kind, where) or get_list(value, "labels", where)
    if len(names) > 1:
        raise InputError(f"{where}: has {len(names)} categories; one is needed")
    if not names:
        return UNKNOWN
    phrases = {category.phrase: name for name, category in taxonomy().items()}
    name = str(names[0])
    name = phrases.get(name, name)
    if name not in taxonomy() and name != UNKNOWN:
        raise InputError(f"{where}: category {name!r} is not in the taxonomy")
    return name


def _note(group: Sequence[Record], where: str) -> str:
    """The words of the text field; where it is empty, those of the region's own description."""
    texts: list[object] = []
    for result in group:
        if result.get("type") == "textarea":
            value = as_record(result.get("value"), where).get("text", [])
            texts += cast("list[object]", value) if isinstance(value, list) else [value]
    if not texts:
        for result in group:
            value = as_record(result.get("meta") or {}, where).get("text", [])
            texts += cast("list[object]", value) if isinstance(value, list) else [value]
    return one_line("; ".join(dict.fromkeys(str(text) for text in texts)))


def _severity(group: Sequence[Record], where: str) -> int | None:
    for result in group:
        if result.get("type") == "choices" and result.get("from_name") == _SEVERITY:
            chosen = get_list(as_record(result.get("value"), where), "choices", where)
            if chosen and str(chosen[0]) not in SEVERITIES:
                raise InputError(f"{where}: severity {chosen[0]!r} is none of {list(SEVERITIES)}")
            return SEVERITIES[str(chosen[0])] if chosen else None
    return None
