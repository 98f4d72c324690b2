"""Layer trees as ONNX models.

The graph is written from the tree instead of traced, so it has readable names and no redundant
nodes, and takes only tens of milliseconds per network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    GlobalPool,
    Linear,
    MixConv,
    Node,
    Pad,
    Residual,
    Seq,
    Shape,
    Slices,
    SqueezeExcite,
    Sum,
    conv_pads,
    end_shape,
    input_channels,
    out_shape,
)

OPSET = 20  # the first with Gelu; needs ONNX Runtime 1.17 or later
IR_VERSION = 9
BATCH = "batch"  # name of the dynamic dimension
_SIMPLE = {"relu": "Relu", "hard_swish": "HardSwish", "mish": "Mish", "gelu": "Gelu"}


class _Writer:
    """Collects the nodes, constants and known shapes of a graph while it walks the tree."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}
        self.known_shapes: list[onnx.ValueInfoProto] = []

    def add(self, op: str, inputs: list[str], name: str, **attributes: Any) -> str:
        """Add a node with one output of the same name, and return the name."""
        self.nodes.append(helper.make_node(op, inputs, [name], name, **attributes))
        return name

    def constant(self, name: str, value: np.ndarray) -> str:
        """Add a constant and return its name."""
        self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def weight(self, name: str) -> str:
        """Add a weight of the tree and return its name."""
        return self.constant(name, self.weights[name])

    def emit(self, node: Node, x: str, shape: Shape, path: str) -> tuple[str, Shape]:
        """Add the nodes of a tree with the input tensor `x`; return its output tensor and shape."""
        match node:
            case Seq() | Residual():
                y, inner = x, shape
                for name, child in node.children:
                    y, inner = self.emit(child, y, inner, f"{path}.{name}" if path else name)
                if isinstance(node, Residual):
                    y = self.add("Add", [x, y], f"{path}.add")
                return y, inner
            case Sum():
                return self._sum(node, x, shape, path)
            case Slices():
                return self._slices(node.children, x, shape, path), end_shape(node, shape)
            case MixConv():
                convs = [(str(i), conv) for i, conv in enumerate(node.convs)]
                return self._slices(convs, x, shape, path), out_shape(node, shape)
        return self._leaf(node, x, shape, path), out_shape(node, shape)

    def _sum(self, node: Sum, x: str, shape: Shape, path: str) -> tuple[str, Shape]:
        (first, child), *others = node.children
        total, end = self.emit(child, x, shape, f"{path}.{first}")
        for name, child in others:
            y, _ = self.emit(child, x, shape, f"{path}.{name}")
            total = self.add("Add", [total, y], f"{path}.{name}.sum")
        return total, end

    def _slices(self, branches: Sequence[tuple[str, Node]], x: str, shape: Shape, path: str) -> str:
        sizes = [input_channels(child) for _, child in branches]
        split = self.constant(f"{path}.sizes", np.array(sizes, dtype=np.int64))
        slices = [f"{path}.slice{i}" for i in range(len(sizes))]
        self.nodes.append(helper.make_node("Split", [x, split], slices, f"{path}.split", axis=1))
        outputs = [
            self.emit(child, part, (size, *shape[1:]), f"{path}.{name}")[0]
            for (name, child), part, size in zip(branches, slices, sizes, strict=True)
        ]
        return self.add("Concat", outputs, f"{path}.out", axis=1)

    def _leaf(self, leaf: Node, x: str, shape: Shape, path: str) -> str:
        match leaf:
            case Conv():
                return self._conv(leaf, x, shape, path)
            case BatchNorm():
                parts = ("weight", "bias", "running_mean", "running_var")
                inputs = [x, *(self.weight(f"{path}.{part}") for part in parts)]
                return self.add("BatchNormalization", inputs, f"{path}.out", epsilon=leaf.eps)
            case Activation():
                return self._activation(leaf.function, x, path)
            case SqueezeExcite():
                return self._squeeze_excite(leaf, x, shape, path)
            case Pad():
                return self._pad(leaf, x, shape, path)
            case GlobalPool():
                return self.add("GlobalAveragePool", [x], f"{path}.out")
            case Linear():
                flat = self.add("Flatten", [x], f"{path}.flat", axis=1)
                inputs = [flat, self.weight(f"{path}.weight"), self.weight(f"{path}.bias")]
                return self.add("Gemm", inputs, f"{path}.out", transB=1)
        raise TypeError(f"{type(leaf).__name__} cannot be written as ONNX")

    def _conv(self, conv: Conv, x: str, shape: Shape, path: str) -> str:
        inputs = [x, self.weight(f"{path}.weight")]
        if conv.bias:
            inputs.append(self.weight(f"{path}.bias"))
        return self.add(
            "Conv",
            inputs,
            f"{path}.out",
            kernel_shape=list(conv.window),
            strides=[conv.stride] * 2,
            dilations=[conv.dilation] * 2,
            group=conv.groups,
            pads=list(conv_pads(conv, shape)),
        )

    def _activation(self, function: str, x: str, path: str) -> str:
        if function == "identity":
            return x
        if function == "swish":
            gate = self.add("Sigmoid", [x], f"{path}.gate")
            return self.add("Mul", [x, gate], f"{path}.out")
        if function == "relu6":
            bounds = [
                self.constant(f"clip.{bound}", np.array(bound, dtype=np.float32))
                for bound in (0, 6)
            ]
            return self.add("Clip", [x, *bounds], f"{path}.out")
        return self.add(_SIMPLE[function], [x], f"{path}.out")

    def _pad(self, pad: Pad, x: str, shape: Shape, path: str) -> str:
        # A depthwise 1x1 convolution with weights of 1 keeps ONNX Runtime's blocked channel layout;
        # the `Pad` operator does not.
        channels = shape[0]
        ones = self.constant(f"{path}.ones", np.ones((channels, 1, 1, 1), dtype=np.float32))
        pads = list(pad.pads)
        return self.add(
            "Conv", [x, ones], f"{path}.out", kernel_shape=[1, 1], group=channels, pads=pads
        )

    def _squeeze_excite(self, se: SqueezeExcite, x: str, shape: Shape, path: str) -> str:
        y = self.add("GlobalAveragePool", [x], f"{path}.pool")
        y = self._conv(se.reduce, y, (se.reduce.in_channels, 1, 1), f"{path}.reduce")
        y = self._activation(se.activation, y, f"{path}.act")
        y = self._conv(se.expand, y, (se.reduce.out_channels, 1, 1), f"{path}.expand")
        y = self.add("Sigmoid", [y], f"{path}.gate")
        if se.wide:
            y = self._widen(y, shape, path)
        return self.add("Mul", [x, y], f"{path}.out")

    def _widen(self, x: str, shape: Shape, path: str) -> str:
        """Expand one value per channel to a map, by the only operator with a blocked layout."""
        scales = self.constant(f"{path}.scales", np.array([1, 1, *shape[1:]], dtype=np.float32))
        wide = self.add(
            "Resize",
            [x, "", scales],
            f"{path}.wide",
            mode="nearest",
            coordinate_transformation_mode="asymmetric",
            nearest_mode="floor",
        )
        # Shape inference loses the batch size here, and without it the layout is not kept.
        info = helper.make_tensor_value_info(wide, TensorProto.FLOAT, [BATCH, *shape])
        self.known_shapes.append(info)
        return wide


