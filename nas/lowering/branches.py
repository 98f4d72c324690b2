"""Inverted bottlenecks with mixed convolutions as sums of one branch per kernel size.

A 1x1 convolution, a depthwise convolution with several kernel sizes and another 1x1 convolution,
with nothing in between that looks at all channels, as squeeze-and-excitation does, are equivalent
to a sum: every kernel size has a branch with the rows of the first 1x1 convolution that make its
channels, and the columns of the second one that read them. Nothing is sliced or concatenated, no
kernel is padded with zeros, and a branch's map is smaller than that of all of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    MixConv,
    Node,
    Scale,
    Seq,
    Shape,
    Slices,
    SqueezeExcite,
    Sum,
)
from nas.lowering.forms import Form, FormChoice, is_pointwise

PARTS = 3
"""Number of the parts that become a sum: expansion, mixed convolution, projection."""
Weights = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class PassedOn:
    """A rule that decides as another one does, unless a subclass decides itself.

    Attributes:
        rule: The other rule, for single layers.
    """

    rule: FormChoice

    def form(self, mix: MixConv, shape: Shape) -> Form:
        """See `FormChoice`."""
        return self.rule.form(mix, shape)

    def wide_gate(self, se: SqueezeExcite, shape: Shape) -> bool:
        """See `FormChoice`."""
        return self.rule.wide_gate(se, shape)


class SumOfBranches(PassedOn):
    """A rule for single layers, and for blocks that can be sums of branches: they become sums."""


class InBranches(PassedOn):
    """The rule for the layers of a block that becomes a sum: 1x1 ones dense, the others apart.

    All convolutions of many taps are sums of phases if the other rule wants it for one of them.
    """

    def form(self, mix: MixConv, shape: Shape) -> Form:
        """See `FormChoice`."""
        if is_pointwise(mix):
            return Form((len(mix.convs),), dense=True)
        alone = [
            self.rule.form(MixConv((conv,)), (conv.in_channels, *shape[1:])) for conv in mix.convs
        ]
        return Form((1,) * len(mix.convs), phased=any(form.phased for form in alone))


def has_branches(parts: Sequence[tuple[str, Node]]) -> bool:
    """Return whether successive parts of a trained block can be a sum of branches.

    Args:
        parts: The parts with their names; other than three are none.
    """
    if len(parts) != PARTS:
        return False
    expand, middle, project = (node for _, node in parts)
    activated = isinstance(project, Seq) and any(
        isinstance(node, Activation) for _, node in project.children
    )
    return _is_pointwise(expand) and _is_mixed(middle) and _is_pointwise(project) and not activated


def _is_pointwise(part: Node) -> bool:
    """Return whether a part is a 1x1 convolution of stride 1 with what may follow it."""
    conv = _first(part)
    return conv is not None and is_pointwise(conv) and conv.convs[0].stride == 1


def _is_mixed(part: Node) -> bool:
    """Return whether a part is a depthwise convolution of several kernel sizes, likewise."""
    conv = _first(part)
    return (
        conv is not None
        and len(conv.convs) > 1
        and not is_pointwise(conv)  # of a single channel each
        and all(c.groups == c.in_channels == c.out_channels for c in conv.convs)
    )


def _first(part: Node) -> MixConv | None:
    """Return the convolution that a part begins with, if only layers by channel follow."""
    if not isinstance(part, Seq) or not part.children:
        return None
    (_, conv), *others = part.children
    kinds = [isinstance(node, Activation) for _, node in others]
    folded = all(isinstance(node, (BatchNorm, Scale, Activation)) for _, node in others)
    if not folded or kinds != sorted(kinds):  # normalization after an activation stays a layer
        return None
    if isinstance(conv, Conv):
        return MixConv((conv,))
    return conv if isinstance(conv, MixConv) else None


def sum_of_branches(
    parts: Sequence[Seq], paths: Sequence[str], channels: Sequence[int], weights: Weights | None
) -> tuple[Sum, dict[str, np.ndarray]]:
    """Return the sum that lowered parts are equivalent to.

    Args:
        parts: Expansion, mixed convolution and projection, lowered by `InBranches`: each a
            convolution, and activation functions behind it.
        paths: Names of these convolutions.
        channels: Number of channels of every kernel size.
        weights: The lowered weights by name; None if they are not needed.

    Returns:
        The sum, and its weights, named relative to it.
    """
    wide, mixed, narrow = (part.children[0][1] for part in parts)
    assert isinstance(wide, Conv)
    assert isinstance(narrow, Conv)
    nodes = mixed.convs if isinstance(mixed, MixConv) else _children(mixed)
    ends = np.cumsum([0, *channels]).tolist()
    branches: list[tuple[str, Node]] = []
    written: dict[str, np.ndarray] = {}
    for i, (node, (start, end)) in enumerate(zip(nodes, pairwise(ends), strict=True)):
        first = dataclasses.replace(wide, out_channels=end - start)
        last = dataclasses.replace(narrow, in_channels=end - start, bias=narrow.bias and i == 0)
        branch = [("expand", first), *_named("after_expand", parts[0])]
        branch += [("depthwise", node), *_named("after_depthwise", parts[1]), ("project", last)]
        branches.append((str(i), Seq(tuple(branch))))
        if weights is not None:
            written |= _weights_of(branch, str(i), slice(start, end), paths, weights)
    return Sum(tuple(branches)), written


def _children(mixed: Node) -> tuple[Node, ...]:
    assert isinstance(mixed, Slices)
    return tuple(child for _, child in mixed.children)


def _named(name: str, part: Seq) -> list[tuple[str, Node]]:
    """Return the activation functions behind a convolution, with names of their own."""
    return [(f"{name}_{i}", node) for i, (_, node) in enumerate(part.children[1:])]


def _weights_of(
    branch: Sequence[tuple[str, Node]],
    name: str,
    channels: slice,
    paths: Sequence[str],
    weights: Weights,
) -> dict[str, np.ndarray]:
    """Return the weights of a branch, cut out of those of the three convolutions."""
    expand, mixed, project = paths
    named = dict(branch)
    first, last = named["expand"], named["project"]
    assert isinstance(first, Conv)
    assert isinstance(last, Conv)
    found = {f"{name}.expand.weight": weights[f"{expand}.weight"][channels]}
    if first.bias:
        found[f"{name}.expand.bias"] = weights[f"{expand}.bias"][channels]
    before = f"{mixed}.{name}."
    found |= {
        f"{name}.depthwise.{key.removeprefix(before)}": value
        for key, value in weights.items()
        if key.startswith(before)
    }
    columns = weights[f"{project}.weight"][:, channels]
    found[f"{name}.project.weight"] = np.ascontiguousarray(columns)
    if last.bias:
        found[f"{name}.project.bias"] = weights[f"{project}.bias"]
    return found
