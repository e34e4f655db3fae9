"""`retouch find`: perceive and diagnose each picture; change nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from retoucher.api import Findings, Retoucher
from retoucher.cli.display import display_for
from retoucher.cli.options import FindOptions, LookOptions
from retoucher.cli.settings import look_settings
from retoucher.cli.targets import check_distinct, find_pictures, unwritable
from retoucher.cli.work import Answer, about, fitted, own_regions, work_through
from retoucher.cli.writing import write_file
from retoucher.domain.diagnosis import Diagnosis, Json
from retoucher.domain.region import Region
from retoucher.errors import OutputError
from retoucher.imaging.files import read_picture
from retoucher.records import find_record
from retoucher.report.pictures import overlay
from retoucher.report.words import SEVERITY_WORDS, category_words


def run_find(look: LookOptions, find: FindOptions) -> int:
    """Look at the pictures and return the exit code.

    Raises:
        RetoucherError: before anything was done: bad options, or nothing can run.
    """
    settings = look_settings(look)
    own = own_regions(look)
    paths = find_pictures(look.images).paths
    maps = [_sidecar(find.saliency_dir, path, ".npy") for path in paths]
    overlays = [_sidecar(find.overlay_dir, path, ".png") for path in paths]
    for files in (maps, overlays):
        check_distinct([file for file in files if file is not None])
    retoucher = Retoucher.from_profile("embedded", settings)
    display = display_for(silent=True)

    def look_at(i: int) -> Answer:
        for file in (maps[i], overlays[i]):
            if file is not None and (problem := unwritable(file)):
                raise OutputError(problem)
        picture = read_picture(paths[i])
        regions = fitted(own, picture, paths[i])
        findings = retoucher.find(picture, prompt=look.prompt, regions=regions)
        return _answer(paths[i], findings, maps[i], overlays[i])

    return work_through(paths, lambda i, _: look_at(i), look=look, display=display)


def place_words(region: Region, diagnosis: Diagnosis) -> str:
    """A region and what is wrong there, in one line."""
    level = f"{SEVERITY_WORDS[diagnosis.severity]} " if diagnosis.severity else ""
    box = ",".join(map(str, region.box.as_xyxy()))
    what = f"{region.id} at {box}: {level}{category_words(diagnosis.category)}"
    return f"{what}; {diagnosis.description} ({diagnosis.confidence:.0%} sure)"


def _sidecar(folder: Path | None, picture: Path, suffix: str) -> Path | None:
    return None if folder is None else folder / f"{picture.stem}{suffix}"


def _answer(
    file: Path, findings: Findings, map_file: Path | None, overlay_file: Path | None
) -> Answer:
    image = findings.picture.image_rgb
    height, width = image.shape[:2]
    if map_file is not None:
        write_file(map_file, lambda s: np.save(s, findings.saliency.values_hw, allow_pickle=False))
    if overlay_file is not None:
        drawn = Image.fromarray(overlay(image, findings.saliency, findings.regions))
        write_file(overlay_file, lambda stream: drawn.save(stream, "PNG"))
    record: dict[str, Json] = {"file": str(file), **find_record(findings)}
    lines = [f"{file}: {width}x{height}, {about(findings.prompt, findings.prompt_source)}"]
    for region, diagnosis in zip(findings.regions, findings.diagnoses, strict=True):
        lines.append(f"  {place_words(region, diagnosis)}")
    if not findings.regions:
        lines.append(f"  nothing found (peak saliency {findings.saliency.peak:.2f})")
    return Answer(record=record, lines=tuple(lines))
