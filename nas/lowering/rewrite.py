"""Rewriting a trained network as an equivalent one that runs faster.

A mixed convolution processes slices of its channels separately, which costs runtimes copies and
efficient memory layouts. The same function can be written as one convolution:

- Depthwise convolutions of several kernel sizes are equivalent to one depthwise convolution whose
  smaller kernels are padded with zeros to the size of the largest.
- Parallel 1x1 convolutions are equivalent to one grouped 1x1 convolution if all slices have the
  same size, and always to one dense 1x1 convolution with a block-diagonal matrix.
- A convolution with a large kernel is equivalent to a sum of convolutions with small ones.
- An inverted bottleneck without SE is equivalent to a sum of one branch per kernel size.
- Batch normalization after a convolution can be folded into its weights and bias, and so can a
  learned factor for every channel (see `nas.lowering.folding`).
- Dropout does nothing in a network that is no longer trained.

The fastest form depends on the device (a 9x9 kernel over all channels at a high resolution may cost
more than the slices), so a `Form` is chosen for each layer; `nas.latency.tuning` finds the fastest
forms by measurement. This module works on layer trees and arrays and does not need torch.
"""

from __future__ import annotations

import copy
import dataclasses
from itertools import pairwise
from typing import TypeVar

import numpy as np

from nas.ir import (
    BatchNorm,
    Branches,
    Cascade,
    Concat,
    Conv,
    Dropout,
    MixConv,
    Node,
    Pad,
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
    conv_pads,
    joined,
    nested,
    out_shape,
)
from nas.lowering.branches import (
    PARTS,
    InBranches,
    SumOfBranches,
    Weights,
    has_branches,
    sum_of_branches,
)
from nas.lowering.folding import Folded, affine, foldable
from nas.lowering.forms import (
    MERGE_ALL,
    Form,
    FormChoice,
    fits,
)
from nas.lowering.phases import Phase, phases


def lower(
    tree: Node, shape: Shape, weights: Weights, choose: FormChoice = MERGE_ALL
) -> tuple[Node, dict[str, np.ndarray]]:
    """Lower a network.

    Args:
        tree: The network as trained; names may contain dots (``stages.0.1``).
        shape: Shape of its input (C, H, W). If padding is uneven, the lowered network is
            equivalent for this shape only.
        weights: Weights by name, as in the state dict of the tree's torch module.
        choose: Rule that chooses the form of every layer.

    Returns:
        The lowered tree, nested so that no name contains a dot, and its weights.

    Examples:
        A convolution and its batch normalization become one convolution with a bias:

        >>> tree = Seq((("conv", Conv(3, 8, kernel=3)), ("bn", BatchNorm(8))))
        >>> ones = np.ones(8, np.float32)
        >>> weights = {"conv.weight": np.ones((8, 3, 3, 3), np.float32), "bn.weight": ones}
        >>> weights |= {"bn.bias": ones, "bn.running_mean": ones, "bn.running_var": ones}
        >>> lowered, merged = lower(tree, (3, 32, 32), weights)
        >>> [type(layer).__name__ for _, layer in lowered.children]
        ['Conv']
        >>> sorted(merged)
        ['conv.bias', 'conv.weight']

    Raises:
        ValueError: If a chosen form does not fit the layer.
    """
    lowering = _Lowering(tree, weights, choose)
    lowered, _ = lowering.node(tree, shape, "")
    return lowered, lowering.out


def lowered_tree(tree: Node, shape: Shape, choose: FormChoice = MERGE_ALL) -> Node:
    """Return only the lowered tree, where weights are not needed."""
    lowering = _Lowering(tree, None, choose)
    return lowering.node(tree, shape, "")[0]


A = TypeVar("A", SqueezeExcite, SplitAttention)


