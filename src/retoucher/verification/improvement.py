"""Accept an edit only if it is measurably better, and nothing else got worse.

The checks, cheapest first; where one of the pixels' own fails, no model looks:

- fit (`fit.py`): seam, colour, sharpness and noise against the place before and its surroundings;
- lettering (`lettering.py`): the surface above and below a line that was set, and a frame around
  it, stay as they were;
- saliency: it falls by a margin where perception saw something, and rises nowhere else;
- diagnosis: gone or milder, where the reasoner can judge the defect;
- lettering again: the intended words are read, the old strokes are gone;
- agreement with the prompt (`agreement.py`): it does not fall, where a model that measures it is
  named.

At least one of the two models must see an improvement: where neither can judge, an edit is not
kept, whatever it looks like.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field

import numpy as np
from numpy.typing import NDArray

import retoucher
from retoucher.agents import Perceiver, Reasoner, RgbArray, VerifyRequest
from retoucher.domain.diagnosis import VLM_REPLY, VLM_USAGE, Diagnosis, Evidence
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.taxonomy import NO_DEFECT, UNKNOWN, taxonomy
from retoucher.domain.trace import AgentInfo
from retoucher.domain.verdict import Check, Verdict
from retoucher.errors import ConfigError
from retoucher.verification.agreement import Agreement, AgreementSettings
from retoucher.verification.fit import FitSettings, first_failure, fit_checks
from retoucher.verification.lettering import LetteringSettings, lettering_checks, surface_checks

_ALREADY = 0.6
"""Share of tau_s from which on a pixel may have been part of a region before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySettings:
    """What counts as better.

    Attributes:
        margin: the region's saliency must fall by at least this (0 to 1).
        fall: and by at least this share of what it was (0 to 1).
        new_area_px: at most so many pixels outside the region may become significant.
        fit, lettering, agreement: see their classes.

    Raises:
        ConfigError: on a value out of range.
    """

    margin: float = 0.15
    fall: float = 0.25
    new_area_px: int = 16
    fit: FitSettings = field(default_factory=FitSettings)
    lettering: LetteringSettings = field(default_factory=LetteringSettings)
    agreement: AgreementSettings = field(default_factory=AgreementSettings)

    def __post_init__(self) -> None:
        if not 0.0 < self.margin <= 1.0:
            raise ConfigError(f"margin must lie in (0, 1], got {self.margin}")
        if not 0.0 <= self.fall <= 1.0:
            raise ConfigError(f"fall must lie in [0, 1], got {self.fall}")
        if self.new_area_px < 0:
            raise ConfigError(f"new_area_px must be at least 0, got {self.new_area_px}")


@dataclass(frozen=True, slots=True, eq=False)
class _Look:
    """What the judges think of one picture at one region."""

    image_rgb: RgbArray
    saliency: SaliencyMap
    diagnosis: Diagnosis


class ImprovementVerifier:
    """Judges by a perceiver and a reasoner, which may differ from those that found the defect.

    Args:
        perceiver, reasoner: the judges.
        threshold: the saliency from which a place is significant (tau_s).
        settings: what counts as better.
        found_by_others: the request's map and diagnosis are from other models than these: look at
            the picture before the edit, too. Both are then compared by the same eyes.
    """

    def __init__(
        self,
        perceiver: Perceiver,
        reasoner: Reasoner,
        *,
        threshold: float,
        settings: VerifySettings,
        found_by_others: bool = False,
    ) -> None:
        self._perceiver, self._reasoner = perceiver, reasoner
        self._threshold, self._settings = threshold, settings
        self._found_by_others = found_by_others
        self._agreement = Agreement(settings.agreement)
        self._before: tuple[RgbArray, Region, str, _Look] | None = None

    @property
    def info(self) -> AgentInfo:
        return AgentInfo(
            role="verifier",
            name="improvement",
            version=retoucher.__version__,
            weights=self._agreement.weights,
            settings={
                **asdict(self._settings),
                "agreement_commit": self._agreement.commit,
                "threshold": self._threshold,
                "perceiver": self._perceiver.info.name,
                "reasoner": self._reasoner.info.name,
                "found_by_others": self._found_by_others,
            },
        )

    def verify(self, request: VerifyRequest) -> Verdict:
        """Accepted when every check passes; the reason names the first that does not.

        An edit that the pixels alone rule out is not looked at: its score stays what it was. Only
        what passed everything else is held against the prompt.
        """
        settings, region = self._settings, request.region
        checks = [
            *fit_checks(request, settings.fit),
            *surface_checks(request, settings.lettering),
        ]
        before, asked = self._look_before(request)
        if (failed := first_failure(checks)) is not None:
            score = region_scores(before.saliency, before.saliency, region)[0]
            return _rejected(failed, score, score, checks, asked)
        after = self._look(request.after_rgb, request.prompt, region)
        asked += _asked(after)
        scores = region_scores(before.saliency, after.saliency, region)
        saliency = _saliency_check(*scores, settings)
        diagnosis = _diagnosis_check(before.diagnosis, after.diagnosis)
        checks += [
            saliency.check,
            self._new_defects_check(before.saliency, after.saliency, region),
            diagnosis.check,
            *lettering_checks(request, after.diagnosis, settings.lettering),
            _evidence_check(saliency, diagnosis),
        ]
        if first_failure(checks) is None:
            checks.append(self._agreement.check(request))
        if (failed := first_failure(checks)) is not None:
            return _rejected(failed, *scores, checks, asked)
        better = diagnosis if diagnosis.better else saliency
        return Verdict(
            accepted=True,
            reason=better.check.detail,
            score_before=scores[0],
            score_after=scores[1],
            checks=tuple(checks),
            evidence=asked,
        )

    def _look(self, image_rgb: RgbArray, prompt: str, region: Region) -> _Look:
        saliency = self._perceiver.perceive(image_rgb, prompt)
        (diagnosis,) = self._reasoner.diagnose(image_rgb, prompt, [region])
        return _Look(image_rgb, saliency, diagnosis)

    def _look_before(self, request: VerifyRequest) -> tuple[_Look, tuple[Evidence, ...]]:
        """What was thought before, and what asking for it took; the judges' own look is kept, as
        candidates share it.
        """
        image, region, prompt = request.before_rgb, request.region, request.prompt
        if not self._found_by_others:
            return _Look(image, request.saliency_before, request.diagnosis), ()
        last = self._before
        if last is not None and last[0] is image and last[1] is region and last[2] == prompt:
            return last[3], ()
        look = self._look(image, prompt, region)
        self._before = image, region, prompt, look
        return look, _asked(look)

    def _new_defects_check(self, before: SaliencyMap, after: SaliencyMap, region: Region) -> Check:
        """Newly significant: no part of a region before, even by hysteresis (`RegionSettings.low`),
        since trembling around tau_s is nothing new.
        """
        was, now = before.values_hw, after.values_hw
        new = (now >= self._threshold) & (was < _ALREADY * self._threshold)
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


