"""Several annotators' marks of a picture become regions: matched by place, decided by majority.

Third of the paper's four stages of annotation. Who found nothing at a place votes against it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from statistics import median, median_low
from typing import Literal, TypeAlias, get_args

import numpy as np

from retoucher.data.agreement import Agreement, agreement
from retoucher.data.annotation import (
    AnnotatedPicture,
    Mark,
    extent_of,
    extent_record,
    one_line,
    picture_of,
    picture_record,
    write_lines,
)
from retoucher.data.jsonl import Record, as_record, get_int, get_list, get_str, read_records
from retoucher.data.sample import BoolArray, LabelledRegion, Sample
from retoucher.domain.geometry import Box
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN
from retoucher.errors import ConfigError, InputError

State: TypeAlias = Literal["agreed", "tie", "minority"]
Cluster: TypeAlias = Mapping[str, Mark]
"""One place, with each annotator's mark there."""

DEFAULT_SEVERITY = 2
_STATES: tuple[State, ...] = get_args(State)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoteSettings:
    """What counts as the same place.

    Attributes:
        min_iou: of two boxes, intersection over union.
        max_distance: of two centres, or of a centre from a box, over the picture's diagonal.
        point_side: side of the square that stands for a defect of which only centres are known,
            over the root of the picture's area.
    """

    min_iou: float = 0.3
    max_distance: float = 0.05
    point_side: float = 0.12

    def __post_init__(self) -> None:
        for name in ("min_iou", "max_distance", "point_side"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ConfigError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VotedRegion:
    """A place that at least one annotator marked.

    Attributes:
        id: within its picture ("r1", ...).
        box, mask_hw: extent; the mask is bool (box.height, box.width).
        category: with the most votes; "unknown" where nobody named one.
        severity: median of those that were given, else 2.
        notes: of those who voted for the category.
        votes: by category; `no_defect`: of those who marked nothing there.
        state: "agreed": most annotators marked the place, and one category leads; "tie": as many
            marked it as did not, or no single category leads; "minority": fewer marked it. The last
            two are for the expert.
        description: from the notes, once expanded.
        expanded: the description was written by a model; False: it is the notes' own words.
        problem: why it was not expanded.
    """

    id: str
    box: Box
    category: str
    severity: int
    notes: tuple[str, ...]
    votes: Mapping[str, int]
    state: State
    mask_hw: BoolArray | None = None
    description: str = ""
    expanded: bool = False
    problem: str = ""

    @property
    def words(self) -> str:
        """The description, or the notes where there is none."""
        return self.description or "; ".join(dict.fromkeys(n for n in self.notes if n))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VotedPicture:
    """A picture with its voted regions, and who looked at it."""

    sample: Sample
    annotators: tuple[str, ...]
    regions: tuple[VotedRegion, ...]


def vote(picture: AnnotatedPicture, settings: VoteSettings | None = None) -> VotedPicture:
    """The regions of a picture, from the top down."""
    settings = settings or VoteSettings()
    found = clusters(picture, settings)
    people = len(picture.marks)
    regions = [_region(cluster, people, picture.sample, settings) for cluster in found]
    regions.sort(key=lambda r: (r.box.y0, r.box.x0, r.category))
    return VotedPicture(
        sample=picture.sample,
        annotators=tuple(picture.marks),
        regions=tuple(_numbered(regions)),
    )


def clusters(picture: AnnotatedPicture, settings: VoteSettings) -> list[Cluster]:
    """The places of a picture: marks that lie together, of each annotator one at most.

    The nearest marks are joined first, those of one category before those of two.
    """
    marks = [(person, mark) for person, own in picture.marks.items() for mark in own]
    pairs: list[tuple[bool, float, int, int]] = []
    for (i, (first, a)), (j, (second, b)) in combinations(enumerate(marks), 2):
        near = nearness(a, b, picture.sample, settings) if first != second else 0.0
        if near > 0.0:
            pairs.append((a.category != b.category, -near, i, j))
    groups = [{person: mark} for person, mark in marks]
    group_of = list(range(len(marks)))
    for *_, i, j in sorted(pairs):
        into, other = group_of[i], group_of[j]
        if into != other and not groups[into].keys() & groups[other].keys():
            groups[into] |= groups[other]
            groups[other] = {}
            group_of = [into if g == other else g for g in group_of]
    return [group for group in groups if group]


def nearness(a: Mark, b: Mark, sample: Sample, settings: VoteSettings) -> float:
    """How well two marks mean the same place: 0 not at all, up to 1."""
    if a.box is not None and b.box is not None:
        iou = a.box.iou(b.box)
        return iou if iou >= settings.min_iou else 0.0
    reach = settings.max_distance * math.hypot(sample.width, sample.height)
    inside = 0.5
    if a.box is not None or b.box is not None:  # a centre and a box: inside it is near enough
        box, point = (a.box, b.centre_xy) if a.box is not None else (b.box, a.centre_xy)
        assert box is not None
        outside = math.hypot(
            max(box.x0 - point[0], 0.0, point[0] - box.x1),
            max(box.y0 - point[1], 0.0, point[1] - box.y1),
        )
        if outside > 0.0:
            return max(0.0, inside * (1 - outside / reach))
        apart = math.dist(box.centre_xy, point)
        return inside + (1 - inside) * (1 - apart / math.hypot(box.width, box.height))
    return max(0.0, 1 - math.dist(a.centre_xy, b.centre_xy) / reach)


def agreement_of(
    pictures: Sequence[AnnotatedPicture], settings: VoteSettings | None = None
) -> tuple[Agreement, Agreement]:
    """Two sets of figures over all places of all pictures.

    Returns:
        On the category, among those who marked a place; and on place and category together, where
        having marked nothing there is a judgement (`no_defect`), too. As nobody can list the places
        where all saw nothing, the second is lower than it would be over whole pictures.
    """
    named: list[Mapping[str, str]] = []
    whole: list[Mapping[str, str]] = []
    for picture in pictures:
        for cluster in clusters(picture, settings or VoteSettings()):
            said = {person: mark.category for person, mark in cluster.items()}
            named.append(said)
            whole.append({person: said.get(person, NO_DEFECT) for person in picture.marks})
    return agreement(named), agreement(whole)


def write_voted(pictures: Sequence[VotedPicture], path: Path) -> None:
    """Write a .jsonl file, one picture a line, whole or not at all.

    Raises:
        OutputError: it cannot be written.
    """
    write_lines(
        (
            {
                **picture_record(p.sample, path.parent),
                "annotators": list(p.annotators),
                "regions": [_record(region) for region in p.regions],
            }
            for p in pictures
        ),
        path,
    )


def read_voted(path: Path) -> list[VotedPicture]:
    """What `write_voted` wrote.

    Raises:
        InputError: a line does not follow the format, with its number.
    """
    out: list[VotedPicture] = []
    for where, record in read_records(path):
        sample = picture_of(record, path.parent, where)
        rows = [as_record(row, where) for row in get_list(record, "regions", where)]
        out.append(
            VotedPicture(
                sample=sample,
                annotators=tuple(map(str, get_list(record, "annotators", where))),
                regions=tuple(_read_region(row, sample, where) for row in rows),
            )
        )
    return out


def _region(cluster: Cluster, people: int, sample: Sample, settings: VoteSettings) -> VotedRegion:
    names = Counter(mark.category for mark in cluster.values() if mark.category != UNKNOWN)
    ranked = names.most_common()
    category = ranked[0][0] if ranked else UNKNOWN
    leads = bool(ranked) and (len(ranked) == 1 or ranked[0][1] > ranked[1][1])
    if len(cluster) * 2 == people or (len(cluster) * 2 > people and not leads):
        state: State = "tie"
    else:
        state = "agreed" if len(cluster) * 2 > people else "minority"
    votes = Counter(mark.category for mark in cluster.values())
    if people > len(cluster):
        votes[NO_DEFECT] = people - len(cluster)
    mine = [mark for mark in cluster.values() if mark.category == category]
    severities = [m.severity for m in mine if m.severity is not None]
    box, mask = _extent(list(cluster.values()), sample, settings)
    return VotedRegion(
        id="",
        box=box,
        mask_hw=mask,
        category=category,
        severity=median_low(severities) if severities else DEFAULT_SEVERITY,
        notes=tuple(mark.note for mark in mine if mark.note),
        votes=dict(votes.most_common()),
        state=state,
    )


def _extent(
    marks: Sequence[Mark], sample: Sample, settings: VoteSettings
) -> tuple[Box, BoolArray | None]:
    """Where a defect lies: the pixels that most masks hold; else the boxes' median; else a square
    around the centres' median."""
    masks = [(mark.box, mark.mask_hw) for mark in marks if mark.mask_hw is not None]
    if masks:
        count = np.zeros((sample.height, sample.width), np.uint16)
        for box, mask in masks:
            assert box is not None
            count[box.slices] += mask
        common = count * 2 > len(masks)
        if common.any():
            region = LabelledRegion.from_mask(common, category=UNKNOWN)
            return region.box, region.mask_hw
    boxes = [mark.box.as_xyxy() for mark in marks if mark.box is not None]
    if boxes:
        return Box(*(round(median(values)) for values in zip(*boxes, strict=True))), None
    x, y = (median(values) for values in zip(*(m.centre_xy for m in marks), strict=True))
    half = settings.point_side * math.sqrt(sample.width * sample.height) / 2
    square = Box.from_xyxy((x - half, y - half, x + half, y + half))
    inside = square.clip(sample.height, sample.width)
    assert inside is not None, "centres lie in the picture"
    return inside, None


def _numbered(regions: Sequence[VotedRegion]) -> list[VotedRegion]:
    return [replace(region, id=f"r{i}") for i, region in enumerate(regions, 1)]


def _record(region: VotedRegion) -> dict[str, object]:
    return {
        "id": region.id,
        **extent_record(region.box, region.mask_hw),
        "category": region.category,
        "severity": region.severity,
        "state": region.state,
        "votes": dict(region.votes),
        "notes": list(region.notes),
        "description": region.description,
        "expanded": region.expanded,
        "problem": region.problem,
    }


def _read_region(record: Record, sample: Sample, where: str) -> VotedRegion:
    box, mask = extent_of(record, sample, where)
    state = get_str(record, "state", where)
    if box is None or state not in _STATES:
        raise InputError(f"{where}: a region needs a box and a state of {', '.join(_STATES)}")
    votes = as_record(record.get("votes", {}), where)
    return VotedRegion(
        id=get_str(record, "id", where),
        box=box,
        mask_hw=mask,
        category=get_str(record, "category", where),
        severity=get_int(record, "severity", where),
        notes=tuple(one_line(str(note)) for note in get_list(record, "notes", where)),
        votes={name: get_int(votes, name, where) for name in votes},
        state=state,
        description=one_line(get_str(record, "description", where, "")),
        expanded=record.get("expanded") is True,
        problem=get_str(record, "problem", where, ""),
    )
