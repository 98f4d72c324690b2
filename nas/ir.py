"""The layer tree: what a network is made of, written once and walked by everything else.

A tree is built from leaves (layers) and two containers (`Seq`, `Residual`). It holds shapes and
hyper-parameters only; counting (`nas.cost`), building torch modules (`nas.torch_model`) and
exporting walk it. Nodes compare by identity, so that trees which share parts (see
`nas.blocks.parts`) are counted once.

Shapes are ``(channels, height, width)`` of one image.
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

    `padding` is ``symmetric`` ((kernel - 1) * dilation / 2 on every side) or ``same``
    (TensorFlow's rule: at stride 2 and even sizes the extra pixel goes to the bottom and right).
    Both give ceil(size / stride). ``rows`` is symmetric above and below only: columns were added
    before, by a `Pad`.
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
        """Pixels from the first tap of a kernel to its last, both included."""
        return (self.kernel - 1) * self.dilation + 1


@dataclass(frozen=True, eq=False, slots=True)
class MixConv:
    """Convolutions side by side on slices of the channels, their outputs concatenated.

    A mixed depthwise convolution (Tan and Le 2019, MixConv, section 3) has one depthwise `Conv`
    per kernel size; a grouped 1x1 convolution of the MixNet kind has one dense 1x1 `Conv` a group.
    """

    convs: tuple[Conv, ...]


@dataclass(frozen=True, eq=False, slots=True)
class BatchNorm:
    """Batch normalisation over `channels`; `momentum` as torch defines it."""

    channels: int
    eps: float = 1e-5
    momentum: float = 0.1


@dataclass(frozen=True, eq=False, slots=True)
class Activation:
    """An activation function by name (see `nas.blocks.fields.ACTIVATIONS`)."""

    function: str


@dataclass(frozen=True, eq=False, slots=True)
class SqueezeExcite:
    """Channel attention: pool, 1x1 `reduce`, activation, 1x1 `expand`, sigmoid, multiply.

    With `wide`, the gate is first spread over the whole map; what it computes is the same, but
    runtimes with blocked layouts need not leave them to multiply.
    """

    reduce: Conv
    expand: Conv
    activation: str
    wide: bool = False


@dataclass(frozen=True, eq=False, slots=True)
class Pad:
    """`columns` columns of zeros on the left and as many on the right."""

    columns: int


@dataclass(frozen=True, eq=False, slots=True)
class GlobalPool:
    """The mean over height and width; leaves a 1x1 image."""


@dataclass(frozen=True, eq=False, slots=True)
class Linear:
    """A fully connected layer with bias on a 1x1 image."""

    in_features: int
    out_features: int


@dataclass(frozen=True, eq=False, slots=True)
class Seq:
    """Named children, one after the other."""

    children: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Residual:
    """Named children, one after the other; their input is added to their output."""

    children: tuple[tuple[str, Node], ...]


Leaf = Conv | MixConv | BatchNorm | Activation | SqueezeExcite | Pad | GlobalPool | Linear
Node = Leaf | Seq | Residual


class Layer(NamedTuple):
    """A leaf with its place in the tree and the shapes around it."""

    path: str
    leaf: Leaf
    in_shape: Shape
    out_shape: Shape


def elements(shape: Shape) -> int:
    """Return the number of elements of an image of that shape."""
    return shape[0] * shape[1] * shape[2]


def conv_channels(leaf: Conv | MixConv) -> tuple[int, int]:
    """Return the input and output channels of a convolution or of convolutions side by side."""
    if isinstance(leaf, Conv):
        return leaf.in_channels, leaf.out_channels
    taken = given = 0
    for conv in leaf.convs:
        taken += conv.in_channels
        given += conv.out_channels
    return taken, given


def conv_pads(conv: Conv, shape: Shape) -> tuple[int, int, int, int]:
    """Return the padding of a convolution of an input of `shape`: top, left, bottom, right."""
    before, after = [], []
    for size in shape[1:]:
        if conv.padding == "same":
            total = max((-(-size // conv.stride) - 1) * conv.stride + conv.extent - size, 0)
        else:
            total = (conv.kernel - 1) // 2 * conv.dilation * 2
        before.append(total // 2)
        after.append(total - total // 2)
    if conv.padding == "rows":
        before[1] = after[1] = 0
    return before[0], before[1], after[0], after[1]


def out_shape(leaf: Leaf, shape: Shape) -> Shape:
    """Return the output shape of a leaf for an input of `shape`.

    Raises:
        ValueError: when the leaf does not accept that number of channels.
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
        raise ValueError(f"{leaf} takes {expected} channels, but its input has {channels}")
    return shape


def walk(node: Node, shape: Shape, path: str = "") -> Iterator[Layer]:
    """Yield the leaves of a tree in the order they run, with their shapes.

    Args:
        node: the tree.
        shape: the input's channels, height and width.
        path: what to put before the children's names.

    Raises:
        ValueError: when channels do not fit together.
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
        raise ValueError(f"residual '{path}' adds {shape} to {inner}: the shapes must be equal")


def residual_ends(node: Node, path: str = "") -> set[str]:
    """Return the paths of the batch normalisations that residual branches end with."""
    if not isinstance(node, (Seq, Residual)):
        return set()
    found: set[str] = set()
    for name, child in node.children:
        found |= residual_ends(child, f"{path}.{name}" if path else name)
    norms = list(_norms(node, path)) if isinstance(node, Residual) else []
    return found | set(norms[-1:])


def _norms(node: Node, path: str) -> Iterator[str]:
    if isinstance(node, BatchNorm):
        yield path
    elif isinstance(node, (Seq, Residual)):
        for name, child in node.children:
            yield from _norms(child, f"{path}.{name}" if path else name)


def nested(tree: Node) -> Node:
    """Give children named ``a.b`` a parent ``a`` of their own, as torch's modules need."""
    return type(tree)(_nested(list(tree.children))) if isinstance(tree, (Seq, Residual)) else tree


def _nested(children: list[tuple[str, Node]]) -> tuple[tuple[str, Node], ...]:
    out: list[tuple[str, Node]] = []
    inner: dict[str, list[tuple[str, Node]]] = {}
    for name, child in children:
        head, dot, rest = name.partition(".")
        if not dot:
            out.append((name, child))
            continue
        if head not in inner:
            inner[head] = []
            out.append((head, child))  # its place; filled below
        inner[head].append((rest, child))
    return tuple((n, Seq(_nested(inner[n])) if n in inner else child) for n, child in out)
