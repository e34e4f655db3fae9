"""Folders with tiny pipelines, and tools that work with them at small sizes: the fixtures."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

with warnings.catch_warnings():
    # A model among those that it knows still uses torch.jit.
    warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", DeprecationWarning)
    from diffusers import AutoPipelineForInpainting  # noqa: F401

from retoucher.tools.diffusers.any_repository import AnyRepositoryTool
from retoucher.tools.diffusers.cache import PipelineCache
from retoucher.tools.diffusers.flux2_klein import Flux2KleinInpaintTool
from retoucher.tools.diffusers.flux_fill import FluxFillTool
from retoucher.tools.diffusers.flux_kontext import FluxKontextInpaintTool
from retoucher.tools.diffusers.qwen_image_edit import (
    QwenImageEditInpaintTool,
    QwenImageEditPlusTool,
    QwenImageEditTool,
)
from retoucher.tools.diffusers.stable_diffusion import SDInpaintingTool, SDXLInpaintingTool
from retoucher.tools.diffusers.tool import DiffusersTool
from tests.tools.diffusers import tiny

AnyTool = DiffusersTool[Any]
TOOLS: dict[str, type[AnyTool]] = {
    "flux-fill": FluxFillTool,
    "sd-inpainting": SDInpaintingTool,
    "sdxl-inpainting": SDXLInpaintingTool,
    "qwen-image-edit": QwenImageEditTool,
    "qwen-image-edit-plus": QwenImageEditPlusTool,
    "qwen-image-edit-inpaint": QwenImageEditInpaintTool,
    "flux-kontext-inpaint": FluxKontextInpaintTool,
    "flux2-klein-inpaint": Flux2KleinInpaintTool,
    "diffusers": AnyRepositoryTool,
}
MASK_GUIDED = [name for name, kind in TOOLS.items() if kind.card.kind == "mask"]
SIDE_PX = 64


@pytest.fixture(scope="session")
def repositories(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny pipeline by name, made at first use."""
    folder = tmp_path_factory.mktemp("repositories")
    torch.set_num_threads(1)
    return lambda name: tiny.save("sd-text-to-image" if name == "diffusers" else name, folder)


@pytest.fixture(scope="session")
def shared() -> PipelineCache:
    return PipelineCache()


@pytest.fixture
def make(
    repositories: Callable[[str], Path], shared: PipelineCache, small_pictures: None
) -> Callable[..., AnyTool]:
    """A tool by name on its tiny pipeline; keyword arguments are settings.

    `alone`: in a cache of its own, with the pipeline that all tests share.
    """

    def made(
        name: str,
        *,
        pipelines: PipelineCache | None = None,
        alone: bool = False,
        **settings: object,
    ) -> AnyTool:
        kind = TOOLS[name]
        small: dict[str, Any] = {
            "repository": str(repositories(name)),
            "device": "cpu",
            "steps": 2,
            "min_side_px": 32,
            "max_side_px": SIDE_PX,
        }
        if hasattr(kind.settings_type, "max_tokens"):
            small["max_tokens"] = 16
        told = replace(kind.settings_type(), **(small | settings))
        if alone:
            shared.get(kind.family, told, lambda _: None)
            pipelines = PipelineCache()
            key = next(reversed(shared._held))
            pipelines._held[key] = shared._held[key]
        return kind(told, pipelines or shared)

    return made


@pytest.fixture
def small_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a pipeline brings every picture to a megapixel, let it be a thumbnail instead."""
    for name in ("edit", "edit_plus", "edit_inpaint"):
        module = importlib.import_module(f"diffusers.pipelines.qwenimage.pipeline_qwenimage_{name}")
        whole = module.calculate_dimensions

        def thumbnail(area: float, ratio: float, whole: Any = whole) -> Any:
            return whole(min(area, SIDE_PX**2), ratio)

        monkeypatch.setattr(module, "calculate_dimensions", thumbnail)
    kontext = importlib.import_module("diffusers.pipelines.flux.pipeline_flux_kontext_inpaint")
    sizes = [(w // 16, h // 16) for w, h in kontext.PREFERRED_KONTEXT_RESOLUTIONS]
    monkeypatch.setattr(kontext, "PREFERRED_KONTEXT_RESOLUTIONS", sizes)
