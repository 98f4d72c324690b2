import pytest
import torch
from torch import nn

from nas.torch_model.containers import (
    BranchConcat,
    BranchSum,
    CascadedBranches,
    ResidualSequential,
    Sequential,
    SlicedBranches,
    drop_samples,
)


class Times(nn.Module):
    """Multiplies by a number."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def test_children_run_in_order_and_none_are_the_identity():
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(Sequential([("a", Times(2.0)), ("b", nn.ReLU())])(x), (2 * x).relu())
    assert Sequential([])(x) is x


def test_dropped_branches_keep_the_mean():
    branch = ResidualSequential([("body", torch.nn.Identity())], drop_path=0.25).train()
    torch.manual_seed(0)
    x = torch.ones(20000, 1, 1, 1)
    assert branch(x).mean().item() == pytest.approx(2.0, abs=0.02)
    assert torch.equal(branch.eval()(x), 2 * x)


def test_a_sum_drops_its_residual_branch_alone():
    children = [("branch", Times(3.0)), ("shortcut", Times(1.0))]
    x = torch.ones(20000, 1, 1, 1)
    torch.manual_seed(0)
    branch = BranchSum(children, "branch", 0.25).train()
    y = branch(x)
    assert set(y.flatten().tolist()) == {1.0, 5.0}  # 1 + 3 / 0.75, or the shortcut alone
    assert y.mean().item() == pytest.approx(4.0, abs=0.03)
    assert torch.equal(branch.eval()(x), 4 * x)
    torch.manual_seed(0)
    shortcut = BranchSum(children, "shortcut", 0.5).train()
    assert set(shortcut(x).flatten().tolist()) == {3.0, 5.0}
    assert torch.equal(BranchSum(children, "", 0.25).train()(x), 4 * x)


def test_a_sum_and_a_residual_drop_the_same_samples():
    x = torch.randn(64, 2, 3, 3)
    residual = ResidualSequential([("body", Times(2.0))], 0.5).train()
    branch_sum = BranchSum([("shortcut", Times(1.0)), ("body", Times(2.0))], "body", 0.5).train()
    torch.manual_seed(0)
    expected = residual(x)
    torch.manual_seed(0)
    assert torch.equal(branch_sum(x), expected)
    assert drop_samples(x, 0.0) is x


def test_branches_are_concatenated_in_order():
    x = torch.randn(1, 2, 3, 3)
    branches = BranchConcat([("a", Times(2.0)), ("b", Sequential([])), ("c", nn.ReLU())])
    assert torch.equal(branches(x), torch.cat([2 * x, x, x.relu()], 1))


def test_slices_are_adjacent():
    x = torch.randn(1, 6, 3, 3)
    slices = SlicedBranches(
        [("a", Times(2.0)), ("b", Sequential([])), ("c", Times(3.0))], (1, 2, 3)
    )
    assert torch.equal(slices(x), torch.cat([2 * x[:, :1], x[:, 1:3], 3 * x[:, 3:]], 1))


def test_a_cascade_hands_its_outputs_on():
    x = torch.randn(1, 6, 3, 3)
    cascade = CascadedBranches(
        [("a", Times(2.0)), ("b", Sequential([])), ("c", Times(3.0))], (2,) * 3
    )
    first = 2 * x[:, :2]
    second = x[:, 2:4] + first
    third = 3 * (x[:, 4:] + second)
    assert torch.equal(cascade(x), torch.cat([first, second, third], 1))
