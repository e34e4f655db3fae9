"""Stable Diffusion 1.5 and XL inpainting: repaint the masked place by its description."""

from __future__ import annotations

from dataclasses import dataclass

from retoucher.agents import ToolSpec
from retoucher.tools.diffusers.family import GEOMETRIC, Family
from retoucher.tools.diffusers.settings import PipelineSettings
from retoucher.tools.diffusers.tool import Ask, DiffusersTool


@dataclass(frozen=True, slots=True, kw_only=True)
class SDInpaintingSettings(PipelineSettings):
    """See `PipelineSettings`.

    Attributes:
        guidance: classifier-free guidance: how closely the words are followed.
        strength: share of the old picture that is given up.
        negative_prompt: what must not be there.
        safety: run the model's own safety checker; a picture it refuses is no edit.
    """

    repository: str = "stable-diffusion-v1-5/stable-diffusion-inpainting"
    max_side_px: int = 768
    guidance: float = 7.5
    strength: float = 1.0
    negative_prompt: str = ""
    safety: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class SDXLInpaintingSettings(PipelineSettings):
    """See `PipelineSettings`.

    Attributes:
        guidance: classifier-free guidance: how closely the words are followed.
        strength: share of the old picture that is given up; at 1 exactly the model starts from
            noise alone, which it was not trained for.
        negative_prompt: what must not be there.
    """

    repository: str = "diffusers/stable-diffusion-xl-1.0-inpainting-0.1"
    min_side_px: int = 768
    guidance: float = 7.5
    strength: float = 0.9999
    negative_prompt: str = ""


def _arguments(ask: Ask[SDInpaintingSettings] | Ask[SDXLInpaintingSettings]) -> dict[str, object]:
    return {
        "prompt": ask.words,
        "negative_prompt": ask.settings.negative_prompt,
        "image": ask.canvas.image,
        "mask_image": ask.canvas.mask,
        "height": ask.canvas.height,
        "width": ask.canvas.width,
        "strength": ask.settings.strength,
        "guidance_scale": ask.settings.guidance,
    }


class SDInpaintingTool(DiffusersTool[SDInpaintingSettings]):
    """`StableDiffusionInpaintPipeline`."""

    settings_type = SDInpaintingSettings
    family = Family(
        pipeline="StableDiffusionInpaintPipeline", half="float16", large=("unet",), multiple=8
    )
    card = ToolSpec(
        name="sd-inpainting",
        version="1",
        kind="mask",
        summary="repaints the place with Stable Diffusion 1.5 inpainting",
        categories=GEOMETRIC,
        priority=30,
        context_factor=2.0,
        uses_prompt=True,
        licence="CreativeML-OpenRAIL-M",
        extra="diffusers",
        opt_in=True,
        memory_gb=3.0,
    )

    def arguments(self, ask: Ask[SDInpaintingSettings]) -> dict[str, object]:
        return _arguments(ask)


class SDXLInpaintingTool(DiffusersTool[SDXLInpaintingSettings]):
    """`StableDiffusionXLInpaintPipeline`."""

    settings_type = SDXLInpaintingSettings
    family = Family(
        pipeline="StableDiffusionXLInpaintPipeline",
        half="float16",
        large=("unet", "text_encoder_2"),
        multiple=8,
    )
    card = ToolSpec(
        name="sdxl-inpainting",
        version="1",
        kind="mask",
        summary="repaints the place with Stable Diffusion XL inpainting",
        categories=GEOMETRIC,
        priority=32,
        context_factor=2.0,
        uses_prompt=True,
        licence="CreativeML-OpenRAIL++-M",
        extra="diffusers",
        opt_in=True,
        memory_gb=8.0,
    )

    def arguments(self, ask: Ask[SDXLInpaintingSettings]) -> dict[str, object]:
        return _arguments(ask)
