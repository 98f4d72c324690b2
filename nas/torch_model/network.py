"""A whole network as a torch module, and how its weights are drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from nas.spec import NetworkSpec
from nas.torch_model.modules import ResidualSequential, to_module


class Network(nn.Module):
    """A `NetworkSpec` as a torch module: images (N, C, H, W) -> logits (N, classes).

    Attributes:
        spec: what it was built from.
    """

    stem: nn.Module
    stages: nn.ModuleList
    head: nn.Module
    pool: nn.Module
    classifier: nn.Module

    def __init__(self, spec: NetworkSpec, dropout: float = 0.0, drop_path: float = 0.0) -> None:
        """Build with random weights (drawn from torch's global generator).

        Args:
            spec: the network.
            dropout: before the classifier, in training.
            drop_path: of the last block's residual branch; earlier ones linearly less.
        """
        super().__init__()
        self.spec = spec
        done, total = 0, max(1, len(spec.blocks))
        for name, node in spec.tree().children:
            if not name.startswith("stages."):
                self.add_module(name, to_module(node, dropout))
                continue
            if done == 0:  # registered here, so that modules stand in the order they run
                self.stages = nn.ModuleList(nn.ModuleList() for _ in spec.stages)
            block = to_module(node, drop_path=drop_path * done / total)
            _, stage, index = name.split(".")
            self.stages.get_submodule(stage).add_module(index, block)
            done += 1
        self.apply(_initialise)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        x = self.stem(x)
        for block in self.blocks():
            x = block(x)
        if self.spec.head.channels:
            x = self.head(x)
        logits: Tensor = self.classifier(self.pool(x))
        return logits

    def blocks(self) -> Iterator[nn.Module]:
        """Yield the modules of all blocks, in order."""
        for stage in self.stages.children():
            yield from stage.children()


def _initialise(module: nn.Module) -> None:
    """Draw weights: convolutions by fan-out, as MixNet's published code, the classifier small."""
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
    """Let every residual branch start at zero: its last BN's scale (Goyal et al. 2017, 5.1).

    Deep networks then train as quickly as shallow ones from the first step on.
    """
    for branch in model.modules():
        if isinstance(branch, ResidualSequential):
            norms = [m for m in branch.modules() if isinstance(m, nn.BatchNorm2d)]
            nn.init.zeros_(norms[-1].weight)


def build(
    spec: NetworkSpec, seed: int | None = None, dropout: float = 0.0, drop_path: float = 0.0
) -> Network:
    """Build a network; with a seed its weights are the same every time.

    The global random state is left as it was when a seed is given.
    """
    if seed is None:
        return Network(spec, dropout, drop_path)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(spec, dropout, drop_path)
