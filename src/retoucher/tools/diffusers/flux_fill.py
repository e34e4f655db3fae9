"""FLUX.1 Fill: repaints the masked place by its description."""

from __future__ import annotations

from dataclasses import dataclass

from retoucher.agents import ToolSpec
from retoucher.tools.diffusers.family import GEOMETRIC, Family
from retoucher.tools.diffusers.settings import PipelineSettings
from retoucher.tools.diffusers.tool import Ask, DiffusersTool


@dataclass(frozen=True, slots=True, kw_only=True)
class FluxFillSettings(PipelineSettings):
    """See `PipelineSettings`.

    Attributes:
        guidance: how closely the words are followed (distilled guidance; Fill wants much of it).
        strength: share of the old picture that is given up.
        max_tokens: of the words, for T5.
    """

    repository: str = "black-forest-labs/FLUX.1-Fill-dev"
    guidance: float = 30.0
    strength: float = 1.0
    max_tokens: int = 512


class FluxFillTool(DiffusersTool[FluxFillSettings]):
    """`FluxFillPipeline`."""

    settings_type = FluxFillSettings
    family = Family(
        pipeline="FluxFillPipeline", large=("transformer", "text_encoder_2"), multiple=16
    )
    card = ToolSpec(
        name="flux-fill",
        version="1",
        kind="mask",
        summary="repaints the place with FLUX.1 Fill",
        categories=GEOMETRIC,
        priority=34,
        context_factor=2.0,
        uses_prompt=True,
        licence="FLUX.1-dev-Non-Commercial",
        extra="diffusers",
        opt_in=True,
        memory_gb=34.0,
    )

    def arguments(self, ask: Ask[FluxFillSettings]) -> dict[str, object]:
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
