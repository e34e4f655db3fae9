"""Would a tool help that puts the mirrored other half of a face in place of a spoiled part?

    python benchmarks/mirrored_faces.py [--data DIR] [--count N]

Needs the extra `bench`. Synthetic defects of faces, whose clean twins are known, repaired by the
same crop and stitch as in the product: by the content of the other side of the middle of the face's
box, which is given (a real tool would have to find it), and by the tool `patchmatch`. Counted is
how often the place is then nearer to the twin, or farther from it, than the defect was (by the
distance of benchmarks/verification.py, which knows no other good repair than the twin).
"""

from __future__ import annotations

import argparse
import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from verification import WORSE, distance
from verification_pairs import PLAIN, Rgb, all_samples, shrunk

from retoucher.agents import EditRequest, SizeNeeds
from retoucher.data.synthetic.make import make_pair, suited_parts
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.region import Region
from retoucher.errors import RetoucherError
from retoucher.imaging.crop import Crop, CropSettings, cut
from retoucher.imaging.regions import RegionSettings, dilate_region
from retoucher.imaging.stitch import StitchSettings, stitch
from retoucher.tools.patchmatch import PatchMatchTool

KINDS = ("face_feature", "face_asymmetry")
SEED = 9


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Case:
    """A face with one defect: the picture, its twin, the defect's mask, the face's box."""

    rgb: Rgb
    twin_rgb: Rgb
    mask_hw: NDArray[np.bool_]
    face: Box


def cases(data: Path | None, count: int) -> Iterator[Case]:
    faces = [s for s in all_samples(data) if any(p.part == "face" for p in s.clean_parts)]
    made = 0
    for i in range(20 * count):
        rng = np.random.default_rng([SEED, i])
        sample = faces[int(rng.integers(len(faces)))]
        category = KINDS[i % len(KINDS)]
        if not suited_parts(sample, category):
            continue
        pair = make_pair(rng, shrunk(sample), category, PLAIN)
        if pair is None:
            continue
        defect = pair.defect.regions[-1]
        parts = (*pair.twin.clean_parts, *pair.defect.clean_parts)
        face = next((p.box for p in parts if p.part == "face" and p.box.iou(defect.box) > 0), None)
        if face is None or defect.mask_hw is None:
            continue
        rgb = pair.defect.load_rgb()
        mask = np.zeros(rgb.shape[:2], bool)
        mask[defect.box.slices] = defect.mask_hw
        yield Case(rgb=rgb, twin_rgb=pair.twin.load_rgb(), mask_hw=mask, face=face)
        made += 1
        if made == count:
            return


def farther_by(case: Case, region: Region, crop: Crop, edited: Rgb) -> float:
    """Distance to the twin after the edit minus before."""
    after = stitch(case.rgb, crop, edited, region, StitchSettings()).image_rgb
    differs = (after != case.rgb).any(axis=2)
    where = region.full_mask(*case.rgb.shape[:2]) & (differs | case.mask_hw)
    return distance(after, case.twin_rgb, where) - distance(case.rgb, case.twin_rgb, where)


def edits(case: Case, crop: Crop, patchmatch: PatchMatchTool) -> Iterator[tuple[str, Rgb]]:
    width = case.rgb.shape[1]
    other_side = np.clip(case.face.x0 + case.face.x1 - 1 - np.arange(width), 0, width - 1)
    yield "mirrored half", np.ascontiguousarray(case.rgb[:, other_side][crop.box.slices])
    request = EditRequest(
        crop_rgb=crop.image_rgb,
        mask_hw=crop.mask_hw,
        crop_box=crop.box,
        diagnosis=Diagnosis(
            region_id="r1", category="face_feature", severity=2, description="-", confidence=0.9
        ),
    )
    try:
        yield "patchmatch", patchmatch.edit(request)
    except RetoucherError:
        return


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=os.environ.get("RETOUCHER_DATA"))
    parser.add_argument("--count", type=int, default=40)
    options = parser.parse_args()
    found: dict[str, list[float]] = {}
    patchmatch = PatchMatchTool()
    for case in cases(options.data, options.count):
        truth = Region.from_mask(case.mask_hw, id="r1", score=1.0)
        height, width = case.mask_hw.shape
        region = dilate_region(truth, height, width, RegionSettings())
        crop = cut(case.rgb, region, size=SizeNeeds(), context_factor=2.0, settings=CropSettings())
        for name, edited in edits(case, crop, patchmatch):
            found.setdefault(name, []).append(farther_by(case, region, crop, edited))
    print("| repaired by | faces | nearer to the twin | farther | median change of distance |")
    print("|---|---|---|---|---|")
    for name, values in found.items():
        nearer, farther = sum(v < -WORSE for v in values), sum(v > WORSE for v in values)
        print(
            f"| {name} | {len(values)} | {nearer} | {farther} | {statistics.median(values):+.2f} |"
        )


if __name__ == "__main__":
    main()
