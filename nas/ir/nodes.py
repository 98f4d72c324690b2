"""The nodes of layer trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Padding = Literal["symmetric", "same"]
Pads = tuple[int, int, int, int]
"""Pixels of zero padding: top, left, bottom, right."""
Shape = tuple[int, int, int]


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
    def extent(self) -> int:
        """Rows of pixels that the kernel spans, from its first tap to its last inclusive."""
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
    """Zero padding."""

    pads: Pads


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


@dataclass(frozen=True, eq=False, slots=True)
class Sum:
    """Named children that run side by side on the same input, with their outputs added."""

    children: tuple[tuple[str, Node], ...]


@dataclass(frozen=True, eq=False, slots=True)
class Slices:
    """Named children that run on adjacent slices of the channels, with outputs concatenated.

    It is what `MixConv` is, but for children of any kind that begin with a convolution.
    """

    children: tuple[tuple[str, Node], ...]


Leaf = Conv | MixConv | BatchNorm | Activation | SqueezeExcite | Pad | GlobalPool | Linear
Container = Seq | Residual | Sum | Slices
Node = Leaf | Container
