"""The contracts of the five agents. A new back end implements one of them, nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from retoucher.domain.diagnosis import Diagnosis, Json
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Plan, Preference, ToolOutcome
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import AgentInfo
from retoucher.domain.verdict import Verdict

RgbArray = NDArray[np.uint8]
"""Upright sRGB-like picture, uint8, shape (H, W, 3), C-contiguous. Agents never write into one."""

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float32]


@runtime_checkable
class Perceiver(Protocol):
    """Finds where a picture looks distorted."""

    @property
    def info(self) -> AgentInfo: ...

    def perceive(self, image_rgb: RgbArray, prompt: str) -> SaliencyMap:
        """Saliency of the picture's size. The prompt may be empty. Same input, same output."""
        ...


@runtime_checkable
class Reasoner(Protocol):
    """Says what is wrong in each region, or that nothing is."""

    @property
    def info(self) -> AgentInfo: ...

    def diagnose(
        self, image_rgb: RgbArray, prompt: str, regions: Sequence[Region]
    ) -> tuple[Diagnosis, ...]:
        """One diagnosis per region, in their order, with their ids."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeNeeds:
    """What picture sizes a tool works at; the loop resizes the crop to fit.

    Attributes:
        min_side_px: a crop whose shorter side is smaller is enlarged to this; 0: any.
        max_side_px: a crop whose longer side is larger is reduced to this; None: any.
        multiple: both sides are multiples of this.
    """

    min_side_px: int = 0
    max_side_px: int | None = None
    multiple: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolSpec:
    """What a tool is and needs; the planner chooses by it.

    Attributes:
        name: as in `--tool NAME`.
        version: of the code (and model) behind it.
        kind: "mask" repaints the masked pixels; "instruction" follows words over the whole crop.
        summary: one line for `retouch tools`.
        categories: defects it is good at; empty: any.
        requires_evidence: kinds of evidence without which it cannot work ("intended_text").
        excluded_by_evidence: kinds of evidence that make it the wrong choice, unless the user names
            the tool (what is known to be asked for should not be removed).
        priority: among admissible tools the highest is taken first.
        size: picture sizes it works at.
        context_factor: crop side over region side.
        uses_prompt: reads the instruction and prompt.
        network: sends the crop to another machine.
        licence: of model or method, SPDX where there is one.
        extra: the extra that installs it; None: part of the core.
        cost_usd: money for one edit, about.
        opt_in: takes part only where the user names it, as it needs weights, a server or money.
        memory_gb, latency_s: for one edit on the hardware it is meant for, about; 0: negligible, or
            not known.
        deterministic: the same crop gives the same edit whatever the seed, so that a second
            candidate would be the first one again.
    """

    name: str
    version: str
    kind: Literal["mask", "instruction"]
    summary: str
    categories: frozenset[str] = frozenset()
    requires_evidence: frozenset[str] = frozenset()
    excluded_by_evidence: frozenset[str] = frozenset()
    priority: int = 0
    size: SizeNeeds = field(default_factory=SizeNeeds)
    context_factor: float = 1.5
    uses_prompt: bool = False
    network: bool = False
    licence: str = "Apache-2.0"
    extra: str | None = None
    cost_usd: float = 0.0
    opt_in: bool = False
    memory_gb: float = 0.0
    latency_s: float = 0.0
    deterministic: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EditRequest:
    """What a tool gets: a crop, never the full picture.

    Attributes:
        crop_rgb: uint8 (h, w, 3), read-only, at the size the tool's spec asks for.
        mask_hw: bool (h, w), True where the tool may change pixels.
        crop_box: where the crop lies in the picture, in the picture's pixels.
        diagnosis: what is wrong; coordinates in its evidence are the picture's (`to_crop_xy`).
        instruction: what the place should look like.
        prompt: the picture's prompt, "" when unknown.
        seed: same request and seed, same bytes.
        params: the tool's own settings.
        cancelled: asked between steps of long work; when True, raise `errors.Cancelled`.
    """

    crop_rgb: RgbArray
    mask_hw: BoolArray
    crop_box: Box
    diagnosis: Diagnosis
    instruction: str = ""
    prompt: str = ""
    seed: int = 0
    params: Mapping[str, Json] = field(default_factory=dict[str, Json])
    cancelled: Callable[[], bool] = lambda: False

    def to_crop_xy(self, points_xy: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points (N, 2) from the picture's pixel coordinates to the crop's.

        Integer coordinates name pixel corners (a box's x1 is exclusive), in both frames.
        """
        h, w = self.mask_hw.shape
        scale = np.array([w / self.crop_box.width, h / self.crop_box.height])
        return (points_xy - np.array([self.crop_box.x0, self.crop_box.y0])) * scale


@runtime_checkable
class Tool(Protocol):
    """Repairs one crop."""

    @property
    def spec(self) -> ToolSpec: ...

    def edit(self, request: EditRequest) -> RgbArray:
        """The repaired crop, uint8 (h, w, 3), of the crop's size.

        Pixels outside the mask may differ (the loop pastes back only what the mask allows), but a
        tool that leaves them alone gets a smaller footprint.

        Raises:
            ToolError: the edit cannot be made; the message says why.
            Cancelled: `request.cancelled()` was True.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlanRequest:
    """What a planner decides from.

    Attributes:
        regions, diagnoses: of this round, in the same order.
        prompt: the picture's prompt.
        preference: what the user wants.
        tools: what could be used.
        tried: per region id, tools whose edit of this place was not kept.
        seed: seed of the round; the same request gives the same plan.
        apart: ids of regions whose common repair with a neighbour was not kept.
        time_left_s, money_left_usd: of the run's limits; None: no limit.
    """

    regions: Sequence[Region]
    diagnoses: Sequence[Diagnosis]
    prompt: str
    preference: Preference
    tools: Sequence[ToolSpec]
    tried: Mapping[str, frozenset[str]]
    seed: int
    apart: frozenset[str] = frozenset()
    time_left_s: float | None = None
    money_left_usd: float | None = None


@runtime_checkable
class Planner(Protocol):
    """Chooses a tool and an instruction per region, or to leave it."""

    @property
    def info(self) -> AgentInfo: ...

    def plan(self, request: PlanRequest) -> Plan:
        """One step per region, in the regions' order."""
        ...


@runtime_checkable
class Learner(Protocol):
    """Is told what became of every edit; a planner may choose by it."""

    def learn(self, outcome: ToolOutcome) -> None:
        """Remember one outcome."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VerifyRequest:
    """What a verifier compares.

    Attributes:
        before_rgb, after_rgb: the whole picture without and with the edit, uint8 (H, W, 3); equal
            outside `changed_box`.
        region, diagnosis: what the edit was to repair.
        changed_box: bounds of all pixels that differ.
        prompt: the picture's prompt.
        saliency_before: this round's map of the picture before any edit of the round.
        tool: name of the tool that made the edit.
    """

    before_rgb: RgbArray
    after_rgb: RgbArray
    region: Region
    diagnosis: Diagnosis
    changed_box: Box
    prompt: str
    saliency_before: SaliencyMap
    tool: str


@runtime_checkable
class Verifier(Protocol):
    """Judges an edit against the picture before it."""

    @property
    def info(self) -> AgentInfo: ...

    def verify(self, request: VerifyRequest) -> Verdict:
        """Accept only a real improvement; when in doubt, roll back."""
        ...
