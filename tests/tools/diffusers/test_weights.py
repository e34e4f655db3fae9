"""LoRA, quantisation, compilation: what is done to the weights."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("diffusers", reason="needs the extra [diffusers]")

import torch

from retoucher.errors import ConfigError, ToolError
from retoucher.tools.diffusers.cache import PipelineCache
from retoucher.tools.diffusers.loading import quantisation
from tests.tools.diffusers.asks import ask
from tests.tools.diffusers.tools import AnyTool

Make = Callable[..., AnyTool]


@pytest.fixture(scope="module")
def lora(repositories: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA of the tiny FLUX transformer's attention, with weights that do something."""
    peft = pytest.importorskip("peft", reason="needs the extra [diffusers]")
    from diffusers import FluxFillPipeline
    from peft.utils import get_peft_model_state_dict

    pipe: Any = FluxFillPipeline.from_pretrained(repositories("flux-fill"))
    config = peft.LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v"])
    torch.manual_seed(5)
    pipe.transformer.add_adapter(config)
    weights = {
        name: torch.randn_like(value)
        for name, value in get_peft_model_state_dict(pipe.transformer).items()
    }
    folder = tmp_path_factory.mktemp("lora")
    FluxFillPipeline.save_lora_weights(folder, transformer_lora_layers=weights)
    return folder


def test_lora_is_applied_at_its_scale(make: Make, lora: Path) -> None:
    (file,) = lora.glob("*.safetensors")
    plain = make("flux-fill").edit(ask())
    told = {"lora": str(lora), "lora_weight": file.name}
    full = make("flux-fill", pipelines=PipelineCache(), **told).edit(ask())
    none = make("flux-fill", pipelines=PipelineCache(), lora_scale=0.0, **told).edit(ask())
    assert not np.array_equal(full, plain)
    assert np.abs(none.astype(int) - plain).max() <= 1


def test_lora_in_a_pickle_is_not_read(make: Make, lora: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    (file,) = lora.glob("*.safetensors")
    pickle = tmp_path / "pytorch_lora_weights.bin"
    torch.save(load_file(file), pickle)
    with pytest.raises(ConfigError, match=r"must be a \.safetensors file"):
        make("flux-fill", lora=str(tmp_path), lora_weight=pickle.name)
    for source in (tmp_path, pickle):
        tool = make("flux-fill", pipelines=PipelineCache(), lora=str(source))
        with pytest.raises(ToolError, match=r"cannot load|name the file in lora_weight"):
            tool.edit(ask())


def test_lora_that_is_not_there(make: Make, tmp_path: Path) -> None:
    tool = make("flux-fill", pipelines=PipelineCache(), lora=str(tmp_path / "none"))
    with pytest.raises(ToolError, match="cannot load"):
        tool.edit(ask())


@pytest.mark.parametrize("bits", ["8bit", "4bit"])
def test_quantisation_is_for_the_large_parts(bits: str, make: Make) -> None:
    pytest.importorskip("bitsandbytes", reason="needs bitsandbytes")
    tool = make("flux-fill", pipelines=PipelineCache(), quantisation=bits)
    config = quantisation(tool.settings, tool.family, "bfloat16")
    chosen = config._resolve_quant_config(module_name="transformer")
    assert chosen.quantization_method() == ("llm_int8" if bits == "8bit" else "nf4")
    assert config._resolve_quant_config(is_diffusers=False, module_name="text_encoder_2")
    assert config._resolve_quant_config(module_name="vae") is None
    if torch.cuda.is_available():
        pytest.skip("the rest is about machines without a GPU")
    with pytest.raises(ToolError, match="A GPU is needed for quantization"):
        tool.edit(ask())


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # in torch's own compiler
def test_compiled_blocks(make: Make) -> None:
    tool = make("flux-fill", pipelines=PipelineCache(), compile=True)
    plain = make("flux-fill").edit(ask())
    with torch.compiler.set_stance("force_eager"):
        out = tool.edit(ask())
    pipe = tool._pipelines.get(tool.family, tool.settings, lambda _: None).pipe
    assert pipe.transformer.transformer_blocks[0]._compiled_call_impl is not None
    assert np.array_equal(out, plain)


def test_half_precision(make: Make) -> None:
    tool = make("flux-fill", pipelines=PipelineCache(), dtype="bfloat16")
    assert tool.edit(ask()).shape == (64, 64, 3)
    assert tool.info.settings["used"] == {"dtype": "bfloat16", "offload": "none", "commit": None}


def test_the_commit_of_the_hub_is_told(
    make: Make, repositories: Callable[[str], Path], tmp_path: Path
) -> None:
    """A repository in the hub's cache lies in a folder named by its commit."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "models--a--b" / "snapshots" / commit
    shutil.copytree(repositories("sd-inpainting"), folder)
    tool = make("sd-inpainting", pipelines=PipelineCache(), repository=str(folder))
    tool.edit(ask())
    used = tool.info.settings["used"]
    assert isinstance(used, dict)
    assert used["commit"] == commit
