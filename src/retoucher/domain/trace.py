"""The record of a run: what was seen, decided, done and judged. `codec` turns it into JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from retoucher.domain.diagnosis import VLM_USAGE, Diagnosis, Evidence, Json
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Step
from retoucher.domain.region import Region
from retoucher.domain.verdict import Verdict

SCHEMA_VERSION = 1
"""Raised when a reader of the old JSON would misread the new one. A new field with a default is no
such change: older files are read, and older readers name the field that they do not know."""


class StopReason(StrEnum):
    """Why a run ended."""

    CLEAN = "clean"  # nothing significant was found in the first round
    CONVERGED = "converged"  # repairs were kept and nothing significant is left
    NO_PROGRESS = "no_progress"  # every admissible repair was tried and rolled back
    NOTHING_REPAIRABLE = "nothing_repairable"  # defects remain that no admissible tool can repair
    ROUND_BUDGET = "round_budget"
    TIME_BUDGET = "time_budget"
    CANCELLED = "cancelled"
    FAILED = "failed"  # an agent failed after something had been kept; the trace's warnings say how


class Outcome(StrEnum):
    """What became of one edit."""

    ACCEPTED = "accepted"
    ROLLED_BACK = "rolled_back"
    UNCHANGED = "unchanged"  # the tool returned the crop as it was
    FAILED = "failed"  # the tool raised an error or broke its contract


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentInfo:
    """What ran: enough to run it again.

    Attributes:
        role: perceiver, reasoner, planner, tool or verifier.
        name, version: of the agent and of the code it came from.
        weights: digests of the weight files used, by file name.
        device: where it ran.
        settings: its own settings.
    """

    role: str
    name: str
    version: str
    weights: Mapping[str, str] = field(default_factory=dict[str, str])
    device: str = "cpu"
    settings: Mapping[str, Json] = field(default_factory=dict[str, Json])


@dataclass(frozen=True, slots=True, kw_only=True)
class SaliencySummary:
    """The map of one round in three numbers: peak, mean, and the share of pixels >= tau_s."""

    peak: float
    mean: float
    area_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One of several tries of a tool at the same place; `score_after` None: it was not judged."""

    seed: int
    outcome: Outcome
    score_after: float | None
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class EditRecord:
    """One edit: the only box inside which it may have changed bytes, and what became of it.

    Attributes:
        box: None when nothing was composited (the tool failed or changed nothing).
        seconds: of all candidates, edit and verification.
        cost_usd: of all candidates, about, by the tool's spec.
        candidates: where several were made: all of them; the record speaks of the best.
        notes: what the tool has to say, such as that it ran out of memory and went on smaller.
    """

    region_id: str
    tool: str
    outcome: Outcome
    box: Box | None
    verdict: Verdict | None
    error: str | None
    seconds: float
    cost_usd: float = 0.0
    candidates: tuple[Candidate, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One pass of the loop. `index` counts from 1."""

    index: int
    saliency: SaliencySummary
    regions: tuple[Region, ...]
    diagnoses: tuple[Diagnosis, ...]
    steps: tuple[Step, ...]
    edits: tuple[EditRecord, ...]
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftRegion:
    """A defect that is still in the output, and why it was left."""

    box: Box
    category: str
    description: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureInfo:
    """The input: sha256 of its upright RGB pixels and, where it came from a file, of the file."""

    width: int
    height: int
    pixels_sha256: str
    file_name: str | None = None
    file_sha256: str | None = None
    format: str | None = None
    mode: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trace:
    """Everything about one run.

    `settings` with `seed`, `prompt`, `preference` and the agents' versions and digests reproduce
    it on the same software (`environment`).
    """

    schema_version: int
    software: str
    created_at: str
    picture: PictureInfo
    prompt: str
    prompt_source: str
    seed: int
    settings: Mapping[str, Json]
    agents: tuple[AgentInfo, ...]
    environment: Mapping[str, str]
    rounds: tuple[Round, ...]
    stop: StopReason
    left: tuple[LeftRegion, ...]
    output_sha256: str
    warnings: tuple[str, ...]
    seconds: float

    @property
    def edits(self) -> tuple[EditRecord, ...]:
        return tuple(edit for rnd in self.rounds for edit in rnd.edits)

    @property
    def accepted(self) -> tuple[EditRecord, ...]:
        return tuple(edit for edit in self.edits if edit.outcome is Outcome.ACCEPTED)

    @property
    def vlm_usage(self) -> tuple[Mapping[str, Json], ...]:
        """What every request to a vision-language model took, in order: diagnoses, then verdicts.

        Each row holds "requests", "prompt_tokens", "completion_tokens", "cost_usd", "latency_s".
        """
        found: list[Evidence] = []
        last: tuple[Diagnosis, ...] = ()
        for rnd in self.rounds:
            if rnd.diagnoses != last:  # an unchanged picture is not diagnosed again
                found += [e for d in rnd.diagnoses for e in d.evidence]
                last = rnd.diagnoses
            found += [e for edit in rnd.edits if edit.verdict for e in edit.verdict.evidence]
        return tuple(e.data for e in found if e.kind == VLM_USAGE)