class _Lowering:
    """One lowering in progress: the rule that chooses forms, the old weights and the new ones."""

    def __init__(self, tree: Node, weights: Weights | None, choose: FormChoice) -> None:
        self.folds = foldable(tree)
        self.folded = {path for layers in self.folds.values() for _, path in layers}
        self.weights = weights
        self.choose = choose
        self.sums = isinstance(choose, SumOfBranches)
        self.out: dict[str, np.ndarray] = {}

    def node(self, node: Node, shape: Shape, path: str) -> tuple[Node, Shape]:
        """Return a lowered tree and its output shape."""
        match node:
            case Seq() | Residual():
                return self._in_turn(node, shape, path)
            case Sum() | Concat() | Slices() | Cascade():
                return self._side_by_side(node, shape, path)
            case Conv() | MixConv():
                return self._conv(node, shape, path)
            case Dropout():
                return Seq(()), shape
            case BatchNorm() | Scale() if path in self.folded:
                return Seq(()), shape
            case SqueezeExcite():
                wide = self.choose.wide_gate(node, shape)
                return dataclasses.replace(self._attention(node, path), wide=wide), shape
            case SplitAttention():
                return self._attention(node, path), out_shape(node, shape)
        self._keep(path)
        return node, out_shape(node, shape)

    def _in_turn(self, node: Seq | Residual, shape: Shape, path: str) -> tuple[Node, Shape]:
        children: list[tuple[str, Node]] = []
        left = list(node.children)
        while left:
            if self.sums and has_branches(left[:PARTS]):
                name, _ = left[1]
                lowered, shape = self._sum_of_branches(left[:PARTS], shape, path)
                del left[:PARTS]
            else:
                name, child = left.pop(0)
                lowered, shape = self.node(child, shape, child_path(path, name))
            if not (isinstance(lowered, Seq) and not lowered.children):  # nothing is left of it
                children.append((name, lowered))
        return nested(type(node)(tuple(children))), shape

    def _sum_of_branches(
        self, parts: list[tuple[str, Node]], shape: Shape, path: str
    ) -> tuple[Node, Shape]:
        """Lower three parts of a block as a sum with the name of the second (see `branches`)."""
        inner = copy.copy(self)
        inner.choose, inner.out = InBranches(self.choose), {}
        lowered: list[Seq] = []
        paths: list[str] = []
        for name, part in parts:
            node, shape = inner.node(part, shape, child_path(path, name))
            assert isinstance(node, Seq)
            lowered.append(node)
            paths.append(child_path(child_path(path, name), node.children[0][0]))
        middle = parts[1][1]
        assert isinstance(middle, Seq)
        mix = middle.children[0][1]
        assert isinstance(mix, MixConv)
        channels = [conv.out_channels for conv in mix.convs]
        weights = None if self.weights is None else inner.out
        summed, written = sum_of_branches(lowered, paths, channels, weights)
        into = child_path(path, parts[1][0])
        self.out |= {f"{into}.{name}": value for name, value in written.items()}
        return summed, shape

    def _side_by_side(self, node: Branches, shape: Shape, path: str) -> tuple[Node, Shape]:
        inputs = branch_inputs(node, shape)
        children: list[tuple[str, Node]] = []
        ends: list[Shape] = []
        for (name, child), taken in zip(node.children, inputs, strict=True):
            lowered, end = self.node(child, taken, child_path(path, name))
            children.append((name, lowered))
            ends.append(end)
        end = joined(node, inputs, ends, path)
        branches = dataclasses.replace(node, children=tuple(children))
        if isinstance(branches, (Slices, Cascade)):
            # Lowered children may begin with padding, or be gone, and would not tell.
            sizes = tuple(channels for channels, _, _ in inputs)
            return dataclasses.replace(branches, sizes=sizes), end
        return branches, end

    def _attention(self, node: A, path: str) -> A:
        """Fold the normalization inside an attention into the convolution before it."""
        if node.norm is None:
            self._keep(path)
            return node
        reduce = dataclasses.replace(node.reduce, bias=True)
        if self.weights is not None:
            self._keep(child_path(path, "expand"))
            inside = child_path(path, "reduce")
            self._write(
                run=(node.reduce,),
                names=[inside],
                merged=reduce,
                target=inside,
                shape=(reduce.in_channels, 1, 1),
                after=[(node.norm, child_path(path, "norm"))],
                first_channel=0,
            )
        return dataclasses.replace(node, reduce=reduce, norm=None)

    def _keep(self, path: str) -> None:
        """Copy the weights below a path."""
        if self.weights is not None:
            prefix = f"{path}."
            self.out |= {n: w for n, w in self.weights.items() if n.startswith(prefix)}

    # -- convolutions -----------------------------------------------------------------------

    def _conv(self, node: Conv | MixConv, shape: Shape, path: str) -> tuple[Node, Shape]:
        """Lower convolutions together with the layers that are folded into them."""
        after = self.folds.get(path, ())
        shifted = any(isinstance(layer, BatchNorm) for layer, _ in after)
        mix = node if isinstance(node, MixConv) else MixConv((node,))
        form = self._form(mix, shape, path)
        parts = [child_path(path, str(i)) for i in range(len(mix.convs))]
        names = parts if isinstance(node, MixConv) else [path]
        target = child_path(path, "conv") if form.padded else path
        merged: list[Conv] = []
        branches: list[tuple[str, Node]] = []
        ends = np.cumsum([0, *form.runs]).tolist()
        for start, end in pairwise(ends):
            run = mix.convs[start:end]
            conv = _merged(run, form.dense)
            if shifted:
                conv = dataclasses.replace(conv, bias=True)
            name = str(len(merged))
            into = target if len(form.runs) == 1 else child_path(target, name)
            parts_of_sum = phases(conv, shape) if form.phased else ()
            if self.weights is not None:
                first = sum(before.out_channels for before in mix.convs[:start])
                self._write(
                    run=run,
                    names=names[start:end],
                    merged=conv,
                    target=into,
                    shape=shape,
                    after=after,
                    first_channel=first,
                )
                self._divide(into, parts_of_sum)
            merged.append(conv)
            branches.append((name, _sum(parts_of_sum) if len(parts_of_sum) > 1 else conv))
        lowered = _on_slices(branches)
        if form.padded:
            top, left, bottom, right = conv_pads(merged[0], shape)
            conv = dataclasses.replace(merged[0], padding=(top, 0, bottom, 0))
            lowered = Seq((("pad", Pad((0, left, 0, right))), ("conv", conv)))
        return lowered, out_shape(node, shape)

    def _divide(self, path: str, parts: tuple[Phase, ...]) -> None:
        """Write the weights of the phases of a convolution in place of its own."""
        if len(parts) < 2:
            return
        kernel, bias = self.out.pop(f"{path}.weight"), self.out.pop(f"{path}.bias", None)
        for i, phase in enumerate(parts):
            self.out[f"{path}.{i}.weight"] = np.ascontiguousarray(phase.taps(kernel))
            if phase.conv.bias and bias is not None:
                self.out[f"{path}.{i}.bias"] = bias

    def _form(self, mix: MixConv, shape: Shape, path: str) -> Form:
        if len(mix.convs) == 1 and mix.convs[0].groups == 1:
            return Form((1,))
        form = self.choose.form(mix, shape)
        if not fits(form, mix):
            raise ValueError(f"form '{form}' does not fit the convolutions at '{path}'")
        return form

    def _write(
        self,
        run: tuple[Conv, ...],
        names: list[str],
        merged: Conv,
        target: str,
        shape: Shape,
        after: Folded,
        first_channel: int,
    ) -> None:
        """Write the weights of one merged convolution.

        Args:
            run: The convolutions that are merged.
            names: Names of their weights.
            merged: The merged convolution.
            target: Name of the merged weights.
            shape: Input shape of the layer.
            after: Layers to fold, with the names of their weights.
            first_channel: First of the channels of these layers that belongs to the convolution.
        """
        assert self.weights is not None
        kernels = [self.weights[f"{name}.weight"] for name in names]
        kernel = _merge_kernels(run, kernels, merged, shape)
        bias = np.concatenate(
            [
                self.weights[f"{name}.bias"]
                if conv.bias
                else np.zeros(conv.out_channels, dtype=kernel.dtype)
                for conv, name in zip(run, names, strict=True)
            ]
        )
        if after:
            scale, shift = affine(after, self.weights)
            channels = slice(first_channel, first_channel + merged.out_channels)
            kernel = kernel * scale[channels, None, None, None]
            bias = bias * scale[channels] + shift[channels]
        self.out[f"{target}.weight"] = kernel.astype(np.float32)
        if merged.bias:
            self.out[f"{target}.bias"] = bias.astype(np.float32)


