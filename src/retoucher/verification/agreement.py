"""Does the picture agree with its prompt as well as before? By a dual encoder, if one is named.

Any model of transformers that embeds pictures and words into one space (CLIP, SigLIP and their
kin) will do. It looks at the whole picture and at the surroundings of the edit; neither may agree
less by more than the margin. Torch and transformers are imported at the first edit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from retoucher.agents import RgbArray, VerifyRequest
from retoucher.domain.geometry import Box
from retoucher.domain.verdict import Check
from retoucher.errors import ConfigError, MissingDependencyError
from retoucher.vision.hub import (
    DEVICE,
    commit_of,
    local_folder,
    not_loaded,
    torch_device,
    weight_digests,
)

NAME = "agreement"
Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementSettings:
    """Which model measures agreement with the prompt, and how much may be lost.

    Attributes:
        model: hub name or folder of a dual encoder; "": agreement is not measured.
        revision: commit, tag or branch of the hub's model; pin a commit to measure the same again.
        local_files_only: never download; what is missing is an error.
        device: "auto" (the first of cuda, mps, cpu that is there), "cpu", "cuda", "cuda:1", "mps".
        dtype: of the weights; "auto": as they are stored.
        margin: the cosine of picture and prompt may fall by at most this, 0 to 2.
        context_factor: side of the surroundings over the changed box's.

    Raises:
        ConfigError: on a value out of range.
    """

    model: str = ""
    revision: str | None = None
    local_files_only: bool = True
    device: str = "auto"
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    margin: float = 0.02
    context_factor: float = 2.0

    def __post_init__(self) -> None:
        if not DEVICE.fullmatch(self.device):
            raise ConfigError(f"device must be auto, cpu, mps, cuda or cuda:N, got {self.device!r}")
        if not 0.0 <= self.margin <= 2.0:
            raise ConfigError(f"margin must lie in [0, 2], got {self.margin}")
        if not 1.0 <= self.context_factor <= 100.0:
            raise ConfigError(f"context_factor must lie in [1, 100], got {self.context_factor}")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Loaded:
    model: Any
    tokenizer: Any
    pictures: Any
    max_tokens: int
    weights: dict[str, str]
    commit: str | None


class Agreement:
    """Agreement of pictures with their prompt, by one dual encoder; it is loaded at first use."""

    def __init__(self, settings: AgreementSettings) -> None:
        self._settings = settings
        self._loaded: _Loaded | None = None
        self._words: tuple[str, Vector] | None = None
        self._before: tuple[RgbArray, Box, list[Vector]] | None = None

    @property
    def weights(self) -> dict[str, str]:
        """Digests of the weights by file name, once loaded."""
        return {} if self._loaded is None else self._loaded.weights

    @property
    def commit(self) -> str | None:
        """The hub's commit of the weights, once loaded and where there is one."""
        return None if self._loaded is None else self._loaded.commit

    def check(self, request: VerifyRequest) -> Check:
        """Whether agreement fell; passes with "not measured" where there is no model or prompt.

        `before` and `after` are the cosine in the view, picture or surroundings, that lost more.

        Raises:
            MissingDependencyError: torch or transformers is not installed.
            ConfigError: the model is not there, or is no dual encoder.
        """
        settings = self._settings
        if not settings.model:
            return _not_measured("no model is named (verify.agreement.model)")
        if not request.prompt.strip():
            return _not_measured("the prompt is not known")
        box = _surroundings(request, settings.context_factor)
        if self._words is None or self._words[0] != request.prompt:
            self._words = request.prompt, self._text_vector(request.prompt)
        kept = self._before
        if kept is None or kept[0] is not request.before_rgb or kept[1] != box:
            kept = request.before_rgb, box, self._vectors(request.before_rgb, box)
            self._before = kept
        words = self._words[1]
        before = [float(v @ words) for v in kept[2]]
        after = [float(v @ words) for v in self._vectors(request.after_rgb, box)]
        worst = min(range(len(before)), key=lambda i: after[i] - before[i])
        was, now = before[worst], after[worst]
        passed = now >= was - settings.margin
        where = ("the picture", "the surroundings of the edit")[worst]
        return Check(
            name=NAME,
            passed=passed,
            before=was,
            after=now,
            detail=f"agreement of {where} with the prompt {'held' if passed else 'fell'}: "
            f"{was:.3f} to {now:.3f}",
        )

    def _vectors(self, image_rgb: RgbArray, box: Box) -> list[Vector]:
        """Of the picture and of its part, unit length."""
        import torch

        loaded = self._ready()
        views = [image_rgb, np.ascontiguousarray(image_rgb[box.slices])]
        inputs = loaded.pictures(images=views, return_tensors="pt").to(loaded.model.device)
        inputs["pixel_values"] = inputs["pixel_values"].to(loaded.model.dtype)
        with torch.inference_mode():
            found = _features(loaded.model.get_image_features(**inputs))
        return list(found)

    def _text_vector(self, prompt: str) -> Vector:
        import torch

        loaded = self._ready()
        inputs = loaded.tokenizer(
            [prompt],
            padding="max_length",  # as SigLIP was trained; CLIP does not mind
            max_length=loaded.max_tokens,
            truncation=True,
            return_tensors="pt",
        ).to(loaded.model.device)
        with torch.inference_mode():
            return _features(loaded.model.get_text_features(**inputs))[0]

    def _ready(self) -> _Loaded:
        if self._loaded is None:
            self._loaded = _load(self._settings)
        return self._loaded


def _load(settings: AgreementSettings) -> _Loaded:
    try:
        import torch
        from transformers import AutoImageProcessor, AutoModel, AutoTokenizer
    except ImportError as error:
        raise MissingDependencyError(
            "verify.agreement needs torch and transformers: pip install 'agentic-retoucher[vlm]'"
        ) from error
    offline = settings.local_files_only
    folder = local_folder(settings.model, settings.revision, offline=offline)
    try:
        model = cast(Any, AutoModel).from_pretrained(
            folder,
            dtype=settings.dtype if settings.dtype == "auto" else getattr(torch, settings.dtype),
            local_files_only=True,
            use_safetensors=True,
        )
        tokenizer = cast(Any, AutoTokenizer).from_pretrained(folder, local_files_only=True)
        pictures = cast(Any, AutoImageProcessor).from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError) as error:
        raise not_loaded("dual encoder", settings.model, error) from error
    if not (hasattr(model, "get_image_features") and hasattr(model, "get_text_features")):
        raise ConfigError(
            f"verify.agreement.model: {type(model).__name__} embeds no pictures and words into one "
            "space; name a CLIP or SigLIP model"
        )
    return _Loaded(
        model=model.to(torch_device(settings.device)).eval(),
        tokenizer=tokenizer,
        pictures=pictures,
        max_tokens=int(model.config.text_config.max_position_embeddings),
        weights=weight_digests(Path(folder)),
        commit=commit_of(Path(folder)),
    )


def _features(output: Any) -> Vector:
    """Rows of unit length, float32; transformers 5 wraps them."""
    tensor = getattr(output, "pooler_output", output)
    rows = np.asarray(tensor.float().cpu().numpy(), np.float32)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _surroundings(request: VerifyRequest, factor: float) -> Box:
    box = request.changed_box
    margin = math.ceil((factor - 1) * max(box.width, box.height) / 2)
    around = box.expand(margin).clip(*request.before_rgb.shape[:2])
    assert around is not None  # the changed box lies inside the picture
    return around


def _not_measured(why: str) -> Check:
    return Check(
        name=NAME,
        passed=True,
        before=None,
        after=None,
        detail=f"agreement with the prompt was not measured: {why}",
    )
