"""Random layer trees with every leaf and container, for tests of whatever walks a tree."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from hypothesis import strategies as st

from nas.blocks.fields import ACTIVATIONS
from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    ChannelShuffle,
    Concat,
    Container,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    MixConv,
    Pad,
    Pool,
    Residual,
    Scale,
    Seq,
    Slices,
    SplitAttention,
    SqueezeExcite,
    Sum,
    elements,
    end_shape,
    out_shape,
    slice_sizes,
    walk,
)

ALIKE = (
    BatchNorm,
    LayerNorm,
    LocalResponseNorm,
    Scale,
    Activation,
    SqueezeExcite,
    ChannelShuffle,
    Dropout,
    Conv,
    Pool,
)
"""Leaves that can keep the shape of their input."""
CHANGING = (*ALIKE, *(Conv, Pool, SplitAttention, MixConv, Pad) * 2)  # so that each is frequent
KEEPING_CONTAINERS = (Seq, Residual, Cascade, Sum)
CONTAINERS = (*KEEPING_CONTAINERS, Slices, Concat)


@st.composite
def trees(draw, without=(), tail=True, depth=2):
    """Draw a valid layer tree and the shape of its input: ``(tree, shape)``.

    Args:
        draw: Hypothesis's function.
        without: Classes of nodes that must not occur; `Conv` and `Seq` always may.
        tail: Whether the tree may end in a global pooling, a linear layer or both.
        depth: Containers within containers at most.
    """
    trees_of = TreeDrawer(draw, frozenset(without))
    shape = (trees_of.integer(1, 16), trees_of.integer(1, 13), trees_of.integer(1, 13))
    children = list(trees_of.sequence(shape, depth).children)
    if tail:
        end = end_shape(Seq(tuple(children)), shape)
        children += trees_of.tail(end)
    tree = Seq(tuple(children))
    list(walk(tree, shape))  # raises an error if the tree is not valid
    return tree, shape


class TreeDrawer:
    """Draws parts of trees for inputs of given shapes."""

    def __init__(self, draw, without):
        self.draw = draw
        self.without = without

    def integer(self, least, most):
        """Draw a whole number."""
        return self.draw(st.integers(least, most))

    def choice(self, *values):
        """Draw one of some values."""
        return self.draw(st.sampled_from(values))

    def kind(self, *kinds):
        """Draw a class of nodes that may occur."""
        return self.choice(*(kind for kind in kinds if kind not in self.without))

    def divisor(self, number, most=4):
        """Draw a small divisor of a number."""
        return self.choice(*(d for d in range(1, most + 1) if number % d == 0))

    def parts(self, number, count):
        """Draw `count` positive numbers that add up to a number."""
        if count == 1:
            return [number]
        ends = self.draw(
            st.sets(st.integers(1, number - 1), min_size=count - 1, max_size=count - 1)
        )
        edges = [0, *sorted(ends), number]
        return [after - before for before, after in pairwise(edges)]

    def sequence(self, shape, depth):
        """Draw nodes that run one after another."""
        children = []
        for number in range(self.integer(1, 4)):
            node = self.node(shape, depth)
            children.append((f"n{number}", node))
            shape = end_shape(node, shape)
        return Seq(tuple(children))

    def node(self, shape, depth):
        """Draw a node for an input of `shape`."""
        kinds = CHANGING if depth == 0 or self.choice(False, True) else CONTAINERS
        kind = self.kind(*kinds)
        if kind is Seq:
            return self.sequence(shape, depth - 1)
        if kind in (Residual, Cascade):
            return self.keeping_container(kind, shape, depth)
        if kind in CONTAINERS:
            stride = self.choice(1, 1, 2)
            sizes = [-(-size // stride) for size in shape[1:]]
            return self.branches(kind, shape, (self.integer(1, 12), *sizes), depth)
        return self.leaf(kind, shape)

    def keeping(self, shape, depth):
        """Draw a node with an output of the shape of its input."""
        choice = self.integer(0, 5)
        if choice == 0:
            return Seq(())
        if choice < 3 or depth == 0:
            return self.kept(self.kind(*ALIKE), shape)
        return self.keeping_container(self.kind(*KEEPING_CONTAINERS), shape, depth)

    def keeping_container(self, kind, shape, depth):
        """Draw a container with an output of the shape of its input."""
        if kind is Sum:
            return self.branches(Sum, shape, shape, depth)
        if kind is Cascade:
            count = self.divisor(shape[0])
            taken = (shape[0] // count, *shape[1:])
            children = [(f"b{i}", self.keeping(taken, depth - 1)) for i in range(count)]
            return self.sized(Cascade, children, [taken[0]] * count)
        children = [(f"n{i}", self.keeping(shape, depth - 1)) for i in range(self.integer(1, 3))]
        return kind(tuple(children))

    def branches(self, kind, shape, target, depth):
        """Draw branches with a joined output of the shape `target`."""
        if kind is Sum:
            names = ("branch", "shortcut", "third")[: self.integer(2, 3)]
            children = [(name, self.reaching(shape, target, depth - 1)) for name in names]
            return Sum(tuple(children), self.choice("", *names[:2]))
        count = min(self.integer(1, 3), target[0], shape[0])
        outputs = self.parts(target[0], count)
        if kind is Slices:
            sizes = self.parts(shape[0], count)
            inputs = [(size, *shape[1:]) for size in sizes]
        else:
            inputs = [shape] * count
        children = [
            (f"b{i}", self.reaching(taken, (channels, *target[1:]), depth - 1))
            for i, (taken, channels) in enumerate(zip(inputs, outputs, strict=True))
        ]
        return self.sized(Slices, children, sizes) if kind is Slices else Concat(tuple(children))

    def sized(self, kind, children, sizes):
        """Return a container of slices, whose sizes are left out at times if they may be."""
        node = kind(tuple(children))
        try:
            known = list(slice_sizes(node)) == sizes
        except ValueError:
            known = False
        return node if known and self.choice(False, True) else kind(tuple(children), tuple(sizes))

    def reaching(self, shape, target, depth):
        """Draw a node with an output of the shape `target`, of which sizes may be halved."""
        if shape == target:
            return self.keeping(shape, max(depth, 0))
        stride = 1 if shape[1:] == target[1:] else 2
        children = []
        if self.choice(False, True):
            children.append(("before", self.keeping(shape, 0)))
        pooled = stride == 2 and self.choice(False, True) and Pool not in self.without
        if pooled:
            kind = self.choice("max", "average")
            padding = self.choice("symmetric", "same")
            children.append(("pool", Pool(kind, self.choice(1, 3), 2, padding)))
        if not pooled or shape[0] != target[0]:
            conv = self.conv(shape, target[0], 1 if pooled else stride, same_size=True)
            children.append(("conv", conv))
        if depth > 0 and self.choice(False, True):
            children.append(("after", self.keeping(target, depth - 1)))
        return children[0][1] if len(children) == 1 else Seq(tuple(children))

    def kept(self, kind, shape):
        """Draw a leaf that keeps the shape of its input."""
        if kind is Conv:
            return self.conv(shape, shape[0], 1, same_size=True)
        if kind is Pool:
            padding, count_padding = self.choice("symmetric", "same"), self.choice(False, True)
            kernel = self.choice(1, 3, 5)
            return Pool(self.choice("max", "average"), kernel, 1, padding, False, count_padding)
        return self.leaf(kind, shape)

    def leaf(self, kind, shape):
        """Draw a leaf of a class for an input of `shape`."""
        channels = shape[0]
        if kind in (BatchNorm, LayerNorm):
            return kind(channels, self.choice(1e-6, 1e-5, 1e-3))
        if kind is Scale:
            return Scale(channels, self.choice(1e-6, 0.5, 1.0))
        if kind is LocalResponseNorm:
            return LocalResponseNorm(self.integer(1, 5), self.choice(1e-4, 1.0), 0.75, 2.0)
        if kind is Dropout:
            return Dropout(self.choice(0.2, 0.5))
        if kind is ChannelShuffle:
            return ChannelShuffle(self.divisor(channels))
        if kind is Activation:
            return Activation(self.choice(*ACTIVATIONS))
        if kind is Pad:
            pads = tuple(self.integer(0, 2) for _ in range(4))
            return Pad(pads, self.choice(0, 0, self.integer(1, 9)))
        if kind is SqueezeExcite:
            return self.squeeze_excite(channels)
        if kind is SplitAttention:
            return self.split_attention(channels)
        if kind is MixConv:
            return self.mix_conv(shape)
        return self.pool(shape) if kind is Pool else self.conv(shape, self.integer(1, 16))

    def squeeze_excite(self, channels):
        """Draw a squeeze-and-excitation."""
        inner, bias = self.integer(1, 4), self.choice(False, True)
        return SqueezeExcite(
            Conv(channels, inner, bias=bias),
            Conv(inner, channels, bias=bias),
            self.choice(*ACTIVATIONS),
            gate=self.choice("sigmoid", "hard_sigmoid"),
            norm=self.choice(None, BatchNorm(inner)),
        )

    def split_attention(self, channels):
        """Draw a split attention with one or two groups."""
        radix, inner = self.divisor(channels, 2), self.integer(1, 4)
        return SplitAttention(
            channels // radix,
            radix,
            Conv(channels // radix, inner, bias=True),
            BatchNorm(inner),
            self.choice(*ACTIVATIONS),
            Conv(inner, channels, bias=True),
        )

    def mix_conv(self, shape):
        """Draw convolutions on slices, depthwise or dense."""
        count = min(self.integer(1, 3), shape[0])
        stride, padding = self.integer(1, 2), self.choice("symmetric", "same")
        depthwise = self.choice(False, True)
        convs = []
        for size in self.parts(shape[0], count):
            outputs, groups = (size, size) if depthwise else (self.integer(1, 5), 1)
            kernel = self.choice(1, 3, 5)
            convs.append(Conv(size, outputs, kernel, stride, groups, padding=padding))
        return MixConv(tuple(convs))

    def pool(self, shape):
        """Draw a pooling that fits."""
        kernel = self.integer(1, 5)
        padding = self.choice("symmetric", "same", "explicit")
        if padding == "explicit":
            padding = tuple(self.integer(0, kernel - 1) for _ in range(4))
        ceil, count_padding = self.choice(False, True), self.choice(False, True)
        stride = self.integer(1, 3)
        kind = self.choice("max", "average")
        pool = Pool(kind, kernel, stride, padding, ceil, count_padding)
        try:
            out_shape(pool, shape)
        except ValueError:  # too large a window
            return replace(pool, padding="same")
        return pool

    def conv(self, shape, outputs, stride=None, same_size=False):
        """Draw a convolution; `same_size` for outputs of ceil(size / stride) pixels."""
        groups = self.choice(*(d for d in range(1, 17) if not shape[0] % d and not outputs % d))
        stride = stride or self.integer(1, 2)
        dilation, bias = self.integer(1, 2), self.choice(False, True)
        padding = self.choice("symmetric", "same", "explicit")
        kernel = self.choice(1, 3, 5)
        if padding != "explicit":
            return Conv(shape[0], outputs, kernel, stride, groups, dilation, bias, padding)
        window = self.integer(1, 5), self.integer(1, 5)
        before, after = [], []
        for taps, size in zip(window, shape[1:], strict=True):
            extent = (taps - 1) * dilation + 1
            # So many that (size + total - extent) // stride + 1 = ceil(size / stride) pixels come.
            total = extent - 1 if same_size else max(self.integer(0, 4), extent - size)
            before.append(self.integer(0, total))
            after.append(total - before[-1])
        pads = (*before, *after)
        columns = None if window[0] == window[1] else window[1]
        return Conv(shape[0], outputs, window[0], stride, groups, dilation, bias, pads, columns)

    def tail(self, shape):
        """Draw the end of a network, which may be empty."""
        pooled, dropped, classified = (self.choice(False, True) for _ in range(3))
        children = []
        if pooled and GlobalPool not in self.without:
            children.append(("pool", GlobalPool()))
            shape = (shape[0], 1, 1)
        if dropped and Dropout not in self.without:
            children.append(("dropout", Dropout(0.3)))
        if self.choice(False, True) and Flatten not in self.without:
            children.append(("flatten", Flatten()))
            shape = (elements(shape), 1, 1)
        if classified and Linear not in self.without:
            children.append(("classifier", Linear(elements(shape), self.integer(1, 5))))
        return children


def nodes(node):
    """Yield the nodes of a tree, itself included."""
    yield node
    if isinstance(node, Container):
        for _, child in node.children:
            yield from nodes(child)
