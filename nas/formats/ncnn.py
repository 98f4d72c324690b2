"""Layer trees as ncnn models.

The text of the layers and the bytes of their weights are written from the tree, without a
converter. A network takes one image (C, H, W). Batch normalization is folded into the convolution
before it, and an activation function becomes part of the convolution before it if ncnn's
convolutions have it; neither changes the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nas.formats.ncnn_graph import NcnnModel, Values
from nas.formats.ncnn_layers import ADD, FUSED, NcnnLayers
from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    LayerNorm,
    Leaf,
    Linear,
    LocalResponseNorm,
    MixConv,
    Node,
    Pad,
    Pool,
    Residual,
    Scale,
    Seq,
    Shape,
    Slices,
    SplitAttention,
    SqueezeExcite,
    Sum,
    branch_inputs,
    child_path,
    joined,
    out_shape,
)
from nas.lowering import AS_TRAINED, lower

IMAGES, LOGITS = "images", "logits"
_OF_VECTORS = (Linear, Activation, Dropout)
"""Leaves that take the vector that a linear layer gives; to others, it is an image of one pixel."""
_KEEPING = {"Split", "Slice", "Concat", "Eltwise", "BinaryOp", "ReLU", "Clip", "Swish", "HardSwish"}
_KEEPING |= {"Mish", "GELU"}
"""Layers whose outputs are vectors if their inputs are."""


def to_ncnn(tree: Node, shape: Shape, weights: Mapping[str, np.ndarray]) -> NcnnModel:
    """Return a layer tree with its weights as an ncnn model.

    Args:
        tree: The network.
        shape: Shape of one image (C, H, W).
        weights: Weights by name, as in the state dict of the tree's torch module.

    Returns:
        The model: blob ``images`` (C, H, W) float32 -> blob ``logits`` (classes).
    """
    tree, weights = lower(tree, shape, weights, AS_TRAINED)
    writer = _NcnnWriter(weights)
    channels, height, width = shape
    writer.add("Input", IMAGES, [], {0: width, 1: height, 2: channels})
    logits, _ = writer.emit(tree, IMAGES, shape, "")
    if logits == IMAGES:
        logits = writer.add("Noop", "/nothing", [IMAGES], {})
    return writer.model(logits, LOGITS)


class _NcnnWriter(NcnnLayers):
    """Collects the layers of a network while it walks the tree."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__(weights)
        self._vector_blobs: set[str] = set()

    def add(
        self,
        kind: str,
        name: str,
        inputs: Sequence[str],
        params: Mapping[int, Values],
        outputs: Sequence[str] = (),
    ) -> str:
        """See `NcnnGraph.add`; keeps track of what is a vector."""
        if kind == "InnerProduct" or (kind in _KEEPING and self._vector_blobs.issuperset(inputs)):
            self._vector_blobs.update(outputs or [name])
        return super().add(kind, name, inputs, params, outputs)

    # -- containers -------------------------------------------------------------------------------

    def emit(self, node: Node, x: str, shape: Shape, path: str) -> tuple[str, Shape]:
        """Add the layers of a tree with the input blob `x`; return its output and shape."""
        match node:
            case Seq():
                return self._in_turn(node.children, x, shape, path)
            case Residual():
                shortcut, inner = self.copies(x, 2, f"{path}/inputs")
                y, end = self._in_turn(node.children, inner, shape, path)
                return self.binary(ADD, shortcut, y, f"{path}/add"), end
            case Cascade():
                return self._cascade(node, x, shape, path)
            case Sum() | Concat() | Slices():
                return self._side_by_side(node, x, shape, path)
        return self._leaf(node, x, shape, path), out_shape(node, shape)

    def _in_turn(
        self, named: Sequence[tuple[str, Node]], x: str, shape: Shape, path: str
    ) -> tuple[str, Shape]:
        children = list(named)
        while children:
            name, child = children.pop(0)
            inside = child_path(path, name)
            function = _fused_function(children[0][1]) if children else ""
            if isinstance(child, (Conv, MixConv)) and function:
                x = self._convs(child, x, shape, inside, function)
                shape = out_shape(child, shape)
                del children[0]
            else:
                x, shape = self.emit(child, x, shape, inside)
        return x, shape

    def _side_by_side(
        self, node: Sum | Concat | Slices, x: str, shape: Shape, path: str
    ) -> tuple[str, Shape]:
        shapes = branch_inputs(node, shape)
        if isinstance(node, Slices):
            inputs = self.slices(x, [taken[0] for taken in shapes], f"{path}/slice")
        else:
            inputs = self.copies(x, len(shapes), f"{path}/inputs")
        outputs, ends = [], []
        for (name, child), part, taken in zip(node.children, inputs, shapes, strict=True):
            output, end = self.emit(child, part, taken, child_path(path, name))
            outputs.append(output)
            ends.append(end)
        join = self.total if isinstance(node, Sum) else self.concatenated
        return join(outputs, f"{path}/joined"), joined(node, shapes, ends, path)

    def _cascade(self, node: Cascade, x: str, shape: Shape, path: str) -> tuple[str, Shape]:
        shapes = branch_inputs(node, shape)
        inputs = self.slices(x, [taken[0] for taken in shapes], f"{path}/slice")
        outputs: list[str] = []
        for i, ((name, child), part, taken) in enumerate(
            zip(node.children, inputs, shapes, strict=True)
        ):
            if outputs:
                outputs[-1], before = self.copies(outputs[-1], 2, f"{path}/output{i}")
                part = self.binary(ADD, part, before, f"{path}/add{i}")
            outputs.append(self.emit(child, part, taken, child_path(path, name))[0])
        return self.concatenated(outputs, f"{path}/joined"), shape

    # -- leaves -----------------------------------------------------------------------------------

    def _convs(
        self, leaf: Conv | MixConv, x: str, shape: Shape, path: str, function: str = "identity"
    ) -> str:
        """Add convolutions, which do the activation function as well."""
        if isinstance(leaf, Conv):
            return self.conv(leaf, x, shape, path, function)
        parts = self.slices(x, [conv.in_channels for conv in leaf.convs], f"{path}/slice")
        outputs = [
            self.conv(conv, part, (conv.in_channels, *shape[1:]), f"{path}.{i}", function)
            for i, (conv, part) in enumerate(zip(leaf.convs, parts, strict=True))
        ]
        return self.concatenated(outputs, path)

    def _leaf(self, leaf: Leaf, x: str, shape: Shape, path: str) -> str:
        if x in self._vector_blobs and not isinstance(leaf, _OF_VECTORS):
            x = self.add("Reshape", f"{path}/image", [x], {0: 1, 1: 1, 2: shape[0]})
        match leaf:
            case Conv() | MixConv():
                return self._convs(leaf, x, shape, path)
            case Pool():
                return self.pool(leaf, x, shape, path)
            case Flatten():
                return self.add("Flatten", path, [x], {})
            case GlobalPool():
                pooled = self.mean(x, f"{path}/mean")
                return self.add("Reshape", path, [pooled], {0: 1, 1: 1, 2: shape[0]})
            case BatchNorm():
                return self.batch_norm(leaf, x, path)
            case LayerNorm():
                return self.layer_norm(leaf, x, path)
            case LocalResponseNorm():
                return self.response_norm(leaf, x, shape[0], path)
            case Scale():
                return self.scale(leaf, x, path)
            case Activation():
                return self.activation(leaf.function, x, path)
            case SqueezeExcite():
                return self.squeeze_excite(leaf, x, path)
            case SplitAttention():
                return self.split_attention(leaf, x, path)
            case ChannelShuffle():
                return self.add("ShuffleChannel", path, [x], {0: leaf.groups})
            case Pad():
                return self.pad(leaf.pads, x, path, leaf.channels)
            case Linear():
                return self.linear(leaf, x, path, {})
            case Dropout():
                return x


def _fused_function(node: Node) -> str:
    """Return the activation function that a convolution before it can do; empty if it cannot."""
    return node.function if isinstance(node, Activation) and node.function in FUSED else ""
