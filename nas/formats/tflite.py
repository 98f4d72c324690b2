"""Layer trees as TensorFlow Lite models, for LiteRT.

The flatbuffer is written from the tree with the schema that LiteRT ships, without a converter and
without TensorFlow. Tensors are channels last (N, H, W, C), as XNNPACK wants them. As converters do,
batch normalization is folded into the convolution before it, and ReLU becomes part of the
convolution before it. The batch size is part of the model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nas.formats.tflite_graph import Graph
from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    GlobalPool,
    Linear,
    MixConv,
    Node,
    Pad,
    Pads,
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
    same_pads,
    walk,
)
from nas.lowering import AS_TRAINED, lower

MOST_EVEN_SLICES = 4  # parts of a SPLIT that XNNPACK takes; more are cut out one by one
_FUSED = {"relu": "RELU", "relu6": "RELU6"}
_SIMPLE = {"relu": "RELU", "relu6": "RELU6", "hard_swish": "HARD_SWISH"}


def to_tflite(
    tree: Node,
    shape: Shape,
    weights: Mapping[str, np.ndarray],
    name: str = "",
    properties: Mapping[str, str] | None = None,
    batch: int = 1,
) -> bytes:
    """Return a layer tree with its weights as a TensorFlow Lite model.

    Args:
        tree: The network.
        shape: Shape of one image (C, H, W).
        weights: Weights by name, as in the state dict of the tree's torch module.
        name: Name of the graph.
        properties: Metadata of the model, texts by name.
        batch: Number of images.

    Returns:
        The model: ``images`` (batch, H, W, C) float32 -> ``logits`` (batch, classes).
    """
    if any(isinstance(layer.leaf, BatchNorm) for layer in walk(tree, shape)):
        tree, weights = lower(tree, shape, weights, AS_TRAINED)
    writer = _GraphWriter(weights, batch)
    channels, height, width = shape
    images = writer.tensor("images", (batch, height, width, channels))
    logits, _ = writer.emit(tree, images, shape, "")
    writer.rename(logits, "logits")
    return writer.model(images, logits, name or "network", properties or {})


class _GraphWriter(Graph):
    """Collects the operators of a network while it walks the tree."""

    def __init__(self, weights: Mapping[str, np.ndarray], batch: int) -> None:
        super().__init__()
        self.weights = weights
        self.batch = batch

    def maps(self, name: str, shape: Shape) -> int:
        """Add a tensor of feature maps."""
        channels, height, width = shape
        return self.tensor(name, (self.batch, height, width, channels))

    def emit(self, node: Node, x: int, shape: Shape, path: str) -> tuple[int, Shape]:
        """Add the operators of a tree with the input tensor `x`; return its output and shape."""
        match node:
            case Seq() | Residual():
                return self._children(node, x, shape, path)
            case Sum():
                return self._sum(node, x, shape, path)
            case Slices():
                return self._slices(node.children, x, shape, path), end_shape(node, shape)
            case MixConv():
                convs = [(str(i), conv) for i, conv in enumerate(node.convs)]
                return self._slices(convs, x, shape, path), out_shape(node, shape)
        return self._leaf(node, x, shape, path), out_shape(node, shape)

    def _children(self, node: Seq | Residual, x: int, shape: Shape, path: str) -> tuple[int, Shape]:
        y, inner = x, shape
        children = list(node.children)
        while children:
            name, child = children.pop(0)
            inside = f"{path}.{name}" if path else name
            fused = _fused(children[0][1]) if children and isinstance(child, Conv) else ""
            if isinstance(child, Conv) and fused:
                del children[0]
                y = self._conv(child, y, inner, inside, fused)
                inner = out_shape(child, inner)
            else:
                y, inner = self.emit(child, y, inner, inside)
        if isinstance(node, Residual):
            y = self.add("ADD", [x, y], [self.maps(f"{path}.add", inner)], "AddOptions")
        return y, inner

    def _leaf(self, leaf: Node, x: int, shape: Shape, path: str) -> int:
        match leaf:
            case Conv():
                return self._conv(leaf, x, shape, path)
            case BatchNorm():
                return self._norm(leaf, x, shape, path)
            case Activation():
                return self._activation(leaf.function, x, shape, path)
            case SqueezeExcite():
                return self._squeeze_excite(leaf, x, shape, path)
            case Pad():
                return self._pad(x, shape, leaf.pads, f"{path}.out")
            case GlobalPool():
                return self._mean(x, shape, f"{path}.out")
            case Linear():
                return self._linear(leaf, x, path)
        raise TypeError(f"{type(leaf).__name__} cannot be written as TensorFlow Lite")

    # -- convolutions ---------------------------------------------------------------------------

    def _conv(self, conv: Conv, x: int, shape: Shape, path: str, function: str = "") -> int:
        pads = conv_pads(conv, shape)
        same = _is_same(conv, shape, pads)
        if not same and any(pads):
            x = self._pad(x, shape, pads, f"{path}.pad")
        kernel = self.weights[f"{path}.weight"]  # (out, in / groups, k, k)
        depthwise = conv.groups == conv.in_channels and conv.groups > 1
        kernel = kernel.transpose(0, 2, 3, 1)
        if depthwise:  # (1, k, k, out)
            kernel = kernel.transpose(3, 1, 2, 0)
        bias = (
            self.weights[f"{path}.bias"]
            if conv.bias
            else np.zeros(conv.out_channels, dtype=np.float32)
        )
        inputs = [x, self.constant(f"{path}.weight", kernel), self.constant(f"{path}.bias", bias)]
        kind = "DepthwiseConv2D" if depthwise else "Conv2D"
        fields: dict[str, Any] = {
            "padding": self.schema.Padding.SAME if same else self.schema.Padding.VALID,
            "strideW": conv.stride,
            "strideH": conv.stride,
            "dilationWFactor": conv.dilation,
            "dilationHFactor": conv.dilation,
        }
        if function:
            kinds = self.schema.ActivationFunctionType
            fields["fusedActivationFunction"] = getattr(kinds, _FUSED[function])
        if depthwise:
            fields["depthMultiplier"] = conv.out_channels // conv.in_channels
        y = self.maps(f"{path}.out", out_shape(conv, shape))
        op = "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D"
        return self.add(op, inputs, [y], f"{kind}Options", **fields)

    def _sum(self, node: Sum, x: int, shape: Shape, path: str) -> tuple[int, Shape]:
        (first, child), *others = node.children
        total, end = self.emit(child, x, shape, f"{path}.{first}")
        for name, child in others:
            y, _ = self.emit(child, x, shape, f"{path}.{name}")
            total = self._binary("ADD", total, y, end, f"{path}.{name}.sum")
        return total, end

    def _slices(self, branches: Sequence[tuple[str, Node]], x: int, shape: Shape, path: str) -> int:
        sizes = [input_channels(child) for _, child in branches]
        parts = self._split(x, shape, sizes, path)
        ends = [
            self.emit(child, part, (size, *shape[1:]), f"{path}.{name}")
            for (name, child), part, size in zip(branches, parts, sizes, strict=True)
        ]
        channels = sum(end[0] for _, end in ends)
        y = self.maps(f"{path}.out", (channels, *ends[0][1][1:]))
        outputs = [output for output, _ in ends]
        return self.add("CONCATENATION", outputs, [y], "ConcatenationOptions", axis=3)

    def _split(self, x: int, shape: Shape, sizes: list[int], path: str) -> list[int]:
        """Return slices of the channels of feature maps."""
        _, height, width = shape
        parts = [self.maps(f"{path}.slice{i}", (n, height, width)) for i, n in enumerate(sizes)]
        if len(set(sizes)) == 1 and len(sizes) <= MOST_EVEN_SLICES:
            axis = self.constant(f"{path}.axis", np.array(3))
            self.add("SPLIT", [axis, x], parts, "SplitOptions", numSplits=len(sizes))
            return parts
        for i, (size, part) in enumerate(zip(sizes, parts, strict=True)):
            begin = self.constant(f"{path}.begin{i}", np.array([0, 0, 0, sum(sizes[:i])]))
            extent = np.array([self.batch, height, width, size])
            self.add(
                "SLICE",
                [x, begin, self.constant(f"{path}.size{i}", extent)],
                [part],
                "SliceOptions",
            )
        return parts

    def _pad(self, x: int, shape: Shape, pads: Pads, name: str) -> int:
        channels, height, width = shape
        top, left, bottom, right = pads
        sides = np.array([[0, 0], [top, bottom], [left, right], [0, 0]])
        y = self.maps(name, (channels, height + top + bottom, width + left + right))
        return self.add("PAD", [x, self.constant(f"{name}.sides", sides)], [y], "PadOptions")

    # -- the rest -------------------------------------------------------------------------------

    def _norm(self, norm: BatchNorm, x: int, shape: Shape, path: str) -> int:
        """Write a normalization that follows no convolution."""
        mean, variance, weight, bias = (
            self.weights[f"{path}.{part}"].astype(np.float64)
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        scale = weight / np.sqrt(variance + norm.eps)
        y = self._binary("MUL", x, self.constant(f"{path}.scale", scale), shape, f"{path}.scaled")
        shift = self.constant(f"{path}.shift", bias - mean * scale)
        return self._binary("ADD", y, shift, shape, f"{path}.out")

    def _binary(self, op: str, x: int, y: int, shape: Shape, name: str) -> int:
        return self.add(op, [x, y], [self.maps(name, shape)], f"{op.capitalize()}Options")

    def _unary(self, op: str, x: int, shape: Shape, name: str) -> int:
        return self.add(op, [x], [self.maps(name, shape)])

    def _activation(self, function: str, x: int, shape: Shape, path: str) -> int:
        if function == "identity":
            return x
        if function == "swish":
            gate = self._unary("LOGISTIC", x, shape, f"{path}.gate")
            return self._binary("MUL", x, gate, shape, f"{path}.out")
        if function == "gelu":
            y = self.maps(f"{path}.out", shape)
            return self.add("GELU", [x], [y], "GeluOptions", approximate=False)
        if function == "mish":
            return self._mish(x, shape, path)
        return self._unary(_SIMPLE[function], x, shape, f"{path}.out")

    def _mish(self, x: int, shape: Shape, path: str) -> int:
        """Write x tanh(softplus(x)), with softplus(x) = relu(x) + log(1 + exp(-|x|))."""
        one = self.constant(f"{path}.one", np.array(1.0))
        y = self._unary("ABS", x, shape, f"{path}.abs")
        y = self._unary("NEG", y, shape, f"{path}.negative")
        y = self._unary("EXP", y, shape, f"{path}.exp")
        y = self._binary("ADD", y, one, shape, f"{path}.sum")
        y = self._unary("LOG", y, shape, f"{path}.log")
        positive = self._unary("RELU", x, shape, f"{path}.positive")
        y = self._binary("ADD", positive, y, shape, f"{path}.softplus")
        y = self._unary("TANH", y, shape, f"{path}.tanh")
        return self._binary("MUL", x, y, shape, f"{path}.out")

    def _squeeze_excite(self, se: SqueezeExcite, x: int, shape: Shape, path: str) -> int:
        inner = (se.reduce.in_channels, 1, 1)
        squeezed = (se.reduce.out_channels, 1, 1)
        y = self._mean(x, shape, f"{path}.pool")
        fused = se.activation if se.activation in _FUSED else ""
        y = self._conv(se.reduce, y, inner, f"{path}.reduce", fused)
        if not fused:
            y = self._activation(se.activation, y, squeezed, f"{path}.act")
        y = self._conv(se.expand, y, squeezed, f"{path}.expand")
        y = self._unary("LOGISTIC", y, inner, f"{path}.gate")
        return self._binary("MUL", x, y, shape, f"{path}.out")

    def _mean(self, x: int, shape: Shape, name: str) -> int:
        axes = self.constant(f"{name}.axes", np.array([1, 2]))
        y = self.maps(name, (shape[0], 1, 1))
        return self.add("MEAN", [x, axes], [y], "ReducerOptions", keepDims=True)

    def _linear(self, linear: Linear, x: int, path: str) -> int:
        inputs = [
            x,
            self.constant(f"{path}.weight", self.weights[f"{path}.weight"]),
            self.constant(f"{path}.bias", self.weights[f"{path}.bias"]),
        ]
        y = self.tensor(f"{path}.out", (self.batch, linear.out_features))
        return self.add("FULLY_CONNECTED", inputs, [y], "FullyConnectedOptions")


def _fused(node: Node) -> str:
    """Return the activation function that a convolution before it can do; empty if it cannot."""
    return node.function if isinstance(node, Activation) and node.function in _FUSED else ""


def _is_same(conv: Conv, shape: Shape, pads: Pads) -> bool:
    """Tell whether TensorFlow's rule pads just as much."""
    rows, columns = (
        same_pads(size, (taps - 1) * conv.dilation + 1, conv.stride)
        for size, taps in zip(shape[1:], conv.window, strict=True)
    )
    return pads == (rows[0], columns[0], rows[1], columns[1])
