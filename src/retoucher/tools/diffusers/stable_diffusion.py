"""Stable Diffusion 1.5 and XL inpainting: repaint the masked place by its description."""

from __future__ import annotations

from dataclasses import dataclass

from retoucher.tools.diffusers.family import Family, tool_card
from retoucher.tools.diffusers.settings import InpaintingSettings
from retoucher.tools.diffusers.tool import Ask, DiffusersTool, repainting


@dataclass(frozen=True, slots=True, kw_only=True)
class SDInpaintingSettings(InpaintingSettings):
    """See `InpaintingSettings`.

    Attributes:
        negative_prompt: what must not be there, beside what the plan says.
        safety: run the model's own safety checker; a picture it refuses is no edit.
    """

    repository: str = "stable-diffusion-v1-5/stable-diffusion-inpainting"
    max_side_px: int = 768
    negative_prompt: str = ""
    safety: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SDXLInpaintingSettings(InpaintingSettings):
    """See `InpaintingSettings`; at a strength of 1 exactly the model starts from noise alone, which
    it was not trained for.

    Attributes:
        negative_prompt: what must not be there, beside what the plan says.
    """

    repository: str = "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"
    min_side_px: int = 768
    negative_prompt: str = ""


class SDInpaintingTool(DiffusersTool[SDInpaintingSettings]):
    """`StableDiffusionInpaintPipeline`."""

    settings_type = SDInpaintingSettings
    family = Family(
        pipeline="StableDiffusionInpaintPipeline", half="float16", large=("unet",), multiple=8
    )
    card = tool_card(
        "sd-inpainting",
        "repaints the place with Stable Diffusion 1.5 inpainting",
        priority=30,
        memory_gb=3.0,
        licence="CreativeML-OpenRAIL-M",
    )

    def arguments(self, ask: Ask[SDInpaintingSettings]) -> dict[str, object]:
        return repainting(ask) | {"negative_prompt": ask.settings.negative_prompt}


class SDXLInpaintingTool(DiffusersTool[SDXLInpaintingSettings]):
    """`StableDiffusionXLInpaintPipeline`."""

    settings_type = SDXLInpaintingSettings
    family = Family(
        pipeline="StableDiffusionXLInpaintPipeline",
        half="float16",
        large=("unet", "text_encoder_2"),
        multiple=8,
    )
    card = tool_card(
        "sdxl-inpainting",
        "repaints the place with Stable Diffusion XL inpainting",
        priority=32,
        memory_gb=8.0,
        licence="CreativeML-OpenRAIL++-M",
    )

    def arguments(self, ask: Ask[SDXLInpaintingSettings]) -> dict[str, object]:
        return repainting(ask) | {"negative_prompt": ask.settings.negative_prompt}
