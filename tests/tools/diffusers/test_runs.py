"""What a pipeline is given and what becomes of its picture; cancellation and failures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers", reason="needs the extra [diffusers]")

import torch

from retoucher.errors import Cancelled, ToolError
from retoucher.tools.diffusers.any_repository import AnyRepositorySettings, AnyRepositoryTool
from retoucher.tools.diffusers.cache import PipelineCache
from retoucher.tools.diffusers.stable_diffusion import SDInpaintingSettings, SDInpaintingTool
from tests.tools.diffusers import tiny
from tests.tools.diffusers.asks import ask
from tests.tools.diffusers.tools import MASK_GUIDED, TOOLS, AnyTool

Make = Callable[..., AnyTool]
MASK_IN_THE_INPUT = ("sd-inpainting", "sdxl-inpainting", "flux-fill")


def pipeline(tool: AnyTool) -> Any:
    return tool._pipelines.get(tool.family, tool.settings, lambda _: None).pipe


def spy(monkeypatch: pytest.MonkeyPatch, holder: Any, name: str) -> list[Any]:
    """The first tensor that each call of the method is given."""
    seen: list[Any] = []
    real = getattr(holder, name)

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs.get("hidden_states", args[0] if args else None))
        return real(*args, **kwargs)

    monkeypatch.setattr(holder, name, watched)
    return seen


@pytest.mark.parametrize("name", MASK_IN_THE_INPUT)
def test_polarity_of_models_that_are_shown_the_mask(
    name: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the denoiser is told to fill is the left half, and no other."""
    tool = make(name)
    pipe = pipeline(tool)
    denoiser = pipe.transformer if name == "flux-fill" else pipe.unet
    seen = spy(monkeypatch, denoiser, "forward")
    tool.edit(ask())
    given = seen[0][0]
    # Fill: (4 x 4 packed places, channels), the last 256 the mask. The others: (channels, 8, 8),
    # of noise, mask and masked picture.
    told = given[:, -256:].mean(dim=1).reshape(4, 4) if name == "flux-fill" else given[4]
    half = told.shape[1] // 2
    assert (told[:, :half] == 1).all()
    assert (told[:, half:] == 0).all()


