"""Networks without weights of their own, through which the shared weights of a supernet pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from nas.ir import BatchNorm, Node, Shape, SplitAttention, SqueezeExcite, walk
from nas.spec import NetworkSpec
from nas.torch_model import Network
from nas.torch_model.layers import leaf_module

MOST_LEAVES = 20_000  # modules kept, some kilobytes each
MOMENTUM = 0.1  # of batch-normalization statistics in training


def skeleton(
    spec: NetworkSpec, momentum: float | None = MOMENTUM, drops: tuple[float, float] = (0.0, 0.0)
) -> Network:
    """Return a network whose tensors are on the meta device.

    Args:
        spec: The network.
        momentum: Momentum of the batch-normalization statistics; None to average over all batches.
        drops: Dropout and drop path of the network (see `Network`).
    """
    with torch.device("meta"), _SkipInitialization():
        network = Network(spec, *drops)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = momentum
    return network


class _SkipInitialization(TorchFunctionMode):
    """Skips functions that fill tensors: they take long even on the meta device."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in _INITIALIZERS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


_INITIALIZERS = {
    *(nn.init.normal_, nn.init.uniform_, nn.init.kaiming_uniform_, nn.init.constant_),
    *(Tensor.zero_, Tensor.fill_),
}


def fresh_buffers(spec: NetworkSpec, device: str = "cpu") -> dict[str, Tensor]:
    """Return the batch-normalization buffers of a network that has seen no images, by name.

    The means and variances are views of two tensors, which are quickly made on a GPU. The numbers
    of batches stay in main memory, where batch normalization reads them without waiting.

    Args:
        spec: The network.
        device: Device of the images.
    """
    norms = list(_norms(spec.tree(), spec.in_shape))
    sizes = [channels for _, channels in norms]
    means = torch.split(torch.zeros(sum(sizes), device=device), sizes)
    variances = torch.split(torch.ones(sum(sizes), device=device), sizes)
    buffers: dict[str, Tensor] = {}
    for (path, _), mean, variance in zip(norms, means, variances, strict=True):
        buffers[f"{path}.running_mean"] = mean
        buffers[f"{path}.running_var"] = variance
        buffers[f"{path}.num_batches_tracked"] = torch.tensor(0)
    return buffers


def _norms(tree: Node, shape: Shape) -> Iterator[tuple[str, int]]:
    """Yield path and number of channels of every batch normalization of a layer tree."""
    for layer in walk(tree, shape):
        if isinstance(layer.leaf, BatchNorm):
            yield layer.path, layer.leaf.channels
        elif isinstance(layer.leaf, (SplitAttention, SqueezeExcite)) and layer.leaf.norm:
            yield f"{layer.path}.norm", layer.leaf.norm.channels


class SkeletonPool:
    """Makes one skeleton after the other from the same layers, of which a space has few kinds.

    Making the layers of a network takes longer than launching their kernels on a GPU. A skeleton is
    valid until the next one is asked for, and nothing may assign tensors to it.
    """

    def __init__(self) -> None:
        """Start without layers."""
        self._leaves: dict[tuple[str, float], list[nn.Module]] = {}
        self._kept = 0

    def network(self, spec: NetworkSpec, drops: tuple[float, float] = (0.0, 0.0)) -> Network:
        """Return what `skeleton` returns.

        Args:
            spec: The network.
            drops: Dropout and drop path of the network (see `Network`).
        """
        if self._kept > MOST_LEAVES:
            self._leaves, self._kept = {}, 0
        taken: Counter[tuple[str, float]] = Counter()

        def take(node: Node, dropout: float) -> nn.Module:
            key = (repr(node), dropout)  # by value: equal layers may be different objects
            alike = self._leaves.setdefault(key, [])
            if taken[key] == len(alike):
                alike.append(_empty_leaf(node, dropout))
                self._kept += 1
            taken[key] += 1
            return alike[taken[key] - 1]

        return Network.of_leaves(spec, take, *drops)


def _empty_leaf(node: Node, dropout: float) -> nn.Module:
    with torch.device("meta"), _SkipInitialization():
        leaf = leaf_module(node, dropout)
    for module in leaf.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = MOMENTUM
    return leaf
