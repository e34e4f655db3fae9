"""One repair: cut a crop, let the tool edit it, paste it back, judge the picture with it in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from retoucher.agents import EditRequest, RgbArray, VerifyRequest
from retoucher.domain.diagnosis import Diagnosis
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Step
from retoucher.domain.region import Region
from retoucher.domain.saliency import SaliencyMap
from retoucher.domain.trace import EditRecord, Outcome
from retoucher.domain.verdict import Verdict
from retoucher.errors import Cancelled, PluginError, ToolError
from retoucher.imaging.crop import cut
from retoucher.imaging.stitch import stitch
from retoucher.job import Agents, LoopSettings


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Place:
    """A region of the current round, what is wrong there and what is to be done."""

    region: Region
    diagnosis: Diagnosis
    step: Step


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Attempt:
    """The record of an edit and the whole picture with it in (itself where nothing changed)."""

    record: EditRecord
    after_rgb: RgbArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Repairer:
    """Makes attempts; keeps no state, so what becomes of an attempt is the loop's decision."""

    agents: Agents
    settings: LoopSettings
    prompt: str
    clock: Callable[[], float]
    cancelled: Callable[[], bool]

    def attempt(self, image_rgb: RgbArray, place: Place, saliency: SaliencyMap) -> Attempt:
        """Edit and judge. A tool's failure or bug becomes part of the record, never an exception.

        Args:
            image_rgb: the picture as it is now, uint8 (H, W, 3).
            place: where, why and with which tool (`place.step.tool` is not None).
            saliency: this round's map.
        """
        assert place.step.tool is not None
        began = self.clock()
        after, box, verdict, error = image_rgb, None, None, None
        try:
            after, box = self._edit(image_rgb, place)
            outcome = Outcome.UNCHANGED
        except (ToolError, PluginError, Cancelled) as problem:
            outcome, error = Outcome.FAILED, str(problem)
        if box is not None:
            verdict = self._judge(image_rgb, after, box, place, saliency)
            outcome = Outcome.ACCEPTED if verdict.accepted else Outcome.ROLLED_BACK
        record = EditRecord(
            region_id=place.region.id,
            tool=place.step.tool,
            outcome=outcome,
            box=box,
            verdict=verdict,
            error=error,
            seconds=self.clock() - began,
        )
        return Attempt(record=record, after_rgb=after)

    def _edit(self, image_rgb: RgbArray, place: Place) -> tuple[RgbArray, Box | None]:
        """The picture with the edit pasted in, and the box in which it differs."""
        step = place.step
        tool = self.agents.tools[step.tool or ""]
        crop = cut(
            image_rgb,
            place.region,
            size=tool.spec.size,
            context_factor=tool.spec.context_factor,
            settings=self.settings.crop,
        )
        request = EditRequest(
            crop_rgb=crop.image_rgb,
            mask_hw=crop.mask_hw,
            crop_box=crop.box,
            diagnosis=place.diagnosis,
            instruction=step.instruction,
            prompt=self.prompt,
            seed=step.seed,
            params=step.params,
            cancelled=self.cancelled,
        )
        try:
            edited = tool.edit(request)
        except (ToolError, Cancelled):
            raise
        except Exception as bug:  # a tool's bug costs its region, never the run
            raise ToolError(f"{step.tool} broke: {type(bug).__name__}: {bug}") from bug
        stitched = stitch(image_rgb, crop, edited, place.region, self.settings.stitch)
        return stitched.image_rgb, stitched.changed_box

    def _judge(
        self, before: RgbArray, after: RgbArray, box: Box, place: Place, saliency: SaliencyMap
    ) -> Verdict:
        return self.agents.verifier.verify(
            VerifyRequest(
                before_rgb=before,
                after_rgb=after,
                region=place.region,
                diagnosis=place.diagnosis,
                changed_box=box,
                prompt=self.prompt,
                saliency_before=saliency,
                tool=place.step.tool or "",
            )
        )
