"""After a diffusers pipeline: retouch what it made, with the weights that are loaded already.

pipe = FluxPipeline.from_pretrained(...).to("cuda")
image = pipe(prompt, generator=generator).images[0]
result = retouch(pipe, image, prompt=prompt, generator=generator)
result.image.save("retouched.png")
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from retoucher.api import Result, Retoucher
from retoucher.config import Settings
from retoucher.domain.events import Event
from retoucher.domain.region import Region
from retoucher.errors import InputError
from retoucher.tools.diffusers.any_repository import AnyRepositorySettings, AnyRepositoryTool
from retoucher.tools.diffusers.family import Family
from retoucher.tools.diffusers.loading import Loaded, library, size_bytes
from retoucher.tools.diffusers.settings import PipelineSettings
from retoucher.tools.diffusers.tool import OnStep

_SIBLINGS = {
    "FluxKontextPipeline": "FluxKontextInpaintPipeline",
    "Flux2KleinPipeline": "Flux2KleinInpaintPipeline",
    "QwenImageEditPipeline": "QwenImageEditInpaintPipeline",
}
"""Inpainting pipelines over the same parts that diffusers' own table does not know."""

TOOL = AnyRepositoryTool.card.name


def retouch(
    pipe: Any,
    image: Image.Image,
    *,
    prompt: str,
    generator: Any = None,
    callback_on_step_end: OnStep | None = None,
    settings: Settings | None = None,
    inpainting: AnyRepositorySettings | None = None,
    regions: Sequence[Region] | None = None,
    on_event: Callable[[Event], None] | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Result:
    """Find, repair and verify the defects of a picture that the pipeline made.

    Args:
        pipe: any diffusers pipeline that diffusers can make an inpainting pipeline from. Its parts
            are used where they are, and put nowhere else: no second copy in memory.
        image: what it made.
        prompt: what it was told to make.
        generator: the `torch.Generator` of the call; the seed is drawn from it, so that the same
            generator gives the same picture. None: `settings.seed`.
        callback_on_step_end: as for the pipeline, called after each step of each repair. Where it
            sets `pipe._interrupt`, that repair is given up.
        settings: of the run. None: lettering is set anew where its words are known, everything
            else is inpainted with the pipeline.
        inpainting: steps, guidance, strength and sizes of the inpainting pipeline; None: its own.
        regions, on_event, cancelled: as in `Retoucher.fix`.

    Raises:
        InputError: the pipeline has no inpainting sibling, or the picture cannot be used.
        MissingDependencyError: diffusers is not installed.
    """
    settings = settings or Settings()
    if generator is not None:
        settings = replace(settings, seed=_seed(generator))
    retoucher = retoucher_for(
        pipe,
        settings=settings,
        inpainting=inpainting,
        callback_on_step_end=callback_on_step_end,
    )
    return retoucher.fix(
        image, prompt=prompt, regions=regions, on_event=on_event, cancelled=cancelled
    )


def retoucher_for(
    pipe: Any,
    *,
    settings: Settings | None = None,
    inpainting: AnyRepositorySettings | None = None,
    callback_on_step_end: OnStep | None = None,
) -> Retoucher:
    """A retoucher for many pictures of one pipeline; see `retouch`.

    Where `settings.preference.tools` is empty it becomes ("lettering", "diffusers").
    """
    settings = settings or Settings()
    preference = settings.preference
    if not preference.tools:
        settings = replace(settings, preference=replace(preference, tools=("lettering", TOOL)))
    inpaint_pipe = inpainting_pipeline(pipe)
    given = _Given(inpaint_pipe)
    tool = AnyRepositoryTool(
        replace(inpainting or _own_sizes(inpaint_pipe), repository=given.repository),
        pipelines=given,
        on_step=callback_on_step_end,
    )
    return Retoucher.from_profile(settings=settings, tools=[tool])


def inpainting_pipeline(pipe: Any) -> Any:
    """An inpainting pipeline over the same parts; the pipeline itself where it is one.

    Raises:
        InputError: there is none for this class.
    """
    diffusers = library("diffusers")
    if not isinstance(pipe, diffusers.DiffusionPipeline):
        raise InputError(f"expected a diffusers pipeline, got {type(pipe).__name__}")
    takes = inspect.signature(type(pipe).__call__).parameters
    if "mask_image" in takes and "image" in takes:
        return pipe
    sibling = _SIBLINGS.get(type(pipe).__name__)
    if sibling is not None:
        return _over_the_same_parts(getattr(diffusers, sibling), pipe)
    try:
        return diffusers.AutoPipelineForInpainting.from_pipe(pipe)
    except ValueError as error:
        raise InputError(
            f"diffusers has no inpainting pipeline over the parts of {type(pipe).__name__}; retouch"
            " with a tool of its own instead, such as `--tool flux-fill`"
        ) from error


def _over_the_same_parts(kind: Any, pipe: Any) -> Any:
    """Unlike diffusers' `from_pipe` this never converts a part to another precision."""
    wanted = inspect.signature(kind.__init__).parameters
    has = {**dict(pipe.config), **pipe.components}
    return kind(**{name: value for name, value in has.items() if name in wanted})


def _own_sizes(pipe: Any) -> AnyRepositorySettings:
    """Crops from half of the side that the model was trained at to all of it."""
    factor = int(getattr(pipe, "vae_scale_factor", 8))
    sample = getattr(pipe, "default_sample_size", None)
    if sample is None and getattr(pipe, "unet", None) is not None:
        sample = pipe.unet.config.sample_size
    side = int(sample or 128) * factor
    return AnyRepositorySettings(
        min_side_px=max(16, side // 2), max_side_px=max(16, side), steps=_default_steps(pipe)
    )


def _default_steps(pipe: Any) -> int:
    steps = inspect.signature(type(pipe).__call__).parameters["num_inference_steps"].default
    return steps if isinstance(steps, int) else AnyRepositorySettings().steps


def _seed(generator: Any) -> int:
    torch = importlib.import_module("torch")
    drawn = torch.randint(0, 2**31 - 1, (1,), generator=generator, device=generator.device)
    return int(drawn.item())


class _Given:
    """The caller's pipeline instead of a loaded one."""

    def __init__(self, pipe: Any) -> None:
        name = str(pipe.config.get("_name_or_path", "")) or type(pipe).__name__
        self.repository = name
        self._loaded = Loaded(
            pipe=pipe,
            device=str(getattr(pipe, "_execution_device", pipe.device)),
            offload="none",
            dtype=str(pipe.dtype).removeprefix("torch."),
            size_bytes=size_bytes(pipe),
            movable=False,
        )

    def get(
        self, family: Family, settings: PipelineSettings, note: Callable[[str], None]
    ) -> Loaded:
        return self._loaded

    def peek(self, family: Family, settings: PipelineSettings) -> Loaded | None:
        return self._loaded

    def drop_others(self, loaded: Loaded, note: Callable[[str], None]) -> bool:
        return False
