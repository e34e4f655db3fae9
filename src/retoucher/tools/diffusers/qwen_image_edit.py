"""Qwen-Image-Edit: follows an instruction over the whole crop, or inside the mask.

Its pipelines bring every picture to about a megapixel and answer at that size.
"""

from __future__ import annotations

from dataclasses import dataclass

from retoucher.tools.diffusers.family import GEOMETRIC, INTERACTION, TEXT, Family, tool_card
from retoucher.tools.diffusers.settings import PipelineSettings
from retoucher.tools.diffusers.tool import Ask, DiffusersTool, S, with_strength

_LARGE = ("transformer", "text_encoder")
_MEMORY_GB = 58.0


@dataclass(frozen=True, slots=True, kw_only=True)
class QwenImageEditSettings(PipelineSettings):
    """See `PipelineSettings`.

    Attributes:
        true_cfg: classifier-free guidance: how closely the words are followed; 1 with a few-step
            LoRA, which needs none (and then half the time).
        negative_prompt: what must not be there, beside what the plan says. Guidance needs one, so
            an empty one is sent as " ".
        max_tokens: of the words.
    """

    repository: str = "Qwen/Qwen-Image-Edit"
    true_cfg: float = 4.0
    negative_prompt: str = ""
    max_tokens: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class QwenImageEditPlusSettings(QwenImageEditSettings):
    """See `QwenImageEditSettings`."""

    repository: str = "Qwen/Qwen-Image-Edit-2509"


@dataclass(frozen=True, slots=True, kw_only=True)
class QwenImageEditInpaintSettings(QwenImageEditSettings):
    """See `QwenImageEditSettings`.

    Attributes:
        strength: share of the old picture that is given up; None: as the plan says, or else the
            pipeline's own default.
    """

    strength: float | None = None


def _arguments(ask: Ask[S], settings: QwenImageEditSettings) -> dict[str, object]:
    said: dict[str, object] = {
        "prompt": ask.words,
        "image": ask.canvas.image,
        "true_cfg_scale": settings.true_cfg,
        "max_sequence_length": settings.max_tokens,
    }
    if settings.true_cfg > 1:
        said["negative_prompt"] = settings.negative_prompt or " "
    return said


def _whole_crop(ask: Ask[S], settings: QwenImageEditSettings) -> dict[str, object]:
    said = _arguments(ask, settings)
    if ask.canvas.shrink < 1:
        said["height"], said["width"] = ask.canvas.megapixel_sides(16)
    return said


class QwenImageEditTool(DiffusersTool[QwenImageEditSettings]):
    """`QwenImageEditPipeline`."""

    settings_type = QwenImageEditSettings
    family = Family(pipeline="QwenImageEditPipeline", large=_LARGE, own_size=True)
    card = tool_card(
        "qwen-image-edit",
        "edits the crop as told, with Qwen-Image-Edit",
        priority=36,
        memory_gb=_MEMORY_GB,
        kind="instruction",
        categories=TEXT | INTERACTION,
    )

    def arguments(self, ask: Ask[QwenImageEditSettings]) -> dict[str, object]:
        return _whole_crop(ask, ask.settings)


class QwenImageEditPlusTool(DiffusersTool[QwenImageEditPlusSettings]):
    """`QwenImageEditPlusPipeline`."""

    settings_type = QwenImageEditPlusSettings
    family = Family(pipeline="QwenImageEditPlusPipeline", large=_LARGE, own_size=True)
    card = tool_card(
        "qwen-image-edit-plus",
        "edits the crop as told, with Qwen-Image-Edit of September 2025 or later",
        priority=38,
        memory_gb=_MEMORY_GB,
        kind="instruction",
        categories=TEXT | INTERACTION,
    )

    def arguments(self, ask: Ask[QwenImageEditPlusSettings]) -> dict[str, object]:
        return _whole_crop(ask, ask.settings)


class QwenImageEditInpaintTool(DiffusersTool[QwenImageEditInpaintSettings]):
    """`QwenImageEditInpaintPipeline`."""

    settings_type = QwenImageEditInpaintSettings
    family = Family(
        pipeline="QwenImageEditInpaintPipeline", large=_LARGE, own_size=True, shrinks=False
    )
    card = tool_card(
        "qwen-image-edit-inpaint",
        "edits inside the mask as told, with Qwen-Image-Edit",
        priority=35,
        memory_gb=_MEMORY_GB,
        categories=TEXT | GEOMETRIC,
    )

    def arguments(self, ask: Ask[QwenImageEditInpaintSettings]) -> dict[str, object]:
        return _arguments(ask, ask.settings) | {
            "mask_image": ask.canvas.mask,
            **with_strength(ask.settings.strength),
        }
