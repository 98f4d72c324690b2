"""The ends of networks: the stem before the blocks, and the tail after them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic.dataclasses import dataclass

from nas.blocks.base import CONFIG
from nas.blocks.fields import ActivationName, AnyKernel, Channels, Pixels, later
from nas.blocks.parts import (
    Parts,
    Rules,
    activated,
    activation,
    batch_norm,
    flatten,
    global_pool,
    linear,
    pointwise,
)
from nas.ir import (
    Conv,
    Dropout,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    Node,
    Padding,
    Pads,
    Seq,
    Shape,
)

StemNorm = Literal["batch", "layer", "none", "response"]
UNCENTRED = "an even kernel has no middle; give its padding in pixels, such as padding: 0"
_CACHE = 1 << 12
_NO_PADS: Pads = (0, 0, 0, 0)


@dataclass(frozen=True, config=CONFIG)
class Stem:
    """The convolutions before the blocks, each with a normalization and an activation.

    There is one, or several in a deep stem, all with the same kernel and padding. The first of them
    has the stride.

    Attributes:
        channels: Number of output channels.
        kernel: Kernel size, 1 to 13; an even one needs a `padding`.
        stride: Stride, 1 to 4.
        activation: Activation function after every convolution.
        before: Channels of the convolutions before the last one (He et al. 2019, Bag of Tricks,
            section 4.2, ResNet-C).
        padding: Pixels of padding on each side; None for the network's rule.
        bias: Whether the convolutions have a bias.
        norm: Normalization after every convolution: ``batch``, ``layer`` (over the channels of each
            pixel, as in ConvNeXt; Liu et al. 2022, section 2.6), ``none``, or ``response`` (local
            response normalization after the activation; see `ConvBlock`).
    """

    channels: Channels
    kernel: AnyKernel = 3
    stride: Annotated[int, Field(ge=1, le=4, strict=True)] = 2
    activation: ActivationName = "relu"
    before: Annotated[tuple[Channels, ...], Field(max_length=4), later(())] = ()
    padding: Annotated[Pixels | None, later(None)] = None
    bias: Annotated[bool, later(False)] = False
    norm: Annotated[StemNorm, later("batch")] = "batch"

    @model_validator(mode="after")
    def _has_padding(self) -> Stem:
        if self.kernel % 2 == 0 and self.padding is None:
            raise ValueError(UNCENTRED)
        return self


HEAD_CONTEXT: Mapping[str, tuple[str, ...]] = {
    "activation": ("channels", "hidden", "final_norm", "classifier"),
    "norm": ("channels",),
    "hidden_norm": ("hidden",),
    "pool": ("classifier",),
}
"""Fields of `Head` that may have no effect, and the fields that decide on that."""


@dataclass(frozen=True, config=CONFIG)
class Head:
    """What follows the blocks: a 1x1 convolution, pooling, hidden layers and the classifier.

    Attributes:
        channels: Channels of the 1x1 convolution; 0 for none.
        activation: Activation function after this convolution, a final batch normalization, every
            hidden layer and a convolutional classifier.
        norm: Normalization after the 1x1 convolution: ``batch``, or ``none``, with which it has a
            bias.
        final_norm: ``batch`` for batch normalization and activation of the map that is pooled
            (DenseNet; Huang et al. 2017, section 3), ``activation`` for the activation alone
            (RegNetZ-4.0GF), ``layer`` for layer normalization of what the pooling returns
            (ConvNeXt; Liu et al. 2022, section 2.6), ``none`` for nothing.
        pool: ``average`` over the whole map, or ``none``, so that fully connected layers see every
            pixel (VGG; Simonyan and Zisserman 2015, section 2.1).
        hidden: Channels of the layers between pooling and classifier (one of 1280 in MobileNetV3;
            Howard et al. 2019, section 5.1).
        hidden_norm: Normalization after every hidden layer: ``batch`` (MobileNetV4), or ``none``,
            with which it has a bias.
        dropout: Share of the features that are dropped in training: after every hidden layer, or
            before the classifier if there is none.
        classifier: ``linear``, or ``conv`` for a 1x1 convolution with a bias and an activation,
            whose maps of the classes are pooled (Lin et al. 2014, Network in Network, section 3.2).
            Hidden layers are 1x1 convolutions before it, then.
    """

    channels: Annotated[int, Field(ge=0, le=16384)] = 1536
    activation: ActivationName = "relu"
    norm: Annotated[Literal["batch", "none"], later("batch")] = "batch"
    final_norm: Annotated[Literal["batch", "activation", "layer", "none"], later("none")] = "none"
    pool: Annotated[Literal["average", "none"], later("average")] = "average"
    hidden: Annotated[tuple[Channels, ...], Field(max_length=4), later(())] = ()
    hidden_norm: Annotated[Literal["batch", "none"], later("none")] = "none"
    dropout: Annotated[float, Field(ge=0, lt=1), later(0)] = 0
    classifier: Annotated[Literal["linear", "conv"], later("linear")] = "linear"

    @model_validator(mode="after")
    def _has_activation(self) -> Head:
        if self.final_norm == "activation" and self.activation == "identity":
            raise ValueError("final_norm: activation needs another activation than identity")
        return self

    @property
    def any_size(self) -> bool:
        """Whether the layers are the same for maps of every size."""
        return self.pool == "average" or self.classifier == "conv"

    @property
    def idle(self) -> frozenset[str]:
        """Names of the fields without effect beside the values of the others."""
        acts = self.channels or self.hidden or self.final_norm in ("batch", "activation")
        effective = {
            "activation": acts or self.classifier == "conv",
            "norm": self.channels,
            "hidden_norm": self.hidden,
            "pool": self.classifier == "linear",
        }
        return frozenset(name for name, effect in effective.items() if not effect)

    def canonical(self) -> Head:
        """Return the head that stands for all heads with the same layers."""
        defaults: dict[str, Any] = {name: getattr(Head, name) for name in self.idle}
        return dataclasses.replace(self, **defaults)


def stem_part(stem: Stem, in_channels: int, rules: Rules) -> Seq:
    """Return the layer tree of the stem."""
    pixels = stem.padding
    padding: Padding | Pads = rules.padding if pixels is None else (pixels,) * 4
    parts = []
    for i, channels in enumerate((*stem.before, stem.channels)):
        part = _convolution(
            in_channels,
            channels,
            kernel=(stem.kernel, stem.kernel),
            stride=1 if i else stem.stride,
            padding=padding,
            bias=stem.bias,
            norm=stem.norm,
            activation=stem.activation,
            rules=rules,
        )
        parts.append(part)
        in_channels = channels
    return _deep(tuple(parts[:-1]), parts[-1]) if stem.before else parts[-1]


def tail_parts(
    head: Head, shape: Shape, num_classes: int, rules: Rules
) -> Iterator[tuple[str, Node]]:
    """Yield the named parts that follow the blocks.

    Args:
        head: The head.
        shape: Shape of the map at the end of the blocks. Its height and width have an effect only
            if `Head.any_size` is false.
        num_classes: Number of outputs of the classifier.
        rules: Settings of the network.
    """
    channels, height, width = shape
    convolutional = head.classifier == "conv"
    if head.channels:
        yield "head", _head(channels, head, rules)
        channels = head.channels
    if head.final_norm == "batch":
        yield "norm", _batch_norm(channels, head.activation, rules)
    elif head.final_norm == "activation":
        yield "act", activation(head.activation)
    if head.any_size:
        height = width = 1
        if not convolutional:
            yield "pool", global_pool()
    if head.final_norm == "layer":
        yield "norm", _layer_norm(channels)
    if head.hidden:
        yield "hidden", _hidden((channels, height, width), head, rules)
        channels, height, width = head.hidden[-1], 1, 1
    elif head.dropout:
        yield "dropout", _dropout(head.dropout)
    if convolutional:
        yield "classifier", _classes(channels, num_classes, head.activation, rules)
        yield "pool", global_pool()
        yield "flatten", flatten()
    else:
        yield "classifier", linear(channels * height * width, num_classes)


# Equal arguments return the same tree, as in `nas.blocks.parts`.


@lru_cache(_CACHE)
def _convolution(
    in_channels: int,
    out_channels: int,
    *,
    kernel: tuple[int, int] = (1, 1),
    stride: int = 1,
    padding: Padding | Pads = "symmetric",
    bias: bool,
    norm: StemNorm,
    activation: str,
    rules: Rules,
) -> Seq:
    """Return a dense convolution, a normalization and an activation, as far as there are any."""
    rows, columns = kernel
    conv = Conv(
        in_channels,
        out_channels,
        rows,
        stride,
        bias=bias,
        padding=padding,
        columns=None if rows == columns else columns,
    )
    parts: Parts = [("conv", conv)]
    if norm == "batch":
        parts.append(("norm", batch_norm(out_channels, rules)))
    elif norm == "layer":
        parts.append(("norm", _layer_norm(out_channels)))
    found = activated(parts, activation)
    if norm != "response":
        return found
    return Seq((*found.children, ("response", LocalResponseNorm())))


@lru_cache(_CACHE)
def _deep(before: tuple[Seq, ...], last: Seq) -> Seq:
    """Return a deep stem; the layers of the last convolution have the names of a simple stem's."""
    numbered = tuple((str(i), part) for i, part in enumerate(before))
    return Seq((("before", Seq(numbered)), *last.children))


