"""Lowering: from the network that was trained to an equal one that runs faster.

A mixed convolution computes slices of its channels apart, and runtimes pay for the slices with
copies and lost layouts. The same function is one convolution:

- depthwise convolutions of several kernel sizes are one depthwise convolution whose small kernels
  are padded with zeros to the size of the largest;
- 1x1 convolutions side by side are one grouped 1x1 convolution when their slices are even, and one
  dense 1x1 convolution with a block-diagonal matrix always;
- batch normalisation after a convolution is part of its weights and bias.

Which form is fastest depends on the device (a 9x9 kernel over all channels at a high resolution
may cost more than the slices), so a `Form` is chosen layer by layer; `nas.latency.tuning` chooses
by measurement. Everything here works on the layer tree and arrays; no torch is needed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

from nas.ir import (
    BatchNorm,
    Conv,
    MixConv,
    Node,
    Pad,
    Residual,
    Seq,
    Shape,
    SqueezeExcite,
    conv_pads,
    nested,
    out_shape,
)
from nas.lowering.forms import MERGE_ALL, Form, FormChoice, can_be_padded, is_pointwise

Weights = Mapping[str, np.ndarray]


def lower(
    tree: Node, shape: Shape, weights: Weights, choose: FormChoice = MERGE_ALL
) -> tuple[Node, dict[str, np.ndarray]]:
    """Lower a network.

    Args:
        tree: the network as trained; names may hold dots (``stages.0.1``).
        shape: of its input; where padding is uneven, the lowered network holds for it alone.
        weights: by name, as a state dict of the tree's torch module has them.
        choose: the form of every mixed convolution.

    Returns:
        The lowered tree, nested so that no name holds a dot, and its weights.
    """
    lowering = _Lowering(weights, choose)
    lowered, _ = lowering.node(tree, shape, "")
    return lowered, lowering.out


def lowered_tree(tree: Node, shape: Shape, choose: FormChoice = MERGE_ALL) -> Node:
    """Return the lowered tree alone, for walks that need no weights."""
    lowering = _Lowering(None, choose)
    return lowering.node(tree, shape, "")[0]


class _Lowering:
    def __init__(self, weights: Weights | None, choose: FormChoice) -> None:
        self.weights = weights
        self.choose = choose
        self.out: dict[str, np.ndarray] = {}

    def node(self, node: Node, shape: Shape, path: str) -> tuple[Node, Shape]:
        """Lower a tree; return the new one and its output's shape."""
        match node:
            case Seq() | Residual():
                children, inner = self._children(node, shape, path)
                return nested(type(node)(tuple(children))), inner
            case Conv() | MixConv():
                return self._conv(node, None, shape, path)
            case SqueezeExcite():
                self._keep(path)
                wide = self.choose.wide_gate(node, shape)
                return dataclasses.replace(node, wide=wide), shape
        self._keep(path)
        return node, out_shape(node, shape)

    def _children(
        self, node: Seq | Residual, shape: Shape, path: str
    ) -> tuple[list[tuple[str, Node]], Shape]:
        children: list[tuple[str, Node]] = []
        following = [*node.children[1:], ("", None)]
        folded = False
        for (name, child), (next_name, after) in zip(node.children, following, strict=True):
            if folded:  # the batch normalisation that went into the convolution before it
                folded = False
                continue
            inside = _join(path, name)
            if isinstance(child, (Conv, MixConv)) and isinstance(after, BatchNorm):
                norm = (after, _join(path, next_name))
                child, shape = self._conv(child, norm, shape, inside)
                folded = True
            else:
                child, shape = self.node(child, shape, inside)
            children.append((name, child))
        return children, shape

    def _keep(self, path: str) -> None:
        """Copy the weights below a path."""
        if self.weights is not None:
            prefix = f"{path}."
            self.out |= {n: w for n, w in self.weights.items() if n.startswith(prefix)}

    # -- convolutions -----------------------------------------------------------------------

    def _conv(
        self, node: Conv | MixConv, norm: tuple[BatchNorm, str] | None, shape: Shape, path: str
    ) -> tuple[Node, Shape]:
        """Lower convolutions, together with the batch normalisation after them."""
        mix = node if isinstance(node, MixConv) else MixConv((node,))
        form = self._form(mix, shape, path)
        names = [_join(path, str(i)) for i in range(len(mix.convs))]
        names = names if isinstance(node, MixConv) else [path]
        target = _join(path, "conv") if form.padded else path
        merged: list[Conv] = []
        ends = np.cumsum([0, *form.runs]).tolist()
        for start, end in pairwise(ends):
            run = mix.convs[start:end]
            conv = _merged(run, form.dense)
            if norm is not None:
                conv = dataclasses.replace(conv, bias=True)
            if self.weights is not None:
                into = target if len(form.runs) == 1 else _join(target, str(len(merged)))
                first = sum(before.out_channels for before in mix.convs[:start])
                self._write(run, names[start:end], conv, into, shape, norm, first)
            merged.append(conv)
        lowered: Node = merged[0] if len(merged) == 1 else MixConv(tuple(merged))
        if form.padded:
            columns = merged[0].kernel // 2 * merged[0].dilation
            conv = dataclasses.replace(merged[0], padding="rows")
            lowered = Seq((("pad", Pad(columns)), ("conv", conv)))
        return lowered, out_shape(node, shape)

    def _form(self, mix: MixConv, shape: Shape, path: str) -> Form:
        if len(mix.convs) == 1 and is_pointwise(mix):
            return Form((1,))
        form = self.choose.form(mix, shape)
        if sum(form.runs) != len(mix.convs) or (form.padded and not can_be_padded(mix)):
            raise ValueError(f"form '{form}' does not fit the convolutions at '{path}'")
        return form

    def _write(
        self,
        run: tuple[Conv, ...],
        names: list[str],
        merged: Conv,
        target: str,
        shape: Shape,
        norm: tuple[BatchNorm, str] | None,
        first_channel: int,
    ) -> None:
        """Write the weights of one merged convolution."""
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
        if norm is not None:
            scale, shift = _affine(*norm, self.weights)
            channels = slice(first_channel, first_channel + merged.out_channels)
            kernel = kernel * scale[channels, None, None, None]
            bias = bias * scale[channels] + shift[channels]
        self.out[f"{target}.weight"] = kernel.astype(np.float32)
        if merged.bias:
            self.out[f"{target}.bias"] = bias.astype(np.float32)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _merged(run: tuple[Conv, ...], dense: bool) -> Conv:
    """Return the one convolution that computes what a run of them does."""
    if len(run) == 1:
        return run[0]
    # A dilated kernel is a larger one with zeros between its taps.
    extent = max(conv.extent for conv in run)
    return Conv(
        sum(conv.in_channels for conv in run),
        sum(conv.out_channels for conv in run),
        extent,
        run[0].stride,
        1 if dense else sum(conv.groups for conv in run),
        bias=any(conv.bias for conv in run),
        padding=run[0].padding,
    )


