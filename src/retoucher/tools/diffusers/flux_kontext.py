"""FLUX.1 Kontext: follows an instruction inside the mask, looking at the whole crop."""

from __future__ import annotations

from dataclasses import dataclass

from retoucher.agents import ToolSpec
from retoucher.tools.diffusers.family import GEOMETRIC, TEXT, Family
from retoucher.tools.diffusers.settings import PipelineSettings
from retoucher.tools.diffusers.tool import Ask, DiffusersTool


@dataclass(frozen=True, slots=True, kw_only=True)
class FluxKontextSettings(PipelineSettings):
    """See `PipelineSettings`.

    Attributes:
        guidance: how closely the words are followed (distilled guidance).
        true_cfg: classifier-free guidance on top; above 1 it takes twice the time.
        negative_prompt: what must not be there; used where true_cfg is above 1.
        strength: share of the old picture that is given up.
        max_tokens: of the words, for T5.
    """

    repository: str = "black-forest-labs/FLUX.1-Kontext-dev"
    steps: int = 28
    guidance: float = 3.5
    true_cfg: float = 1.0
    negative_prompt: str = ""
    strength: float = 1.0
    max_tokens: int = 512


class FluxKontextInpaintTool(DiffusersTool[FluxKontextSettings]):
    """`FluxKontextInpaintPipeline`, which resizes to the nearest of the model's own sizes."""

    settings_type = FluxKontextSettings
    family = Family(
        pipeline="FluxKontextInpaintPipeline",
        large=("transformer", "text_encoder_2"),
        own_size=True,
    )
    card = ToolSpec(
        name="flux-kontext-inpaint",
        version="1",
        kind="mask",
        summary="edits inside the mask as told, with FLUX.1 Kontext",
        categories=TEXT | GEOMETRIC,
        priority=33,
        context_factor=2.0,
        uses_prompt=True,
        licence="FLUX.1-dev-Non-Commercial",
        extra="diffusers",
        opt_in=True,
        memory_gb=34.0,
    )

    def arguments(self, ask: Ask[FluxKontextSettings]) -> dict[str, object]:
        settings, image = ask.settings, ask.canvas.image
        height, width = ask.canvas.megapixel_sides(16)
        reduced = ask.canvas.shrink < 1
        said: dict[str, object] = {
            "prompt": ask.words,
            "image": image.resize((width, height)) if reduced else image,
            "mask_image": ask.canvas.mask,
            "height": height,
            "width": width,
            "max_area": height * width,
            "_auto_resize": not reduced,
            "strength": settings.strength,
            "guidance_scale": settings.guidance,
            "true_cfg_scale": settings.true_cfg,
            "max_sequence_length": settings.max_tokens,
        }
        if settings.true_cfg > 1:
            said["negative_prompt"] = settings.negative_prompt or " "
        return said
