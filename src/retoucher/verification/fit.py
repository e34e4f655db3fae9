"""Does an edit fit what is around it, and what was there: colour, sharpness, noise, seam.

Nothing here knows what the picture shows; it catches what hides a defect from a detector without
repairing it (blur, fog, grain, a block of colour, content from elsewhere). An edit is compared with
two things at once wherever that is possible, the place before it and its surroundings, and fails
only where it is unlike both: removed lettering is smoother than lettering, but not than the paper.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from retoucher.agents import BoolArray, RgbArray, VerifyRequest
from retoucher.domain.geometry import Box
from retoucher.domain.taxonomy import taxonomy
from retoucher.domain.verdict import Check
from retoucher.errors import ConfigError

Plane = NDArray[np.float32]
Measure = Callable[[Plane, BoolArray], float]

_RING_PX = (4, 18)
"""From where to where the surroundings reach that an edit is compared with: what was erased must
not shine into them."""
_MIN_CORE_PX = 30
"""An edit with a smaller inside is judged as a whole, border included."""


_LETTERING_GRAIN, _LETTERING_SOFTNESS = 1.5, 1.25
"""New letters may bring so much more of their ground's grain into what was flat ink, and be so much
softer: what they say is read besides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How far an edit may be from the place before it and from its surroundings.

    The defaults were chosen on synthetic defects (benchmarks/verification.py, other seeds).

    Attributes:
        seam_ratio, seam_levels: the mean step across the edit's border may be at most the old
            step times `seam_ratio` plus `seam_levels` (of 255).
        colour: by so much the edge of the place may differ more from the pixels outside it than
            before: mean colour, CIE76 distance.
        rim: by so much the edge of the place may change, broad strokes only; CIE76 distance. Not
            asked of lettering, whose strokes may reach the edge.
        softness: detail may be less than before and around it by this factor.
        grain: noise may be more than before and around it by this factor.
        variety: of its pixels, at least this share of as many as before and around it must differ
            from their neighbours: a mosaic has steps that no blur has, and nothing between them.
            Not asked of lettering, whose ink may be flat.

    Raises:
        ConfigError: on a value out of range.
    """

    seam_ratio: float = 1.5
    seam_levels: float = 6.0
    colour: float = 9.5
    rim: float = 15.0
    softness: float = 1.22
    grain: float = 2.3
    variety: float = 0.7

    def __post_init__(self) -> None:
        if self.seam_ratio < 1.0 or self.seam_levels < 0.0:
            raise ConfigError("seam_ratio >= 1 and seam_levels >= 0 are needed")
        if not (self.colour > 0.0 and self.rim > 0.0):
            raise ConfigError("colour and rim must be greater than 0")
        if not (self.softness > 1.0 and self.grain > 1.0):
            raise ConfigError("softness and grain are factors greater than 1")
        if not 0.0 <= self.variety <= 1.0:
            raise ConfigError(f"variety is a share in [0, 1], got {self.variety}")


def fit_checks(request: VerifyRequest, settings: FitSettings) -> list[Check]:
    """Seam, colour, sharpness, noise and mosaic of an edit, in this order."""
    view = _View.of(request)
    checks = [
        _seam_check(view, settings),
        _colour_check(view, settings),
        _sharpness_check(view, settings),
        _noise_check(view, settings),
    ]
    return checks if view.is_lettering else [*checks, _mosaic_check(view, settings)]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _View:
    """The place with its surroundings, before and after, and its parts.

    Attributes:
        before_rgb, after_rgb: uint8 (h, w, 3).
        changed_hw: pixels that differ.
        area_px: of the place: the changed pixels, gaps closed; for lettering the whole region as
            far as the change reaches, since strokes alone have neither ground nor grain.
        core_hw: the inside of the place.
        edge_hw: just inside their border, beyond the feather's ramp.
        near_hw: just outside.
        parts_around: the surroundings; for lettering in sectors, since other lines and the frame
            of a sign say nothing of the ground that the letters stand on.
        is_lettering: strokes may come and go right up to the edge.
    """

    before_rgb: RgbArray
    after_rgb: RgbArray
    changed_hw: BoolArray
    area_px: int
    core_hw: BoolArray
    edge_hw: BoolArray
    near_hw: BoolArray
    parts_around: tuple[BoolArray, ...]
    is_lettering: bool

    @classmethod
    def of(cls, request: VerifyRequest) -> _View:
        box = request.changed_box.expand(_RING_PX[1] + 4).clip(*request.before_rgb.shape[:2])
        assert box is not None  # the changed box lies inside the picture
        before, after = request.before_rgb[box.slices], request.after_rgb[box.slices]
        differs = (before != after).any(axis=2)
        row = taxonomy().get(request.diagnosis.category)
        lettering = row is not None and row.dimension == "text"
        place = _region_in(request, box) if lettering else np.zeros_like(differs)
        whole = (differs | place).astype(np.uint8)
        area = cv2.morphologyEx(whole, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0
        inside = _distance(np.pad(area, 1))[1:-1, 1:-1]
        outside = _distance(~area)
        ring = (outside > _RING_PX[0]) & (outside <= _RING_PX[1])
        deep = float(inside.max())
        core = inside > 3
        if core.sum() < _MIN_CORE_PX:
            core = area
        low, high = min(2.5, 0.3 * deep), max(3.5, min(7.0, 0.5 * deep))
        return cls(
            before_rgb=before,
            after_rgb=after,
            changed_hw=differs,
            area_px=int(area.sum()),
            core_hw=core,
            edge_hw=(inside > low) & (inside <= high),
            near_hw=(outside > 0) & (outside <= 5),
            parts_around=_sectors(ring) if lettering else (ring,),
            is_lettering=lettering,
        )


def _sectors(ring_hw: BoolArray) -> tuple[BoolArray, ...]:
    """Eight parts of a ring, by their direction from its middle."""
    h, w = ring_hw.shape
    y, x = np.mgrid[0:h, 0:w]
    turn = np.arctan2((y - h / 2) / h, (x - w / 2) / w) / (2 * np.pi) + 0.5
    sector = np.minimum((8 * turn).astype(int), 7)
    parts = [ring_hw & (sector == k) for k in range(8)]
    return tuple(part for part in parts if part.sum() >= _MIN_CORE_PX)


def _region_in(request: VerifyRequest, window: Box) -> BoolArray:
    """The region's mask as far as the changed box reaches, bool of the window's size."""
    out = np.zeros((window.height, window.width), bool)
    region = request.region
    common = region.box.intersection(request.changed_box)
    if common is not None:
        local = common.shift(-region.box.x0, -region.box.y0).slices
        out[common.shift(-window.x0, -window.y0).slices] = region.mask_hw[local]
    return out


def _seam_check(view: _View, settings: FitSettings) -> Check:
    old, new = (_border_step(rgb, view.changed_hw) for rgb in (view.before_rgb, view.after_rgb))
    passed = new <= settings.seam_ratio * old + settings.seam_levels
    return Check(
        name="seam",
        passed=passed,
        before=old,
        after=new,
        detail=f"the step across the edit's border went from {old:.1f} to {new:.1f} levels"
        + ("" if passed else ": a visible seam"),
    )


def _border_step(image_rgb: RgbArray, changed_hw: BoolArray) -> float:
    """Mean absolute difference between neighbours of which just one was changed, in levels."""
    values = image_rgb.astype(np.int16)
    total, count = 0.0, 0
    for axis in (0, 1):
        border = np.diff(changed_hw, axis=axis)
        steps = np.abs(np.diff(values, axis=axis)).mean(axis=2)
        total += float(steps[border].sum())
        count += int(np.count_nonzero(border))
    return total / count if count else 0.0


def _colour_check(view: _View, settings: FitSettings) -> Check:
    """Mean colour of the edge against that of the pixels outside, and how the edge changed.

    The mean is signed: what is drawn across the border averages out, a shift does not.
    """
    before, after = _lab(view.before_rgb), _lab(view.after_rgb)
    old, new = (_colour_step(lab, view) for lab in (before, after))
    change = after - before
    sigma = max(1.5, math.sqrt(view.area_px) / 24)
    broad = np.linalg.norm(cv2.GaussianBlur(change, (0, 0), sigma), axis=2)
    moved = float(broad[view.edge_hw].mean()) if view.edge_hw.any() else 0.0
    shifted = new > old + settings.colour
    repainted = moved > settings.rim and not view.is_lettering
    if shifted:
        detail = f"its colour is off the surroundings: {old:.1f} to {new:.1f} (CIE76)"
    elif repainted:
        detail = f"the edge of the place was repainted, by {moved:.1f} (CIE76)"
    else:
        detail = "its colour fits the surroundings"
    return Check(
        name="colour", passed=not (shifted or repainted), before=old, after=new, detail=detail
    )


def _colour_step(lab: Plane, view: _View) -> float:
    if not (view.edge_hw.any() and view.near_hw.any()):
        return 0.0
    return float(np.linalg.norm(lab[view.edge_hw].mean(0) - lab[view.near_hw].mean(0)))


def _sharpness_check(view: _View, settings: FitSettings) -> Check:
    """Detail, and the share of the fine in it, against the lesser of before and around: blur takes
    both, and no contrast makes up for the latter.
    """
    losses: list[float] = []
    for measure, allowance in _SOFTNESS:
        before, after, around = _three(view, measure)
        losses.append(min(before, around) / after / allowance)
    loss = max(losses) / (_LETTERING_SOFTNESS if view.is_lettering else 1.0)
    passed = loss <= settings.softness
    return Check(
        name="sharpness",
        passed=passed,
        before=1.0,
        after=1.0 / loss,
        detail="as sharp as its surroundings"
        if passed
        else f"detail fell to {100 / loss:.0f}% of what was there and is around it: blurred",
    )


def _noise_check(view: _View, settings: FitSettings) -> Check:
    """Grain, against the greater of before and around."""
    before, after, around = _three(view, _quiet_grain)
    gain = after / max(before, around) / (_LETTERING_GRAIN if view.is_lettering else 1.0)
    passed = gain <= settings.grain
    return Check(
        name="noise",
        passed=passed,
        before=1.0,
        after=gain,
        detail="no noisier than its surroundings"
        if passed
        else f"it has {gain:.1f} times the grain of what was there and is around it",
    )


def _mosaic_check(view: _View, settings: FitSettings) -> Check:
    """Pixels that differ from their neighbours, against the lesser of before and around."""
    before, after = _grey(view.before_rgb), _grey(view.after_rgb)
    places = [(before, view.core_hw), *((before, part) for part in view.parts_around)]
    old = min((_varied_share(grey, mask) for grey, mask in places if mask.any()), default=0.0)
    new = _varied_share(after, view.core_hw)
    # The summand keeps flat places from counting as a mosaic.
    passed = new + 0.05 >= settings.variety * (old + 0.05)
    return Check(
        name="mosaic",
        passed=passed,
        before=old,
        after=new,
        detail="its tones vary as they do around it"
        if passed
        else f"{100 * new:.0f}% of its pixels differ from their neighbours, before and around it "
        f"{100 * old:.0f}%: a mosaic",
    )


def _varied_share(grey: Plane, mask_hw: BoolArray) -> float:
    """Share of the pixels whose right or lower neighbour differs by more than a level."""
    steps = np.maximum(np.abs(np.diff(grey, axis=1))[:-1], np.abs(np.diff(grey, axis=0))[:, :-1])
    inside = mask_hw[:-1, :-1]
    return float((steps[inside] > 1.0).mean()) if inside.any() else 0.0


def _three(view: _View, measure: Measure) -> tuple[float, float, float]:
    """A measure of the inside before and after, and of the surroundings.

    The surroundings are the same in both pictures, but a filter lets the place shine into them:
    the lesser of both counts. Of several parts around, the quieter ones do.
    """
    before, after = _grey(view.before_rgb), _grey(view.after_rgb)
    inside = measure(before, view.core_hw), measure(after, view.core_hw)
    around = [
        min(measure(before, part), measure(after, part)) for part in view.parts_around if part.any()
    ]
    return (*inside, float(np.quantile(around, 0.25)) if around else inside[0])


def _band(grey: Plane, mask_hw: BoolArray, low_px: float, high_px: float) -> float:
    """How strong one band of detail is: root mean square of a difference of Gaussians, levels."""
    low = cv2.GaussianBlur(grey, (0, 0), low_px) if low_px else grey
    band = low - cv2.GaussianBlur(grey, (0, 0), high_px)
    return float(np.sqrt((band[mask_hw] ** 2).mean()))


# The summands keep flat places from counting as blurred or as noisy.
def _fine(grey: Plane, mask_hw: BoolArray) -> float:
    return _band(grey, mask_hw, 0.0, 1.0) + 0.5


def _middling(grey: Plane, mask_hw: BoolArray) -> float:
    return _band(grey, mask_hw, 1.0, 3.0) + 0.8


def _crispness(grey: Plane, mask_hw: BoolArray) -> float:
    """Fine over middling detail: independent of contrast."""
    return (_band(grey, mask_hw, 0.0, 1.0) + 0.4) / _middling(grey, mask_hw)


def _grain(grey: Plane, mask_hw: BoolArray) -> float:
    """Median of a second difference that edges and shading hardly touch."""
    return 1.4826 * float(np.median(_second_difference(grey)[mask_hw])) + 0.3


def _quiet_grain(grey: Plane, mask_hw: BoolArray) -> float:
    """The same in the quieter places: grain is everywhere, the edges of letters are not."""
    return 2.6 * float(np.quantile(_second_difference(grey)[mask_hw], 0.3)) + 0.3


def _second_difference(grey: Plane) -> Plane:
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32) / 6
    return np.abs(np.asarray(cv2.filter2D(grey, -1, kernel), np.float32))


_SOFTNESS: tuple[tuple[Measure, float], ...] = (
    (_fine, 1.1),
    (_middling, 1.0),
    (_crispness, 1.0),
    (_grain, 1.5),
)
"""What is measured for sharpness, and how much more than the setting it may lose: the finer, the
more it varies from place to place."""


def _grey(image_rgb: RgbArray) -> Plane:
    return cv2.cvtColor(image_rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _lab(image_rgb: RgbArray) -> Plane:
    scaled = image_rgb.astype(np.float32) / np.float32(255)
    return np.asarray(cv2.cvtColor(scaled, cv2.COLOR_RGB2LAB), np.float32)


def _distance(mask_hw: BoolArray) -> Plane:
    """Distance in px of each True pixel to the nearest False one."""
    return np.asarray(
        cv2.distanceTransform(mask_hw.astype(np.uint8), cv2.DIST_L2, 5), dtype=np.float32
    )


def first_failure(checks: Sequence[Check]) -> Check | None:
    """The first check that did not pass."""
    return next((check for check in checks if not check.passed), None)
