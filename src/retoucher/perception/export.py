"""From a trained network to what ships: safetensors, and ONNX graphs that need no torch.

Weights are stored in half precision in both, and cast back when loaded, so both hold the very same
numbers. The graph of the picture takes the prompt's tokens as an input, so that a prompt is encoded
once however many pictures or tiles it comes with.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from safetensors import torch as safetensors_torch
from torch import Tensor, nn

from retoucher.errors import InputError
from retoucher.perception.compact import CompactConfig, build_compact, compact_config
from retoucher.perception.network import DistortionSaliencyNet
from retoucher.perception.tensors import to_tensor
from retoucher.vision.tokenizer import HashTokenizer

PICTURE_GRAPH = "saliency.onnx"
PROMPT_GRAPH = "prompt.onnx"
WEIGHTS = "model.safetensors"
CONFIG = "config.json"
RUN = "run.json"
_OPSET = 18
# Their types are incomplete.
_ONNX, _TORCH_ONNX, _SAFETENSORS = (
    cast("Any", module) for module in (onnx, torch.onnx, safetensors_torch)
)
_HALVED_FROM = 256


def export_compact(
    net: DistortionSaliencyNet, config: CompactConfig, folder: Path, run: dict[str, Any]
) -> None:
    """Writes config.json, run.json, model.safetensors and the ONNX graphs into `folder`.

    Args:
        net: trained; its weights are rounded to half precision in place.
        config: of the network.
        folder: made when missing; what is there is overwritten.
        run: what the run time must know besides (sizes, threshold); stands in run.json.
    """
    folder.mkdir(parents=True, exist_ok=True)
    net.eval()
    halves = {k: v.detach().half().contiguous() for k, v in net.state_dict().items()}
    net.load_state_dict({k: v.float() for k, v in halves.items()})
    _SAFETENSORS.save_file(halves, folder / WEIGHTS)
    _export_picture(net, folder / PICTURE_GRAPH)
    files = [WEIGHTS, PICTURE_GRAPH]
    if net.text is not None:
        _export_prompt(net, config.tokenizer, folder / PROMPT_GRAPH)
        files.append(PROMPT_GRAPH)
    digests = {f: hashlib.sha256((folder / f).read_bytes()).hexdigest() for f in files}
    _write_json(folder / CONFIG, asdict(config))
    tokenizer = asdict(config.tokenizer)
    described = {
        "stride": config.network.decoder_stride,
        "tokenizer": tokenizer if config.network.text else None,
        "views": run,
        "sha256": digests,
    }
    _write_json(folder / RUN, described)


def load_compact(folder: Path) -> tuple[DistortionSaliencyNet, CompactConfig]:
    """The torch network of a folder that `export_compact` wrote, in evaluation mode.

    Raises:
        InputError: a file is missing.
    """
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        raise InputError(f"{folder}: holds no exported network ({CONFIG}, {WEIGHTS})")
    config = compact_config(json.loads((folder / CONFIG).read_text("utf-8")))
    net = build_compact(config)
    stored: dict[str, Tensor] = _SAFETENSORS.load_file(folder / WEIGHTS)
    net.load_state_dict({k: v.float() for k, v in stored.items()})
    return net.eval(), config


def _write_json(file: Path, value: dict[str, Any]) -> None:
    file.write_text(json.dumps(value, indent=2) + "\n", "utf-8")


class _Picture(nn.Module):
    def __init__(self, net: DistortionSaliencyNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self,
        image: Tensor,
        valid: Tensor,
        text: Tensor | None = None,
        text_valid: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        finest, fused = self.net.features(image, valid, text, text_valid)
        logits, scores = self.net.read_out(finest, fused, valid)
        return logits, scores, finest, fused


class _Prompt(nn.Module):
    def __init__(self, net: DistortionSaliencyNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, ids: Tensor, valid: Tensor) -> Tensor:
        return self.net.encode_text(ids, valid)


def _export_picture(net: DistortionSaliencyNet, file: Path) -> None:
    image, valid = torch.zeros(1, 3, 192, 256), torch.ones(1, 192, 256)
    axes = {"image": {2: "height", 3: "width"}, "valid": {1: "height", 2: "width"}}
    axes["logits"] = {1: "map_height", 2: "map_width"}
    axes["features"] = {2: "map_height", 3: "map_width"}
    axes["tokens"] = {2: "tokens_height", 3: "tokens_width"}
    inputs, names = (image, valid), ["image", "valid"]
    if net.text is not None:
        text = torch.zeros(1, 4, net.config.token_width)
        seen = torch.ones(1, 4, dtype=torch.bool)
        inputs = (image, valid, text, seen)
        names += ["text", "text_valid"]
        axes |= {"text": {1: "tokens"}, "text_valid": {1: "tokens"}}
    outputs = ["logits", "scores", "features", "tokens"]
    _export(_Picture(net), inputs, names, outputs, axes, file)


def _export_prompt(net: DistortionSaliencyNet, tokenizer: HashTokenizer, file: Path) -> None:
    ids, valid = (to_tensor(x)[None] for x in tokenizer.encode("a prompt"))
    _export(_Prompt(net), (ids, valid), ["ids", "valid"], ["text"], {}, file)


def _export(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    names: list[str],
    outputs: list[str],
    axes: dict[str, dict[int, str]],
    file: Path,
) -> None:
    _TORCH_ONNX.export(
        module.eval(),
        inputs,
        str(file),
        input_names=names,
        output_names=outputs,
        dynamic_axes=axes,
        opset_version=_OPSET,
        dynamo=False,
    )
    model: onnx.ModelProto = _ONNX.load(str(file))
    _halve(model)
    _ONNX.checker.check_model(model)
    _ONNX.save(model, str(file))


def _halve(model: onnx.ModelProto) -> None:
    """Stores large float weights in half precision, each cast back where it is used."""
    casts: list[onnx.NodeProto] = []
    for tensor in model.graph.initializer:
        if tensor.data_type != onnx.TensorProto.FLOAT or np.prod(tensor.dims) < _HALVED_FROM:
            continue
        name, half = tensor.name, numpy_helper.to_array(tensor).astype(np.float16)
        tensor.CopyFrom(numpy_helper.from_array(half, name + ".half"))
        casts.append(
            onnx.helper.make_node("Cast", [name + ".half"], [name], to=onnx.TensorProto.FLOAT)
        )
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)
