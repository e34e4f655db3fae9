"""Settings of the diffusion tools: ranges, and that each tool can be told what its issue names."""

from __future__ import annotations

import tomllib
from dataclasses import fields
from typing import Any

import pytest

from retoucher.errors import ConfigError
from retoucher.tables import from_table
from retoucher.tools.diffusers.flux2_klein import Flux2KleinSettings
from retoucher.tools.diffusers.flux_fill import FluxFillSettings
from retoucher.tools.diffusers.flux_kontext import FluxKontextSettings
from retoucher.tools.diffusers.qwen_image_edit import (
    QwenImageEditInpaintSettings,
    QwenImageEditPlusSettings,
    QwenImageEditSettings,
)
from retoucher.tools.diffusers.settings import PipelineSettings
from retoucher.tools.diffusers.stable_diffusion import SDInpaintingSettings, SDXLInpaintingSettings

ALL: list[type[PipelineSettings]] = [
    FluxFillSettings,
    SDInpaintingSettings,
    SDXLInpaintingSettings,
    QwenImageEditSettings,
    QwenImageEditPlusSettings,
    QwenImageEditInpaintSettings,
    FluxKontextSettings,
    Flux2KleinSettings,
]


def of_the_pipeline(name: str) -> dict[str, Any]:
    import inspect

    diffusers = pytest.importorskip("diffusers")
    call = inspect.signature(getattr(diffusers, name).__call__)
    return {key: p.default for key, p in call.parameters.items()}


@pytest.mark.parametrize(
    ("settings", "pipeline"),
    [
        (FluxFillSettings(), "FluxFillPipeline"),
        (SDInpaintingSettings(), "StableDiffusionInpaintPipeline"),
        (SDXLInpaintingSettings(), "StableDiffusionXLInpaintPipeline"),
        (QwenImageEditSettings(), "QwenImageEditPipeline"),
        (QwenImageEditPlusSettings(), "QwenImageEditPlusPipeline"),
        (QwenImageEditInpaintSettings(), "QwenImageEditInpaintPipeline"),
        (FluxKontextSettings(), "FluxKontextInpaintPipeline"),
        (Flux2KleinSettings(), "Flux2KleinInpaintPipeline"),
    ],
)
def test_defaults_are_those_of_the_installed_pipeline(
    settings: PipelineSettings, pipeline: str
) -> None:
    theirs = of_the_pipeline(pipeline)
    assert settings.steps == theirs["num_inference_steps"]
    names = {"guidance": "guidance_scale", "true_cfg": "true_cfg_scale"}
    for ours, name in names.items():
        if hasattr(settings, ours):
            assert getattr(settings, ours) == theirs[name], ours
    assert getattr(settings, "strength", None) is None  # left to plan and pipeline


@pytest.mark.parametrize("kind", ALL)
def test_every_family_can_be_told_all_that_is_common(kind: type[PipelineSettings]) -> None:
    assert {f.name for f in fields(PipelineSettings)} <= {f.name for f in fields(kind)}
    assert kind().repository
    assert kind().local_files_only


@pytest.mark.parametrize(
    ("told", "says"),
    [
        ({"steps": 0}, "steps must lie between 1 and 1000"),
        ({"strength": 1.5}, "strength must lie between 0.0 and 1.0"),
        ({"guidance": -1.0}, "guidance must lie between"),
        ({"device": "gpu"}, "device is"),
        ({"min_side_px": 900, "max_side_px": 800}, "must not exceed max_side_px"),
        ({"lora_weight": "x.safetensors"}, "lora_weight needs lora"),
        ({"lora": "x", "lora_weight": "x.ckpt"}, "must be a .safetensors file"),
        ({"memory_budget_gb": -1.0}, "memory_budget_gb must lie"),
    ],
)
def test_out_of_range(told: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        FluxFillSettings(**told)


def test_from_a_table_of_the_settings_file() -> None:
    told = tomllib.loads('offload = "model"\nquantisation = "4bit"\nguidance = 3\nlora = "a/b"')
    settings = from_table(FluxFillSettings, told, "options.tool.flux-fill")
    assert (settings.offload, settings.guidance, settings.steps) == ("model", 3.0, 50)
    with pytest.raises(ConfigError, match="did you mean 'quantisation'"):
        from_table(FluxFillSettings, {"quantization": "4bit"}, "options.tool.flux-fill")
    with pytest.raises(ConfigError, match="offload"):
        from_table(FluxFillSettings, {"offload": "disk"}, "options.tool.flux-fill")