def to_onnx(
    tree: Node,
    shape: Shape,
    weights: Mapping[str, np.ndarray],
    name: str = "",
    properties: Mapping[str, str] | None = None,
) -> onnx.ModelProto:
    """Return a layer tree with its weights as an ONNX model.

    Args:
        tree: The network.
        shape: Shape of one image (C, H, W); height and width are fixed, the batch size is dynamic.
        weights: Weights by name, as in the state dict of the tree's torch module.
        name: Name of the graph.
        properties: Metadata of the model, texts by name.

    Returns:
        A checked model: ``images`` (batch, C, H, W) float32 -> ``logits`` (batch, classes).
    """
    writer = _Writer(weights)
    y, (classes, _, _) = writer.emit(tree, "images", shape, "")
    writer.add("Identity", [y], "logits")
    images = helper.make_tensor_value_info("images", TensorProto.FLOAT, [BATCH, *shape])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [BATCH, classes])
    graph = helper.make_graph(
        writer.nodes,
        name or "network",
        [images],
        [logits],
        list(writer.initializers.values()),
        value_info=writer.known_shapes,
    )
    model = helper.make_model(
        graph,
        producer_name="mixnas",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    helper.set_model_props(model, dict(properties or {}))
    onnx.checker.check_model(model)
    return model
