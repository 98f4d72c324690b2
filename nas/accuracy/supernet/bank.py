"""Weights that all networks of a space share.

A network's tensors are slices of larger ones, found by where a layer stands: the first channels of
a convolution, the middle of a larger kernel, the first blocks of a stage. A mixed depthwise
convolution takes for every kernel group its own channels of ONE bank of large kernels, so that a
channel's weights are the same in whichever group it is (single-path NAS's shared kernels, Stamoulis
et al. 2019, for MixConv); a 1x1 convolution in groups takes the diagonal blocks of the dense one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from nas.ir import BatchNorm, Conv, Layer, Linear, MixConv, SqueezeExcite, residual_ends, walk
from nas.spec import NetworkSpec
from nas.torch_model import Network

Key = str
RESIDUAL = "weight_residual"
"""Ends the keys of the scales that residual branches end with."""


class Slice(NamedTuple):
    """Where a network's tensor is found.

    Attributes:
        name: of the network's tensor.
        key: of the shared one.
        begin: first index in every dimension; a kernel's are counted from the middle.
        shape: of the network's tensor.
    """

    name: str
    key: Key
    begin: tuple[int, ...]
    shape: tuple[int, ...]


class Bank(nn.Module):
    """The shared tensors, by key."""

    def __init__(self, zero_residuals: bool = False) -> None:
        """Begin empty.

        Args:
            zero_residuals: let residual branches start at zero (`nas.torch_model.zero_residuals`).
        """
        super().__init__()
        self.tensors = nn.ParameterDict()
        self._residual_scale = 0.0 if zero_residuals else 1.0

    def hold(self, spec: NetworkSpec) -> None:
        """Make room for a network: tensors that are too small grow, and keep what they have."""
        for place in slices(spec):
            have = self._found(place)
            shape = _room(place, have)
            if have is None or shape != tuple(have.shape):
                self.tensors[place.key] = nn.Parameter(self._grown(place, shape, have))

    def lacking(self, spec: NetworkSpec) -> float:
        """Return the share of a network's weights that there is no room for."""
        wanted = missing = 0
        for place in slices(spec):
            have = self._found(place)
            size = math.prod(place.shape)
            wanted += size
            missing += size - (0 if have is None else _held(place, have))
        return missing / wanted

    def _grown(self, place: Slice, shape: tuple[int, ...], have: Tensor | None) -> Tensor:
        """Return new weights, with the old ones in their place."""
        fresh = _drawn(place, shape, self._residual_scale)
        if have is not None:
            old = Slice(place.name, place.key, (0,) * len(shape), tuple(have.shape))
            with torch.no_grad():
                _cut(fresh, old).copy_(have)
        return fresh

    def _found(self, place: Slice) -> Tensor | None:
        found: Tensor | None = self.tensors.get(place.key)
        return found

    def weights(self, spec: NetworkSpec) -> dict[str, Tensor]:
        """Return a network's weights by name: views of the shared tensors.

        Raises:
            KeyError, IndexError: when the network was never made room for.
        """
        return {place.name: _cut(self.tensors[place.key], place) for place in slices(spec)}

    def forward(
        self,
        spec: NetworkSpec,
        images: Tensor,
        buffers: dict[str, Tensor],
        drops: tuple[float, float] = (0.0, 0.0),
    ) -> Tensor:
        """Return the logits of one network with its share of the weights.

        Args:
            spec: the network.
            images: (B, 3, H, W).
            buffers: of its batch normalisation, by name; updated in training.
            drops: dropout and drop path, in training.
        """
        network = skeleton(spec, drops=drops).train(self.training)
        logits: Tensor = functional_call(network, {**self.weights(spec), **buffers}, (images,))
        return logits


def skeleton(
    spec: NetworkSpec, momentum: float | None = 0.1, drops: tuple[float, float] = (0.0, 0.0)
) -> Network:
    """Return a network without weights; `momentum` None averages BN's statistics over batches."""
    with torch.device("meta"), _Unfilled():
        network = Network(spec, *drops)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
    return network


class _Unfilled(TorchFunctionMode):
    """Leaves tensors as they are made: filling them takes long, on the meta device too."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


_FILLS = {
    *(nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, nn.init.constant_),
    *(Tensor.zero_, Tensor.fill_),
}


def fresh_buffers(spec: NetworkSpec) -> dict[str, Tensor]:
    """Return batch normalisation's statistics before it has seen anything."""
    found: dict[str, Tensor] = {}
    for layer in walk(spec.tree(), spec.in_shape):
        if isinstance(layer.leaf, BatchNorm):
            channels = layer.leaf.channels
            found[f"{layer.path}.running_mean"] = torch.zeros(channels)
            found[f"{layer.path}.running_var"] = torch.ones(channels)
            found[f"{layer.path}.num_batches_tracked"] = torch.tensor(0)
    return found