@pytest.mark.parametrize("name", sorted(set(MASK_GUIDED) - set(MASK_IN_THE_INPUT)))
def test_polarity_of_models_that_blend(
    name: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before decoding, two seeds agree on the right half and differ on the left."""
    tool = make(name)
    seen = spy(monkeypatch, pipeline(tool).vae, "decode")
    for seed in (3, 4):
        tool.edit(ask(seed=seed))
    one, other = (latents.squeeze(2) if latents.ndim == 5 else latents for latents in seen)
    half = one.shape[-1] // 2
    apart = (one - other).abs().amax(dim=1)[0]
    assert (apart[:, half:] < 1e-5).all()
    assert (apart[:, :half] > 1e-4).all()


@pytest.mark.parametrize("name", TOOLS)
def test_only_the_masked_place_changes_and_by_the_seed(name: str, make: Make) -> None:
    tool, request = make(name), ask(61, 83)
    out = tool.edit(request)
    assert np.array_equal(out[~request.mask_hw], request.crop_rgb[~request.mask_hw])
    changed = (out != request.crop_rgb).any(axis=2)[request.mask_hw]
    assert changed.mean() > 0.5
    assert not np.array_equal(tool.edit(ask(61, 83, seed=4)), out)


@pytest.mark.parametrize("name", TOOLS)
def test_stops_between_steps_and_works_again(name: str, make: Make) -> None:
    tool = make(name, steps=6)
    before = tool.edit(ask())
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 3

    with pytest.raises(Cancelled, match="stopped after step 3"):
        tool.edit(ask(cancelled=cancelled))
    assert np.array_equal(tool.edit(ask()), before)


def test_words_are_the_instruction_or_else_the_prompt(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = make("flux-fill")
    seen: list[str] = []
    kind = type(pipeline(tool))
    real = kind.encode_prompt

    def watched(self: Any, prompt: str, **kwargs: Any) -> Any:
        seen.append(prompt)
        return real(self, prompt=prompt, **kwargs)

    monkeypatch.setattr(kind, "encode_prompt", watched)
    tool.edit(ask())
    tool.edit(ask(instruction=""))
    assert seen == ["a natural hand", "a woman waves"]


@pytest.mark.parametrize("negative", ["", "extra fingers"])
def test_qwen_always_gets_a_negative_prompt(
    negative: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one its guidance would silently be off."""
    tool = make("qwen-image-edit")
    seen = spy(monkeypatch, pipeline(tool).transformer, "forward")
    tool.edit(ask(params={"negative_prompt": negative}))
    assert len(seen) == 2 * tool.settings.steps
    seen.clear()
    tool.edit(ask(params={"true_cfg": 1.0}))
    assert len(seen) == tool.settings.steps


def test_params_count_instead_of_the_settings(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = make("sd-inpainting")
    seen = spy(monkeypatch, pipeline(tool).unet, "forward")
    tool.edit(ask(params={"steps": 5, "strength": 0.6, "of_another_tool": [1]}))
    assert len(seen) == 3
    with pytest.raises(ToolError, match=r"params: strength: .*, got 'much'"):
        tool.edit(ask(params={"strength": "much"}))
    with pytest.raises(ToolError, match="steps must lie between 1 and 1000, got 0"):
        tool.edit(ask(params={"steps": 0}))


@pytest.mark.parametrize("name", [n for n in MASK_GUIDED if n != "qwen-image-edit-inpaint"])
def test_the_strength_of_the_settings_counts_and_is_named(
    name: str, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own option stays; without one the plan's counts."""
    planned = {"strength": 0.5}
    for own, steps, notes in (
        (None, 4, ()),
        (0.25, 2, ("strength 0.25 by the tool's settings; the plan asked for 0.5",)),
    ):
        tool = make(name, steps=8, strength=own)
        loaded = pipeline(tool)
        part = loaded.unet if hasattr(loaded, "unet") else loaded.transformer
        with monkeypatch.context() as patch:
            seen = spy(patch, part, "forward")
            tool.edit(ask(params=planned))
        calls = 2 if name == "flux2-klein-inpaint" else 1  # its guidance takes two calls a step
        assert (len(seen), tool.notes) == (calls * steps, notes)


def test_negative_words_of_settings_and_plan_are_joined(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = make("sd-inpainting", negative_prompt="text, ")
    seen: list[object] = []
    kind = type(pipeline(tool))
    real = kind.encode_prompt

    def watched(self: Any, prompt: str, *args: Any, **kwargs: Any) -> Any:
        seen.append(args[3] if len(args) > 3 else kwargs["negative_prompt"])
        return real(self, prompt, *args, **kwargs)

    monkeypatch.setattr(kind, "encode_prompt", watched)
    tool.edit(ask(params={"negative_prompt": "extra fingers"}))
    tool.edit(ask())
    assert seen == ["extra fingers, text", "text, "]


def test_empty_mask(make: Make) -> None:
    with pytest.raises(ToolError, match="nothing to repaint"):
        make("flux-fill").edit(ask(mask_hw=np.zeros((64, 64), bool)))


def test_failure_of_the_pipeline(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = make("flux-fill")

    def broken(*_: object, **__: object) -> None:
        raise ValueError("the shapes\ndo not match")

    monkeypatch.setattr(pipeline(tool).transformer, "forward", broken)
    with pytest.raises(ToolError, match="flux-fill: ValueError: the shapes do not match"):
        tool.edit(ask())


def test_numbers_that_are_none_are_no_picture(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half precision that overflows would else be a black patch."""
    tool = make("flux-fill")
    vae = pipeline(tool).vae
    real = vae.decode

    def overflows(latents: torch.Tensor, **kwargs: Any) -> Any:
        return real(latents * torch.nan, **kwargs)

    monkeypatch.setattr(vae, "decode", overflows)
    with pytest.raises(ToolError, match="half precision"):
        tool.edit(ask())


def test_a_repository_that_is_not_there() -> None:
    tool = SDInpaintingTool(SDInpaintingSettings(device="cpu"), PipelineCache())
    with pytest.raises(ToolError, match=r"hf download .* or set local_files_only = false"):
        tool.edit(ask())


def test_weights_in_a_pickle_are_not_read(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pipe: Any = tiny.MAKERS["sd-text-to-image"]()
    pipe.save_pretrained(tmp_path / "pickled", safe_serialization=False)
    assert list(tmp_path.rglob("*.bin"))
    for file in tmp_path.rglob("*.safetensors"):
        file.unlink()
    settings = AnyRepositorySettings(repository=str(tmp_path / "pickled"), device="cpu")
    with pytest.raises(ToolError, match=r"cannot load .*safetensors"):
        AnyRepositoryTool(settings, PipelineCache()).edit(ask())


def test_any_repository_needs_one_and_says_what_its_pipeline_does_not_take(make: Make) -> None:
    with pytest.raises(ToolError, match="set repository"):
        AnyRepositoryTool(AnyRepositorySettings(device="cpu"), PipelineCache()).edit(ask())
    with pytest.raises(ToolError, match="takes no true_cfg_scale; leave that setting out"):
        make("diffusers", true_cfg=4.0).edit(ask())
    assert make("diffusers").edit(ask(params={"true_cfg": 4.0})).shape == (64, 64, 3)


def test_device_that_is_not_there(make: Make) -> None:
    with pytest.raises(ToolError, match="finds no XPU device"):
        make("flux-fill", device="xpu:3").edit(ask())
    with pytest.raises(ToolError, match="needs an accelerator"):
        make("flux-fill", offload="model").edit(ask())


def test_info_says_what_ran(make: Make) -> None:
    tool = make("sd-inpainting", pipelines=PipelineCache())
    assert "used" not in tool.info.settings
    tool.edit(ask())
    assert tool.info.device == "cpu"
    assert tool.info.settings["used"] == {"dtype": "float32", "offload": "none", "commit": None}
    assert tool.spec.licence == "unknown"
    assert make("sd-inpainting", licence="MIT").spec.licence == "MIT"
    assert SDInpaintingTool().spec.licence == "CreativeML-OpenRAIL-M"
