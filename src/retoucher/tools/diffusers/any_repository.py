"""Any inpainting model of the hub, or of a folder, whose pipeline diffusers knows."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any, cast

from retoucher.errors import ToolError
from retoucher.tools.diffusers.family import Family, tool_card
from retoucher.tools.diffusers.settings import PipelineSettings
from retoucher.tools.diffusers.tool import Ask, DiffusersTool

_NEEDED = ("image", "mask_image", "callback_on_step_end")


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyRepositorySettings(PipelineSettings):
    """See `PipelineSettings`; `repository` must be given. None leaves the pipeline's default.

    Attributes:
        guidance, true_cfg: how closely the words are followed, as the pipeline understands it.
        strength: share of the old picture that is given up; None: as the plan says.
        negative_prompt: what must not be there, beside what the plan says.
        safety: run the model's own safety checker where it has one.
    """

    guidance: float | None = None
    true_cfg: float | None = None
    strength: float | None = None
    negative_prompt: str | None = None
    safety: bool = True


class AnyRepositoryTool(DiffusersTool[AnyRepositorySettings]):
    """What `AutoPipelineForInpainting` finds for the repository."""

    settings_type = AnyRepositorySettings
    family = Family(
        pipeline="AutoPipelineForInpainting", large=("transformer", "unet"), multiple=16
    )
    card = tool_card(
        "diffusers",
        "repaints the place with any inpainting model that diffusers knows",
        priority=31,
        licence="unknown",
    )

    def arguments(self, ask: Ask[AnyRepositorySettings]) -> dict[str, object]:
        """Only what the pipeline takes.

        Raises:
            ToolError: it cannot be used, or does not take something that the settings say.
        """
        kind = cast("type[Any]", type(ask.pipe))
        takes = set(inspect.signature(kind.__call__).parameters)
        if missing := [name for name in _NEEDED if name not in takes]:
            raise ToolError(f"{kind.__name__} cannot be used: it takes no {missing[0]}")
        settings = ask.settings
        said: dict[str, object] = {
            "prompt": ask.words,
            "image": ask.canvas.image,
            "mask_image": ask.canvas.mask,
        }
        size = {"height": ask.canvas.height, "width": ask.canvas.width}
        said |= {name: value for name, value in size.items() if name in takes}
        asked = {
            "guidance_scale": (settings.guidance, self.settings.guidance),
            "true_cfg_scale": (settings.true_cfg, self.settings.true_cfg),
            "strength": (settings.strength, self.settings.strength),
            "negative_prompt": (settings.negative_prompt, self.settings.negative_prompt),
        }
        for name, (value, of_the_user) in asked.items():
            if name in takes:
                said |= {} if value is None else {name: value}
            elif of_the_user is not None:
                raise ToolError(f"{kind.__name__} takes no {name}; leave that setting out")
        return said
