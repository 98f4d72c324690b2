"""The layer tree: the intermediate representation of a network.

A network is written once, as a tree of leaves (layers) and two kinds of container (`Seq` and
`Residual`), and everything else walks that tree: counting costs (`nas.cost`), building torch
modules (`nas.torch_model`), lowering and exporting. The tree holds hyper-parameters only, no
weights. Nodes compare by identity, so that a part shared by several trees (see `nas.blocks.parts`)
is counted only once.

Shapes are ``(channels, height, width)`` of a single image.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

Padding = Literal["symmetric", "same"]
ConvPadding = Literal["symmetric", "same", "rows"]
Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False, slots=True)
class Conv:
    """A 2-D convolution.

    Attributes:
        in_channels: Number of input channels.
        out_channels: Number of output channels.
        kernel: Side length of the kernel, odd.
        stride: Step between output positions, in pixels.
        groups: Number of channel groups; equal to `in_channels` for a depthwise convolution.
        dilation: Distance between neighboring taps, in pixels.
        bias: Whether a bias is added.
        padding: ``symmetric`` pads every side by `margin`; ``same`` is TensorFlow's rule, which at
            stride 2 and even sizes puts the odd pixel at the bottom and on the right. With either,
            the output has ceil(size / stride) pixels a side. ``rows`` pads symmetrically above and
            below only, because a preceding `Pad` has already added the columns.
    """

    in_channels: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    dilation: int = 1
    bias: bool = False
    padding: ConvPadding = "symmetric"

    @property
    def extent(self) -> int:
        """Pixels that the kernel spans, from its first tap to its last inclusive."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def margin(self) -> int:
        """Pixels of padding on each side under the ``symmetric`` rule."""
        return (self.kernel - 1) // 2 * self.dilation


@dataclass(frozen=True, eq=False, slots=True)
class MixConv:
    """Parallel convolutions on slices of the channels, with their outputs concatenated.

    A mixed depthwise convolution (Tan and Le 2019, MixConv, section 3) has one depthwise `Conv`
    per kernel size; a grouped 1x1 convolution as in MixNet has one dense 1x1 `Conv` per group.

    Attributes:
        convs: The convolutions, in channel order; all share one stride and one padding rule.
    """

    convs: tuple[Conv, ...]


@dataclass(frozen=True, eq=False, slots=True)
class BatchNorm:
    """Batch normalization over `channels` channels; `momentum` as torch defines it."""

    channels: int
    eps: float = 1e-5
    momentum: float = 0.1


@dataclass(frozen=True, eq=False, slots=True)
class Activation:
    """An activation function, by its name in `nas.blocks.fields.ACTIVATIONS`."""

    function: str


@dataclass(frozen=True, eq=False, slots=True)
class SqueezeExcite:
    """Squeeze-and-excitation (Hu et al. 2018, section 3), a gate on every channel.

    Global pooling, 1x1 `reduce`, activation, 1x1 `expand`, sigmoid, then multiplication.

    Attributes:
        reduce: The 1x1 convolution that squeezes the channels.
        expand: The 1x1 convolution that restores them.
        activation: Activation function between the two.
        wide: Whether the gate is expanded to the full feature map before the multiplication. The
            result is the same, but a runtime with a blocked memory layout can then multiply
            without leaving that layout.
    """

    reduce: Conv
    expand: Conv
    activation: str
    wide: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Pad:
    """Zero padding of `columns` columns on the left and as many on the right."""

    columns: int


@dataclass(frozen=True, eq=False, slots=True)
class GlobalPool:
    """Average pooling over height and width, which leaves a 1x1 image."""


@dataclass(frozen=True, eq=False, slots=True)
class Linear:
    """A fully connected layer with bias, applied to a 1x1 image."""

    in_features: int
    out_features: int


@dataclass(frozen=True, eq=False, slots=True)
class Seq:
    """Named children that run one after another."""

    children: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Residual:
    """Named children that run one after another, with the input added to their output."""

    children: tuple[tuple[str, Node], ...]


Leaf = Conv | MixConv | BatchNorm | Activation | SqueezeExcite | Pad | GlobalPool | Linear
Node = Leaf | Seq | Residual


class Layer(NamedTuple):
    """A leaf together with its position in the tree.

    Attributes:
        path: Names of its ancestors and its own name, joined by dots.
        leaf: The leaf itself.
        in_shape: Shape of its input.
        out_shape: Shape of its output.
    """

    path: str
    leaf: Leaf
    in_shape: Shape
    out_shape: Shape


def elements(shape: Shape) -> int:
    """Return the number of elements of an image of the given shape."""
    return shape[0] * shape[1] * shape[2]


