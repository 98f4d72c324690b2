"""The weight bank: weights that all networks of a space share.

Every tensor of a network is a slice of a larger, shared one, which is identified by the position of
its layer in the network: the first channels of a convolution, the center of a larger kernel, the
first blocks of a stage. A mixed depthwise convolution takes the channels of each kernel group from
ONE shared tensor of large kernels, so a channel has the same weights whichever group it belongs to
(the shared kernels of single-path NAS, Stamoulis et al. 2019, carried over to MixConv). A grouped
1x1 convolution takes the diagonal blocks of the dense one. The gates of several groups of channels
(split attention) are shared by networks with equally many channels alone: a channel of the second
group has another position in a wider network.

The scale and shift of a batch normalization are shared by the networks with the same activation
function there: what suits ReLU does not suit swish, and networks of the MixNet space are ranked
better so. Slimmable networks (Yu et al. 2019, section 3.2) have statistics, scales and shifts of
their own for every width.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, takewhile
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from nas.accuracy.sharing.skeletons import SkeletonPool
from nas.blocks.fields import ACTIVATIONS
from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    Layer,
    LayerNorm,
    Linear,
    MixConv,
    Node,
    Scale,
    Shape,
    SplitAttention,
    SqueezeExcite,
    residual_ends,
    walk,
)
from nas.spec import NetworkSpec
from nas.torch_model import is_of_classifier

RESIDUAL = "weight_residual"
"""Suffix of the keys of those scales that end a residual branch."""


class WeightSlice(NamedTuple):
    """The part of a shared tensor that a network uses as one of its own.

    Attributes:
        name: Name of the tensor in the network.
        key: Key of the shared tensor.
        begin: First index in every dimension; kernels are centered, so theirs is ignored.
        shape: Shape of the tensor in the network.
        initial: What a vector of factors begins with.
        function: Activation function of the networks that share the tensor; empty if all do.
    """

    name: str
    key: str
    begin: tuple[int, ...]
    shape: tuple[int, ...]
    initial: float = 1.0
    function: str = ""

    def with_function(self, function: str) -> WeightSlice:
        """Return the slice for networks with another activation function; empty for all."""
        if not self.function:
            return self
        key = self.key.replace(_of(self.function), _of(function))
        return self._replace(key=key, function=function)

    def with_every_function(self) -> list[WeightSlice]:
        """Return the slice for every activation function; one if the function does not matter."""
        return [self.with_function(each) for each in ACTIVATIONS] if self.function else [self]


class WeightBank(nn.Module):
    """The shared tensors, by key; it computes the logits of any network that has been added.

    Attributes:
        tensors: The shared tensors.
    """

    def __init__(self, zero_residuals: bool = False) -> None:
        """Start without tensors.

        Args:
            zero_residuals: Whether residual branches start at zero
                (`nas.torch_model.zero_residuals`).
        """
        super().__init__()
        self.tensors = nn.ParameterDict()
        self._residual_scale = 0.0 if zero_residuals else 1.0
        self._skeletons = SkeletonPool()

    def add(self, spec: NetworkSpec) -> None:
        """Make room for a network: enlarge tensors that are too small, and keep their weights."""
        for part in weight_slices(spec):
            shared = self._shared(part)
            shape = _enlarged_shape(part, shared)
            if part.key not in self.tensors or shared is None or shape != tuple(shared.shape):
                self.tensors[part.key] = nn.Parameter(self._enlarged(part, shape, shared))

    def adopt(self, spec: NetworkSpec, weights: Mapping[str, Tensor]) -> None:
        """Take over from a trained network what it shares with the networks of the bank.

        These are the first channels and the centers of the kernels. A kernel that is larger here is
        zero around its center, so that its channel computes what it computed there. Classifiers are
        left alone. Activation functions need not be the same.

        Args:
            spec: The trained network, which need not fit into the bank.
            weights: Its weights by name.
        """
        parts = (each for part in weight_slices(spec) for each in part.with_every_function())
        for part in parts:
            shared = self._shared(part)
            if shared is None or is_of_classifier(part.name):
                continue
            common = part._replace(shape=_sizes_present(part, shared))
            if 0 in common.shape:
                continue
            with torch.no_grad():
                _cut(shared, _whole_kernels(common, shared)).zero_()
                trained = _cut(weights[part.name], common._replace(begin=(0,) * len(part.shape)))
                _cut(shared, common).copy_(trained)

    def missing_share(self, spec: NetworkSpec) -> float:
        """Return the fraction of a network's weights that the bank has no room for, 0..1."""
        total = missing = 0
        for part in weight_slices(spec):
            shared = self._shared(part)
            size = math.prod(part.shape)
            total += size
            missing += size - (0 if shared is None else math.prod(_sizes_present(part, shared)))
        return missing / total

    def _enlarged(self, part: WeightSlice, shape: tuple[int, ...], old: Tensor | None) -> Tensor:
        """Return newly initialized weights with the old ones copied to their positions."""
        new = _initial_weights(part, shape, self._residual_scale)
        if old is not None:
            position = part._replace(begin=(0,) * len(shape), shape=tuple(old.shape))
            with torch.no_grad():
                _cut(new, position).copy_(old)
        return new

    def _shared(self, part: WeightSlice) -> Tensor | None:
        """Return the tensor that a slice belongs to; None if there is none yet."""
        shared: Tensor | None = self.tensors.get(part.key)
        if shared is None and part.function:  # a file in which all functions share them
            return self._shared(part.with_function(""))
        return shared

    def weights(self, spec: NetworkSpec) -> dict[str, Tensor]:
        """Return a network's weights by name: views of the shared tensors.

        Raises:
            KeyError, RuntimeError: If the bank has no room for the network.
        """
        return {part.name: _cut(self._present(part), part) for part in weight_slices(spec)}

    def _present(self, part: WeightSlice) -> Tensor:
        """Return the tensor that a slice belongs to, which must be there."""
        shared = self._shared(part)
        if shared is None:
            raise KeyError(part.key)
        return shared

    def forward(
        self,
        spec: NetworkSpec,
        images: Tensor,
        buffers: dict[str, Tensor],
        drops: tuple[float, float] = (0.0, 0.0),
    ) -> Tensor:
        """Return the logits (B, classes) of one network with its slices of the weights.

        Args:
            spec: The network.
            images: Images, (B, 3, H, W).
            buffers: Batch-normalization statistics by name; updated in training mode.
            drops: Dropout and drop path of the network (see `Network`).
        """
        network = self._skeletons.network(spec, drops).train(self.training)
        logits: Tensor = functional_call(network, {**self.weights(spec), **buffers}, (images,))
        return logits


