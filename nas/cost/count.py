"""Exact costs of a network, counted by a walk over its layer tree.

``python -m nas.cost mixnet_m my.yaml --json`` prints them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from nas.blocks import Block, Rules
from nas.ir import (
    Activation,
    BatchNorm,
    Branches,
    Cascade,
    ChannelShuffle,
    Concat,
    Container,
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
    elements,
    joined,
    out_shape,
)
from nas.spec import NetworkSpec

CONVENTION = (
    "MAdds: multiply-adds of convolution and linear layers for one image, SE included, BN and "
    "activations excluded (other tools may report twice as many, or add 2 per BN element)"
)
"""What is counted as a multiply-add, in words that are shown with the numbers."""
_CACHE = 1 << 16


@dataclass(frozen=True)
class Cost:
    """Costs of a network for one image at its input resolution.

    Attributes:
        params: Number of trainable parameters, including the scale and shift of normalization.
        madds: Multiply-adds of convolution and linear layers (see `CONVENTION`).
        activations: Number of output elements of all convolution and linear layers (Radosavovic et
            al. 2020, RegNet, section 3.1, with the classifier included, as in its published code).
        peak_memory: Largest amount of activations alive at once, in bytes, in fp32 inference layer
            by layer with batch and layer normalization, scales and activation functions in place.
    """

    params: int
    madds: int
    activations: int
    peak_memory: int


class Count(NamedTuple):
    """Costs of a part of a network, for an input of a given shape.

    Attributes:
        params: Number of trainable parameters.
        madds: Multiply-adds of convolution and linear layers.
        activations: Number of output elements of convolution and linear layers.
        peak: Largest number of elements alive at once, including the part's input.
        shape: Shape of the part's output.
    """

    params: int
    madds: int
    activations: int
    peak: int
    shape: Shape

    def cost(self) -> Cost:
        """Return the costs of a whole network, with four bytes per element in memory."""
        return Cost(
            params=self.params,
            madds=self.madds,
            activations=self.activations,
            peak_memory=4 * self.peak,
        )


def _conv(conv: Conv, height: int, width: int) -> tuple[int, int]:
    """Return the parameters and multiply-adds of a convolution with the given output size."""
    weights = conv.taps * conv.in_channels // conv.groups * conv.out_channels
    return weights + conv.out_channels * conv.bias, weights * height * width


def count_leaf(leaf: Leaf, shape: Shape, kept: bool = False) -> Count:
    """Return the costs of one layer.

    Args:
        leaf: The layer.
        shape: Shape of its input.
        kept: Whether others need the input afterwards, so that the layer cannot overwrite it.
    """
    out = out_shape(leaf, shape)
    params = madds = activations = 0
    peak = elements(shape) + elements(out)
    in_place = elements(shape) * (2 if kept else 1)
    match leaf:
        case Conv() | MixConv():
            for conv in (leaf,) if isinstance(leaf, Conv) else leaf.convs:
                conv_params, conv_madds = _conv(conv, out[1], out[2])
                params, madds = params + conv_params, madds + conv_madds
            activations = elements(out)
        case SqueezeExcite() | SplitAttention():
            for conv in (leaf.reduce, leaf.expand):
                conv_params, conv_madds = _conv(conv, 1, 1)
                params, madds = params + conv_params, madds + conv_madds
                activations += conv.out_channels
            if leaf.norm is not None:
                params += 2 * leaf.norm.channels
        case Linear():
            madds = leaf.in_features * leaf.out_features
            params, activations = madds + leaf.out_features, leaf.out_features
        case BatchNorm() | LayerNorm():
            params, peak = 2 * leaf.channels, in_place
        case Scale():
            params, peak = leaf.channels, in_place
        case Activation():
            peak = in_place
        case Dropout() | Flatten():
            peak = elements(shape)
        case Pool() | GlobalPool() | Pad() | ChannelShuffle() | LocalResponseNorm():
            pass
    return Count(params=params, madds=madds, activations=activations, peak=peak, shape=out)


def _count(node: Node, shape: Shape, kept: bool = False) -> Count:
    """Return the costs of a tree; arguments as for `count_leaf`."""
    if isinstance(node, Branches):
        return _count_branches(node, shape, kept)
    if isinstance(node, (Seq, Residual)):
        return _count_chain(node, shape, kept)
    return count_leaf(node, shape, kept)


def _count_chain(node: Seq | Residual, shape: Shape, kept: bool) -> Count:
    """Return the costs of layers that run one after another; arguments as for `count_leaf`."""
    params = madds = activations = skip = 0
    kept = kept or isinstance(node, Residual)  # the input stays alive until the sum
    inner, peak = shape, elements(shape)
    for _, child in node.children:
        if _is_identity(child):
            continue
        part = _count_shared(child, inner, kept and not skip)
        params += part.params
        madds += part.madds
        activations += part.activations
        peak = max(peak, part.peak + skip)
        inner = part.shape
        skip = elements(shape) if kept else 0
    return Count(params=params, madds=madds, activations=activations, peak=peak, shape=inner)


def _is_identity(node: Node) -> bool:
    """Return whether a tree hands on its input in inference."""
    if isinstance(node, Seq):
        return all(_is_identity(child) for _, child in node.children)
    return isinstance(node, Dropout)


def _count_branches(node: Branches, shape: Shape, kept: bool) -> Count:
    """Return the costs of branches that run one after another; arguments as for `count_leaf`.

    Results stay alive until the last branch is done: those of a `Sum` as their sum so far, others
    at their places in the joined output. The input is needed until the last branch has read it, and
    until the end if a branch of a `Sum` is the identity. Slices are copies of parts of the input.
    """
    sliced = isinstance(node, (Slices, Cascade))
    inputs = branch_inputs(node, shape)
    identities = [_is_identity(child) for _, child in node.children]
    kept = kept or (isinstance(node, Sum) and any(identities))
    params = madds = activations = peak = done = 0
    ends = []
    for i, (_, child) in enumerate(node.children):
        last = i == len(inputs) - 1
        needed = not sliced and (kept or not last)
        part = _count_shared(child, inputs[i], needed)
        params += part.params
        madds += part.madds
        activations += part.activations
        copied = sliced or (isinstance(node, Concat) and identities[i])
        peak = max(peak, part.peak + done + (elements(shape) if copied else 0))
        ends.append(part.shape)
        if not isinstance(node, Sum):
            done += elements(part.shape)
        elif not identities[i]:
            done = elements(part.shape)
    out = joined(node, inputs, ends)
    peak = max(peak, elements(out) + (elements(shape) if kept else 0))
    return Count(params=params, madds=madds, activations=activations, peak=peak, shape=out)


def _count_shared(node: Node, shape: Shape, kept: bool = False) -> Count:
    """Return the costs of a tree, cached if other networks are likely to share it."""
    if isinstance(node, Container | SqueezeExcite | SplitAttention):
        return _count_part(node, shape, kept)
    return count_leaf(node, shape, kept)


# Blocks share their parts (see nas.blocks.parts), so each part is counted once. Whole blocks are
# cached by value rather than by tree, since every expansion builds a new tree.
_count_part = lru_cache(_CACHE)(_count)


@lru_cache(1 << 12)  # most repeats are within one network
def _count_block(block: Block, rules: Rules, shape: Shape) -> Count:
    return _count(block.expand(shape[0], rules), shape)


def tally(parts: Iterable[Block | Node], rules: Rules, shape: Shape) -> Count:
    """Return the total costs of consecutive blocks and layer trees.

    Args:
        parts: The blocks and trees, in order.
        rules: Settings that the blocks expand with.
        shape: Shape of the input of the first part.

    Raises:
        ValueError: If a part is not compatible with its input channels.
    """
    params = madds = activations = peak = 0
    reusable: Block | Node | None = None
    cost: Count | None = None
    for part in parts:
        if cost is None or part is not reusable:  # a repeated block is looked up only once
            if isinstance(part, Block):
                cost = _count_block(part, rules, shape)
            else:
                cost = _count_shared(part, shape)
            reusable = part if shape == cost.shape else None
        params += cost.params
        madds += cost.madds
        activations += cost.activations
        peak = max(peak, cost.peak)
        shape = cost.shape
    return Count(params=params, madds=madds, activations=activations, peak=peak, shape=shape)


def count(spec: NetworkSpec) -> Cost:
    """Return the exact costs of a network.

    Examples:
        >>> from nas.spec import load_network
        >>> cost = count(load_network("mixnet_s"))
        >>> cost.params, cost.madds
        (4134606, 239173360)

    Raises:
        MixnasError: If a block is not compatible with its input channels.
    """
    try:
        total = tally((part for _, part in spec.parts()), spec.rules, spec.in_shape)
    except ValueError:
        spec.tree()  # raises a MixnasError that names the block
        raise
    return total.cost()
