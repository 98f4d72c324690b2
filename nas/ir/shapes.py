"""Shapes of the inputs and outputs of layers, and their padding."""

from __future__ import annotations

from nas.ir.nodes import (
    Activation,
    BatchNorm,
    Branches,
    Cascade,
    ChannelShuffle,
    Concat,
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
    Pads,
    Pool,
    Residual,
    Scale,
    Seq,
    Shape,
    Slices,
    SplitAttention,
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


def pool_pads(pool: Pool, shape: Shape) -> Pads:
    """Return the padding of a pooling in pixels: top, left, bottom, right.

    What `Pool.ceil` adds at the bottom and on the right is included.

    Args:
        pool: The pooling.
        shape: Shape of its input.
    """
    if pool.padding == "same":
        top, bottom = same_pads(shape[1], pool.kernel, pool.stride)
        left, right = same_pads(shape[2], pool.kernel, pool.stride)
        return top, left, bottom, right
    top, left, bottom, right = (pool.margin,) * 4 if pool.padding == "symmetric" else pool.padding
    if pool.ceil:
        bottom += _added_by_ceil(pool, shape[1], top, bottom)
        right += _added_by_ceil(pool, shape[2], left, right)
    return top, left, bottom, right


def _added_by_ceil(pool: Pool, size: int, before: int, after: int) -> int:
    """Return the pixels that a last, partial window lacks along one axis; 0 if there is none."""
    beyond = (size + before + after - pool.kernel) % pool.stride
    last = size + before + after - pool.kernel - beyond + pool.stride  # where it would begin
    return pool.stride - beyond if beyond and last < size + before else 0


def input_channels(node: Node) -> int:
    """Return the number of channels that a convolution, or a tree that begins with one, takes.

    Raises:
        ValueError: If it takes any number of channels.
    """
    match node:
        case Conv() | MixConv():
            return conv_channels(node)[0]
        case SqueezeExcite():
            return node.reduce.in_channels
        case SplitAttention():
            return node.channels * node.radix
        case BatchNorm() | LayerNorm() | Scale():
            return node.channels
        case Slices() | Cascade():
            return sum(slice_sizes(node))
        case Seq() | Residual() | Sum() | Concat() if node.children:
            return input_channels(node.children[0][1])
    raise ValueError(f"{type(node).__name__} takes any number of channels")


def slice_sizes(node: Slices | Cascade) -> tuple[int, ...]:
    """Return the number of channels that each child takes of the input.

    Raises:
        ValueError: If it is not given, and a child takes any number of channels.
    """
    return node.sizes or tuple(input_channels(child) for _, child in node.children)


def branch_inputs(node: Branches, shape: Shape) -> list[Shape]:
    """Return the shape of the input of every branch."""
    if isinstance(node, (Slices, Cascade)):
        return [(size, *shape[1:]) for size in slice_sizes(node)]
    return [shape] * len(node.children)


def joined(node: Branches, inputs: list[Shape], ends: list[Shape], path: str = "") -> Shape:
    """Return the shape of the joined outputs of branches.

    Args:
        node: The container.
        inputs: Shape of the input of each branch, as `branch_inputs` returns them.
        ends: Shape of the output of each branch.
        path: Path of the container, for messages.

    Raises:
        ValueError: If the shapes do not fit together.
    """
    alike = {end if isinstance(node, Sum) else end[1:] for end in ends}
    if len(alike) != 1:
        raise ValueError(f"the branches of '{path}' have outputs of different shapes: {alike}")
    if isinstance(node, Cascade) and (inputs != ends or len(set(ends)) != 1):
        raise ValueError(f"the cascade '{path}' must keep one shape; it has {inputs} and {ends}")
    if isinstance(node, Sum):
        return ends[0]
    return (sum(end[0] for end in ends), *ends[0][1:])


def out_shape(leaf: Leaf, shape: Shape) -> Shape:
    """Return the output shape of a leaf for an input of `shape`.

    Raises:
        ValueError: If the leaf expects another number of channels.
    """
    channels, height, width = shape
    expected, out = channels, shape
    match leaf:
        case Conv() | MixConv():
            expected, out_channels = conv_channels(leaf)
            first = leaf if isinstance(leaf, Conv) else leaf.convs[0]
            if isinstance(first.padding, str):
                out = (out_channels, -(-height // first.stride), -(-width // first.stride))
            else:
                out = (out_channels, *_padded_size(first, height, width))
        case Pool():
            top, left, bottom, right = pool_pads(leaf, shape)
            rows, columns = height + top + bottom - leaf.kernel, width + left + right - leaf.kernel
            out = (channels, rows // leaf.stride + 1, columns // leaf.stride + 1)
        case Pad():
            top, left, bottom, right = leaf.pads
            out = (channels + leaf.channels, height + top + bottom, width + left + right)
        case GlobalPool():
            out = (channels, 1, 1)
        case Flatten():
            out = (elements(shape), 1, 1)
        case Linear():
            if leaf.in_features != elements(shape):
                raise ValueError(
                    f"{leaf} expects {leaf.in_features} features, but its input has "
                    f"{elements(shape)}"
                )
            out = (leaf.out_features, 1, 1)
        case BatchNorm() | LayerNorm() | Scale():
            expected = leaf.channels
        case SqueezeExcite():
            expected = leaf.reduce.in_channels
        case SplitAttention():
            expected, out = leaf.channels * leaf.radix, (leaf.channels, height, width)
        case ChannelShuffle():
            if channels % leaf.groups:
                raise ValueError(f"{channels} channels cannot be shuffled in {leaf.groups} groups")
        case Activation() | LocalResponseNorm() | Dropout():
            pass
    if expected != channels:
        raise ValueError(f"{leaf} expects {expected} channels, but its input has {channels}")
    if min(out) < 1:
        raise ValueError(f"{leaf} does not fit into its input of {height}x{width} pixels")
    return out


def _padded_size(conv: Conv, height: int, width: int) -> tuple[int, int]:
    """Return the height and width of the output of a convolution with explicit padding."""
    top, left, bottom, right = conv_pads(conv, (0, height, width))
    rows, columns = conv.spans
    return (
        (height + top + bottom - rows) // conv.stride + 1,
        (width + left + right - columns) // conv.stride + 1,
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
        case Concat() | Slices() | Cascade():
            inputs = branch_inputs(node, shape)
            ends = [
                end_shape(child, taken)
                for (_, child), taken in zip(node.children, inputs, strict=True)
            ]
            return joined(node, inputs, ends)
    return out_shape(node, shape)
