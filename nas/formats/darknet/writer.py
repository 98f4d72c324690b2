"""Layer trees as sections of darknet.

What is written is understood by darknet (AlexeyAB's) and by OpenCV's `cv2.dnn`. Mixes of kernels
are routes of channel groups, batch normalization is folded into convolutions (implementations of
darknet disagree about its epsilon), and what darknet does not have is written as an equal:

- padding that differs between sides, dilation and kernels that are not square: a larger kernel with
  zeros, padded equally on all sides;
- slices of different sizes: several groups each, or a larger kernel for all slices;
- ReLU6 and hard swish: ReLU and 1x1 convolutions of single channels;
- batch normalization that follows no convolution, and factors of channels: the same convolutions;
- the multiplication of squeeze-and-excitation: ``[upsample]`` and ``[sam]``, since OpenCV computes
  ``[scale_channels]`` for a single image only (opencv/opencv, issue 16630);
- linear layers: convolutions as large as the map.

Layers of which darknet has no equal are refused: average pooling of less than the whole map,
normalization across channels, channel shuffling, split attention, hard sigmoid gates, and zeros as
further channels (ReXNet's skip).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from nas.formats.darknet.sections import IMAGES, DarknetModel, DarknetSections, refusal
from nas.formats.square import square_window, tap_on_pixel, with_padding
from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    Linear,
    MixConv,
    Node,
    Pad,
    Pool,
    Residual,
    Scale,
    Seq,
    Shape,
    Slices,
    SqueezeExcite,
    Sum,
    branch_inputs,
    child_path,
    joined,
    out_shape,
    pool_pads,
    walk,
)
from nas.lowering import Form, candidates, is_pointwise, lower
from nas.lowering.folding import affine

MOST_ROUTES = 16  # groups that slices of different sizes are put together from
_NATIVE = {
    "relu": "relu",
    "leaky_relu": "leaky",
    "swish": "swish",
    "mish": "mish",
    "identity": "linear",
}


def to_darknet(
    tree: Node,
    shape: Shape,
    weights: Mapping[str, np.ndarray],
    properties: Mapping[str, str] | None = None,
) -> DarknetModel:
    """Return a layer tree with its weights in darknet's format.

    Args:
        tree: The network.
        shape: Shape of one image (C, H, W).
        weights: Weights by name, as in the state dict of the tree's torch module.
        properties: What to tell in comments, texts by name.

    Returns:
        The model: images (batch, C, H, W) -> logits (batch, classes, 1, 1).

    Raises:
        MixnasError: If darknet has no equal of a layer; the message names it.
    """
    if any(isinstance(layer.leaf, (BatchNorm, Scale)) for layer in walk(tree, shape)):
        tree, weights = lower(tree, shape, weights, _Routes())
    writer = _CfgWriter(weights)
    logits, _ = writer.emit(tree, IMAGES, shape, "")
    writer.back(logits, "", "end with")
    writer.go_to(logits, "")
    return writer.model(shape, properties or {})


class _Routes:
    """Chooses forms that routes can say: slices of whole groups, or one convolution for all."""

    def form(self, mix: MixConv, shape: Shape) -> Form:
        """See `FormChoice`."""
        forms, split = candidates(mix), Form((1,) * len(mix.convs))
        if is_pointwise(mix):
            return forms.get("grouped", forms.get("dense", split))
        sizes = [conv.in_channels for conv in mix.convs]
        few = sum(sizes) // math.gcd(*sizes) <= MOST_ROUTES
        return split if few else forms.get("merge", split)

    def wide_gate(self, se: SqueezeExcite, shape: Shape) -> bool:
        """See `FormChoice`."""
        return False


class _CfgWriter(DarknetSections):
    """Collects the sections and the weights of a network while it walks the tree."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self._named = weights

    def emit(self, node: Node, x: int, shape: Shape, path: str) -> tuple[int, Shape]:
        """Add the sections of a tree with the input `x`; return its output and its shape."""
        match node:
            case Seq() | Residual():
                return self._in_turn(node, x, shape, path)
            case Sum() | Concat() | Slices() | Cascade():
                return self._side_by_side(node, x, shape, path)
            case MixConv():
                return self._mix(node, x, shape, path, "linear")
            case Conv():
                return self._conv(node, x, shape, path, "linear"), out_shape(node, shape)
            case Pool():
                return self._pool(node, x, shape, path), out_shape(node, shape)
            case BatchNorm() | Scale():
                return self._scaled(node, x, shape, path), shape
            case Activation():
                return self._activation(node.function, x, shape, path), shape
            case SqueezeExcite():
                return self._squeeze_excite(node, x, shape, path), shape
            case GlobalPool():
                self.go_to(x, path)
                return self.add("avgpool", path), out_shape(node, shape)
            case Linear():
                return self._linear(x, shape, path), out_shape(node, shape)
            case Dropout() | Flatten():
                return x, shape
        if isinstance(node, Pad) and node.channels:
            raise refusal(path, "it cannot add an input of fewer channels than the output")
        raise refusal(path, f"it has no {type(node).__name__}")

    # -- containers -------------------------------------------------------------------------------

    def _in_turn(self, node: Seq | Residual, x: int, shape: Shape, path: str) -> tuple[int, Shape]:
        y, inner = x, shape
        children = list(node.children)
        while children:
            name, child = children.pop(0)
            before_conv = bool(children) and isinstance(children[0][1], Conv)
            if isinstance(child, Pad) and not child.channels and before_conv:
                pads = child.pads
                name, child = children.pop(0)
                assert isinstance(child, Conv)
                child = with_padding(child, pads, inner)
            inside = child_path(path, name)
            after = children[0][1] if children else None
            if isinstance(child, (Conv, MixConv)) and isinstance(after, Activation):
                y, inner = self._activated(child, after.function, y, inner, inside)
                del children[0]
            else:
                y, inner = self.emit(child, y, inner, inside)
        return (self.added(y, x, path) if isinstance(node, Residual) else y), inner

    def _activated(
        self, conv: Node, function: str, x: int, shape: Shape, path: str
    ) -> tuple[int, Shape]:
        """Write convolutions that are followed by an activation function."""
        native = _NATIVE.get("relu" if function == "relu6" else function, "linear")
        if isinstance(conv, MixConv):
            y, end = self._mix(conv, x, shape, path, native)
        else:
            assert isinstance(conv, Conv)
            y, end = self._conv(conv, x, shape, path, native), out_shape(conv, shape)
        if function == "relu6":
            return self._upper_bound(y, end, 6.0, path), end
        return (y if function in _NATIVE else self._activation(function, y, end, path)), end

    def _side_by_side(
        self, node: Sum | Concat | Slices | Cascade, x: int, shape: Shape, path: str
    ) -> tuple[int, Shape]:
        shapes = branch_inputs(node, shape)
        sizes = [taken[0] for taken in shapes]
        outputs: list[int] = []
        ends: list[Shape] = []
        for i, (name, child) in enumerate(node.children):
            part = self.sliced(x, sizes, i, path) if isinstance(node, (Slices, Cascade)) else x
            if isinstance(node, Cascade) and outputs:
                part = self.added(part, outputs[-1], path)
            y, end = self.emit(child, part, shapes[i], child_path(path, name))
            if isinstance(node, Sum) and outputs:
                y = self.added(y, outputs.pop(), path)
            outputs.append(y)
            ends.append(end)
        return self.together(outputs, path), joined(node, shapes, ends, path)

    # -- convolutions -----------------------------------------------------------------------------

    def _mix(
        self, mix: MixConv, x: int, shape: Shape, path: str, activation: str
    ) -> tuple[int, Shape]:
        sizes = [conv.in_channels for conv in mix.convs]
        ends = []
        for i, conv in enumerate(mix.convs):
            part = self.sliced(x, sizes, i, path)
            taken = (conv.in_channels, *shape[1:])
            ends.append(self._conv(conv, part, taken, f"{path}.{i}", activation))
        return self.together(ends, path), out_shape(mix, shape)

    def _conv(self, conv: Conv, x: int, shape: Shape, path: str, activation: str) -> int:
        kernel = self._named[f"{path}.weight"]
        bias = self._named[f"{path}.bias"] if conv.bias else np.zeros(conv.out_channels)
        padding = 0
        if shape[1:] == (1, 1) == out_shape(conv, shape)[1:]:
            # OpenCV 4.14 reads beyond a map of one pixel with 3x3 kernels of single channels.
            kernel = tap_on_pixel(conv, kernel, shape)
        else:
            try:
                window = square_window(conv, shape)
            except ValueError as error:
                raise refusal(path, str(error)) from None
            kernel, padding = window.kernel(conv, kernel), window.padding
        return self.convolutional(
            x,
            shape,
            kernel,
            bias,
            path,
            activation,
            groups=conv.groups,
            stride=conv.stride,
            padding=padding,
        )

    def _linear(self, x: int, shape: Shape, path: str) -> int:
        """Write a linear layer as a convolution with a kernel of the size of the map."""
        _, height, width = shape
        if height != width:
            raise refusal(path, f"its map of {height} x {width} pixels is not square")
        weight, bias = self._named[f"{path}.weight"], self._named[f"{path}.bias"]
        return self.convolutional(x, shape, weight.reshape(-1, *shape), bias, path)

    # -- the rest ---------------------------------------------------------------------------------

    def _pool(self, pool: Pool, x: int, shape: Shape, path: str) -> int:
        pads = pool_pads(pool, shape)
        top, left = pads[:2]
        ends = out_shape(pool, shape)[1:]
        if pool.kind == "average":
            covers = pool.kernel >= max(shape[1] + top, shape[2] + left)
            counts = pool.count_padding and any(pool_pads(_without_ceil(pool), shape))
            if ends != (1, 1) or not covers or counts:
                raise refusal(path, "it has no average pooling but that of whole maps")
            self.go_to(x, path)
            return self.add("avgpool", path)
        # Half of the padding, rounded down, is at the top and on the left, the rest opposite.
        for padding in (2 * top, 2 * top + 1):
            sizes = tuple((n + padding - pool.kernel) // pool.stride + 1 for n in shape[1:])
            if top == left and sizes == ends:
                self.go_to(x, path)
                options = {"size": pool.kernel, "stride": pool.stride, "padding": padding}
                return self.add("maxpool", path, **options)
        listed = ", ".join(map(str, pads))
        raise refusal(
            path,
            f"it has no maximum pooling with padding of {listed} (top, left, bottom, right); "
            "allowed are equal sides, or one pixel more at the bottom and on the right",
        )

    def _scaled(self, leaf: BatchNorm | Scale, x: int, shape: Shape, path: str) -> int:
        """Write a factor for every channel, or a normalization that follows no convolution."""
        return self.affine(x, shape, *affine([(leaf, path)], self._named), path)

    def _activation(self, function: str, x: int, shape: Shape, path: str) -> int:
        if function == "identity":
            return x
        if function in _NATIVE:
            return self.affine(x, shape, 1, 0, path, _NATIVE[function])
        if function == "relu6":
            return self._upper_bound(self.affine(x, shape, 1, 0, path, "relu"), shape, 6.0, path)
        if function == "hard_swish":  # x min(relu(x + 3), 6) / 6
            y = self.affine(x, shape, 1, 3, path, "relu")
            y = self.affine(y, shape, -1 / 6, 1, path, "relu")
            y = self.affine(y, shape, -1, 1, path)
            return self.multiplied(y, x, path)
        raise refusal(path, f"it has no activation function {function}")

    def _upper_bound(self, x: int, shape: Shape, bound: float, path: str) -> int:
        """Write ``min(x, bound)`` as ``bound - relu(bound - x)``."""
        y = self.affine(x, shape, -1, bound, path, "relu")
        return self.affine(y, shape, -1, bound, path)

    def _squeeze_excite(self, se: SqueezeExcite, x: int, shape: Shape, path: str) -> int:
        channels, height, width = shape
        if se.gate != "sigmoid":
            raise refusal(path, f"it has no {se.gate} gate")
        if height != width:
            raise refusal(path, "its maps are not square")
        self.go_to(x, path)
        y = self.add("avgpool", path)
        inner = (channels, 1, 1)
        y, squeezed = self._activated(se.reduce, se.activation, y, inner, f"{path}.reduce")
        y = self._conv(se.expand, y, squeezed, f"{path}.expand", "logistic")
        if height > 1:
            y = self.add("upsample", path, stride=height)
        return self.multiplied(y, x, path)


def _without_ceil(pool: Pool) -> Pool:
    return dataclasses.replace(pool, ceil=False)
