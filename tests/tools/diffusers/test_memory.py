"""When memory runs out, and which pipelines stay in it."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers", reason="needs the extra [diffusers]")

import torch

from retoucher.errors import ToolError
from retoucher.tools.diffusers.cache import PipelineCache
from retoucher.tools.diffusers.loading import Loaded
from tests.tools.diffusers.asks import ask
from tests.tools.diffusers.tools import AnyTool

Make = Callable[..., AnyTool]


def loaded_by(tool: AnyTool) -> Loaded:
    return tool._pipelines.get(tool.family, tool.settings, lambda _: None)


class Full:
    """A denoiser's forward that runs out of memory the first `times` times."""

    def __init__(self, real: Callable[..., Any], times: int) -> None:
        self.real, self.left, self.calls = real, times, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")
        return self.real(*args, **kwargs)


def fill_up(monkeypatch: pytest.MonkeyPatch, tool: AnyTool, times: int) -> Full:
    pipe = loaded_by(tool).pipe
    denoiser = getattr(pipe, "transformer", None) or pipe.unet
    full = Full(denoiser.forward, times)
    monkeypatch.setattr(denoiser, "forward", full)
    return full


@pytest.mark.parametrize("name", ["sd-inpainting", "qwen-image-edit-plus", "flux-kontext-inpaint"])
def test_a_smaller_size_is_tried(
    name: str, make: Make, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = make(name, alone=True)
    fill_up(monkeypatch, tool, 2)
    request = ask()
    with caplog.at_level(logging.WARNING, "retoucher"):
        out = tool.edit(request)
    assert out.shape == request.crop_rgb.shape
    assert np.array_equal(out[~request.mask_hw], request.crop_rgb[~request.mask_hw])
    assert [note.split(": ")[1] for note in tool.notes] == [
        "working at 75% of the size",
        "working at 50% of the size",
    ]
    assert "50%" in caplog.text
    tool.edit(request)
    assert tool.notes == ()


def test_when_nothing_helps_it_is_an_error_that_says_what_to_do(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = make("sd-inpainting", alone=True)
    full = fill_up(monkeypatch, tool, 99)
    with pytest.raises(ToolError, match=r"lower max_side_px, or set quantisation \(CUDA out of"):
        tool.edit(ask())
    assert full.calls == 3


def test_a_pipeline_that_cannot_shrink(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = make("qwen-image-edit-inpaint", alone=True)
    full = fill_up(monkeypatch, tool, 99)
    with pytest.raises(ToolError, match="not enough memory"):
        tool.edit(ask())
    assert full.calls == 1


def test_offload_comes_before_a_smaller_size(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real hooks of accelerate; the processor plays the accelerator.

    Layer-wise offload has no such stand-in (accelerate cannot move layers from a processor to
    itself), so only the call is looked at.
    """
    tool = make("flux-fill", pipelines=PipelineCache())
    plain = tool.edit(ask())
    loaded = loaded_by(tool)
    loaded.device = "cpu:0"
    denoiser = getattr(loaded.pipe, "transformer", None) or loaded.pipe.unet
    full = Full(denoiser.forward, 1)
    denoiser.forward = full
    assert np.array_equal(tool.edit(ask()), plain)
    assert tool.notes == ("out of memory on cpu:0: model offload from now on",)
    assert denoiser._hf_hook is not None
    full.left = 1
    asked: list[str] = []
    monkeypatch.setattr(
        loaded.pipe, "enable_sequential_cpu_offload", lambda *, device: asked.append(device)
    )
    assert np.array_equal(tool.edit(ask()), plain)
    assert asked == ["cpu:0"]
    assert loaded.offload == "sequential"
    full.left = 99
    with pytest.raises(ToolError, match="not enough memory"):
        tool.edit(ask())
    assert tool.notes[0] == "out of memory on cpu:0: working at 75% of the size"


def test_other_pipelines_go_first(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = make("flux-fill", alone=True)
    cache = tool._pipelines
    other = make("sd-inpainting", pipelines=cache)
    other.edit(ask())
    fill_up(monkeypatch, tool, 1)
    tool.edit(ask())
    assert tool.notes == ("out of memory on cpu: 1 other pipeline(s) unloaded",)
    assert cache.peek(other.family, other.settings) is None


def test_one_pipeline_is_loaded_once_for_all_tools(make: Make) -> None:
    cache = PipelineCache()
    one, other = (make("sd-inpainting", pipelines=cache, steps=n) for n in (1, 2))
    assert loaded_by(one) is loaded_by(other)
    assert loaded_by(make("sd-inpainting", pipelines=cache, dtype="bfloat16")) is not loaded_by(one)


def test_the_least_recently_used_goes_when_the_budget_is_spent(make: Make) -> None:
    cache = PipelineCache()
    names = ("sd-inpainting", "flux-fill", "diffusers")
    sizes = [loaded_by(make(name)).size_bytes for name in names]
    assert all(size > 10_000 for size in sizes)
    budget = (sum(sizes) - 1) / 1e9
    first, second, third = (make(name, pipelines=cache, memory_budget_gb=budget) for name in names)
    for tool in (first, second, first, third):
        tool.edit(ask())
    held = [cache.peek(t.family, t.settings) is not None for t in (first, second, third)]
    assert held == [True, False, True]
    second.edit(ask())
    assert cache.peek(first.family, first.settings) is None


def test_a_pipeline_that_exceeds_the_budget_alone(make: Make) -> None:
    tool = make("sd-inpainting", pipelines=PipelineCache(), memory_budget_gb=1e-6)
    with pytest.raises(ToolError, match="exceed memory_budget_gb"):
        tool.edit(ask())


def test_weights_that_do_not_fit(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = make("sd-inpainting", pipelines=PipelineCache())

    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("diffusers.StableDiffusionInpaintPipeline.to", full)
    with pytest.raises(ToolError, match="the weights do not fit into the memory of cpu"):
        tool.edit(ask())