def region_scores(before: SaliencyMap, after: SaliencyMap, region: Region) -> tuple[float, float]:
    """A region's saliency before and after, 0 to 1, from the raw maps.

    The mean of the n highest values inside its mask, where n is how many were at least half of the
    highest before: no single pixel decides, no dilation dilutes, and a defect that only moved
    inside the region counts in full.
    """
    was, now = (_inside(saliency, region) for saliency in (before, after))
    peak = float(was.max())
    n = int(np.count_nonzero(was >= 0.5 * peak)) if peak > 0 else max(1, len(was) // 10)
    return float(np.sort(was)[-n:].mean()), float(np.sort(now)[-n:].mean())


def _inside(saliency: SaliencyMap, region: Region) -> NDArray[np.float32]:
    return saliency.values_hw[region.box.slices][region.mask_hw]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Finding:
    """A check, and whether it shows an improvement: a check that could not be made passes, but
    shows none.
    """

    check: Check
    better: bool


def _saliency_check(before: float, after: float, settings: VerifySettings) -> _Finding:
    """Saliency must fall by the margins; where perception saw nothing, it must not rise."""
    visible = before >= settings.margin
    if visible:
        passed = after <= min(before - settings.margin, (1.0 - settings.fall) * before)
        verb = "fell" if passed else "hardly fell" if after < before else "did not fall"
    else:
        passed = after <= before + 0.1 * settings.margin
        verb = "rose" if not passed else "was and is low"
    return _Finding(
        check=Check(
            name="saliency",
            passed=passed,
            before=before,
            after=after,
            detail=f"the region's saliency {verb}: {before:.2f} to {after:.2f}",
        ),
        better=visible and passed,
    )


def _diagnosis_check(before: Diagnosis, after: Diagnosis) -> _Finding:
    """Gone or milder. What the reasoner cannot name before or after the edit it does not judge;
    only lettering counts as gone when there is none to be read any more.
    """
    row = taxonomy().get(before.category)
    unnamed = after.category == UNKNOWN and (row is None or row.dimension != "text")
    if not before.is_defect or before.category == UNKNOWN or unnamed:
        check = Check(
            name="diagnosis",
            passed=not after.is_defect or after.category == UNKNOWN,
            before=None,
            after=None,
            detail="reasoning cannot judge this place"
            if not after.is_defect or after.category == UNKNOWN
            else f"{after.category} is there now",
        )
        return _Finding(check=check, better=False)
    gone = after.category in (NO_DEFECT, UNKNOWN)
    better = gone or after.severity < before.severity
    if gone:
        detail = f"{before.category} is gone"
    else:
        detail = (
            f"{before.category} of severity {before.severity} "
            f"became {after.category} of severity {after.severity}"
        )
    check = Check(
        name="diagnosis",
        passed=better,
        before=float(before.severity),
        after=0.0 if gone else float(after.severity),
        detail=detail,
    )
    return _Finding(check=check, better=better)


def _evidence_check(saliency: _Finding, diagnosis: _Finding) -> Check:
    seen = [f.check.name for f in (saliency, diagnosis) if f.better]
    return Check(
        name="evidence",
        passed=bool(seen),
        before=None,
        after=float(len(seen)),
        detail=f"better by {' and '.join(seen)}"
        if seen
        else "neither perception nor reasoning can tell whether this is better",
    )


def _asked(look: _Look) -> tuple[Evidence, ...]:
    """What asking the reasoner for this look took, where it says so."""
    return tuple(e for e in look.diagnosis.evidence if e.kind in (VLM_USAGE, VLM_REPLY))


def _rejected(
    failed: Check,
    before: float,
    after: float,
    checks: list[Check],
    asked: tuple[Evidence, ...],
) -> Verdict:
    return Verdict(
        accepted=False,
        reason=failed.detail,
        score_before=before,
        score_after=after,
        checks=tuple(checks),
        evidence=asked,
    )
