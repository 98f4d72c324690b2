"""Whole networks as torch modules, and the initialization of their weights."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from nas.spec import NetworkSpec
from nas.torch_model.modules import LeafMaker, ResidualSequential, to_module


class Network(nn.Module):
    """A `NetworkSpec` as a torch module: images (N, C, H, W) -> logits (N, classes).

    Attributes:
        spec: Spec that the module was built from.
    """

    stem: nn.Module
    stages: nn.ModuleList
    head: nn.Module
    pool: nn.Module
    classifier: nn.Module

    def __init__(self, spec: NetworkSpec, dropout: float = 0.0, drop_path: float = 0.0) -> None:
        """Build the network with random weights, drawn from torch's global generator.

        Args:
            spec: Spec of the network.
            dropout: Dropout probability before the classifier, in training.
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
        number, total = 0, max(1, len(spec.blocks))
        for name, node in spec.tree().children:
            if not name.startswith("stages."):
                self.add_module(name, to_module(node, dropout, make_leaf=make_leaf))
                continue
            if number == 0:  # registered here, so that modules are in the order they run in
                self.stages = nn.ModuleList(nn.ModuleList() for _ in spec.stages)
            rate = drop_path * number / total
            block = to_module(node, drop_path=rate, make_leaf=make_leaf)
            _, stage, index = name.split(".")
            self.stages.get_submodule(stage).add_module(index, block)
            number += 1

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = self.stem(x)
        for block in self.blocks():
            x = block(x)
        if self.spec.head.channels:
            x = self.head(x)
        logits: Tensor = self.classifier(self.pool(x))
        return logits

    def blocks(self) -> Iterator[nn.Module]:
        """Yield the modules of the blocks, in order."""
        for stage in self.stages.children():
            yield from stage.children()


def _initialise(module: nn.Module) -> None:
    """Draw the weights of a layer; those of convolutions by fan-out, as in MixNet's code."""
    if isinstance(module, nn.Conv2d):
        fan_out = module.kernel_size[0] ** 2 * module.out_channels // module.groups
        nn.init.normal_(module.weight, 0.0, math.sqrt(2.0 / fan_out))
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.Linear):
        # MixNet's own rule (uniform up to 1/sqrt(classes)) saturates a softmax over few classes.
        nn.init.normal_(module.weight, 0.0, 0.01)
        nn.init.zeros_(module.bias)


def zero_residuals(model: nn.Module) -> None:
    """Set the scale of the last BN of each residual branch to zero (Goyal et al. 2017, 5.1).

    All residual blocks then start as the identity, so that deep networks train as quickly as
    shallow ones from the first step on.
    """
    for branch in model.modules():
        if isinstance(branch, ResidualSequential):
            norms = [m for m in branch.modules() if isinstance(m, nn.BatchNorm2d)]
            nn.init.zeros_(norms[-1].weight)


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
    """
    if seed is None:
        return Network(spec, dropout, drop_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(spec, dropout, drop_path)
