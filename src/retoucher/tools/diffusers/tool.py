"""What all diffusion tools do: get the pipeline, run it on the crop, put its picture back.

Where memory runs out the pipeline keeps less of itself on the accelerator, then works at a smaller
size; what was given up is said in `notes`, and the edit fails only when nothing is left to give up.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, TypeVar, cast

from retoucher.agents import EditRequest, RgbArray, SizeNeeds, ToolSpec
from retoucher.domain.codec import to_json
from retoucher.domain.diagnosis import Json
from retoucher.domain.trace import AgentInfo
from retoucher.errors import Cancelled, RetoucherError, ToolError
from retoucher.tools.diffusers.cache import SHARED, Pipelines
from retoucher.tools.diffusers.family import Family
from retoucher.tools.diffusers.frame import Canvas, lay_out, onto_crop, to_levels
from retoucher.tools.diffusers.loading import Loaded, free_memory, is_out_of_memory, library
from retoucher.tools.diffusers.settings import (
    InpaintingSettings,
    PipelineSettings,
    strength_note,
    with_params,
)

S = TypeVar("S", bound=PipelineSettings)
M = TypeVar("M", bound=InpaintingSettings)

OnStep = Callable[[Any, int, Any, dict[str, Any]], dict[str, Any]]
"""A pipeline's `callback_on_step_end`: the pipeline, the step, its time, its tensors."""

