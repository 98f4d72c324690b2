"""Layer trees as darknet's .cfg and .weights files.

What is written is understood by darknet (AlexeyAB's) and by OpenCV's `cv2.dnn`. Mixes of kernels
are routes of channel groups, batch normalization is folded into convolutions (implementations of
darknet disagree about its epsilon), and what darknet does not have is written as an equal:

- padding that differs between sides, dilation and kernels that are not square: a larger kernel with
  zeros, padded equally on all sides;
- slices of different sizes: several groups each, or a larger kernel for all slices;
- ReLU6 and hard swish: ReLU and 1x1 convolutions of single channels;
- the multiplication of squeeze-and-excitation: ``[upsample]`` and ``[sam]``, since OpenCV computes
  ``[scale_channels]`` for a single image only (opencv/opencv, issue 16630).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.errors import MixnasError
from nas.formats.square import square_window, tap_on_pixel, with_padding
from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    GlobalPool,
    Linear,
    MixConv,
    Node,
    Pad,
    Residual,
    Seq,
    Shape,
    Slices,
    SqueezeExcite,
    Sum,
    input_channels,
    out_shape,
    walk,
)
from nas.lowering import Form, candidates, is_pointwise, lower

MOST_ROUTES = 16  # groups that slices of different sizes are put together from
_NATIVE = {"relu": "relu", "swish": "swish", "mish": "mish", "identity": "linear"}
_VERSION = (0, 2, 5)
_IMAGES = -1  # number of the "layer" that the images are


@dataclass(frozen=True)
class DarknetModel:
    """A network in darknet's format.

    Attributes:
        cfg: Text of the .cfg file.
        weights: Content of the .weights file.
        bflops: What darknet prints: twice the multiply-adds of all ``[convolutional]`` sections,
            zeros in kernels included, in billions.
    """

    cfg: str
    weights: bytes
    bflops: float


def to_darknet(
    tree: Node,
    shape: Shape,
    weights: Mapping[str, np.ndarray],
    properties: Mapping[str, str] | None = None,
) -> DarknetModel:
    """Return a layer tree with its weights in darknet's format.

    Args:
        tree: The network.
        shape: Shape of one image (C, H, W).
        weights: Weights by name, as in the state dict of the tree's torch module.
        properties: What to tell in comments, texts by name.

    Returns:
        The model: images (batch, C, H, W) -> logits (batch, classes, 1, 1).

    Raises:
        MixnasError: If darknet has no equal of a layer; the message names it.
    """
    if any(isinstance(layer.leaf, BatchNorm) for layer in walk(tree, shape)):
        tree, weights = lower(tree, shape, weights, _Routes())
    writer = _CfgWriter(weights)
    writer.emit(tree, _IMAGES, shape, "")
    channels, height, width = shape
    net = {"batch": 1, "subdivisions": 1, "width": width, "height": height, "channels": channels}
    comments = [
        "# A convolutional network, written by mixnas; its last section gives the logits.",
        *(f"# {name}: {_line(text)}" for name, text in (properties or {}).items()),
    ]
    cfg = "\n".join([*comments, _section("net", net), *writer.sections])
    header = struct.pack("<iiiQ", *_VERSION, 0)  # 0 is the number of images seen in training
    content = b"".join(array.astype("<f4").tobytes() for array in writer.arrays)
    return DarknetModel(cfg, header + content, 2 * writer.madds / 1e9)


class _Routes:
    """Chooses forms that routes can say: slices of whole groups, or one convolution for all."""

    def form(self, mix: MixConv, shape: Shape) -> Form:
        """See `FormChoice`."""
        forms, split = candidates(mix), Form((1,) * len(mix.convs))
        if is_pointwise(mix):
            return forms.get("grouped", forms["dense"])
        sizes = [conv.in_channels for conv in mix.convs]
        few = sum(sizes) // math.gcd(*sizes) <= MOST_ROUTES
        return split if few else forms.get("merge", split)

    def wide_gate(self, se: SqueezeExcite, shape: Shape) -> bool:
        """See `FormChoice`."""
        return False


class _CfgWriter:
    """Collects the sections and the weights of a network while it walks the tree.

    Layers are numbered from 0, as darknet does; `_IMAGES` stands for the images.
    """

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.weights = weights
        self.sections: list[str] = []
        self.arrays: list[np.ndarray] = []
        self.madds = 0

    def add(self, kind: str, path: str, **options: object) -> int:
        """Add a section, and return the number of its layer."""
        self.sections.append(_section(kind, options, path))
        return len(self.sections) - 1

    def back(self, layer: int) -> int:
        """Return a layer as sections write it, relative to the next one."""
        return layer - len(self.sections)

    def go_to(self, layer: int, path: str) -> None:
        """Let the next section take the output of a layer."""
        if layer == len(self.sections) - 1:
            return
        if layer == _IMAGES:
            raise MixnasError(f"darknet cannot write {path}: it cannot go back to the images")
        self.add("route", path, layers=self.back(layer))

    def emit(self, node: Node, x: int, shape: Shape, path: str) -> tuple[int, Shape]:
        """Add the sections of a tree with the input `x`; return its output and its shape."""
        match node:
            case Seq() | Residual():
                return self._in_turn(node, x, shape, path)
            case Sum():
                return self._sum(node, x, shape, path)
            case Slices():
                return self._slices(node.children, x, shape, path)
            case MixConv():
                return self._mix(node, x, shape, path, "linear")
            case Conv():
                return self._conv(node, x, shape, path, "linear"), out_shape(node, shape)
            case Activation():
                return self._activation(node.function, x, shape, path), shape
            case SqueezeExcite():
                return self._squeeze_excite(node, x, shape, path), shape
            case GlobalPool():
                self.go_to(x, path)
                return self.add("avgpool", path), out_shape(node, shape)
            case Linear():
                kernel = self.weights[f"{path}.weight"][:, :, None, None]
                bias = self.weights[f"{path}.bias"]
                layer = self._convolutional(x, (shape[0], 1, 1), kernel, bias, path)
                return layer, out_shape(node, shape)
        raise MixnasError(f"darknet cannot write {path}: it has no {type(node).__name__}")

    def _in_turn(self, node: Seq | Residual, x: int, shape: Shape, path: str) -> tuple[int, Shape]:
        y, inner = x, shape
        children = list(node.children)
        while children:
            name, child = children.pop(0)
            inside = f"{path}.{name}" if path else name
            if isinstance(child, Pad) and children and isinstance(children[0][1], Conv):
                pads = child.pads
                name, child = children.pop(0)
                assert isinstance(child, Conv)
                child = with_padding(child, pads, inner)
                inside = f"{path}.{name}" if path else name
            after = children[0][1] if children else None
            if isinstance(child, (Conv, MixConv)) and isinstance(after, Activation):
                y, inner = self._activated(child, after.function, y, inner, inside)
                del children[0]
            else:
                y, inner = self.emit(child, y, inner, inside)
        if isinstance(node, Residual):
            self.go_to(y, path)
            if x == _IMAGES:
                raise MixnasError(f"darknet cannot write {inside}: it cannot add the images")
            y = self.add("shortcut", path, **{"from": self.back(x)}, activation="linear")
        return y, inner

    def _activated(
        self, conv: Node, function: str, x: int, shape: Shape, path: str
    ) -> tuple[int, Shape]:
        """Write convolutions that are followed by an activation function."""
        native = _NATIVE.get("relu" if function == "relu6" else function, "linear")
        if isinstance(conv, MixConv):
            y, end = self._mix(conv, x, shape, path, native)
        else:
            assert isinstance(conv, Conv)
            y, end = self._conv(conv, x, shape, path, native), out_shape(conv, shape)
        if function == "relu6":
            return self._upper_bound(y, end, 6.0, path), end
        return (y if function in _NATIVE else self._activation(function, y, end, path)), end

    def _sum(self, node: Sum, x: int, shape: Shape, path: str) -> tuple[int, Shape]:
        prefix = f"{path}." if path else ""
        (first, child), *others = node.children
        total, end = self.emit(child, x, shape, f"{prefix}{first}")
        for name, child in others:
            y, _ = self.emit(child, x, shape, f"{prefix}{name}")
            self.go_to(y, path)
            total = self.add("shortcut", path, **{"from": self.back(total)}, activation="linear")
        return total, end

    # -- slices ---------------------------------------------------------------------------------

    def _mix(
        self, mix: MixConv, x: int, shape: Shape, path: str, activation: str
    ) -> tuple[int, Shape]:
        sizes = [conv.in_channels for conv in mix.convs]
        ends = []
        for i, conv in enumerate(mix.convs):
            part = self._slice(x, sizes, i, path)
            taken = (conv.in_channels, *shape[1:])
            ends.append(self._conv(conv, part, taken, f"{path}.{i}", activation))
        return self._together(ends, path), out_shape(mix, shape)

    def _slices(
        self, branches: Sequence[tuple[str, Node]], x: int, shape: Shape, path: str
    ) -> tuple[int, Shape]:
        sizes = [input_channels(child) for _, child in branches]
        ends = []
        for i, (name, child) in enumerate(branches):
            part = self._slice(x, sizes, i, path)
            ends.append(self.emit(child, part, (sizes[i], *shape[1:]), f"{path}.{name}"))
        channels = sum(end[0] for _, end in ends)
        return self._together([y for y, _ in ends], path), (channels, *ends[0][1][1:])

    def _slice(self, x: int, sizes: Sequence[int], number: int, path: str) -> int:
        """Return one of several adjacent slices of the channels of a layer."""
        if x == _IMAGES:
            raise MixnasError(
                f"darknet cannot write {path or 'the network'}: it cannot slice the images"
            )
        width = math.gcd(*sizes)
        first = sum(sizes[:number]) // width
        groups = range(first, first + sizes[number] // width)
        parts = [
            self.add("route", path, layers=self.back(x), groups=sum(sizes) // width, group_id=group)
            for group in groups
        ]
        return self._together(parts, path)

    def _together(self, layers: Sequence[int], path: str) -> int:
        """Return the concatenation of layers."""
        if len(layers) == 1:
            return layers[0]
        listed = ",".join(str(self.back(layer)) for layer in layers)
        return self.add("route", path, layers=listed)

    # -- convolutions -----------------------------------------------------------------------------

    def _conv(self, conv: Conv, x: int, shape: Shape, path: str, activation: str) -> int:
        kernel = self.weights[f"{path}.weight"]
        bias = self.weights[f"{path}.bias"] if conv.bias else np.zeros(conv.out_channels)
        padding = 0
        if shape[1:] == (1, 1) == out_shape(conv, shape)[1:]:
            # OpenCV 4.14 reads beyond a map of one pixel with 3x3 kernels of single channels.
            kernel = tap_on_pixel(conv, kernel, shape)
        else:
            try:
                window = square_window(conv, shape)
            except ValueError as error:
                raise MixnasError(f"darknet cannot write {path}: {error}") from None
            kernel, padding = window.kernel(conv, kernel), window.padding
        return self._convolutional(
            x,
            shape,
            kernel,
            bias,
            path,
            activation,
            groups=conv.groups,
            stride=conv.stride,
            padding=padding,
        )

    def _convolutional(
        self,
        x: int,
        shape: Shape,
        kernel: np.ndarray,
        bias: np.ndarray,
        path: str,
        activation: str = "linear",
        groups: int = 1,
        stride: int = 1,
        padding: int = 0,
    ) -> int:
        self.go_to(x, path)
        filters, _, size, _ = kernel.shape
        self.arrays += [bias, kernel]
        rows, columns = ((n + 2 * padding - size) // stride + 1 for n in shape[1:])
        self.madds += kernel.size * rows * columns
        options: dict[str, object] = {"filters": filters, "size": size, "stride": stride}
        if padding:  # `pad=1` stands for half the size
            options |= {"pad": 1} if padding == size // 2 else {"padding": padding}
        if groups > 1:
            options["groups"] = groups
        return self.add("convolutional", path, **options, activation=activation)

    def _each(
        self, x: int, shape: Shape, scale: float, shift: float, path: str, activation: str
    ) -> int:
        """Write ``activation(scale x + shift)`` of every number."""
        channels = shape[0]
        kernel = np.full((channels, 1, 1, 1), scale, dtype=np.float32)
        bias = np.full(channels, shift, dtype=np.float32)
        return self._convolutional(x, shape, kernel, bias, path, activation, channels)

    # -- the rest ---------------------------------------------------------------------------------

    def _activation(self, function: str, x: int, shape: Shape, path: str) -> int:
        if function == "identity":
            return x
        if function in _NATIVE:
            return self._each(x, shape, 1, 0, path, _NATIVE[function])
        if function == "relu6":
            return self._upper_bound(self._each(x, shape, 1, 0, path, "relu"), shape, 6.0, path)
        if function == "hard_swish":  # x min(relu(x + 3), 6) / 6
            y = self._each(x, shape, 1, 3, path, "relu")
            y = self._each(y, shape, -1 / 6, 1, path, "relu")
            y = self._each(y, shape, -1, 1, path, "linear")
            return self.add("sam", path, **{"from": self.back(x)}, activation="linear")
        raise MixnasError(f"darknet cannot write {path}: it has no activation function {function}")

    def _upper_bound(self, x: int, shape: Shape, bound: float, path: str) -> int:
        """Write ``min(x, bound)`` as ``bound - relu(bound - x)``."""
        y = self._each(x, shape, -1, bound, path, "relu")
        return self._each(y, shape, -1, bound, path, "linear")

    def _squeeze_excite(self, se: SqueezeExcite, x: int, shape: Shape, path: str) -> int:
        channels, height, width = shape
        if height != width:
            raise MixnasError(f"darknet cannot write {path}: its maps are not square")
        self.go_to(x, path)
        y = self.add("avgpool", path)
        inner = (channels, 1, 1)
        y, squeezed = self._activated(se.reduce, se.activation, y, inner, f"{path}.reduce")
        y = self._conv(se.expand, y, squeezed, f"{path}.expand", "logistic")
        if height > 1:
            self.add("upsample", path, stride=height)
        return self.add("sam", path, **{"from": self.back(x)}, activation="linear")


def _section(kind: str, options: Mapping[str, object], path: str = "") -> str:
    comment = f"# {path}\n" if path else ""
    return f"{comment}[{kind}]\n" + "".join(f"{name}={value}\n" for name, value in options.items())


def _line(text: str) -> str:
    """Return a text that is one line."""
    return text if text.isprintable() else json.dumps(text)
