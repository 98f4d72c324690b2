"""The nodes of layer trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Padding = Literal["symmetric", "same"]
"""How a convolution pads its input: evenly, or as TensorFlow does (`same_pads`)."""
Pads = tuple[int, int, int, int]
"""Pixels of zero padding: top, left, bottom, right."""
Shape = tuple[int, int, int]
"""Channels, height and width of the features of one image."""
Gate = Literal["sigmoid", "hard_sigmoid"]
"""The function whose values a squeeze-and-excitation multiplies channels by."""


@dataclass(frozen=True, eq=False, slots=True)
class Conv:
    """A 2-D convolution.

    Attributes:
        in_channels: Number of input channels.
        out_channels: Number of output channels.
        kernel: Rows of taps of the kernel; odd, unless the padding is explicit.
        stride: Step between output positions, in pixels.
        groups: Number of channel groups; equal to `in_channels` for a depthwise convolution.
        dilation: Distance between neighboring taps, in pixels.
        bias: Whether a bias is added.
        padding: ``symmetric`` pads every side by `margin`; ``same`` is TensorFlow's rule, which at
            stride 2 and even sizes puts the odd pixel at the bottom and on the right. With either,
            the output has ceil(size / stride) pixels a side. Explicit `Pads` are the pixels of
            each side.
        columns: Columns of taps of the kernel; None for as many as rows. It has an effect with
            explicit padding only.
    """

    in_channels: int
    out_channels: int
    kernel: int = 1
    stride: int = 1
    groups: int = 1
    dilation: int = 1
    bias: bool = False
    padding: Padding | Pads = "symmetric"
    columns: int | None = None

    @property
    def window(self) -> tuple[int, int]:
        """Rows and columns of taps."""
        return self.kernel, self.kernel if self.columns is None else self.columns

    @property
    def taps(self) -> int:
        """Number of taps of a kernel."""
        rows, columns = self.window
        return rows * columns

    @property
    def spans(self) -> tuple[int, int]:
        """Rows and columns of pixels that the kernel spans, from its first tap to its last."""
        rows, columns = self.window
        return (rows - 1) * self.dilation + 1, (columns - 1) * self.dilation + 1

    @property
    def extent(self) -> int:
        """Rows of pixels that the kernel spans (see `spans`)."""
        return self.spans[0]

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
class Pool:
    """Maximum or average pooling of every channel.

    Padding never wins a maximum.

    Attributes:
        kind: ``max`` or ``average``.
        kernel: Rows and columns of the window, in pixels.
        stride: Step between output positions, in pixels.
        padding: As that of `Conv`, but the output has as many pixels as whole windows fit in.
        ceil: Whether a last window that fits in only in part counts, too, provided that it begins
            within the image or its padding at the top and on the left.
        count_padding: Whether an average counts the pixels of the padding, as zeros. The pixels
            that `ceil` adds are never counted.
    """

    kind: Literal["max", "average"]
    kernel: int
    stride: int = 1
    padding: Padding | Pads = "symmetric"
    ceil: bool = False
    count_padding: bool = False

    @property
    def margin(self) -> int:
        """Pixels of padding on each side under the ``symmetric`` rule."""
        return (self.kernel - 1) // 2


@dataclass(frozen=True, eq=False, slots=True)
class ChannelShuffle:
    """Interleaves `groups` equal groups of channels (Zhang et al. 2018, ShuffleNet, section 3.1).

    Channel i of group g becomes channel i * groups + g.
    """

    groups: int


@dataclass(frozen=True, eq=False, slots=True)
class LayerNorm:
    """Layer normalization over the channels of every pixel, with a scale and a shift each."""

    channels: int
    eps: float = 1e-6


@dataclass(frozen=True, eq=False, slots=True)
class Scale:
    """A learned factor for every channel (LayerScale; Touvron et al. 2021, CaiT, section 2)."""

    channels: int
    initial: float = 1e-6


@dataclass(frozen=True, eq=False, slots=True)
class LocalResponseNorm:
    """Normalization over adjacent channels (Krizhevsky et al. 2012, AlexNet, section 3.3).

    x / (bias + alpha / size * s) ** beta, where s is the sum of squares over `size` channels around
    each one. As in torch, `alpha` is divided by `size`.
    """

    size: int = 5
    alpha: float = 1e-4
    beta: float = 0.75
    bias: float = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class Dropout:
    """Drops elements with probability `rate` in training; does nothing otherwise."""

    rate: float = 0.5


@dataclass(frozen=True, eq=False, slots=True)
class Flatten:
    """Turns an image into a row of features, channel by channel."""


@dataclass(frozen=True, eq=False, slots=True)
class SplitAttention:
    """Attention over `radix` groups of channels, which are weighted and added (ResNeSt).

    The groups of `channels` channels are added and averaged over the image; 1x1 `reduce`, batch
    normalization, activation and 1x1 `expand` follow, then a softmax over the groups (a sigmoid if
    there is only one) for every channel, and the weighted sum of the groups (Zhang et al. 2020,
    ResNeSt, section 3.1, in the radix-major layout of its published code with one cardinal group).

    Attributes:
        channels: Number of output channels; the input has `radix` times as many.
        radix: Number of groups.
        reduce: The 1x1 convolution that squeezes the channels, with a bias.
        norm: The batch normalization after it; None once it was folded into `reduce`.
        activation: Activation function between the two convolutions.
        expand: The 1x1 convolution to ``channels * radix`` channels, with a bias.
    """

    channels: int
    radix: int
    reduce: Conv
    norm: BatchNorm | None
    activation: str
    expand: Conv


@dataclass(frozen=True, eq=False, slots=True)
class BatchNorm:
    """Batch normalization over `channels` channels; `momentum` as torch defines it."""

    channels: int
    eps: float = 1e-5
    momentum: float = 0.1


LEAKY_SLOPE = 0.1
"""Slope of the activation function ``leaky_relu`` below zero, as in Darknet."""


@dataclass(frozen=True, eq=False, slots=True)
class Activation:
    """An activation function, by its name in `nas.blocks.fields.ACTIVATIONS`."""

    function: str


@dataclass(frozen=True, eq=False, slots=True)
class SqueezeExcite:
    """Squeeze-and-excitation (Hu et al. 2018, section 3), a gate on every channel.

    Global pooling, 1x1 `reduce`, batch normalization if there is one, activation, 1x1 `expand`,
    gate function, then multiplication.

    Attributes:
        reduce: The 1x1 convolution that squeezes the channels.
        expand: The 1x1 convolution that restores them.
        activation: Activation function between the two.
        wide: Whether the gate is expanded to the full feature map before the multiplication. The
            result is the same, but a runtime with a blocked memory layout can then multiply
            without leaving that layout.
        gate: Function of the gate: ``sigmoid``, or ``hard_sigmoid``, which is clip(x / 6 + 1/2, 0,
            1) (Howard et al. 2019, MobileNetV3, section 5.2).
        norm: The batch normalization after `reduce` (ReXNet); None also once it was folded into
            that convolution.
    """

    reduce: Conv
    expand: Conv
    activation: str
    wide: bool = False
    gate: Gate = "sigmoid"
    norm: BatchNorm | None = None


@dataclass(frozen=True, eq=False, slots=True)
class Pad:
    """Zero padding.

    Attributes:
        pads: Pixels on each side.
        channels: Channels of zeros that follow those of the input.
    """

    pads: Pads = (0, 0, 0, 0)
    channels: int = 0


@dataclass(frozen=True, eq=False, slots=True)
class GlobalPool:
    """Average pooling over height and width, which leaves a 1x1 image."""


@dataclass(frozen=True, eq=False, slots=True)
class Linear:
    """A fully connected layer with bias, applied to the flattened image, channel by channel."""

    in_features: int
    out_features: int


@dataclass(frozen=True, eq=False, slots=True)
class Seq:
    """Named children that run one after another; without any, the identity."""

    children: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Residual:
    """Named children that run one after another, with the input added to their output."""

    children: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Sum:
    """Named children that run side by side on the same input, with their outputs added.

    Attributes:
        children: The branches, and their names.
        branch: Name of the child that is the residual branch of a block whose other child is its
            shortcut: what stochastic depth drops and `residual_ends` looks at. Empty for none.
    """

    children: tuple[tuple[str, Node], ...]
    branch: str = ""


@dataclass(frozen=True, eq=False, slots=True)
class Concat:
    """Named children that run side by side on the same input, with their outputs concatenated."""

    children: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Slices:
    """Named children that run on adjacent slices of the channels, with outputs concatenated.

    It is what `MixConv` is, but for children of any kind.

    Attributes:
        children: The children, and their names.
        sizes: Number of channels of each slice; empty if every child begins with a convolution,
            which tells it.
    """

    children: tuple[tuple[str, Node], ...]
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False, slots=True)
class Cascade:
    """Named children on adjacent slices of the channels, of which each continues the one before.

    Each child but the first runs on the sum of its slice and the output of the child before it;
    outputs are concatenated (Gao et al. 2019, Res2Net, section 3.1).

    Attributes:
        children: The children, and their names; they keep the shape of their input.
        sizes: As those of `Slices`.
    """

    children: tuple[tuple[str, Node], ...]
    sizes: tuple[int, ...] = ()


Leaf = (
    Conv
    | MixConv
    | Pool
    | BatchNorm
    | LayerNorm
    | LocalResponseNorm
    | Scale
    | Activation
    | SqueezeExcite
    | SplitAttention
    | ChannelShuffle
    | Dropout
    | Pad
    | GlobalPool
    | Flatten
    | Linear
)
"""A layer without children."""
Container = Seq | Residual | Sum | Concat | Slices | Cascade
"""A node whose children are nodes."""
Branches = Sum | Concat | Slices | Cascade
"""Containers whose children run side by side."""
Node = Leaf | Container
"""A layer tree, or a part of one."""
