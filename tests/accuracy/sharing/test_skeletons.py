import random

import pytest
import torch
from hypothesis import given, settings
from torch.func import functional_call
from torch.overrides import TorchFunctionMode

from nas.accuracy.sharing import skeletons
from nas.accuracy.sharing.skeletons import SkeletonPool, fresh_buffers, skeleton
from nas.ir import BatchNorm, Conv, SplitAttention
from nas.space import load_space, sample
from nas.torch_model import build, to_module
from tests.networks import DEEP, TINY
from tests.random_trees import trees

space = load_space("mixnet").with_classes(10)


class Fills(TorchFunctionMode):
    """Counts calls of functions that fill tensors."""

    count = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.count += func.__name__ in ("normal_", "kaiming_uniform_", "uniform_", "zero_", "fill_")
        return func(*args, **(kwargs or {}))


def test_a_skeleton_has_every_tensor_of_a_network_and_fills_none():
    with Fills() as fills:
        full = build(DEEP, 0)
    assert fills.count > 50
    with Fills() as fills:
        empty = skeleton(DEEP)
    assert fills.count == 0
    assert {name: tensor.shape for name, tensor in empty.state_dict().items()} == {
        name: tensor.shape for name, tensor in full.state_dict().items()
    }
    assert all(tensor.is_meta for tensor in empty.state_dict().values())


def test_a_skeleton_takes_momentum_and_drops():
    norms = [
        module
        for module in skeleton(TINY, momentum=None).modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    ]
    assert norms
    assert all(norm.momentum is None for norm in norms)
    dropped = skeleton(DEEP, drops=(0.3, 0.6))
    assert dropped.classifier.dropout == 0.3
    assert dropped.stages.get_submodule("0.1").drop_path == pytest.approx(0.2)  # block 1 of 3


def test_fresh_buffers_are_those_of_a_new_network():
    expected = dict(build(DEEP, 0).named_buffers())
    buffers = fresh_buffers(DEEP)
    assert buffers.keys() == expected.keys()
    assert all(torch.equal(buffers[name], expected[name]) for name in expected)


def test_fresh_buffers_are_where_the_images_are_but_for_the_counts():
    buffers = fresh_buffers(DEEP, "meta")
    kinds = {name.rpartition(".")[2]: tensor.device.type for name, tensor in buffers.items()}
    assert kinds == {"running_mean": "meta", "running_var": "meta", "num_batches_tracked": "cpu"}


@given(trees())
@settings(max_examples=40)
def test_every_batch_normalization_of_a_tree_has_buffers(case):
    tree, shape = case
    norms = {
        name: module.num_features
        for name, module in to_module(tree).named_modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    }
    assert dict(skeletons._norms(tree, shape)) == norms


def test_normalizations_within_layers_have_the_momentum_of_a_supernet():
    norm = BatchNorm(2, momentum=0.01)
    node = SplitAttention(2, 1, Conv(2, 2, bias=True), norm, "relu", Conv(2, 2, bias=True))
    leaf = skeletons._empty_leaf(node, 0.0)
    assert leaf.norm.momentum == skeletons.MOMENTUM
    assert leaf.norm.weight.is_meta


def test_a_pool_gives_the_networks_that_a_space_draws():
    """One after the other from the same layers, with the same tensors, logits and gradients."""
    pool = SkeletonPool()
    torch.manual_seed(0)
    for seed in range(6):
        spec = space.decode(sample(space, random.Random(seed)).genotype)
        module = build(spec, seed).train()
        weights = dict(module.named_parameters())
        images = torch.randn(2, 3, 64, 64)
        found = []
        for network in (pool.network(spec), skeleton(spec)):
            assert {n: t.shape for n, t in network.state_dict().items()} == {
                n: t.shape for n, t in module.state_dict().items()
            }
            logits = functional_call(network.train(), {**weights, **fresh_buffers(spec)}, (images,))
            gradients = torch.autograd.grad(logits.square().sum(), list(weights.values()))
            found.append((logits, *gradients))
        assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_a_pool_makes_each_layer_once(monkeypatch):
    made = []
    real = skeletons.leaf_module
    monkeypatch.setattr(
        skeletons, "leaf_module", lambda *leaf: (made.append(leaf[0]), real(*leaf))[1]
    )
    pool = SkeletonPool()
    pool.network(DEEP, (0.3, 0.6))
    count = len(made)
    second = pool.network(DEEP, (0.3, 0.6))
    assert len(made) == count
    leaves = [m for m in second.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len({id(leaf) for leaf in leaves}) == len(leaves)  # none twice in a network
    assert second.stages.get_submodule("0.1").drop_path == pytest.approx(0.2)
    assert second.classifier.dropout == 0.3
    assert pool.network(DEEP).classifier.dropout == 0.0


def test_a_pool_forgets_its_layers_before_they_are_too_many(monkeypatch):
    monkeypatch.setattr(skeletons, "MOST_LEAVES", 10)
    pool = SkeletonPool()
    pool.network(DEEP)
    assert pool._kept > 10
    pool.network(TINY)
    assert pool._kept < 30
    assert all(alike for alike in pool._leaves.values())