@lru_cache(_CACHE)
def _head(channels: int, head: Head, rules: Rules) -> Seq:
    """Return the 1x1 convolution of a head."""
    if head.norm == "none":
        return _convolution(
            channels, head.channels, bias=True, norm="none", activation=head.activation, rules=rules
        )
    return pointwise(channels, head.channels, groups=1, activation=head.activation, rules=rules)


@lru_cache(_CACHE)
def _hidden(shape: Shape, head: Head, rules: Rules) -> Seq:
    """Return the hidden layers of a head for a map of the given shape.

    They are convolutions that cover the whole map; without normalization after them, those of a map
    that is not pooled are fully connected.
    """
    channels, height, width = shape
    layers: Parts = []
    for i, out_channels in enumerate(head.hidden):
        if not head.any_size and head.hidden_norm == "none":
            full = Linear(channels * height * width, out_channels)
            layer = activated([("linear", full)], head.activation)
        else:
            layer = _convolution(
                channels,
                out_channels,
                kernel=(height, width),
                padding="symmetric" if height == width == 1 else _NO_PADS,
                bias=head.hidden_norm == "none",
                norm=head.hidden_norm,
                activation=head.activation,
                rules=rules,
            )
        if head.dropout:
            layer = Seq((*layer.children, ("dropout", _dropout(head.dropout))))
        layers.append((str(i), layer))
        channels, height, width = out_channels, 1, 1
    return Seq(tuple(layers))


@lru_cache(_CACHE)
def _classes(channels: int, num_classes: int, activation: str, rules: Rules) -> Seq:
    """Return a convolutional classifier."""
    return _convolution(
        channels, num_classes, bias=True, norm="none", activation=activation, rules=rules
    )


@lru_cache(_CACHE)
def _batch_norm(channels: int, activation: str, rules: Rules) -> Seq:
    return activated([("norm", batch_norm(channels, rules))], activation)


@lru_cache(_CACHE)
def _layer_norm(channels: int) -> LayerNorm:
    return LayerNorm(channels)


@lru_cache(_CACHE)
def _dropout(rate: float) -> Dropout:
    return Dropout(rate)
