"""Pictures with one known defect and their clean twins, for benchmarks/verification.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from retoucher.data.ours import read_pool
from retoucher.data.sample import CleanPart, LabelledRegion, Sample
from retoucher.data.synthetic.make import SyntheticSettings, make_pair, suited_parts
from retoucher.data.transform import crop_sample
from retoucher.domain.geometry import Box

Rgb = NDArray[np.uint8]

SKIMAGE = ("astronaut.png", "coffee.png", "chelsea.png", "motorcycle_left.png", "rocket.jpg")
SIDE_PX = 512
PLAIN = SyntheticSettings(
    extra_defect=0.0,
    max_defects=1,
    other_edits=0.0,
    twin_edit=0.0,
    min_region_px=24,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pair:
    """A picture with one defect, the same without it, and where and what it is."""

    name: str
    rgb: Rgb
    twin_rgb: Rgb
    prompt: str
    defect: LabelledRegion

    @property
    def mask_hw(self) -> NDArray[np.bool_]:
        mask = np.zeros(self.rgb.shape[:2], bool)
        assert self.defect.mask_hw is not None
        mask[self.defect.box.slices] = self.defect.mask_hw
        return mask


def pairs(data: Path | None, category: Sequence[str], count: int, seed: int) -> Iterator[Pair]:
    """`count` pairs of these categories in turn, from shipped packages and, if given, the pool."""
    samples = all_samples(data)
    made = 0
    for i in range(8 * count):
        name = category[i % len(category)]
        rng = np.random.default_rng([seed, i])
        pair = None
        for _ in range(12):
            sample = samples[int(rng.integers(len(samples)))]
            if name.startswith("text") or suited_parts(sample, name):
                pair = make_pair(rng, shrunk(sample), name, PLAIN)
                break
        if pair is None:
            continue
        yield Pair(
            name=pair.defect.id,
            rgb=pair.defect.load_rgb(),
            twin_rgb=pair.twin.load_rgb(),
            prompt=pair.defect.prompt,
            defect=pair.defect.regions[-1],
        )
        made += 1
        if made == count:
            return


def all_samples(data: Path | None) -> list[Sample]:
    samples = [_thing(_skimage(name), name) for name in SKIMAGE]
    samples += [_thing(path, f"openpeople-{path.parts[-3]}") for path in _people()[:10]]
    if data is not None:
        # Hands of one man and plain grounds would fill the list: photographs and GPT-4o only.
        pool = [s for s in read_pool(data / "pool") if s.clean_parts and not s.regions]
        samples += [s for s in pool if s.source != "SubhiH/HandsDataset"]
    return samples


def _skimage(name: str) -> Path:
    return Path(str(resources.files("skimage"))) / "data" / name


def _people() -> list[Path]:
    root = Path(str(resources.files("openpeople"))) / "data" / "curated"
    return sorted(root.glob("*/assets/amateur_selfie.jpg"))


def _thing(path: Path, name: str) -> Sample:
    """A picture whose most textured places count as objects."""
    with Image.open(path) as image:
        picture = image.convert("RGB")
        picture.thumbnail((SIDE_PX, SIDE_PX))
    rgb = np.asarray(picture)
    height, width = rgb.shape[:2]
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    busy = cv2.blur(np.abs(cv2.Laplacian(grey, cv2.CV_32F)), (61, 61))
    parts: list[CleanPart] = []
    for _ in range(4):
        y, x = np.unravel_index(int(busy.argmax()), busy.shape)
        box = Box(int(x) - 55, int(y) - 55, int(x) + 55, int(y) + 55).clip(height, width)
        assert box is not None
        parts.append(CleanPart(box=box, part="object", exact=False))
        busy[box.expand(40).clip(height, width).slices] = 0
    return Sample(
        id=name, picture=rgb, width=width, height=height, source=name, clean_parts=tuple(parts)
    )


def shrunk(sample: Sample) -> Sample:
    """At most SIDE_PX wide and high, so that a run takes its time for judging, not for reading."""
    scale = SIDE_PX / max(sample.width, sample.height)
    if scale >= 1:
        return sample
    return crop_sample(
        sample,
        Box.of_picture(sample.height, sample.width),
        (round(sample.width * scale), round(sample.height * scale)),
    )