# -- where tensors are ------------------------------------------------------------------------


def slices(spec: NetworkSpec) -> Iterator[Slice]:
    """Yield where every parameter of a network is found."""
    tree = spec.tree()
    ends = residual_ends(tree)
    for layer in walk(tree, spec.in_shape):
        yield from _slices(layer, layer.path in ends)


def _slices(layer: Layer, ends_residual: bool) -> Iterator[Slice]:
    path, leaf = layer.path, layer.leaf
    match leaf:
        case Conv():
            yield from _conv(path, path, leaf, (0, 0))
        case MixConv():
            taken = given = 0
            for number, conv in enumerate(leaf.convs):
                yield from _conv(f"{path}.{number}", path, conv, (given, taken))
                given, taken = given + conv.out_channels, taken + conv.in_channels
        case SqueezeExcite():
            yield from _conv(f"{path}.reduce", f"{path}.reduce", leaf.reduce, (0, 0))
            yield from _conv(f"{path}.expand", f"{path}.expand", leaf.expand, (0, 0))
        case BatchNorm():
            scale = RESIDUAL if ends_residual else "weight"
            yield Slice(f"{path}.weight", _key(path, scale), (0,), (leaf.channels,))
            yield _whole(path, "bias", (leaf.channels,))
        case Linear():
            yield _whole(path, "weight", (leaf.out_features, leaf.in_features))
            yield _whole(path, "bias", (leaf.out_features,))


def _conv(name: str, path: str, conv: Conv, begin: tuple[int, int]) -> Iterator[Slice]:
    width = conv.in_channels // conv.groups
    grouped = conv.groups > 1 or (width == 1 and conv.in_channels == 1)
    kind = f"grouped{width}" if grouped else "dense"
    # Groups of channels see channels of their own: there is nothing to skip on the input's side.
    at = (begin[0], 0 if grouped else begin[1], 0, 0)
    shape = (conv.out_channels, width, conv.kernel, conv.kernel)
    yield Slice(f"{name}.weight", _key(path, f"weight_{kind}"), at, shape)
    if conv.bias:
        yield Slice(f"{name}.bias", _key(path, "bias"), begin[:1], (conv.out_channels,))


def _whole(path: str, what: str, shape: tuple[int, ...]) -> Slice:
    return Slice(f"{path}.{what}", _key(path, what), (0,) * len(shape), shape)


def _key(path: str, what: str) -> Key:
    return f"{path}.{what}".replace(".", "/")  # torch's names of parameters may hold no dots


def _is_kernel(dimension: int) -> bool:
    return dimension >= 2


def _cut(tensor: Tensor, place: Slice) -> Tensor:
    for dimension, (begin, size) in enumerate(zip(place.begin, place.shape, strict=True)):
        at = (tensor.shape[dimension] - size) // 2 if _is_kernel(dimension) else begin
        tensor = tensor.narrow(dimension, at, size)
    return tensor


def _held(place: Slice, have: Tensor) -> int:
    """Return how many of a slice's weights are held."""
    sizes = []
    for dimension, (begin, size) in enumerate(zip(place.begin, place.shape, strict=True)):
        room = have.shape[dimension] - (0 if _is_kernel(dimension) else begin)
        sizes.append(max(0, min(size, room)))
    return math.prod(sizes)


def _room(place: Slice, have: Tensor | None) -> tuple[int, ...]:
    """Return the shape that has room for a slice and for what there is."""
    wanted = tuple(b + s for b, s in zip(place.begin, place.shape, strict=True))
    return wanted if have is None else tuple(map(max, wanted, have.shape))


def _drawn(place: Slice, shape: tuple[int, ...], residual_scale: float) -> Tensor:
    """Draw weights as a network of its own would (`nas.torch_model`)."""
    if len(shape) == 4:
        dense = place.key.endswith("dense")
        fan_out = shape[2] ** 2 * (shape[0] if dense else shape[1])
        return torch.randn(shape) * math.sqrt(2.0 / fan_out)
    if len(shape) == 2:
        return torch.randn(shape) * 0.01
    if place.key.endswith(RESIDUAL):
        return torch.full(shape, residual_scale)
    return torch.ones(shape) if place.key.endswith("/weight") else torch.zeros(shape)