# -- where the weights of a network are -------------------------------------------------------


def weight_slices(spec: NetworkSpec) -> Iterator[WeightSlice]:
    """Yield one slice for every parameter of a network."""
    return tree_slices(spec.tree(), spec.in_shape)


def tree_slices(tree: Node, shape: Shape) -> Iterator[WeightSlice]:
    """Yield one slice for every parameter of a layer tree.

    Args:
        tree: The layer tree.
        shape: Shape of its input.
    """
    ends = residual_ends(tree)
    for _, block in groupby(walk(tree, shape), key=_block):
        layers = list(block)
        for number, layer in enumerate(layers):
            norm = isinstance(layer.leaf, BatchNorm)
            function = _function(layers[:number], layers[number + 1 :]) if norm else ""
            yield from _layer_slices(layer, layer.path in ends, function)


def _block(layer: Layer) -> Sequence[str]:
    """Return the path of the block of a network that a layer is in; that of stem and head is empty.

    So is that of a tree that is no network: all of it is one block.
    """
    stages, *steps = layer.path.split(".")
    return steps[:2] if stages == "stages" else []


def _function(before: Sequence[Layer], behind: Sequence[Layer]) -> str:
    """Return the activation function that a normalization belongs to; empty if there is none.

    It is the one behind it, as long as no other normalization comes before that; or else the last
    one before it, or the next one. So the three normalizations of an inverted bottleneck have the
    function of their block.

    Args:
        before: Layers of its block before the normalization.
        behind: Layers of its block behind it.
    """
    own = takewhile(lambda layer: not isinstance(layer.leaf, BatchNorm), behind)
    for layer in (*own, *reversed(before), *behind):
        if isinstance(layer.leaf, Activation):
            return layer.leaf.function
    return ""


def _layer_slices(layer: Layer, ends_residual: bool, function: str) -> Iterator[WeightSlice]:
    path, leaf = layer.path, layer.leaf
    match leaf:
        case Conv():
            yield from _conv_slices(path, path, leaf, (0, 0))
        case MixConv():
            in_begin = out_begin = 0
            for number, conv in enumerate(leaf.convs):
                yield from _conv_slices(f"{path}.{number}", path, conv, (out_begin, in_begin))
                out_begin, in_begin = out_begin + conv.out_channels, in_begin + conv.in_channels
        case SqueezeExcite():
            for name, conv in (("reduce", leaf.reduce), ("expand", leaf.expand)):
                yield from _conv_slices(f"{path}.{name}", f"{path}.{name}", conv, (0, 0))
            yield from _norm_slices(f"{path}.norm", leaf.norm, leaf.activation)
        case SplitAttention():
            groups = f"_of{leaf.radix}x{leaf.channels}" if leaf.radix > 1 else ""
            yield from _conv_slices(f"{path}.reduce", f"{path}.reduce", leaf.reduce, (0, 0))
            yield from _norm_slices(f"{path}.norm", leaf.norm, leaf.activation)
            yield from _conv_slices(f"{path}.expand", f"{path}.expand{groups}", leaf.expand, (0, 0))
        case BatchNorm():
            yield from _norm_slices(path, leaf, function, RESIDUAL if ends_residual else "weight")
        case LayerNorm():
            yield _leading_slice(path, "weight", (leaf.channels,))
            yield _leading_slice(path, "bias", (leaf.channels,))
        case Scale():
            weight = _leading_slice(path, "weight", (leaf.channels,))
            yield weight._replace(initial=leaf.initial)
        case Linear():
            yield _leading_slice(path, "weight", (leaf.out_features, leaf.in_features))
            yield _leading_slice(path, "bias", (leaf.out_features,))


