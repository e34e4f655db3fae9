"""Turns MediaPipe's models of hands and faces into ONNX, and checks that they still say the same.

    pip download --no-deps mediapipe==0.10.21 && unzip mediapipe-*.whl 'mediapipe/modules/*.tflite'
    pip install tflite ai-edge-litert onnx
    python recipes/part_models.py mediapipe/modules OUT_DIR [--check PICTURE ...]

Reads the .tflite files as what they are, small graphs of a dozen kinds of operators, and needs no
TensorFlow. Weights stay in half precision, as they are stored there, and are cast when loaded.
Each graph is compared with ai-edge-litert on noise and on the pictures (or crops) of --check; a
difference above 1e-3 of the output's own size is an error. Prints a table and writes models.json
with the digests. The models are Apache-2.0 and stay so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from retoucher.imaging.atomic import write_bytes

OPSET, IR_VERSION = 18, 9
TOLERANCE = 1e-3
NOISE_ROUNDS = 4
NCHW_OF_NHWC, NHWC_OF_NCHW = (0, 3, 1, 2), (0, 2, 3, 1)
ACTIVATIONS = {1: "Relu", 3: "Relu6"}
"""TFLite's fused activations in use here, by their number; 0 is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One model of the wheel.

    Attributes:
        file: below `mediapipe/modules`.
        outputs: names for its outputs, in its order; "" drops one.
        signed: it wants pixels in -1..1, not in 0..1.
        ships: with the package; the others serve benchmarks, which convert them by themselves.
    """

    file: str
    outputs: tuple[str, ...]
    signed: bool = False
    ships: bool = True


SOURCES = {
    "palm_detection": Source(
        file="palm_detection/palm_detection_full.tflite", outputs=("boxes", "logits")
    ),
    "hand_landmarks": Source(
        file="hand_landmark/hand_landmark_lite.tflite", outputs=("points", "presence", "", "")
    ),
    "face_detection": Source(
        file="face_detection/face_detection_short_range.tflite",
        outputs=("boxes", "logits"),
        signed=True,
        ships=False,
    ),
    "face_landmarks": Source(
        file="face_landmark/face_landmark.tflite",
        outputs=("points", "presence_logit"),
        ships=False,
    ),
}


@dataclass(slots=True)
class Graph:
    """An ONNX graph in the making: 4-D activations lie channels first, all others as in TFLite.

    Attributes:
        names: ONNX name of each TFLite tensor made so far.
        constants: arrays of the TFLite tensors that hold weights, NHWC, half where stored so.
        shapes: of the TFLite tensors, NHWC.
    """

    names: dict[int, str] = field(default_factory=dict)
    constants: dict[int, np.ndarray] = field(default_factory=dict)
    shapes: dict[int, tuple[int, ...]] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    initialisers: list[onnx.TensorProto] = field(default_factory=list)

    def node(self, kind: str, inputs: Sequence[str], **attributes: Any) -> str:
        """Adds a node; the name of its one output."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name

    def weight(self, array: np.ndarray) -> str:
        """Adds a constant; the name of its float32 (or integer) value."""
        name = f"w{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        if array.dtype == np.float16:
            return self.node("Cast", [name], to=TensorProto.FLOAT)
        return name

    def value(self, tensor: int) -> str:
        """The name of an activation, or of a constant laid out like one."""
        if tensor in self.names:
            return self.names[tensor]
        array = self.constants[tensor]
        return self.weight(array.transpose(NCHW_OF_NHWC) if array.ndim == 4 else array)

    def channels_last(self, tensor: int) -> str:
        """The name of an activation in TFLite's own layout."""
        if len(self.shapes[tensor]) == 4:
            return self.node("Transpose", [self.value(tensor)], perm=NHWC_OF_NCHW)
        return self.value(tensor)


Options = Any
Convert = Callable[[Graph, list[int], int, Options], str]


