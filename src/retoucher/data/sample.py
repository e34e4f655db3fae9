"""The one in-memory form of a labelled picture, whatever data set it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias, cast, get_args

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from retoucher.domain.geometry import Box
from retoucher.domain.taxonomy import UNKNOWN, taxonomy
from retoucher.errors import InputError

RgbArray: TypeAlias = NDArray[np.uint8]
BoolArray: TypeAlias = NDArray[np.bool_]
FloatArray: TypeAlias = NDArray[np.float32]

Part: TypeAlias = Literal["hand", "face", "text", "foot", "object", "person"]
PARTS: tuple[Part, ...] = get_args(Part)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledRegion:
    """One defect that a person (or the generator of a synthetic one) marked.

    Attributes:
        box: in the picture's pixels; may reach past its border by rounding only.
        category: of the taxonomy, or "unknown" where the data set does not say.
        severity: 1 subtle, 2 clear, 3 glaring.
        description: what is wrong, in words; may be empty.
        mask_hw: bool, shape (box.height, box.width), the defect inside the box; None: only the box
            is known, and the defect fills it only roughly.

    Raises:
        ValueError: unknown category, severity out of range, mask of another shape or empty.
    """

    box: Box
    category: str
    severity: int = 2
    description: str = ""
    mask_hw: BoolArray | None = None

    def __post_init__(self) -> None:
        if self.category not in taxonomy() and self.category != UNKNOWN:
            raise ValueError(f"unknown category {self.category!r}; known: {', '.join(taxonomy())}")
        if self.severity not in (1, 2, 3):
            raise ValueError(f"severity must be 1, 2 or 3, got {self.severity!r}")
        if self.mask_hw is not None:
            expected = (self.box.height, self.box.width)
            if self.mask_hw.shape != expected or self.mask_hw.dtype != np.bool_:
                got = f"{self.mask_hw.dtype} {self.mask_hw.shape}"
                raise ValueError(f"a mask must be bool {expected}, got {got}")
            if not self.mask_hw.any():
                raise ValueError("the mask is empty")

    @classmethod
    def from_mask(
        cls, mask_hw: BoolArray, *, category: str, severity: int = 2, description: str = ""
    ) -> LabelledRegion:
        """From a mask of the whole picture, bool (H, W) with at least one pixel set."""
        ys, xs = np.flatnonzero(mask_hw.any(1)), np.flatnonzero(mask_hw.any(0))
        if not len(ys):
            raise ValueError("the mask is empty")
        box = Box(int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1)
        return cls(
            box=box,
            category=category,
            severity=severity,
            description=description,
            mask_hw=mask_hw[box.slices].copy(),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CleanPart:
    """A part of the picture that looks right: the negative that matters in training.

    Attributes:
        box: in the picture's pixels.
        part: kind of part.
        name: the data set's own word for it ("wine glass"); may be empty.
        exact: False where the box was guessed or detected, not drawn.
        points_xy: float32 (N, 2), landmarks in the picture's pixels, NaN where hidden; what they
            mean stands in `retoucher.data.landmarks`.
    """

    box: Box
    part: Part
    name: str = ""
    exact: bool = True
    points_xy: FloatArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sample:
    """A picture with its prompt and labels.

    Attributes:
        id: unique within its data set.
        picture: uint8 RGB (H, W, 3), or the file to load it from when asked.
        width, height: of the upright picture, in pixels.
        prompt: what the picture was asked to show; may be empty.
        regions: defects.
        clean_parts: parts without a defect.
        source: where the picture comes from; splits group by it.
        licence: as the source states it; may be empty.
        saliency_hw: float32 (h, w) in [0, 1], the data set's own saliency ground truth where it has
            one instead of regions (RichHF-18K); any size.
        scores: of the whole picture as people gave them, each in [0, 1], higher is better, by name
            ("plausibility", "aesthetics", "alignment", "overall"); empty where nobody did. A crop,
            or a picture with a defect put in, has none.
        complete: True where every visible defect is marked, so that the rest is negative.
    """

    id: str
    picture: RgbArray | Path
    width: int
    height: int
    prompt: str = ""
    regions: tuple[LabelledRegion, ...] = ()
    clean_parts: tuple[CleanPart, ...] = ()
    source: str = ""
    licence: str = ""
    saliency_hw: FloatArray | None = field(default=None, repr=False)
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
    complete: bool = True

    def __post_init__(self) -> None:
        if self.width <= 0 or self.height <= 0:
            raise ValueError(f"{self.id}: a picture needs pixels, got {self.width}x{self.height}")
        if isinstance(self.picture, np.ndarray):
            expected = (self.height, self.width, 3)
            if self.picture.shape != expected or self.picture.dtype != np.uint8:
                got = f"{self.picture.dtype} {self.picture.shape}"
                raise ValueError(f"{self.id}: the picture must be uint8 {expected}, got {got}")
        saliency = self.saliency_hw
        if saliency is not None and (
            saliency.ndim != 2
            or not (float(saliency.min()) >= 0.0 and float(saliency.max()) <= 1.0)
        ):
            raise ValueError(f"{self.id}: saliency must be (h, w) in [0, 1], got {saliency.shape}")
        if not all(0.0 <= score <= 1.0 for score in self.scores.values()):
            raise ValueError(f"{self.id}: scores must lie in [0, 1], got {dict(self.scores)}")

    @property
    def is_clean(self) -> bool:
        """No defect is marked, and the marks are complete."""
        marked = self.saliency_hw is not None and bool(self.saliency_hw.any())
        return self.complete and not self.regions and not marked

    def load_rgb(self) -> RgbArray:
        """The upright picture, uint8 (H, W, 3). Loaded anew at every call when it is a file.

        Raises:
            InputError: the file is missing, is no picture, or has another size than the labels say.
        """
        if isinstance(self.picture, np.ndarray):
            return self.picture
        rgb = load_rgb(self.picture)
        if rgb.shape[:2] != (self.height, self.width):
            raise InputError(
                f"{self.picture}: {rgb.shape[1]}x{rgb.shape[0]} pixels, but its labels are for "
                f"{self.width}x{self.height}; correct width and height or the file"
            )
        return rgb


def load_rgb(path: Path) -> RgbArray:
    """An 8-bit picture file as upright RGB uint8 (H, W, 3), transparency over white.

    Raises:
        InputError: the file is missing or is no picture.
    """
    try:
        with Image.open(path) as opened:
            upright = ImageOps.exif_transpose(opened)
            if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
                layer = upright.convert("RGBA")
                upright = Image.new("RGBA", layer.size, (255, 255, 255, 255))
                upright.alpha_composite(layer)
            rgb = np.array(upright.convert("RGB"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the labels name it") from None
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a picture ({error})") from None
    return cast("RgbArray", rgb)


def picture_size_wh(path: Path) -> tuple[int, int]:
    """Width and height of the upright picture, from its header.

    Raises:
        InputError: the file is missing or is no picture.
    """
    try:
        with Image.open(path) as opened:
            width, height = opened.size
            turned = opened.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; the labels name it") from None
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path}: cannot be read as a picture ({error})") from None
    return (height, width) if turned else (width, height)
