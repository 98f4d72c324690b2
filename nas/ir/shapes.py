"""Shapes of the inputs and outputs of layers, and their padding."""

from __future__ import annotations

from nas.ir.nodes import (
    Activation,
    BatchNorm,
    Conv,
    GlobalPool,
    Leaf,
    Linear,
    MixConv,
    Node,
    Pad,
    Pads,
    Residual,
    Seq,
    Shape,
    Slices,
    SqueezeExcite,
    Sum,
)


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


def conv_pads(conv: Conv, shape: Shape) -> Pads:
    """Return the padding of a convolution in pixels: top, left, bottom, right.

    Args:
        conv: The convolution.
        shape: Shape of its input, which matters to the ``same`` rule only.
    """
    if conv.padding == "same":
        top, bottom = same_pads(shape[1], conv.extent, conv.stride)
        left, right = same_pads(shape[2], conv.extent, conv.stride)
        return top, left, bottom, right
    if conv.padding == "symmetric":
        return (conv.margin,) * 4
    return conv.padding


def input_channels(node: Node) -> int:
    """Return the number of channels that a convolution, or a tree that begins with one, takes.

    Raises:
        ValueError: If it begins with another leaf.
    """
    match node:
        case Conv() | MixConv():
            return conv_channels(node)[0]
        case Slices():
            return sum(input_channels(child) for _, child in node.children)
        case Seq() | Residual() | Sum():
            return input_channels(node.children[0][1])
    raise ValueError(f"{type(node).__name__} takes any number of channels")


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
            if isinstance(first.padding, str):
                shape = (out, -(-height // first.stride), -(-width // first.stride))
            else:
                shape = (out, *_padded_size(first, height, width))
        case Pad():
            top, left, bottom, right = leaf.pads
            return (channels, height + top + bottom, width + left + right)
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


def _padded_size(conv: Conv, height: int, width: int) -> tuple[int, int]:
    """Return the height and width of the output of a convolution with explicit padding."""
    top, left, bottom, right = conv_pads(conv, (0, height, width))
    rows, columns = ((taps - 1) * conv.dilation for taps in conv.window)
    return (
        (height + top + bottom - rows - 1) // conv.stride + 1,
        (width + left + right - columns - 1) // conv.stride + 1,
    )


def end_shape(node: Node, shape: Shape) -> Shape:
    """Return the output shape of a tree for an input of `shape`.

    Raises:
        ValueError: If the channels of consecutive layers do not match.
    """
    match node:
        case Seq() | Residual():
            for _, child in node.children:
                shape = end_shape(child, shape)
            return shape
        case Sum():
            return end_shape(node.children[0][1], shape)
        case Slices():
            inputs = [(input_channels(child), *shape[1:]) for _, child in node.children]
            ends = [
                end_shape(child, taken)
                for (_, child), taken in zip(node.children, inputs, strict=True)
            ]
            return (sum(end[0] for end in ends), *ends[0][1:])
    return out_shape(node, shape)
