"""Exact costs of a network: a walk over its layer tree, without torch.

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
    Conv,
    GlobalPool,
    Leaf,
    Linear,
    MixConv,
    Node,
    Pad,
    Residual,
    Seq,
    Shape,
    SqueezeExcite,
    elements,
    out_shape,
)
from nas.spec import NetworkSpec

CONVENTION = (
    "MAdds: multiply-adds of convolution and linear layers for one image, SE included, BN and "
    "activations excluded (others print twice as much, or add 2 per BN element)"
)
_CACHE = 1 << 16


@dataclass(frozen=True)
class Cost:
    """What a network costs for one image at its input resolution.

    Attributes:
        params: trainable parameters, BN's scale and shift included.
        madds: multiply-adds of convolution and linear layers (see `CONVENTION`).
        activations: elements of the outputs of all convolution and linear layers (Radosavovic et
            al. 2020, RegNet, section 3.1, with the classifier's, as in its published code).
        peak_memory: bytes of the activations alive at the worst moment of fp32 inference, layer by
            layer, with BN and activations in place.
    """

    params: int
    madds: int
    activations: int
    peak_memory: int


class Count(NamedTuple):
    """The counts of a part of a network, for an input of a certain shape.

    Attributes:
        params: trainable parameters.
        madds: multiply-adds.
        activations: output elements of convolution and linear layers.
        peak: elements alive at the worst moment, the part's input included.
        shape: of the output.
    """

    params: int
    madds: int
    activations: int
    peak: int
    shape: Shape

    def cost(self) -> Cost:
        """Return the counts as a network's cost, at four bytes an element."""
        return Cost(self.params, self.madds, self.activations, 4 * self.peak)


def _conv(conv: Conv, height: int, width: int) -> tuple[int, int]:
    """Return the parameters and multiply-adds of a convolution with that output size."""
    weights = conv.kernel**2 * conv.in_channels // conv.groups * conv.out_channels
    return weights + conv.out_channels * conv.bias, weights * height * width


def count_leaf(leaf: Leaf, shape: Shape) -> Count:
    """Count one layer for an input of `shape`."""
    out = out_shape(leaf, shape)
    params = madds = activations = 0
    peak = elements(shape) + elements(out)
    match leaf:
        case Conv() | MixConv():
            for conv in (leaf,) if isinstance(leaf, Conv) else leaf.convs:
                weights, macs = _conv(conv, out[1], out[2])
                params, madds = params + weights, madds + macs
            activations = elements(out)
        case SqueezeExcite():
            for conv in (leaf.reduce, leaf.expand):
                weights, macs = _conv(conv, 1, 1)
                params, madds = params + weights, madds + macs
                activations += conv.out_channels
        case Linear():
            madds = leaf.in_features * leaf.out_features
            params, activations = madds + leaf.out_features, leaf.out_features
        case BatchNorm():
            params, peak = 2 * leaf.channels, elements(shape)
        case Activation():
            peak = elements(shape)
        case GlobalPool() | Pad():
            pass
    return Count(params, madds, activations, peak, out)


def _count(node: Node, shape: Shape) -> Count:
    """Count a tree for an input of `shape`."""
    if not isinstance(node, (Seq, Residual)):
        return count_leaf(node, shape)
    params = madds = activations = peak = held = 0
    inner = shape
    for _, child in node.children:
        p, m, a, alive, inner = _count_shared(child, inner)
        params += p
        madds += m
        activations += a
        if alive + held > peak:
            peak = alive + held
        if isinstance(node, Residual):
            held = elements(shape)  # the input lives until the sum
    return Count(params, madds, activations, peak, inner)


def _count_shared(node: Node, shape: Shape) -> Count:
    """Count a tree, remembering those that other networks are likely to have as well."""
    if isinstance(node, (Seq, Residual, SqueezeExcite)):
        return _count_part(node, shape)
    return count_leaf(node, shape)


# Parts are shared between blocks (see nas.blocks.parts), so each is counted once. Whole blocks are
# remembered by value, not by their tree: trees are built anew every time.
_count_part = lru_cache(_CACHE)(_count)


@lru_cache(1 << 12)  # repeats are mostly within one network
def _count_block(block: Block, rules: Rules, shape: Shape) -> Count:
    return _count(block.expand(shape[0], rules), shape)


def tally(parts: Iterable[Block | Node], rules: Rules, shape: Shape) -> Count:
    """Count blocks and layer trees in a row, for an input of `shape`.

    Raises:
        ValueError: when one does not fit the channels it is given.
    """
    params = madds = activations = peak = 0
    last: Block | Node | None = None
    one: Count | None = None
    for part in parts:
        if one is None or part is not last:  # equal blocks in a row are counted once
            if isinstance(part, Block):
                one = _count_block(part, rules, shape)
            else:
                one = _count_shared(part, shape)
            last = part if shape == one.shape else None
        params += one.params
        madds += one.madds
        activations += one.activations
        peak = max(peak, one.peak)
        shape = one.shape
    return Count(params, madds, activations, peak, shape)


def count(spec: NetworkSpec) -> Cost:
    """Count a network exactly.

    Raises:
        MixnasError: when a block does not fit the channels it is given.
    """
    try:
        total = tally((part for _, part in spec.parts()), spec.rules, spec.in_shape)
    except ValueError:
        spec.tree()  # raises the same, and says which block it is
        raise
    return total.cost()
