"""Whole networks as torch modules, and the initialization of their weights."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from nas.ir import Linear, residual_ends
from nas.spec import NetworkSpec
from nas.torch_model.modules import LeafMaker, to_module


class Network(nn.Module):
    """A `NetworkSpec` as a torch module: images (N, C, H, W) -> logits (N, classes).

    Attributes:
        spec: Spec that the module was built from.
    """

    stem: nn.Module
    stages: nn.ModuleList
    classifier: nn.Module

    def __init__(self, spec: NetworkSpec, dropout: float = 0.0, drop_path: float = 0.0) -> None:
        """Build the network with random weights, drawn from torch's global generator.

        Args:
            spec: Spec of the network.
            dropout: Dropout probability before the classifier, in training, besides the spec's.
            drop_path: Scale of stochastic depth, in training: block i of n (from 0) drops its
                residual branch with probability drop_path * i / n.
        """
        super().__init__()
        self._assemble(spec, dropout, drop_path, None)
        self.apply(_initialise)

    @classmethod
    def of_leaves(
        cls, spec: NetworkSpec, make_leaf: LeafMaker, dropout: float = 0.0, drop_path: float = 0.0
    ) -> Network:
        """Return a network of modules made elsewhere, whose weights are left as they are.

        Args:
            spec: Spec of the network.
            make_leaf: Makes the modules of the layer tree's leaves.
            dropout: See `Network`.
            drop_path: See `Network`.
        """
        network = cls.__new__(cls)
        nn.Module.__init__(network)
        network._assemble(spec, dropout, drop_path, make_leaf)
        return network

    def _assemble(
        self, spec: NetworkSpec, dropout: float, drop_path: float, make_leaf: LeafMaker | None
    ) -> None:
        self.spec = spec
        self._tail: list[str] = []  # names of the modules after the blocks, in order
        number, total = 0, max(1, len(spec.blocks))
        for name, node in spec.tree().children:
            if not name.startswith("stages."):
                if name == "classifier" and dropout and not isinstance(node, Linear):
                    self._add("drop", nn.Dropout(dropout))  # a linear layer has its own
                rate = dropout if name == "classifier" else 0.0
                self._add(name, to_module(node, rate, make_leaf=make_leaf))
                continue
            if number == 0:  # registered here, so that modules are in the order they run in
                self.stages = nn.ModuleList(nn.ModuleList() for _ in spec.stages)
            rate = drop_path * number / total
            block = to_module(node, drop_path=rate, make_leaf=make_leaf)
            _, stage, index = name.split(".")
            self.stages.get_submodule(stage).add_module(index, block)
            number += 1

    def _add(self, name: str, module: nn.Module) -> None:
        self.add_module(name, module)
        if name != "stem":
            self._tail.append(name)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = self.stem(x)
        for block in self.blocks():
            x = block(x)
        for name in self._tail:
            x = getattr(self, name)(x)
        return x

    def blocks(self) -> Iterator[nn.Module]:
        """Yield the modules of the blocks, in order."""
        for stage in self.stages.children():
            yield from stage.children()


def _initialise(module: nn.Module) -> None:
    """Draw the weights of a layer; those of convolutions by fan-out, as in MixNet's code."""
    if isinstance(module, nn.Conv2d):
        fan_out = math.prod(module.kernel_size) * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        # MixNet's own rule (uniform up to 1/sqrt(classes)) saturates a softmax over few classes.
        nn.init.normal_(module.weight, 0.0, 0.01)
        nn.init.zeros_(module.bias)


def is_of_classifier(name: str) -> bool:
    """Tell whether a weight of a `Network` depends on the number of classes, by its name."""
    return name.startswith("classifier.")


def zero_residuals(model: nn.Module) -> None:
    """Set the scale of the last BN of each residual branch to zero (Goyal et al. 2017, 5.1).

    All residual blocks then start as the identity, so that deep networks train as quickly as
    shallow ones from the first step on.

    Args:
        model: The network; others than a `Network` are left as they are.
    """
    if isinstance(model, Network):
        for path in residual_ends(model.spec.tree()):
            nn.init.zeros_(model.get_parameter(f"{path}.weight"))


def build(
    spec: NetworkSpec, seed: int | None = None, dropout: float = 0.0, drop_path: float = 0.0
) -> Network:
    """Build a network with random weights.

    Args:
        spec: Spec of the network.
        seed: Random seed of the weights, which leaves torch's global generator as it was; None to
            draw from that generator.
        dropout: See `Network`.
        drop_path: See `Network`.

    Examples:
        >>> from nas.spec import load_network
        >>> model = build(load_network("mixnet_s"), seed=0).eval()
        >>> model(torch.zeros(1, 3, 64, 64)).shape
        torch.Size([1, 1000])
    """
    if seed is None:
        return Network(spec, dropout, drop_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(spec, dropout, drop_path)
