"""What rules a repair, or a tool, out; each answer is a reason that a person understands."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from retoucher.agents import ToolSpec
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.plan import Preference
from retoucher.domain.taxonomy import UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What is left to spend on this picture; None: no limit."""

    seconds: float | None = None
    usd: float | None = None

    def without(self, spec: ToolSpec) -> Means:
        """What is left after one edit by this tool."""
        return Means(
            seconds=None if self.seconds is None else self.seconds - spec.latency_s,
            usd=None if self.usd is None else self.usd - spec.cost_usd,
        )


def reason_to_leave(diagnosis: Diagnosis, preference: Preference) -> str | None:
    """Why nothing should be done about this diagnosis, or None where something should."""
    category = diagnosis.category
    if not diagnosis.is_defect:
        return "nothing is wrong here"
    if category == UNKNOWN and not preference.repair_unknown:
        return "it is not known what is wrong here"
    if category in preference.skip:
        return f"{category} is skipped by preference"
    if preference.only and category not in preference.only:
        return f"only {', '.join(sorted(preference.only))} is repaired by preference"
    if diagnosis.severity < preference.min_severity:
        return f"severity {diagnosis.severity} is below {preference.min_severity}"
    # Of what reasoning cannot name it is never sure: repair_unknown alone decides about that.
    if category != UNKNOWN and diagnosis.confidence < preference.min_confidence:
        return f"confidence {diagnosis.confidence:.2f} is below {preference.min_confidence:.2f}"
    return None


def objection(
    spec: ToolSpec,
    diagnosis: Diagnosis,
    preference: Preference,
    tried: AbstractSet[str],
    means: Means,
) -> str | None:
    """What keeps this tool from repairing this defect, or None.

    A tool that the user names in `preference.tools` may also do what it is not made for.
    """
    named = spec.name in preference.tools
    if preference.tools and not named:
        return "was not asked for"
    if spec.name in preference.avoid:
        return "is avoided by preference"
    if spec.name in tried:
        return "was tried here and not kept"
    return _limit(spec, preference, means) or _fit(spec, diagnosis, named=named)


def _limit(spec: ToolSpec, preference: Preference, means: Means) -> str | None:
    """What the user's limits have against the tool."""
    if spec.network and preference.offline:
        return "needs the network"
    if preference.licences and spec.licence not in preference.licences:
        return f"is under {spec.licence}, which is not among the licences allowed"
    memory, seconds = preference.max_memory_gb, preference.max_edit_s
    if memory is not None and spec.memory_gb > memory:
        return f"needs {spec.memory_gb:g} GB of memory, {memory:g} are allowed"
    if seconds is not None and spec.latency_s > seconds:
        return f"takes about {spec.latency_s:g} s, {seconds:g} are allowed"
    if means.seconds is not None and spec.latency_s > means.seconds:
        return f"takes about {spec.latency_s:g} s, {max(0.0, means.seconds):.0f} are left"
    if means.usd is not None and spec.cost_usd > means.usd:
        return f"costs about ${spec.cost_usd:g}, ${max(0.0, means.usd):.3f} are left"
    return None


def _fit(spec: ToolSpec, diagnosis: Diagnosis, *, named: bool) -> str | None:
    """Why the tool is not made for the defect."""
    kinds = {evidence.kind for evidence in diagnosis.evidence}
    if spec.categories and diagnosis.category not in spec.categories and not named:
        return f"is not made for {diagnosis.category}"
    if missing := sorted(spec.requires_evidence - kinds):
        return f"needs to know the {' and '.join(m.replace('_', ' ') for m in missing)}"
    if not named and (found := sorted(spec.excluded_by_evidence & kinds)):
        words = " and ".join(kind.replace("_", " ") for kind in found)
        return f"is the wrong choice where the evidence is {words}"
    return None
