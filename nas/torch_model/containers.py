"""The containers of layer trees as torch modules."""

from __future__ import annotations

import torch
from torch import Tensor, nn

Children = list[tuple[str, nn.Module]]


class Sequential(nn.Sequential):
    """Named children applied in order: torch's class with a constructor from pairs."""

    def __init__(self, children: Children) -> None:
        super().__init__()
        for name, child in children:
            self.add_module(name, child)


class ResidualSequential(Sequential):
    """Named children applied in order, whose output is added to their input.

    In training, each sample skips the branch with probability `drop_path`.
    """

    def __init__(self, children: Children, drop_path: float = 0.0) -> None:
        super().__init__(children)
        self.drop_path = drop_path

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        branch: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return x + (drop_samples(branch, self.drop_path) if self.training else branch)


class BranchSum(nn.ModuleDict):
    """Named children on the same input, with their outputs added.

    In training, each sample skips the child called `residual`, if there is one, with probability
    `drop_path`.
    """

    def __init__(self, children: Children, residual: str = "", drop_path: float = 0.0) -> None:
        super().__init__(dict(children))
        self.drop_path = drop_path if residual else 0.0
        self._dropped = residual

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        total: Tensor | None = None
        for name, child in self.items():
            branch: Tensor = child(x)
            if self.training and name == self._dropped:
                branch = drop_samples(branch, self.drop_path)
            total = branch if total is None else total + branch
        assert total is not None
        return total


class BranchConcat(nn.ModuleDict):
    """Named children on the same input, with their outputs concatenated."""

    def __init__(self, children: Children) -> None:
        super().__init__(dict(children))

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return torch.cat([branch(x) for branch in self.values()], 1)


class SlicedBranches(nn.ModuleDict):
    """Named children on adjacent slices of the channels, with their outputs concatenated."""

    def __init__(self, children: Children, sizes: tuple[int, ...]) -> None:
        super().__init__(dict(children))
        self.sizes = list(sizes)

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        slices = torch.split(x, self.sizes, dim=1)
        return torch.cat([b(part) for b, part in zip(self.values(), slices, strict=True)], 1)


class CascadedBranches(SlicedBranches):
    """As `SlicedBranches`, but the output of each child is added to the next one's slice."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        outputs: list[Tensor] = []
        for branch, part in zip(self.values(), torch.split(x, self.sizes, dim=1), strict=True):
            outputs.append(branch(part + outputs[-1] if outputs else part))
        return torch.cat(outputs, 1)


def drop_samples(branch: Tensor, rate: float) -> Tensor:
    """Drop the output of a residual branch for random samples (stochastic depth).

    The others are scaled, so that the expectation stays (Huang et al. 2016).

    Args:
        branch: Output of the branch, (N, C, H, W).
        rate: Probability of dropping a sample, 0 <= rate < 1.
    """
    if rate == 0:
        return branch
    keep = 1 - rate
    mask = torch.rand(len(branch), 1, 1, 1, device=branch.device, dtype=branch.dtype) < keep
    return branch * mask / keep