_LOG = logging.getLogger(__name__)
_SHRINKS = (1.0, 0.75, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ask(Generic[S]):
    """One run of a pipeline: the picture, the words and the settings.

    `words` say what the place should look like: the request's instruction, or else the prompt.
    """

    canvas: Canvas
    words: str
    settings: S
    pipe: Any


class DiffusersTool(ABC, Generic[S]):
    """A tool of one family of pipelines. Making one is cheap; weights load at the first edit.

    Attributes:
        settings_type: of its settings.
        family: how its pipelines are loaded.
        card: its spec, but for what the settings change.
        notes: of the last edit, what was not done as asked (memory ran out, a setting of the
            user's counts instead of the plan), one line each.
    """

    settings_type: ClassVar[type[PipelineSettings]]
    family: ClassVar[Family]
    card: ClassVar[ToolSpec]

    def __init__(
        self,
        settings: S | None = None,
        pipelines: Pipelines = SHARED,
        on_step: OnStep | None = None,
    ) -> None:
        """Settings (None: defaults), where pipelines come from, and who is told of every step."""
        self.settings: S = cast(S, self.settings_type()) if settings is None else settings
        self.notes: tuple[str, ...] = ()
        self._pipelines, self._on_step = pipelines, on_step

    @property
    def spec(self) -> ToolSpec:
        own = self.settings.repository == self.settings_type().repository
        licence = self.settings.licence or (self.card.licence if own else "unknown")
        return replace(self.card, size=self._needs(), licence=licence)

    @property
    def info(self) -> AgentInfo:
        """What ran: the settings and, once loaded, what was really used."""
        told = cast("dict[str, Json]", to_json(self.settings))
        loaded = self._pipelines.peek(self.family, self.settings)
        if loaded is not None:
            used = {"dtype": loaded.dtype, "offload": loaded.offload, "commit": loaded.commit}
            told |= {"used": cast(Json, used)}
        return AgentInfo(
            role="tool",
            name=self.card.name,
            version=self.card.version,
            device=self.settings.device if loaded is None else loaded.device,
            settings=told,
        )

    @abstractmethod
    def arguments(self, ask: Ask[S]) -> dict[str, object]:
        """What this family's pipeline is called with, beside what all are."""

    def edit(self, request: EditRequest) -> RgbArray:
        """Repaint the masked place; see `Tool.edit`.

        `params` may hold "steps", "guidance", "true_cfg", "strength" and "negative_prompt", where
        the tool has them: see `with_params`.
        """
        note = strength_note(self.settings, request.params)
        self.notes = () if note is None else (note,)
        if request.cancelled():
            raise Cancelled("stopped before the first step")
        if not request.mask_hw.any():
            raise ToolError("the mask is empty, so there is nothing to repaint")
        settings = with_params(self.settings, request.params)
        loaded = self._pipelines.get(self.family, settings, self._note)
        with loaded.lock:
            picture = self._run(loaded, request, settings)
        return onto_crop(picture, request.crop_rgb, request.mask_hw)

    def _run(self, loaded: Loaded, request: EditRequest, settings: S) -> RgbArray:
        """The pipeline's picture, with as much memory as there is."""
        out_of_memory = ""
        for shrink in _SHRINKS if self.family.shrinks else _SHRINKS[:1]:
            if shrink < 1:
                self._note(f"out of memory on {loaded.device}: working at {shrink:.0%} of the size")
            while True:
                picture, out_of_memory = self._attempt(loaded, request, settings, shrink)
                if picture is not None:
                    return picture
                free_memory()
                if not self._give_up_some(loaded):
                    break
        raise ToolError(
            f"{self.card.name} has not enough memory on {loaded.device}, not even with less of it"
            f" in use; lower max_side_px, or set quantisation ({out_of_memory})"
        )

    def _attempt(
        self, loaded: Loaded, request: EditRequest, settings: S, shrink: float
    ) -> tuple[RgbArray | None, str]:
        """The picture, or None and what was said where memory ran out.

        When this returns nothing holds on to the tensors of a failed run any more.
        """
        try:
            return self._once(loaded, request, settings, shrink), ""
        except Exception as error:
            if loaded.offload == "model":  # back to where the parts wait for the next run
                loaded.pipe.maybe_free_model_hooks()
            if isinstance(error, RetoucherError):
                raise
            said = " ".join(str(error).split())[:300]
            if is_out_of_memory(error):
                return None, said
            raise ToolError(f"{self.card.name}: {type(error).__name__}: {said}") from error

    def _give_up_some(self, loaded: Loaded) -> bool:
        """Other pipelines first, then this one's place on the accelerator."""
        return self._pipelines.drop_others(loaded, self._note) or loaded.step_down(self._note)

    def _once(self, loaded: Loaded, request: EditRequest, settings: S, shrink: float) -> RgbArray:
        torch = library("torch")
        # A pipeline with a size of its own is told the smaller one instead of a smaller picture.
        smaller = 1.0 if self.family.own_size else shrink
        canvas = lay_out(request.crop_rgb, request.mask_hw, self._needs(), smaller)
        canvas = replace(canvas, shrink=shrink)
        words = request.instruction or request.prompt
        ask = Ask(canvas=canvas, words=words, settings=settings, pipe=loaded.pipe)
        result = loaded.pipe(
            **self.arguments(ask),
            num_inference_steps=settings.steps,
            # On the CPU, so that a seed gives the same noise wherever the model runs.
            generator=torch.Generator("cpu").manual_seed(request.seed),
            callback_on_step_end=_after_step(request.cancelled, self._on_step),
            output_type="np",
        )
        if getattr(loaded.pipe, "interrupt", False):
            raise Cancelled("the callback interrupted the pipeline")
        flagged = getattr(result, "nsfw_content_detected", None)
        if flagged and flagged[0]:
            raise ToolError(
                f"{self.card.name}: the model's safety checker refused its own picture; another"
                " seed may do, or set safety = false"
            )
        return to_levels(result.images[0])

    def _needs(self) -> SizeNeeds:
        settings, family = self.settings, self.family
        if family.own_size:
            return SizeNeeds(max_side_px=settings.max_side_px)
        multiple = family.multiple
        low = -(-settings.min_side_px // multiple) * multiple
        high = settings.max_side_px // multiple * multiple
        return SizeNeeds(min_side_px=low, max_side_px=max(low, high), multiple=multiple)

    def _note(self, text: str) -> None:
        self.notes = (*self.notes, text)
        _LOG.warning("%s: %s", self.card.name, text)


def repainting(ask: Ask[M]) -> dict[str, object]:
    """What pipelines that repaint a mask are called with."""
    settings, canvas = ask.settings, ask.canvas
    said: dict[str, object] = {
        "prompt": ask.words,
        "image": canvas.image,
        "mask_image": canvas.mask,
        "height": canvas.height,
        "width": canvas.width,
        "guidance_scale": settings.guidance,
    }
    return said | with_strength(settings.strength)


def with_strength(strength: float | None) -> dict[str, object]:
    """The pipeline's argument; without one its own default holds."""
    return {} if strength is None else {"strength": strength}


def _after_step(cancelled: Callable[[], bool], on_step: OnStep | None) -> OnStep:
    """A `callback_on_step_end` that leaves the pipeline as soon as it is asked to."""

    def after_step(pipe: Any, step: int, time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        if cancelled():
            raise Cancelled(f"stopped after step {step + 1}")
        return tensors if on_step is None else on_step(pipe, step, time, tensors)

    return after_step
