"""FLUX.2 klein: repaints the masked place, looking at the whole crop."""

from __future__ import annotations

from dataclasses import dataclass

from retoucher.tools.diffusers.family import GEOMETRIC, TEXT, Family, tool_card
from retoucher.tools.diffusers.settings import InpaintingSettings
from retoucher.tools.diffusers.tool import Ask, DiffusersTool, repainting


@dataclass(frozen=True, slots=True, kw_only=True)
class Flux2KleinSettings(InpaintingSettings):
    """See `InpaintingSettings`. The defaults are for the base models.

    The distilled ones ("black-forest-labs/FLUX.2-klein-4B") want steps = 4 and guidance = 1.

    Attributes:
        max_tokens: of the words.
    """

    repository: str = "black-forest-labs/FLUX.2-klein-base-4B"
    guidance: float = 8.0
    max_tokens: int = 512


class Flux2KleinInpaintTool(DiffusersTool[Flux2KleinSettings]):
    """`Flux2KleinInpaintPipeline`."""

    settings_type = Flux2KleinSettings
    family = Family(
        pipeline="Flux2KleinInpaintPipeline", large=("transformer", "text_encoder"), multiple=16
    )
    card = tool_card(
        "flux2-klein-inpaint",
        "repaints the place with FLUX.2 klein",
        priority=37,
        memory_gb=16.0,
        categories=TEXT | GEOMETRIC,
    )

    def arguments(self, ask: Ask[Flux2KleinSettings]) -> dict[str, object]:
        return repainting(ask) | {"max_sequence_length": ask.settings.max_tokens}
