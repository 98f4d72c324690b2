"""Layer trees as ncnn models.

The text of the layers and the bytes of their weights are written from the tree, without a
converter. A network takes one image (C, H, W). Batch normalization is folded into the convolution
before it, and an activation function becomes part of the convolution before it if ncnn's
convolutions have it; neither changes the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nas.formats.ncnn_graph import NcnnGraph, NcnnModel, Values
from nas.ir import (
    Activation,
    BatchNorm,
    Container,
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
    walk,
)
from nas.lowering import AS_TRAINED, lower

IMAGES, LOGITS = "images", "logits"
_ADD, _MULTIPLY = 0, 2  # operations of BinaryOp
_REST = -233  # size of a slice that takes what is left
_SIGMOID: dict[int, Values] = {9: 4}
_SIXTH = 1 / 6
_FUSED: dict[str, dict[int, Values]] = {
    "identity": {},
    "relu": {9: 1},
    "relu6": {9: 3, 10: (0.0, 6.0)},
    "mish": {9: 5},
    "hard_swish": {9: 6, 10: (_SIXTH, 0.5)},
}
"""Parameters of a convolution with an activation function of its own."""
_LAYERS: dict[str, tuple[str, dict[int, Values]]] = {
    "relu": ("ReLU", {}),
    "relu6": ("Clip", {0: 0.0, 1: 6.0}),
    "swish": ("Swish", {}),
    "hard_swish": ("HardSwish", {0: _SIXTH, 1: 0.5}),
    "mish": ("Mish", {}),
    "gelu": ("GELU", {0: 0}),  # by the error function, not by an approximation
}


def to_ncnn(tree: Node, shape: Shape, weights: Mapping[str, np.ndarray]) -> NcnnModel:
    """Return a layer tree with its weights as an ncnn model.

    Args:
        tree: The network.
        shape: Shape of one image (C, H, W).
        weights: Weights by name, as in the state dict of the tree's torch module.

    Returns:
        The model: blob ``images`` (C, H, W) float32 -> blob ``logits`` (classes).
    """
    norms = any(isinstance(layer.leaf, BatchNorm) for layer in walk(tree, shape))
    if norms and not _is_lowered(tree):
        tree, weights = lower(tree, shape, weights, AS_TRAINED)
    writer = _NcnnWriter(weights)
    channels, height, width = shape
    writer.add("Input", IMAGES, [], {0: width, 1: height, 2: channels})
    logits, _ = writer.emit(tree, IMAGES, shape, "")
    if logits == IMAGES:
        logits = writer.add("Noop", "nothing", [IMAGES], {})
    return writer.model(logits, LOGITS)


def _is_lowered(node: Node) -> bool:
    if isinstance(node, (Sum, Slices)):
        return True
    return isinstance(node, Container) and any(_is_lowered(child) for _, child in node.children)


class _NcnnWriter(NcnnGraph):
    """Collects the layers of a network while it walks the tree."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self._named = weights

    def emit(self, node: Node, x: str, shape: Shape, path: str) -> tuple[str, Shape]:
        """Add the layers of a tree with the input blob `x`; return its output and shape."""
        match node:
            case Seq():
                return self._children(node.children, x, shape, path)
            case Residual():
                shortcut, inner = self.copies(x, 2, f"{path}.inputs")
                y, end = self._children(node.children, inner, shape, path)
                return self._binary(_ADD, shortcut, y, f"{path}.add"), end
            case Sum():
                return self._sum(node, x, shape, path)
            case Slices():
                return self._slices(node.children, x, shape, path), end_shape(node, shape)
        return self._leaf(node, x, shape, path), out_shape(node, shape)

    def _children(
        self, named: Sequence[tuple[str, Node]], x: str, shape: Shape, path: str
    ) -> tuple[str, Shape]:
        children = list(named)
        while children:
            name, child = children.pop(0)
            inside = f"{path}.{name}" if path else name
            function = _fused_function(children[0][1]) if children else ""
            if isinstance(child, (Conv, MixConv)) and function:
                x = self._convs(child, x, shape, inside, function)
                shape = out_shape(child, shape)
                del children[0]
            else:
                x, shape = self.emit(child, x, shape, inside)
        return x, shape

    def _leaf(self, leaf: Node, x: str, shape: Shape, path: str) -> str:
        match leaf:
            case Conv() | MixConv():
                return self._convs(leaf, x, shape, path)
            case BatchNorm():
                return self._norm(leaf, x, path)
            case Activation():
                return self._activation(leaf.function, x, path)
            case SqueezeExcite():
                return self._squeeze_excite(leaf, x, path)
            case Pad():
                top, left, bottom, right = leaf.pads
                params = {0: top, 1: bottom, 2: left, 3: right}
                return self.add("Padding", path, [x], params)
            case GlobalPool():
                pooled = self._mean(x, f"{path}.mean")
                return self.add("Reshape", path, [pooled], {0: 1, 1: 1, 2: shape[0]})
            case Linear():
                return self._linear(leaf, x, path, {})
        raise TypeError(f"{type(leaf).__name__} cannot be written for ncnn")

    # -- convolutions ---------------------------------------------------------------------------

    def _convs(
        self, leaf: Conv | MixConv, x: str, shape: Shape, path: str, function: str = "identity"
    ) -> str:
        if isinstance(leaf, Conv):
            return self._conv(leaf, x, shape, path, function)
        convs = [(str(i), conv) for i, conv in enumerate(leaf.convs)]
        return self._slices(convs, x, shape, path, function)

    def _conv(self, conv: Conv, x: str, shape: Shape, path: str, function: str) -> str:
        kernel = self._named[f"{path}.weight"]  # (out, in / groups, rows, columns)
        top, left, bottom, right = conv_pads(conv, shape)
        rows, columns = conv.window
        params: dict[int, Values] = {
            0: conv.out_channels,
            1: columns,
            11: rows,
            2: conv.dilation,
            3: conv.stride,
            4: left,
            14: top,
            15: right,
            16: bottom,
            5: int(conv.bias),
            6: kernel.size,
            **({7: conv.groups} if conv.groups > 1 else {}),
            **_FUSED[function],
        }
        kind = "ConvolutionDepthWise" if conv.groups > 1 else "Convolution"
        y = self.add(kind, path, [x], params)
        self._matrix(kernel, path, conv.bias)
        return y

    def _matrix(self, matrix: np.ndarray, path: str, bias: bool) -> None:
        self.weights(matrix, flagged=True)
        if bias:
            self.weights(self._named[f"{path}.bias"], flagged=False)

    def _sum(self, node: Sum, x: str, shape: Shape, path: str) -> tuple[str, Shape]:
        inputs = self.copies(x, len(node.children), f"{path}.inputs")
        ends = [
            self.emit(child, given, shape, f"{path}.{name}")
            for (name, child), given in zip(node.children, inputs, strict=True)
        ]
        outputs = [output for output, _ in ends]
        total = outputs[0] if len(ends) == 1 else self.add("Eltwise", path, outputs, {0: 1})
        return total, ends[0][1]

    def _slices(
        self,
        branches: Sequence[tuple[str, Node]],
        x: str,
        shape: Shape,
        path: str,
        function: str = "identity",
    ) -> str:
        """Add the branches; convolutions among them do the activation function as well."""
        sizes = [input_channels(child) for _, child in branches]
        parts = [x]
        if len(sizes) > 1:
            parts = [f"{path}.slice{i}" for i in range(len(sizes))]
            self.add("Slice", f"{path}.slice", [x], {0: (*sizes[:-1], _REST)}, parts)
        outputs = []
        for (name, child), part, size in zip(branches, parts, sizes, strict=True):
            taken, inside = (size, *shape[1:]), f"{path}.{name}"
            if isinstance(child, Conv):
                outputs.append(self._conv(child, part, taken, inside, function))
            else:
                outputs.append(self.emit(child, part, taken, inside)[0])
        return outputs[0] if len(outputs) == 1 else self.add("Concat", path, outputs, {0: 0})

    # -- the rest -------------------------------------------------------------------------------

    def _norm(self, norm: BatchNorm, x: str, path: str) -> str:
        """Write a normalization that follows no convolution."""
        y = self.add("BatchNorm", path, [x], {0: norm.channels, 1: norm.eps})
        for part in ("weight", "running_mean", "running_var", "bias"):
            self.weights(self._named[f"{path}.{part}"], flagged=False)
        return y

    def _activation(self, function: str, x: str, path: str) -> str:
        if function == "identity":
            return x
        kind, params = _LAYERS[function]
        return self.add(kind, path, [x], params)

    def _binary(self, operation: int, x: str, y: str, name: str) -> str:
        return self.add("BinaryOp", name, [x, y], {0: operation})

    def _mean(self, x: str, name: str) -> str:
        """Return the mean of every channel, as a vector."""
        return self.add("Pooling", name, [x], {0: 1, 4: 1})

    def _squeeze_excite(self, se: SqueezeExcite, x: str, path: str) -> str:
        scaled, x = self.copies(x, 2, f"{path}.inputs")
        y = self._mean(x, f"{path}.pool")
        reduce, expand = (
            Linear(conv.in_channels, conv.out_channels) for conv in (se.reduce, se.expand)
        )
        fused = _FUSED.get(se.activation)
        y = self._linear(reduce, y, f"{path}.reduce", fused or {}, se.reduce.bias)
        if fused is None:
            y = self._activation(se.activation, y, f"{path}.act")
        y = self._linear(expand, y, f"{path}.expand", _SIGMOID, se.expand.bias)
        return self._binary(_MULTIPLY, scaled, y, path)

    def _linear(
        self, linear: Linear, x: str, path: str, fused: Mapping[int, Values], bias: bool = True
    ) -> str:
        matrix = self._named[f"{path}.weight"]
        params = {0: linear.out_features, 1: int(bias), 2: matrix.size, **fused}
        y = self.add("InnerProduct", path, [x], params)
        self._matrix(matrix, path, bias)
        return y


def _fused_function(node: Node) -> str:
    """Return the activation function that a convolution before it can do; empty if it cannot."""
    return node.function if isinstance(node, Activation) and node.function in _FUSED else ""