def fused(graph: Graph, name: str, activation: int) -> str:
    """The value after TFLite's fused activation."""
    if activation == 0:
        return name
    kind = ACTIVATIONS[activation]
    if kind == "Relu":
        return graph.node("Relu", [name])
    low, high = (graph.weight(np.float32(v)[()].reshape(())) for v in (0.0, 6.0))
    return graph.node("Clip", [name, low, high])


def pads(size: int, kernel: int, stride: int, padding: int) -> tuple[int, int]:
    """Before and after on one axis; `padding` 0 is SAME, which puts the odd one after."""
    if padding != 0:
        return 0, 0
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def window(graph: Graph, tensor: int, kernel_hw: tuple[int, int], o: Options) -> dict[str, Any]:
    """ONNX attributes of a convolution or pooling over a tensor."""
    _, height, width, _ = graph.shapes[tensor]
    top, bottom = pads(height, kernel_hw[0], o.StrideH(), o.Padding())
    left, right = pads(width, kernel_hw[1], o.StrideW(), o.Padding())
    return {
        "kernel_shape": kernel_hw,
        "strides": (o.StrideH(), o.StrideW()),
        "pads": (top, left, bottom, right),
    }


def convolution(graph: Graph, inputs: list[int], _: int, o: Options) -> str:
    """CONV_2D; weights (out, h, w, in)."""
    weights = graph.constants[inputs[1]].transpose(NCHW_OF_NHWC)
    given = [graph.value(inputs[0]), graph.weight(weights), graph.value(inputs[2])]
    made = graph.node("Conv", given, **window(graph, inputs[0], weights.shape[2:], o))
    return fused(graph, made, o.FusedActivationFunction())


def depthwise(graph: Graph, inputs: list[int], _: int, o: Options) -> str:
    """DEPTHWISE_CONV_2D; weights (1, h, w, channels)."""
    weights = graph.constants[inputs[1]].transpose(3, 0, 1, 2)
    groups = graph.shapes[inputs[0]][3]
    given = [graph.value(inputs[0]), graph.weight(weights), graph.value(inputs[2])]
    attributes = window(graph, inputs[0], weights.shape[2:], o)
    made = graph.node("Conv", given, group=groups, **attributes)
    return fused(graph, made, o.FusedActivationFunction())


def pooling(graph: Graph, inputs: list[int], _: int, o: Options) -> str:
    """MAX_POOL_2D."""
    attributes = window(graph, inputs[0], (o.FilterHeight(), o.FilterWidth()), o)
    made = graph.node("MaxPool", [graph.value(inputs[0])], **attributes)
    return fused(graph, made, o.FusedActivationFunction())


def addition(graph: Graph, inputs: list[int], _: int, o: Options) -> str:
    """ADD."""
    made = graph.node("Add", [graph.value(i) for i in inputs])
    return fused(graph, made, o.FusedActivationFunction())


def prelu(graph: Graph, inputs: list[int], _: int, __: Options) -> str:
    """PRELU; slopes (1, 1, channels)."""
    slopes = graph.constants[inputs[1]].transpose(2, 0, 1)
    return graph.node("PRelu", [graph.value(inputs[0]), graph.weight(slopes)])


def padding(graph: Graph, inputs: list[int], _: int, __: Options) -> str:
    """PAD with zeros; (4, 2) before and after each axis."""
    before_after = graph.constants[inputs[1]][list(NCHW_OF_NHWC)]
    widths = graph.weight(before_after.T.ravel().astype(np.int64))
    return graph.node("Pad", [graph.value(inputs[0]), widths])


def bilinear(graph: Graph, inputs: list[int], output: int, o: Options) -> str:
    """RESIZE_BILINEAR."""
    mode = "asymmetric"
    if o.AlignCorners():
        mode = "align_corners"
    elif o.HalfPixelCenters():
        mode = "half_pixel"
    size = np.array([graph.shapes[output][i] for i in NCHW_OF_NHWC], np.int64)
    given = [graph.value(inputs[0]), "", "", graph.weight(size)]
    return graph.node("Resize", given, mode="linear", coordinate_transformation_mode=mode)