def _merge_kernels(
    run: tuple[Conv, ...], kernels: list[np.ndarray], merged: Conv, shape: Shape
) -> np.ndarray:
    """Place kernels inside the merged one: float64 (C', C / groups, k, k)."""
    if len(run) == 1:
        return kernels[0].astype(np.float64)
    out = np.zeros(
        (merged.out_channels, merged.in_channels // merged.groups, merged.kernel, merged.kernel)
    )
    top, left, _, _ = conv_pads(merged, shape)
    taken = given = 0
    for conv, kernel in zip(run, kernels, strict=True):
        its_top, its_left, _, _ = conv_pads(conv, shape)
        y, x = top - its_top, left - its_left
        rows = slice(given, given + conv.out_channels)
        columns = slice(taken, taken + conv.in_channels) if merged.groups == 1 else slice(None)
        taps = slice(y, y + conv.extent, conv.dilation), slice(x, x + conv.extent, conv.dilation)
        out[rows, columns, *taps] = kernel
        taken += conv.in_channels
        given += conv.out_channels
    return out


def _affine(norm: BatchNorm, path: str, weights: Weights) -> tuple[np.ndarray, np.ndarray]:
    """Return a batch normalisation as y = scale * x + shift."""
    mean, variance, gamma, beta = (
        weights[f"{path}.{part}"].astype(np.float64)
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    scale = gamma / np.sqrt(variance + norm.eps)
    return scale, beta - mean * scale
