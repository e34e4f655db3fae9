"""What can be downloaded: made when it is asked for, and kept nowhere."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image

from retoucher.domain import rle
from retoucher.domain.codec import trace_to_json
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.domain.trace import Trace
from retoucher.errors import InputError
from retoucher.imaging.files import FORMAT_OF_SUFFIX
from retoucher.report import render_report
from retoucher.ui.masks import union
from retoucher.ui.session import Place, Session

MAX_NAME_CHARS = 80
MEDIA = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "BMP": "image/bmp",
    "GIF": "image/gif",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """A file for the user.

    Attributes:
        name: what to call it.
        media_type: MIME type.
        data: its bytes.
        notes: what the user should know of it.
    """

    name: str
    media_type: str
    data: bytes
    notes: tuple[str, ...] = ()


def safe_name(name: str) -> str:
    """The last part of a client's file name, as plain words; "picture" where nothing is left."""
    last = PurePosixPath(name.replace("\\", "/")).name
    plain = "".join(c if c.isprintable() and c not in '<>:"/|?*' else "_" for c in last)
    path = PurePosixPath(plain.strip(". ") or "picture")
    suffix = path.suffix[:10]
    return path.stem[: MAX_NAME_CHARS - len(suffix)] + suffix


def _stem(session: Session) -> str:
    return PurePosixPath(session.name).stem or "picture"


def picture(session: Session, *, as_png: bool = False) -> Download:
    """The result, in the input's format with its metadata, or as PNG, which is always exact."""
    result = session.result()
    source = result.picture
    own = PurePosixPath(session.name).suffix
    fits = FORMAT_OF_SUFFIX.get(own.lower()) == source.format
    suffix = own if fits else _suffix_of(source.format)
    if as_png:
        suffix = ".png"
    with tempfile.TemporaryDirectory(prefix="retouch-ui-") as folder:
        path = Path(folder) / f"result{suffix.lower()}"
        report = result.save(path)
        data = path.read_bytes()
    return Download(
        name=f"{_stem(session)}.retouched{suffix}",
        media_type=MEDIA[FORMAT_OF_SUFFIX[suffix.lower()]],
        data=data,
        notes=report.notes,
    )


def _suffix_of(file_format: str) -> str:
    return next(suffix for suffix, known in FORMAT_OF_SUFFIX.items() if known == file_format)


def _trace(session: Session) -> Trace:
    """With the name that the user's file has."""
    trace = session.result().trace
    return replace(trace, picture=replace(trace.picture, file_name=session.name))


def trace(session: Session) -> Download:
    """The full record of the run, JSON."""
    text = json.dumps(trace_to_json(_trace(session)), ensure_ascii=False, indent=1)
    name = f"{_stem(session)}.trace.json"
    return Download(name=name, media_type="application/json", data=(text + "\n").encode())


def report(session: Session) -> Download:
    """The report of the run, one self-contained HTML file."""
    result = session.result()
    assert session.repaired is not None
    page = session.repaired.recorder.report(session.name, _trace(session))
    html = render_report([replace(page, after_rgb=result.image_rgb)])
    name = f"{_stem(session)}.report.html"
    return Download(name=name, media_type="text/html; charset=utf-8", data=html.encode())


def mask(session: Session) -> Download:
    """All chosen regions as one mask: white where to repair, grey PNG of the picture's size."""
    height, width = session.need_picture.image_rgb.shape[:2]
    regions = [place.region for place in _chosen(session)]
    white = union(regions, height, width).astype(np.uint8) * 255
    stream = io.BytesIO()
    Image.fromarray(white).save(stream, "PNG")
    name = f"{_stem(session)}.mask.png"
    return Download(name=name, media_type="image/png", data=stream.getvalue())


def coco(session: Session) -> Download:
    """The chosen regions as COCO annotations with run-length masks, category and words."""
    height, width = session.need_picture.image_rgb.shape[:2]
    names = [*taxonomy(), UNKNOWN]
    annotations: list[dict[str, object]] = []
    for number, place in enumerate(_chosen(session), 1):
        box, said = place.region.box, place.diagnosis
        category = said.category if said.category in names else UNKNOWN
        annotations.append(
            {
                "id": number,
                "image_id": 1,
                "category_id": names.index(category) + 1,
                "bbox": [box.x0, box.y0, box.width, box.height],
                "area": place.region.area_px,
                "iscrowd": 0,
                "segmentation": rle.encode(place.region.full_mask(height, width)),
                "attributes": {"severity": said.severity or 2, "description": said.description},
            }
        )
    image = {"id": 1, "file_name": session.name, "width": width, "height": height}
    content = {
        "images": [{**image, "caption": session.prompt}],
        "annotations": annotations,
        "categories": [{"id": i, "name": name} for i, name in enumerate(names, 1)],
    }
    data = json.dumps(content, ensure_ascii=False).encode()
    return Download(name=f"{_stem(session)}.coco.json", media_type="application/json", data=data)


def _chosen(session: Session) -> Sequence[Place]:
    if not session.chosen:
        raise InputError("no place is chosen; choose at least one in the list")
    return session.chosen


KINDS: Mapping[str, Callable[[Session], Download]] = {
    "picture": picture,
    "png": lambda session: picture(session, as_png=True),
    "trace": trace,
    "report": report,
    "mask": mask,
    "coco": coco,
}
"""By the last part of their address."""
