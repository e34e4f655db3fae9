"""What the families of models have in common, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