def conv_channels(leaf: Conv | MixConv) -> tuple[int, int]:
    """Return the total input and output channels of a convolution or of parallel ones."""
    if isinstance(leaf, Conv):
        return leaf.in_channels, leaf.out_channels
    inputs = outputs = 0
    for conv in leaf.convs:
        inputs += conv.in_channels
        outputs += conv.out_channels
    return inputs, outputs


def same_pads(size: int, extent: int, stride: int) -> tuple[int, int]:
    """Return TensorFlow's ``same`` padding along one axis.

    Args:
        size: Input size, in pixels.
        extent: Pixels that the kernel spans (see `Conv.extent`).
        stride: Stride of the convolution.

    Returns:
        Pixels of padding before and after; an odd pixel goes after.
    """
    total = max((-(-size // stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def conv_pads(conv: Conv, shape: Shape) -> tuple[int, int, int, int]:
    """Return the padding of a convolution in pixels: top, left, bottom, right.

    Args:
        conv: The convolution.
        shape: Shape of its input, which matters to the ``same`` rule only.
    """
    if conv.padding == "same":
        top, bottom = same_pads(shape[1], conv.extent, conv.stride)
        left, right = same_pads(shape[2], conv.extent, conv.stride)
        return top, left, bottom, right
    sides = 0 if conv.padding == "rows" else conv.margin
    return conv.margin, sides, conv.margin, sides


def out_shape(leaf: Leaf, shape: Shape) -> Shape:
    """Return the output shape of a leaf for an input of `shape`.

    Raises:
        ValueError: If the leaf expects another number of channels.
    """
    channels, height, width = shape
    match leaf:
        case Conv() | MixConv():
            expected, out = conv_channels(leaf)
            first = leaf if isinstance(leaf, Conv) else leaf.convs[0]
            if first.padding == "rows":
                width -= first.extent - 1
            shape = (out, -(-height // first.stride), -(-width // first.stride))
        case Pad():
            return (channels, height, width + 2 * leaf.columns)
        case GlobalPool():
            return (channels, 1, 1)
        case Linear():
            expected, shape = leaf.in_features, (leaf.out_features, 1, 1)
        case BatchNorm():
            expected = leaf.channels
        case SqueezeExcite():
            expected = leaf.reduce.in_channels
        case Activation():
            return shape
    if expected != channels:
        raise ValueError(f"{leaf} expects {expected} channels, but its input has {channels}")
    return shape


def walk(node: Node, shape: Shape, path: str = "") -> Iterator[Layer]:
    """Yield the leaves of a tree in execution order, with their paths and shapes.

    Args:
        node: The tree.
        shape: Shape of its input.
        path: Path of the tree itself, which prefixes the names of its children.

    Raises:
        ValueError: If the channels of consecutive layers do not match.
    """
    if not isinstance(node, (Seq, Residual)):
        yield Layer(path, node, shape, out_shape(node, shape))
        return
    inner = shape
    for name, child in node.children:
        for layer in walk(child, inner, f"{path}.{name}" if path else name):
            yield layer
            inner = layer.out_shape
    if isinstance(node, Residual) and inner != shape:
        raise ValueError(f"residual '{path}' adds shapes {shape} and {inner}, which must be equal")


def residual_ends(node: Node, path: str = "") -> set[str]:
    """Return the path of the last batch normalization of every residual branch."""
    if not isinstance(node, (Seq, Residual)):
        return set()
    ends: set[str] = set()
    for name, child in node.children:
        ends |= residual_ends(child, f"{path}.{name}" if path else name)
    norms = list(_norms(node, path)) if isinstance(node, Residual) else []
    return ends | set(norms[-1:])


def _norms(node: Node, path: str) -> Iterator[str]:
    if isinstance(node, BatchNorm):
        yield path
    elif isinstance(node, (Seq, Residual)):
        for name, child in node.children:
            yield from _norms(child, f"{path}.{name}" if path else name)


def nested(tree: Node) -> Node:
    """Return the tree with every child named ``a.b`` moved into a child ``a``.

    The names of torch modules must not contain dots.
    """
    return type(tree)(_nested(list(tree.children))) if isinstance(tree, (Seq, Residual)) else tree


def _nested(children: list[tuple[str, Node]]) -> tuple[tuple[str, Node], ...]:
    result: list[tuple[str, Node]] = []
    inner: dict[str, list[tuple[str, Node]]] = {}
    for name, child in children:
        head, dot, rest = name.partition(".")
        if not dot:
            result.append((name, child))
            continue
        if head not in inner:
            inner[head] = []
            result.append((head, child))  # holds the position; replaced below
        inner[head].append((rest, child))
    return tuple((n, Seq(_nested(inner[n])) if n in inner else child) for n, child in result)