def reshape(graph: Graph, inputs: list[int], output: int, _: Options) -> str:
    """RESHAPE; what comes out has fewer than four axes."""
    shape = graph.weight(np.array(graph.shapes[output], np.int64))
    return graph.node("Reshape", [graph.channels_last(inputs[0]), shape])


def concatenation(graph: Graph, inputs: list[int], output: int, o: Options) -> str:
    """CONCATENATION of tensors that have fewer than four axes."""
    if len(graph.shapes[output]) == 4:
        raise NotImplementedError("a concatenation of four axes")
    return graph.node("Concat", [graph.value(i) for i in inputs], axis=o.Axis())


def dense(graph: Graph, inputs: list[int], _: int, o: Options) -> str:
    """FULLY_CONNECTED; weights (out, in)."""
    weights = graph.constants[inputs[1]]
    flat = graph.weight(np.array([-1, weights.shape[1]], np.int64))
    given = graph.node("Reshape", [graph.channels_last(inputs[0]), flat])
    made = graph.node("Gemm", [given, graph.weight(weights), graph.value(inputs[2])], transB=1)
    return fused(graph, made, o.FusedActivationFunction())


def mean(graph: Graph, inputs: list[int], _: int, o: Options) -> str:
    """MEAN over axes of the layout NHWC."""
    axes = graph.weight(graph.constants[inputs[1]].ravel().astype(np.int64))
    given = [graph.channels_last(inputs[0]), axes]
    made = graph.node("ReduceMean", given, keepdims=int(o.KeepDims()))
    return graph.node("Transpose", [made], perm=NCHW_OF_NHWC) if o.KeepDims() else made


def prune(graph: Graph, outputs: Sequence[str]) -> None:
    """Leaves out what no output needs: the nodes and weights of those that were dropped."""
    needed = set(outputs)
    kept: list[onnx.NodeProto] = []
    for node in reversed(graph.nodes):
        if needed.intersection(node.output):
            kept.append(node)
            needed.update(node.input)
    graph.nodes = kept[::-1]
    graph.initialisers = [i for i in graph.initialisers if i.name in needed]


def one_to_one(kind: str) -> Convert:
    """An operator that ONNX has just so."""
    return lambda graph, inputs, _, __: graph.node(kind, [graph.value(inputs[0])])


OPERATORS: dict[str, tuple[Convert, str]] = {
    "CONV_2D": (convolution, "Conv2DOptions"),
    "DEPTHWISE_CONV_2D": (depthwise, "DepthwiseConv2DOptions"),
    "MAX_POOL_2D": (pooling, "Pool2DOptions"),
    "ADD": (addition, "AddOptions"),
    "PRELU": (prelu, ""),
    "PAD": (padding, ""),
    "RESIZE_BILINEAR": (bilinear, "ResizeBilinearOptions"),
    "RESHAPE": (reshape, ""),
    "CONCATENATION": (concatenation, "ConcatenationOptions"),
    "FULLY_CONNECTED": (dense, "FullyConnectedOptions"),
    "MEAN": (mean, "ReducerOptions"),
    "LOGISTIC": (one_to_one("Sigmoid"), ""),
    "RELU": (one_to_one("Relu"), ""),
}
NAMES = {v: k for k, v in vars(tflite.BuiltinOperator).items() if isinstance(v, int)}
DTYPES = {0: np.float32, 1: np.float16, 2: np.int32, 4: np.int64}


def read(data: bytes) -> tuple[Any, Any, Graph]:
    """The TFLite model, its one subgraph, and a graph that knows its constants and shapes."""
    model = tflite.Model.GetRootAs(data, 0)
    source = model.Subgraphs(0)
    graph = Graph()
    for i in range(source.TensorsLength()):
        tensor = source.Tensors(i)
        shape = tuple(int(n) for n in np.atleast_1d(tensor.ShapeAsNumpy()))
        graph.shapes[i] = shape
        stored = model.Buffers(tensor.Buffer()).DataAsNumpy()
        if isinstance(stored, np.ndarray) and stored.size:
            graph.constants[i] = stored.view(DTYPES[tensor.Type()]).reshape(shape)
    return model, source, graph