def _norm_slices(
    path: str, norm: BatchNorm | None, function: str, scale: str = "weight"
) -> Iterator[WeightSlice]:
    """Yield the slices of a batch normalization, if there is one.

    Args:
        path: Path of the layer.
        norm: The batch normalization.
        function: Activation function that it belongs to.
        scale: What the keys of its scale end with.
    """
    if norm is not None:
        for name, what in (("weight", scale), ("bias", "bias")):
            key = _key(f"{path}{_of(function)}", what)
            yield WeightSlice(f"{path}.{name}", key, (0,), (norm.channels,), function=function)


def _conv_slices(
    name: str, path: str, conv: Conv, channels: tuple[int, int]
) -> Iterator[WeightSlice]:
    """Yield the slices of a convolution.

    Args:
        name: Name of the convolution in the network.
        path: Path of the layer that it belongs to.
        conv: The convolution.
        channels: Its first output and input channel in that layer.
    """
    width = conv.in_channels // conv.groups
    grouped = conv.groups > 1 or (width == 1 and conv.in_channels == 1)
    kind = f"grouped{width}" if grouped else "dense"
    # The weights of a grouped convolution have no index for channels of other groups to skip.
    begin = (channels[0], 0 if grouped else channels[1], 0, 0)
    shape = (conv.out_channels, width, *conv.window)
    yield WeightSlice(f"{name}.weight", _key(path, f"weight_{kind}"), begin, shape)
    if conv.bias:
        yield WeightSlice(f"{name}.bias", _key(path, "bias"), channels[:1], (conv.out_channels,))


def _leading_slice(path: str, what: str, shape: tuple[int, ...]) -> WeightSlice:
    return WeightSlice(f"{path}.{what}", _key(path, what), (0,) * len(shape), shape)


def _of(function: str) -> str:
    """Return what the name of a layer has in keys of tensors of one activation function."""
    return f"_of_{function}" if function else ""


def _key(path: str, what: str) -> str:
    """Return the key of a shared tensor, the same whatever is added to a residual branch.

    A branch is a part of its own where the shortcut is more than the input (`Sum`), and is none
    otherwise (`Residual`), which may differ between the networks of a space.
    """
    steps = [step for step in f"{path}.{what}".split(".") if step != "branch"]
    return "/".join(steps)  # torch allows no dots in names of parameters


# -- slices of tensors ------------------------------------------------------------------------


def _is_kernel(dimension: int) -> bool:
    return dimension >= 2


def _cut(tensor: Tensor, part: WeightSlice) -> Tensor:
    """Return a slice of a shared tensor, as a view."""
    for dimension, (begin, size) in enumerate(zip(part.begin, part.shape, strict=True)):
        start = (tensor.shape[dimension] - size) // 2 if _is_kernel(dimension) else begin
        tensor = tensor.narrow(dimension, start, size)
    return tensor


def _sizes_present(part: WeightSlice, shared: Tensor) -> tuple[int, ...]:
    """Return the shape of that part of a slice that lies within the shared tensor."""
    sizes = []
    for dimension, (begin, size) in enumerate(zip(part.begin, part.shape, strict=True)):
        available = shared.shape[dimension] - (0 if _is_kernel(dimension) else begin)
        sizes.append(max(0, min(size, available)))
    return tuple(sizes)


def _whole_kernels(part: WeightSlice, shared: Tensor) -> WeightSlice:
    """Return a slice with the same channels and all taps of their shared kernels."""
    return part._replace(shape=(*part.shape[:2], *shared.shape[2:]))


def _enlarged_shape(part: WeightSlice, shared: Tensor | None) -> tuple[int, ...]:
    """Return the smallest shape that holds both a slice and the shared tensor as it is."""
    needed = tuple(b + s for b, s in zip(part.begin, part.shape, strict=True))
    return needed if shared is None else tuple(map(max, needed, shared.shape))


def _initial_weights(part: WeightSlice, shape: tuple[int, ...], residual_scale: float) -> Tensor:
    """Initialize a shared tensor as the layers of a single network are (`nas.torch_model`)."""
    if len(shape) == 4:
        dense = part.key.endswith("dense")
        fan_out = shape[2] * shape[3] * (shape[0] if dense else shape[1])
        return torch.randn(shape) * math.sqrt(2.0 / fan_out)
    if len(shape) == 2:
        return torch.randn(shape) * 0.01
    if part.key.endswith(RESIDUAL):
        return torch.full(shape, residual_scale)
    return torch.full(shape, part.initial if part.key.endswith("/weight") else 0.0)