def _sum(parts: tuple[Phase, ...]) -> Sum:
    return Sum(tuple((str(i), phase.conv) for i, phase in enumerate(parts)))


def _on_slices(branches: list[tuple[str, Node]]) -> Node:
    """Return branches on adjacent slices of the channels as one node."""
    if len(branches) == 1:
        return branches[0][1]
    convs = tuple(child for _, child in branches if isinstance(child, Conv))
    return MixConv(convs) if len(convs) == len(branches) else Slices(tuple(branches))


def _merged(run: tuple[Conv, ...], dense: bool) -> Conv:
    """Return the single convolution that is equivalent to a run of parallel ones."""
    if len(run) == 1:
        return run[0]
    # A dilated kernel becomes a larger one with zeros between its taps.
    rows, columns = max(conv.spans for conv in run)
    return Conv(
        in_channels=sum(conv.in_channels for conv in run),
        out_channels=sum(conv.out_channels for conv in run),
        kernel=rows,
        stride=run[0].stride,
        groups=1 if dense else sum(conv.groups for conv in run),
        bias=any(conv.bias for conv in run),
        padding=run[0].padding,
        columns=None if columns == rows else columns,
    )


def _merge_kernels(
    run: tuple[Conv, ...], kernels: list[np.ndarray], merged: Conv, shape: Shape
) -> np.ndarray:
    """Return the merged kernel, float64 (C', C / groups, rows, columns), made of the kernels."""
    if len(run) == 1:
        return kernels[0].astype(np.float64)
    out = np.zeros((merged.out_channels, merged.in_channels // merged.groups, *merged.window))
    top, left, _, _ = conv_pads(merged, shape)
    first_in = first_out = 0
    for conv, kernel in zip(run, kernels, strict=True):
        conv_top, conv_left, _, _ = conv_pads(conv, shape)
        y, x = top - conv_top, left - conv_left
        outputs = slice(first_out, first_out + conv.out_channels)
        inputs = slice(first_in, first_in + conv.in_channels) if merged.groups == 1 else slice(None)
        rows, columns = conv.spans
        taps = slice(y, y + rows, conv.dilation), slice(x, x + columns, conv.dilation)
        out[outputs, inputs, *taps] = kernel
        first_in += conv.in_channels
        first_out += conv.out_channels
    return out
