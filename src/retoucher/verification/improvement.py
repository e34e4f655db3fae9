"""Accept an edit only if it is measurably better: look again, read again, and check the seam."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

import retoucher
from retoucher.agents import Perceiver, Reasoner, RgbArray, VerifyRequest
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN
from retoucher.domain.trace import AgentInfo
from retoucher.domain.verdict import Check, Verdict
from retoucher.lettering.compare import remnants, says


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySettings:
    """What counts as better.

    Attributes:
        margin: the region's saliency must fall by at least this (0 to 1).
        new_area_px: at most so many pixels outside the region may become significant.
        seam_ratio, seam_levels: the mean step across the edit's border may be at most the old
            step times `seam_ratio` plus `seam_levels` (of 255).

    Raises:
        ValueError: on a value out of range.
    """

    margin: float = 0.1
    new_area_px: int = 16
    seam_ratio: float = 1.5
    seam_levels: float = 6.0

    def __post_init__(self) -> None:
        if not 0.0 < self.margin <= 1.0:
            raise ValueError(f"margin must lie in (0, 1], got {self.margin}")
        if self.new_area_px < 0 or self.seam_ratio < 1.0 or self.seam_levels < 0.0:
            raise ValueError("new_area_px >= 0, seam_ratio >= 1 and seam_levels >= 0 are needed")


class ImprovementVerifier:
    """Judges by a perceiver and a reasoner, which may differ from those that found the defect.

    `threshold` is the saliency from which a place is significant (tau_s).
    """

    def __init__(
        self,
        perceiver: Perceiver,
        reasoner: Reasoner,
        *,
        threshold: float,
        settings: VerifySettings,
    ) -> None:
        self._perceiver, self._reasoner = perceiver, reasoner
        self._threshold, self._settings = threshold, settings

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(
            role="verifier",
            name="improvement",
            version=retoucher.__version__,
            settings={
                **asdict(self._settings),
                "threshold": self._threshold,
                "perceiver": self._perceiver.info.name,
                "reasoner": self._reasoner.info.name,
            },
        )

    def verify(self, request: VerifyRequest) -> Verdict:
        """Accepted when every check passes; the reason names the first that does not."""
        region, settings = request.region, self._settings
        saliency = self._perceiver.perceive(request.after_rgb, request.prompt)
        (diagnosis,) = self._reasoner.diagnose(request.after_rgb, request.prompt, [region])
        before = _score(request.saliency_before, region)
        after = _score(saliency, region)
        checks = [
            _saliency_check(before, after, settings.margin),
            self._new_defects_check(request.saliency_before, saliency, region),
            _diagnosis_check(request.diagnosis, diagnosis),
            *_lettering_checks(request.diagnosis, diagnosis),
            _seam_check(request, settings),
        ]
        failed = next((check for check in checks if not check.passed), None)
        return Verdict(
            accepted=failed is None,
            reason=checks[2].detail if failed is None else failed.detail,
            score_before=before,
            score_after=after,
            checks=tuple(checks),
        )

    def _new_defects_check(self, before: SaliencyMap, after: SaliencyMap, region: Region) -> Check:
        tau = self._threshold
        new = (after.values_hw >= tau) & (before.values_hw < tau)
        new[region.box.slices] &= ~region.mask_hw
        count = int(np.count_nonzero(new))
        passed = count <= self._settings.new_area_px
        return Check(
            name="new_defects",
            passed=passed,
            before=0.0,
            after=float(count),
            detail="nothing new stands out" if passed else f"{count} px newly stand out elsewhere",
        )


def _score(saliency: SaliencyMap, region: Region) -> float:
    """A region's saliency: the 90th percentile inside its mask, so that no single pixel decides."""
    return float(np.percentile(saliency.values_hw[region.box.slices][region.mask_hw], 90))


def _saliency_check(before: float, after: float, margin: float) -> Check:
    """Saliency must fall by the margin; where perception saw nothing, it must not rise."""
    visible = before >= margin
    passed = after <= before - margin if visible else after <= before
    verb = "fell" if after < before else "did not fall"
    return Check(
        name="saliency",
        passed=passed,
        before=before,
        after=after,
        detail=f"the region's saliency {verb}: {before:.2f} to {after:.2f}",
    )


def _diagnosis_check(before: Diagnosis, after: Diagnosis) -> Check:
    gone = after.category == NO_DEFECT or (after.category == UNKNOWN != before.category)
    milder = after.severity < before.severity
    if gone:
        detail = f"{before.category} is gone"
    else:
        detail = (
            f"{before.category} of severity {before.severity} "
            f"became {after.category} of severity {after.severity}"
        )
    return Check(
        name="diagnosis",
        passed=gone or milder,
        before=float(before.severity),
        after=0.0 if gone else float(after.severity),
        detail=detail,
    )


def _lettering_checks(before: Diagnosis, after: Diagnosis) -> list[Check]:
    """Where the intended words are known, these must be read afterwards, and nothing of the old."""
    wrong = [
        (str(e.data["read"]), str(e.data["intended"]))
        for e in before.evidence
        if e.kind == "intended_text"
    ]
    if not wrong:
        return []
    read = [str(e.data["read"]) for e in after.evidence if e.kind == "lettering"]
    missing = [intended for _, intended in wrong if not says(read, intended)]
    old = [word for was, intended in wrong for word in remnants(read, was, intended)]
    if missing:
        said = ", ".join(map(repr, read)) or "nothing"
        detail = f"it should read {', '.join(map(repr, missing))} but reads {said}"
    elif old:
        detail = f"{', '.join(map(repr, old))} of the old lettering is still there"
    else:
        detail = f"it now reads {', '.join(repr(intended) for _, intended in wrong)}"
    return [
        Check(
            name="lettering",
            passed=not missing and not old,
            before=None,
            after=float(len(wrong) - len(missing)),
            detail=detail,
        )
    ]


def _seam_check(request: VerifyRequest, settings: VerifySettings) -> Check:
    box = request.changed_box.expand(1).clip(*request.before_rgb.shape[:2])
    assert box is not None
    before, after = request.before_rgb[box.slices], request.after_rgb[box.slices]
    changed = (before != after).any(axis=2)
    old, new = _border_step(before, changed), _border_step(after, changed)
    passed = new <= settings.seam_ratio * old + settings.seam_levels
    return Check(
        name="seam",
        passed=passed,
        before=old,
        after=new,
        detail=f"the step across the edit's border went from {old:.1f} to {new:.1f} levels"
        + ("" if passed else ": a visible seam"),
    )


def _border_step(image_rgb: RgbArray, changed_hw: NDArray[np.bool_]) -> float:
    """Mean absolute difference between neighbours of which just one was changed, in levels."""
    values = image_rgb.astype(np.int16)
    total, count = 0.0, 0
    for axis in (0, 1):
        border = np.diff(changed_hw, axis=axis)
        steps = np.abs(np.diff(values, axis=axis)).mean(axis=2)
        total += float(steps[border].sum())
        count += int(np.count_nonzero(border))
    return total / count if count else 0.0
