"""The supernet in training: which networks a batch passes through, and what each learns from."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import numpy as np
import torch
from scipy.stats import rankdata
from torch import Tensor, nn

from nas.accuracy.sharing.bank import WeightBank
from nas.accuracy.sharing.skeletons import fresh_buffers
from nas.cost import count
from nas.ir import Conv, Leaf, MixConv, walk
from nas.spec import NetworkSpec
from nas.train.augment import MixedLabels
from nas.train.loop import Trainer, distilled
from nas.train.recipe import Recipe

SCANNED = 2_000  # networks drawn to find out how large the shared weights must be
DrawNetwork = Callable[[random.Random], NetworkSpec]


class SampledPaths(nn.Module):
    """The supernet in training: every batch passes through one network or several.

    Attributes:
        bank: The shared weights; the checkpoints of a training name them by this attribute.
        paths: Number of networks that a batch passes through.
    """

    def __init__(
        self, draw: DrawNetwork, paths: int, recipe: Recipe, shrinking: float = 0.0
    ) -> None:
        """Make room for the networks.

        Args:
            draw: Draws a network.
            paths: Number of networks that a batch passes through.
            recipe: How to train.
            shrinking: Share of the training in which smaller networks join one after another.
        """
        super().__init__()
        self.bank = WeightBank(recipe.zero_residuals)
        self.paths = paths
        self._draw, self._shrinking = draw, shrinking
        self._drops = (recipe.dropout, recipe.drop_path)
        scanned = [draw(random.Random(seed)) for seed in range(SCANNED)]
        for spec in scanned:
            self.bank.add(spec)
        by_cost = sorted(scanned, key=lambda spec: count(spec).madds)
        self._extremes = [by_cost[-1], by_cost[0]]
        self._by_size = largest_first(scanned) if shrinking else []
        self._joined: list[NetworkSpec] = []  # as long as others are to join; empty for all

    def reach(self, progress: float) -> None:
        """Let the networks join that belong to a point of the training.

        Args:
            progress: Share of the training's steps that have been taken, 0..1.
        """
        share = progress / self._shrinking if self._shrinking else 1.0
        number = max(1, math.ceil(share * len(self._by_size)))
        self._joined = self._by_size[:number] if share < 1 else []

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (paths x B, classes) of networks drawn with torch's random generator.

        Args:
            images: Images, (B, 3, H, W).
        """
        rng = random.Random(int(torch.randint(1 << 62, ())))
        device = str(images.device)
        logits = [
            self.bank(spec, images, fresh_buffers(spec, device), self._drops)
            for spec in self._chosen(rng)
        ]
        return torch.cat(logits)

    def _chosen(self, rng: random.Random) -> list[NetworkSpec]:
        """Choose the networks of a step: the largest, the smallest, and at least one by chance."""
        largest, smallest = self._extremes
        if self._joined:
            smallest = self._joined[-1]
        fixed = [largest, smallest][: self.paths - 1]
        return [*fixed, *(self._drawn(rng) for _ in range(self.paths - len(fixed)))]

    def _drawn(self, rng: random.Random) -> NetworkSpec:
        """Draw a network that has joined, and that the bank has room for, as for nearly all."""
        if self._joined:
            return rng.choice(self._joined)
        while True:
            spec = self._draw(rng)
            if not self.bank.missing_share(spec):
                return spec


class PathsTrainer(Trainer):
    """The training of `SampledPaths`.

    Of several networks, the largest one learns from the labels, and the others learn from its
    predictions, too, by the recipe's share (in-place distillation, Yu and Huang 2019, section 3.3).
    """

    model: SampledPaths

    def _take_step(self, images: Tensor, labels: Tensor) -> None:
        self.model.reach(self.step / self.total)
        super()._take_step(images, labels)

    def _loss(self, images: Tensor, target: MixedLabels, logits: Tensor) -> Tensor:
        smoothing = self.recipe.label_smoothing
        if self.model.paths == 1 or not self.recipe.distill:
            return target.loss(logits, smoothing)
        largest, *others = logits.chunk(self.model.paths)
        taught = largest.detach()
        losses = [
            distilled(target.loss(each, smoothing), each, taught, self.recipe) for each in others
        ]
        return torch.stack([target.loss(largest, smoothing), *losses]).mean()


def largest_first(specs: Sequence[NetworkSpec]) -> list[NetworkSpec]:
    """Return networks from the largest to the smallest, by MAdds and by their kernels.

    Both count equally, as ranks: the kernels of a mixed convolution hardly change its MAdds, which
    depth and widths decide.
    """
    sizes = [(count(spec).madds, _side(spec)) for spec in specs]
    ranks = sum(rankdata(each, method="average") for each in zip(*sizes, strict=True))
    return [specs[i] for i in np.argsort(-ranks, kind="stable")]


def _side(spec: NetworkSpec) -> float:
    """Return the mean number of rows of a network's depthwise kernels, 0 if it has none."""
    convs = [
        conv
        for layer in walk(spec.tree(), spec.in_shape)
        for conv in _convolutions(layer.leaf)
        if conv.groups > 1 and conv.groups == conv.in_channels
    ]
    channels = sum(conv.out_channels for conv in convs)
    return sum(conv.out_channels * conv.kernel for conv in convs) / channels if convs else 0.0


def _convolutions(leaf: Leaf) -> tuple[Conv, ...]:
    if isinstance(leaf, MixConv):
        return leaf.convs
    return (leaf,) if isinstance(leaf, Conv) else ()
