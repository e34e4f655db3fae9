"""Retouching after a diffusers pipeline: shared parts, the caller's generator and callback."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("diffusers", reason="needs the extra [diffusers]")

import torch

from retoucher.config import Settings
from retoucher.domain.geometry import Box
from retoucher.domain.plan import Preference
from retoucher.domain.region import Region
from retoucher.errors import InputError
from retoucher.integrations.diffusers import TOOL, inpainting_pipeline, retouch, retoucher_for
from retoucher.tools.diffusers.any_repository import AnyRepositorySettings
from tests.tools.diffusers import tiny
from tests.tools.diffusers.asks import picture

EXAMPLES = Path(__file__).parents[2] / "examples"
PLACE = Region.from_box(Box(16, 16, 52, 48), id="mine")
EVERYTHING = Settings(
    rounds=1, preference=Preference(tools=(TOOL,), repair_unknown=True, min_confidence=0.0)
)


@pytest.fixture(scope="module")
def text_to_image(repositories: Callable[[str], Path]) -> Any:
    from diffusers import StableDiffusionPipeline

    pipe = StableDiffusionPipeline.from_pretrained(repositories("sd-text-to-image"))
    pipe.set_progress_bar_config(disable=True)
    return pipe


def same_parts(one: Any, other: Any) -> bool:
    mine = {n: p for n, p in one.components.items() if isinstance(p, torch.nn.Module)}
    return bool(mine) and all(other.components[name] is part for name, part in mine.items())


def test_the_weights_are_shared(text_to_image: Any) -> None:
    before = {n: p.dtype for n, p in text_to_image.unet.named_parameters()}
    pipe = inpainting_pipeline(text_to_image)
    assert type(pipe).__name__ == "StableDiffusionInpaintPipeline"
    assert same_parts(text_to_image, pipe)
    assert {n: p.dtype for n, p in text_to_image.unet.named_parameters()} == before


def test_siblings_that_diffusers_does_not_link(repositories: Callable[[str], Path]) -> None:
    from diffusers import Flux2KleinPipeline, FluxKontextPipeline, QwenImageEditPipeline

    for name, kind in {
        "flux2-klein-inpaint": Flux2KleinPipeline,
        "flux-kontext-inpaint": FluxKontextPipeline,
        "qwen-image-edit": QwenImageEditPipeline,
    }.items():
        tiny.without_video()
        whole = kind.from_pretrained(repositories(name), dtype=torch.bfloat16)
        pipe = inpainting_pipeline(whole)
        assert type(pipe).__name__ == kind.__name__.replace("Pipeline", "InpaintPipeline")
        assert same_parts(whole, pipe)
        assert pipe.transformer.dtype == torch.bfloat16


def test_an_inpainting_pipeline_is_used_as_it_is(text_to_image: Any) -> None:
    pipe = inpainting_pipeline(text_to_image)
    assert inpainting_pipeline(pipe) is pipe


def test_what_cannot_inpaint(text_to_image: Any) -> None:
    from diffusers import DDIMPipeline

    with pytest.raises(InputError, match="expected a diffusers pipeline, got str"):
        inpainting_pipeline("a path")
    plain = DDIMPipeline(unet=text_to_image.unet, scheduler=text_to_image.scheduler)
    with pytest.raises(InputError, match="no inpainting pipeline over the parts of DDIMPipeline"):
        inpainting_pipeline(plain)


def test_one_call(text_to_image: Any) -> None:
    """The same generator, the same picture; its state goes on as in a call of the pipeline."""
    image = Image.fromarray(picture(72, 88))
    outputs: list[str] = []
    seeds: list[int] = []
    steps: list[int] = []

    def told(pipe: Any, step: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        assert same_parts(text_to_image, pipe)
        assert "latents" in tensors
        steps.append(step)
        return tensors

    for start in (11, 11, 12):
        generator = torch.Generator().manual_seed(start)
        result = retouch(
            text_to_image,
            image,
            prompt="a woman waves",
            generator=generator,
            callback_on_step_end=told,
            settings=EVERYTHING,
            inpainting=AnyRepositorySettings(steps=3, min_side_px=32, max_side_px=64),
            regions=[PLACE],
        )
        (edit,) = result.trace.edits
        assert edit.error is None
        assert edit.tool == TOOL
        outputs.append(result.trace.output_sha256)
        seeds.append(result.trace.seed)
    assert seeds[0] == seeds[1] != seeds[2]
    assert outputs[0] == outputs[1]
    assert steps[:2] == [0, 1]
    outside = np.ones((72, 88), bool)
    outside[PLACE.box.slices] = False
    assert np.array_equal(result.image_rgb[outside], picture(72, 88)[outside])


def test_a_callback_that_interrupts_gives_the_repair_up(text_to_image: Any) -> None:
    def stop(pipe: Any, _step: int, _time: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        pipe._interrupt = True
        return tensors

    image = Image.fromarray(picture(72, 88))
    result = retouch(
        text_to_image,
        image,
        prompt="a woman waves",
        callback_on_step_end=stop,
        settings=EVERYTHING,
        regions=[PLACE],
    )
    (edit,) = result.trace.edits
    assert edit.error == "the callback interrupted the pipeline"
    assert not result.changed


def test_by_default_lettering_is_set_and_the_rest_inpainted(text_to_image: Any) -> None:
    retoucher = retoucher_for(text_to_image)
    assert retoucher.settings.preference.tools == ("lettering", TOOL)
    tool: Any = retoucher.agents.tools[TOOL]
    assert (tool.settings.min_side_px, tool.settings.max_side_px) == (32, 64)
    assert tool.info.settings["used"]["dtype"] == "float32"


@pytest.mark.filterwarnings("ignore:`torch_dtype` is deprecated:FutureWarning")
def test_example_after_a_pipeline(
    repositories: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = run(
        "after_diffusers.py",
        f"--repository {repositories('sd-text-to-image')} --steps 2 --side 64",
        tmp_path / "out.png",
        monkeypatch,
        capsys,
    )
    assert "stopped: " in said


def test_example_of_a_tool(
    repositories: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    Image.fromarray(picture(96, 120)).save(tmp_path / "in.png")
    said = run(
        "diffusers_tool.py",
        f"{tmp_path / 'in.png'} --box 40 30 80 66 --steps 2 --side 32"
        f" --repository {repositories('sd-inpainting')}",
        tmp_path / "out.png",
        monkeypatch,
        capsys,
    )
    assert "mine: sd-inpainting: " in said
    assert "failed" not in said


def run(
    script: str,
    arguments: str,
    out: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> str:
    """What the example prints; its picture must be there."""
    monkeypatch.setattr(sys, "argv", [script, *arguments.split(), "--out", str(out)])
    runpy.run_path(str(EXAMPLES / script), run_name="__main__")
    with Image.open(out) as saved:
        assert saved.width >= 64
    return capsys.readouterr().out
