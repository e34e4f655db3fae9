"""What the families of models have in common, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from retoucher.agents import ToolSpec

TEXT = frozenset({"text_garbled", "text_wrong"})
INTERACTION = frozenset({"interaction_contact", "interaction_physics"})
GEOMETRIC = INTERACTION | {
    "hand_finger_count",
    "hand_shape",
    "face_feature",
    "face_asymmetry",
    "limb_count",
    "limb_shape",
    "object_structure",
    "object_texture",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How one family of pipelines is loaded and what size of picture it takes.

    Attributes:
        pipeline: name of the class in diffusers.
        half: what "auto" precision is on an accelerator.
        large: components that quantisation is for.
        multiple: both sides of a picture are multiples of this.
        own_size: the pipeline resizes every picture to about a megapixel by itself.
        shrinks: it can be made to work at a smaller size when memory runs out.
    """

    pipeline: str
    half: Literal["bfloat16", "float16"] = "bfloat16"
    large: tuple[str, ...] = ("transformer",)
    multiple: int = 8
    own_size: bool = False
    shrinks: bool = True


def tool_card(
    name: str,
    summary: str,
    *,
    priority: int,
    memory_gb: float = 0.0,
    kind: Literal["mask", "instruction"] = "mask",
    categories: frozenset[str] = GEOMETRIC,
    licence: str = "Apache-2.0",
) -> ToolSpec:
    """The spec of a diffusion tool: what all of them have in common, and these."""
    return ToolSpec(
        name=name,
        version="1",
        kind=kind,
        summary=summary,
        categories=categories,
        priority=priority,
        context_factor=2.0,
        uses_prompt=True,
        licence=licence,
        extra="diffusers",
        opt_in=True,
        memory_gb=memory_gb,
    )
