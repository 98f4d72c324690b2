"""The operators that layers consist of, on tensors whose shapes are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nas.formats.tflite.graph import Graph
from nas.ir import Pads, Shape

MOST_EVEN_SLICES = 4  # parts of a SPLIT that XNNPACK takes; more are cut out one by one
FUSED = {"relu": "RELU", "relu6": "RELU6"}
"""Activation functions that can be part of the operator before them, by their names in the tree."""


class TfliteGraph(Graph):
    """Adds operators, and the tensors that they fill.

    Feature maps are channels last, (N, H, W, C), as XNNPACK wants them; what comes from a linear
    layer is (N, features). All operators of this class are among those that XNNPACK has code for.

    Attributes:
        weights: Weights of the network by name, as in the state dict of the tree's torch module.
        batch: Number of images, N.
    """

    def __init__(self, weights: Mapping[str, np.ndarray], batch: int) -> None:
        super().__init__()
        self.weights = weights
        self.batch = batch

    def shape(self, x: int) -> tuple[int, ...]:
        """Return the shape of a tensor."""
        return tuple(self.tensors[x].shape)

    def maps(self, name: str, shape: Shape) -> int:
        """Add a tensor of feature maps."""
        channels, height, width = shape
        return self.tensor(name, (self.batch, height, width, channels))

    def fused(self, function: str) -> dict[str, Any]:
        """Return the option of an operator that does an activation function as well.

        XNNPACK and LiteRT's own code ignore it in CONCATENATION.

        Args:
            function: One of `FUSED`; empty for none.
        """
        kinds = self.schema.ActivationFunctionType
        return {"fusedActivationFunction": getattr(kinds, FUSED[function])} if function else {}

    # -- element by element -------------------------------------------------------------------

    def unary(self, op: str, x: int, name: str, options: str = "", **fields: Any) -> int:
        """Add an operator on every element."""
        return self.add(op, [x], [self.tensor(name, self.shape(x))], options, **fields)

    def binary(self, op: str, x: int, y: int, name: str, function: str = "") -> int:
        """Add an operator on pairs of elements, with shapes as in numpy."""
        shape = np.broadcast_shapes(self.shape(x), self.shape(y))
        options = f"{op.capitalize()}Options"
        return self.add(op, [x, y], [self.tensor(name, shape)], options, **self.fused(function))

    # -- pieces and shapes --------------------------------------------------------------------

    def pad(self, x: int, pads: Pads, name: str, more: int = 0) -> int:
        """Put zeros around feature maps, and `more` channels of zeros behind theirs."""
        top, left, bottom, right = pads
        count, height, width, channels = self.shape(x)
        sides = self.constant(
            f"{name}.sides", np.array([[0, 0], [top, bottom], [left, right], [0, more]])
        )
        shape = (count, height + top + bottom, width + left + right, channels + more)
        y = self.tensor(name, shape)
        return self.add("PAD", [x, sides], [y], "PadOptions")

    def cut(self, x: int, axis: int, begin: int, size: int, name: str) -> int:
        """Cut `size` entries out of an axis, from the entry `begin` on."""
        extent = list(self.shape(x))
        first = [0] * len(extent)
        first[axis], extent[axis] = begin, size
        inputs = [
            x,
            self.constant(f"{name}.begin", np.array(first)),
            self.constant(f"{name}.size", np.array(extent)),
        ]
        return self.add("SLICE", inputs, [self.tensor(name, extent)], "SliceOptions")

    def split(self, x: int, sizes: Sequence[int], path: str) -> list[int]:
        """Divide the channels into adjacent slices of given sizes."""
        if len(sizes) == 1:
            return [x]
        *outer, _ = self.shape(x)
        names = [f"{path}.slice{i}" for i in range(len(sizes))]
        if len(set(sizes)) == 1 and len(sizes) <= MOST_EVEN_SLICES:
            parts = [self.tensor(name, (*outer, sizes[0])) for name in names]
            axis = self.constant(f"{path}.axis", np.array(len(outer)))
            self.add("SPLIT", [axis, x], parts, "SplitOptions", numSplits=len(sizes))
            return parts
        return [
            self.cut(x, len(outer), sum(sizes[:i]), size, name)
            for i, (size, name) in enumerate(zip(sizes, names, strict=True))
        ]

    def join(self, parts: Sequence[int], axis: int, name: str) -> int:
        """Concatenate tensors along an axis, of which -1 is the one of channels."""
        if len(parts) == 1:
            return parts[0]
        shape = list(self.shape(parts[0]))
        shape[axis] = sum(self.shape(part)[axis] for part in parts)
        y = self.tensor(name, shape)
        axis %= len(shape)
        return self.add("CONCATENATION", parts, [y], "ConcatenationOptions", axis=axis)

    def reshape(self, x: int, shape: Sequence[int], name: str) -> int:
        """Give the elements another shape."""
        inputs = [x, self.constant(f"{name}.shape", np.array(shape))]
        y = self.tensor(name, shape)
        return self.add("RESHAPE", inputs, [y], "ReshapeOptions", newShape=list(shape))

    def transpose(self, x: int, order: Sequence[int], name: str) -> int:
        """Put the axes into another order."""
        inputs = [x, self.constant(f"{name}.order", np.array(order))]
        y = self.tensor(name, [self.shape(x)[axis] for axis in order])
        return self.add("TRANSPOSE", inputs, [y], "TransposeOptions")

    # -- averages -------------------------------------------------------------------------------

    def mean(self, x: int, axes: Sequence[int], name: str) -> int:
        """Average over axes, which keep a size of 1."""
        shape = [1 if axis in axes else size for axis, size in enumerate(self.shape(x))]
        inputs = [x, self.constant(f"{name}.axes", np.array(axes))]
        return self.add("MEAN", inputs, [self.tensor(name, shape)], "ReducerOptions", keepDims=True)
