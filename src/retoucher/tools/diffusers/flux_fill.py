"""FLUX.1 Fill: repaints the masked place by its description."""

from __future__ import annotations

from dataclasses import dataclass

from retoucher.tools.diffusers.family import Family, tool_card
from retoucher.tools.diffusers.settings import InpaintingSettings
from retoucher.tools.diffusers.tool import Ask, DiffusersTool, repainting


@dataclass(frozen=True, slots=True, kw_only=True)
class FluxFillSettings(InpaintingSettings):
    """See `InpaintingSettings`. The guidance is distilled; Fill wants much of it.

    Attributes:
        max_tokens: of the words, for T5.
    """

    repository: str = "black-forest-labs/FLUX.1-Fill-dev"
    guidance: float = 30.0
    max_tokens: int = 512


class FluxFillTool(DiffusersTool[FluxFillSettings]):
    """`FluxFillPipeline`."""

    settings_type = FluxFillSettings
    family = Family(
        pipeline="FluxFillPipeline", large=("transformer", "text_encoder_2"), multiple=16
    )
    card = tool_card(
        "flux-fill",
        "repaints the place with FLUX.1 Fill",
        priority=34,
        memory_gb=34.0,
        licence="FLUX.1-dev-Non-Commercial",
    )

    def arguments(self, ask: Ask[FluxFillSettings]) -> dict[str, object]:
        return repainting(ask) | {"max_sequence_length": ask.settings.max_tokens}
