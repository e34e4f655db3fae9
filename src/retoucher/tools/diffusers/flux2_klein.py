"""FLUX.2 klein: repaints the masked place, looking at the whole crop."""

from __future__ import annotations

from dataclasses import dataclass

from retoucher.agents import ToolSpec
from retoucher.tools.diffusers.family import GEOMETRIC, TEXT, Family
from retoucher.tools.diffusers.settings import PipelineSettings
from retoucher.tools.diffusers.tool import Ask, DiffusersTool


@dataclass(frozen=True, slots=True, kw_only=True)
class Flux2KleinSettings(PipelineSettings):
    """See `PipelineSettings`. The defaults are for the base models.

    The distilled ones ("black-forest-labs/FLUX.2-klein-4B") want steps = 4 and guidance = 1.

    Attributes:
        guidance: classifier-free guidance: how closely the words are followed.
        strength: share of the old picture that is given up.
        max_tokens: of the words.
    """

    repository: str = "black-forest-labs/FLUX.2-klein-base-4B"
    guidance: float = 8.0
    strength: float = 0.8
    max_tokens: int = 512


class Flux2KleinInpaintTool(DiffusersTool[Flux2KleinSettings]):
    """`Flux2KleinInpaintPipeline`."""

    settings_type = Flux2KleinSettings
    family = Family(
        pipeline="Flux2KleinInpaintPipeline", large=("transformer", "text_encoder"), multiple=16
    )
    card = ToolSpec(
        name="flux2-klein-inpaint",
        version="1",
        kind="mask",
        summary="repaints the place with FLUX.2 klein",
        categories=TEXT | GEOMETRIC,
        priority=37,
        context_factor=2.0,
        uses_prompt=True,
        extra="diffusers",
        opt_in=True,
        memory_gb=16.0,
    )

    def arguments(self, ask: Ask[Flux2KleinSettings]) -> dict[str, object]:
        return {
            "prompt": ask.words,
            "image": ask.canvas.image,
            "mask_image": ask.canvas.mask,
            "height": ask.canvas.height,
            "width": ask.canvas.width,
            "strength": ask.settings.strength,
            "guidance_scale": ask.settings.guidance,
            "max_sequence_length": ask.settings.max_tokens,
        }
