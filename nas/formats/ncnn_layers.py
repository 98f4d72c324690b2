"""Leaves of layer trees as layers of ncnn.

ncnn's layers are described in its source and in no document; the numbers of their parameters are
those of `src/layer/*.cpp` there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from nas.formats.ncnn_graph import NcnnGraph, Values
from nas.ir import (
    LEAKY_SLOPE,
    BatchNorm,
    Conv,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    Pool,
    Scale,
    Shape,
    SplitAttention,
    SqueezeExcite,
    conv_pads,
    pool_pads,
)

ADD, MULTIPLY = 0, 2  # operations of BinaryOp
_POWER, _SQUARE = 6, 4  # operations of BinaryOp and of UnaryOp
_REST = -233  # size of a slice that takes what is left
_CHANNELS_LAST, _CHANNELS_FIRST = 3, 4  # orders of Permute: (C, H, W) -> (H, W, C), and back
_SIGMOID: dict[int, Values] = {9: 4}
_SIXTH = 1 / 6
_HARD_SIGMOID: dict[int, Values] = {0: _SIXTH, 1: 0.5}
FUSED: dict[str, dict[int, Values]] = {
    "identity": {},
    "relu": {9: 1},
    "relu6": {9: 3, 10: (0.0, 6.0)},
    "leaky_relu": {9: 2, 10: (LEAKY_SLOPE,)},
    "mish": {9: 5},
    "hard_swish": {9: 6, 10: (_SIXTH, 0.5)},
}
"""Parameters of a convolution with an activation function of its own."""
_LAYERS: dict[str, tuple[str, dict[int, Values]]] = {
    "relu": ("ReLU", {}),
    "relu6": ("Clip", {0: 0.0, 1: 6.0}),
    "leaky_relu": ("ReLU", {0: LEAKY_SLOPE}),
    "swish": ("Swish", {}),
    "hard_swish": ("HardSwish", _HARD_SIGMOID),
    "mish": ("Mish", {}),
    "gelu": ("GELU", {0: 0}),  # by the error function, not by an approximation
}


class NcnnLayers(NcnnGraph):
    """Adds the layers of leaves, whose weights it looks up by their paths.

    What a leaf consists of in ncnn has a name after a slash, such as ``stages.0/pool``, which no
    path has.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self._named = weights

    # -- convolutions and linear layers -----------------------------------------------------------

    def conv(self, conv: Conv, x: str, shape: Shape, path: str, function: str) -> str:
        """Add a convolution and an activation function that ncnn's convolutions have."""
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
            **FUSED[function],
        }
        kind = "ConvolutionDepthWise" if conv.groups > 1 else "Convolution"
        y = self.add(kind, path, [x], params)
        self._matrix(kernel, path, conv.bias)
        return y

    def linear(
        self, linear: Linear, x: str, path: str, fused: Mapping[int, Values], bias: bool = True
    ) -> str:
        """Add a linear layer on a flattened image or a vector; its output is a vector."""
        matrix = self._named[f"{path}.weight"]
        params = {0: linear.out_features, 1: int(bias), 2: matrix.size, **fused}
        y = self.add("InnerProduct", path, [x], params)
        self._matrix(matrix, path, bias)
        return y

    def _pointwise(self, conv: Conv, x: str, path: str, fused: Mapping[int, Values]) -> str:
        """Add a 1x1 convolution of a vector."""
        return self.linear(Linear(conv.in_channels, conv.out_channels), x, path, fused, conv.bias)

    def _matrix(self, matrix: np.ndarray, path: str, bias: bool) -> None:
        self.weights(matrix, flagged=True)
        if bias:
            self.weights(self._named[f"{path}.bias"], flagged=False)

    # -- pooling ----------------------------------------------------------------------------------

    def pool(self, pool: Pool, x: str, shape: Shape, path: str) -> str:
        """Add a pooling. ncnn pads a maximum with the lowest number by itself."""
        pads, average = pool_pads(pool, shape), pool.kind == "average"
        own = pool_pads(dataclasses.replace(pool, ceil=False), shape)
        counted = average and pool.count_padding
        if counted and own != pads:  # ncnn would count what `ceil` adds as well
            x = self.pad(own, x, f"{path}/pad") if any(own) else x
            pads = (0, 0, pads[2] - own[2], pads[3] - own[3])
            counted = False
        top, left, bottom, right = pads
        params: dict[int, Values] = {
            0: int(average),
            1: pool.kernel,
            2: pool.stride,
            3: left,
            13: top,
            14: right,
            15: bottom,
            5: 1,  # as many outputs as whole windows fit in
            **({6: int(counted)} if average else {}),
        }
        return self.add("Pooling", path, [x], params)

    def pad(self, pads: Sequence[int], x: str, name: str, channels: int = 0) -> str:
        """Add zeros around an image, and channels of zeros behind its own."""
        top, left, bottom, right = pads
        behind: dict[int, Values] = {8: channels} if channels else {}
        return self.add("Padding", name, [x], {0: top, 1: bottom, 2: left, 3: right, **behind})

    def mean(self, x: str, name: str) -> str:
        """Return the mean of every channel, as a vector."""
        return self.add("Pooling", name, [x], {0: 1, 4: 1})

    # -- normalization ----------------------------------------------------------------------------

    def batch_norm(self, norm: BatchNorm, x: str, path: str) -> str:
        """Add a normalization that is not folded into a convolution."""
        y = self.add("BatchNorm", path, [x], {0: norm.channels, 1: norm.eps})
        self._vectors(path, "weight", "running_mean", "running_var", "bias")
        return y

    def layer_norm(self, norm: LayerNorm, x: str, path: str) -> str:
        """Add a normalization of each pixel; ncnn's is over the last axes."""
        y = self.add("Permute", f"{path}/last", [x], {0: _CHANNELS_LAST})
        y = self.add("LayerNorm", f"{path}/norm", [y], {0: norm.channels, 1: norm.eps, 2: 1})
        self._vectors(path, "weight", "bias")
        return self.add("Permute", path, [y], {0: _CHANNELS_FIRST})

    def scale(self, scale: Scale, x: str, path: str) -> str:
        """Add a factor for every channel."""
        y = self.add("Scale", path, [x], {0: scale.channels})
        self._vectors(path, "weight")
        return y

    def response_norm(self, norm: LocalResponseNorm, x: str, channels: int, path: str) -> str:
        """Add a local response normalization; ncnn divides alpha by the size, as torch does."""
        if norm.size % 2:
            params: dict[int, Values] = {1: norm.size, 2: norm.alpha, 3: norm.beta, 4: norm.bias}
            return self.add("LRN", path, [x], {0: 0, **params})
        # ncnn takes as many channels on both sides, where torch takes one less after an even size.
        after = np.arange(channels) - np.arange(channels)[:, None]
        near = (after >= -(norm.size // 2)) & (after < norm.size // 2)
        x, y = self.copies(x, 2, f"{path}/inputs")
        y = self.add("UnaryOp", f"{path}/square", [y], {0: _SQUARE})
        conv: dict[int, Values] = {0: channels, 1: 1, 5: 1, 6: near.size}
        y = self.add("Convolution", f"{path}/sum", [y], conv)
        self.weights(near * (norm.alpha / norm.size), flagged=True)
        self.weights(np.full(channels, norm.bias), flagged=False)
        y = self.add("BinaryOp", f"{path}/power", [y], {0: _POWER, 1: 1, 2: -norm.beta})
        return self.binary(MULTIPLY, x, y, path)

    def _vectors(self, path: str, *parts: str) -> None:
        for part in parts:
            self.weights(self._named[f"{path}.{part}"], flagged=False)

    # -- attention --------------------------------------------------------------------------------

    def squeeze_excite(self, se: SqueezeExcite, x: str, path: str) -> str:
        """Add a gate on every channel; the normalization, if there was one, was folded."""
        scaled, x = self.copies(x, 2, f"{path}/inputs")
        y = self.mean(x, f"{path}/pool")
        y = self._activated(se.reduce, se.activation, y, path)
        if se.gate == "sigmoid":
            y = self._pointwise(se.expand, y, f"{path}.expand", _SIGMOID)
        else:
            y = self._pointwise(se.expand, y, f"{path}.expand", {})
            y = self.add("HardSigmoid", f"{path}/gate", [y], _HARD_SIGMOID)
        return self.binary(MULTIPLY, scaled, y, path)

    def split_attention(self, split: SplitAttention, x: str, path: str) -> str:
        """Add an attention over groups of channels, whose normalization was folded."""
        radix, sizes = split.radix, [split.channels] * split.radix
        groups = [
            self.copies(group, 2, f"{path}/group{i}")
            for i, group in enumerate(self.slices(x, sizes, f"{path}/groups"))
        ]
        y = self.total([summed for summed, _ in groups], f"{path}/sum")
        y = self.mean(y, f"{path}/pool")
        y = self._activated(split.reduce, split.activation, y, path)
        y = self._pointwise(split.expand, y, f"{path}.expand", _SIGMOID if radix == 1 else {})
        if radix > 1:
            y = self.add("Reshape", f"{path}/rows", [y], {0: split.channels, 1: radix})
            y = self.add("Softmax", f"{path}/softmax", [y], {0: 0, 1: 1})  # over the rows
            y = self.add("Reshape", f"{path}/gates", [y], {0: split.channels * radix})
        gates = self.slices(y, sizes, f"{path}/gates_of")
        gated = [
            self.binary(MULTIPLY, group, gate, f"{path}/gated{i}")
            for i, ((_, group), gate) in enumerate(zip(groups, gates, strict=True))
        ]
        return self.total(gated, path)

    def _activated(self, reduce: Conv, function: str, x: str, path: str) -> str:
        """Add the convolution that squeezes the channels, and the activation function after it."""
        fused = FUSED.get(function)
        y = self._pointwise(reduce, x, f"{path}.reduce", fused or {})
        return y if fused is not None else self.activation(function, y, f"{path}/act")

    # -- the rest ---------------------------------------------------------------------------------

    def activation(self, function: str, x: str, path: str) -> str:
        """Add an activation function."""
        if function == "identity":
            return x
        kind, params = _LAYERS[function]
        return self.add(kind, path, [x], params)

    def binary(self, operation: int, x: str, y: str, name: str) -> str:
        """Add `ADD` or `MULTIPLY`; a vector as `y` has a number for every channel."""
        return self.add("BinaryOp", name, [x, y], {0: operation})

    def total(self, parts: Sequence[str], name: str) -> str:
        """Return the sum of blobs."""
        return parts[0] if len(parts) == 1 else self.add("Eltwise", name, parts, {0: 1})

    def concatenated(self, parts: Sequence[str], name: str) -> str:
        """Return the concatenation of blobs, channel by channel."""
        return parts[0] if len(parts) == 1 else self.add("Concat", name, parts, {0: 0})

    def slices(self, x: str, sizes: Sequence[int], name: str) -> list[str]:
        """Return adjacent slices of the channels of a blob."""
        if len(sizes) == 1:
            return [x]
        parts = [f"{name}{i}" for i in range(len(sizes))]
        self.add("Slice", name, [x], {0: (*sizes[:-1], _REST)}, parts)
        return parts
