"""FLUX.1 Kontext: follows an instruction inside the mask, looking at the whole crop."""

from __future__ import annotations

from dataclasses import dataclass

from retoucher.tools.diffusers.family import GEOMETRIC, TEXT, Family, tool_card
from retoucher.tools.diffusers.settings import InpaintingSettings
from retoucher.tools.diffusers.tool import Ask, DiffusersTool, repainting


@dataclass(frozen=True, slots=True, kw_only=True)
class FluxKontextSettings(InpaintingSettings):
    """See `InpaintingSettings`; the guidance is distilled.

    Attributes:
        true_cfg: classifier-free guidance on top; above 1 it takes twice the time.
        negative_prompt: what must not be there, beside what the plan says; used where true_cfg is
            above 1.
        max_tokens: of the words, for T5.
    """

    repository: str = "black-forest-labs/FLUX.1-Kontext-dev"
    steps: int = 28
    guidance: float = 3.5
    true_cfg: float = 1.0
    negative_prompt: str = ""
    max_tokens: int = 512


class FluxKontextInpaintTool(DiffusersTool[FluxKontextSettings]):
    """`FluxKontextInpaintPipeline`, which resizes to the nearest of the model's own sizes."""

    settings_type = FluxKontextSettings
    family = Family(
        pipeline="FluxKontextInpaintPipeline",
        large=("transformer", "text_encoder_2"),
        own_size=True,
    )
    card = tool_card(
        "flux-kontext-inpaint",
        "edits inside the mask as told, with FLUX.1 Kontext",
        priority=33,
        memory_gb=34.0,
        categories=TEXT | GEOMETRIC,
        licence="FLUX.1-dev-Non-Commercial",
    )

    def arguments(self, ask: Ask[FluxKontextSettings]) -> dict[str, object]:
        settings, image = ask.settings, ask.canvas.image
        height, width = ask.canvas.megapixel_sides(16)
        reduced = ask.canvas.shrink < 1
        said = repainting(ask) | {
            "image": image.resize((width, height)) if reduced else image,
            "height": height,
            "width": width,
            "max_area": height * width,
            "_auto_resize": not reduced,
            "true_cfg_scale": settings.true_cfg,
            "max_sequence_length": settings.max_tokens,
        }
        if settings.true_cfg > 1:
            said["negative_prompt"] = settings.negative_prompt or " "
        return said