def convert(data: bytes, outputs: Sequence[str]) -> onnx.ModelProto:
    """The ONNX model of a .tflite file; input "image" float32 (1, side, side, 3)."""
    model, source, graph = read(data)
    given = source.Inputs(0)
    graph.names[given] = graph.node("Transpose", ["image"], perm=NCHW_OF_NHWC)
    for i in range(source.OperatorsLength()):
        operator = source.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex())
        kind = NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        inputs, output = [int(n) for n in operator.InputsAsNumpy()], int(operator.Outputs(0))
        if kind == "DEQUANTIZE":  # half-precision weights; `weight` casts them
            graph.constants[output] = graph.constants[inputs[0]]
            continue
        convert_it, options_type = OPERATORS[kind]
        options = None
        if options_type:
            options = getattr(tflite, options_type)()
            table = operator.BuiltinOptions()
            options.Init(table.Bytes, table.Pos)
        graph.names[output] = convert_it(graph, inputs, output, options)
    results: list[onnx.ValueInfoProto] = []
    for i, name in enumerate(outputs):
        if name:
            tensor = int(source.Outputs(i))
            graph.nodes.append(helper.make_node("Identity", [graph.channels_last(tensor)], [name]))
            shape = graph.shapes[tensor]
            results.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    prune(graph, outputs)
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, graph.shapes[given])
    made = helper.make_graph(graph.nodes, "parts", [image], results, graph.initialisers)
    out = helper.make_model(
        made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION
    )
    onnx.checker.check_model(out, full_check=True)
    return out


def difference(data: bytes, made: bytes, source: Source, pictures: Sequence[np.ndarray]) -> float:
    """Greatest difference of the outputs over their own size, on noise and on pictures."""
    import onnxruntime
    from ai_edge_litert.interpreter import Interpreter

    there = Interpreter(model_content=data, num_threads=1)
    there.allocate_tensors()
    entry, exits = there.get_input_details()[0], there.get_output_details()
    here = onnxruntime.InferenceSession(made, providers=["CPUExecutionProvider"])
    side = int(entry["shape"][1])
    rng = np.random.default_rng(0)
    inputs = [rng.random((1, side, side, 3), np.float32) for _ in range(NOISE_ROUNDS)]
    for rgb in pictures:
        shown = Image.fromarray(rgb).resize((side, side), Image.Resampling.BILINEAR)
        inputs.append(np.asarray(shown, np.float32)[None] / 255)
    worst = 0.0
    for values in inputs:
        image = 2 * values - 1 if source.signed else values
        there.set_tensor(entry["index"], image)
        there.invoke()
        names = [name for name in source.outputs if name]
        said = dict(zip(names, here.run(names, {"image": image}), strict=True))
        for name, detail in zip(source.outputs, exits, strict=True):
            if name:
                expected = there.get_tensor(detail["index"])
                scale = max(float(np.abs(expected).max()), 1.0)
                worst = max(worst, float(np.abs(said[name] - expected).max()) / scale)
    return worst


def main() -> None:
    """See the module's text."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("modules", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--check", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    pictures = [np.asarray(Image.open(file).convert("RGB")) for file in args.check]
    args.out.mkdir(parents=True, exist_ok=True)
    described: dict[str, Any] = {}
    for name, source in SOURCES.items():
        data = (args.modules / source.file).read_bytes()
        made = convert(data, source.outputs).SerializeToString()
        worst = difference(data, made, source, pictures)
        print(f"{name:20} {len(made):8} bytes, differs by at most {worst:.1e}")
        if worst > TOLERANCE:
            sys.exit(f"part_models: {name} differs from ai-edge-litert by {worst:.1e}")
        if not source.ships:
            continue
        write_bytes(args.out / f"{name}.onnx", made)
        described[f"{name}.onnx"] = {
            "sha256": hashlib.sha256(made).hexdigest(),
            "from": source.file,
            "from_sha256": hashlib.sha256(data).hexdigest(),
        }
    write_bytes(args.out / "models.json", (json.dumps(described, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
