"""Realistic weights keep activations away from denormal numbers, which are slow."""

import random

import numpy as np
import pytest
import torch

from nas.latency.weights import realistic_weights
from nas.space import load_space
from nas.spec import Input, load_network, reference_names
from nas.torch_model import build


def sizes(spec):
    """Return the mean absolute output of every block."""
    model = build(spec, seed=0).eval()
    weights = realistic_weights(spec.tree())
    own = {name for name in model.state_dict() if not name.endswith("num_batches_tracked")}
    assert own == set(weights)
    model.load_state_dict(
        {name: torch.from_numpy(array.copy()) for name, array in weights.items()}, strict=False
    )
    found = []
    for block in model.blocks():
        block.register_forward_hook(lambda m, i, out: found.append(out.abs().mean().item()))
    with torch.no_grad():
        logits = model(torch.randn(1, *spec.in_shape, generator=torch.Generator().manual_seed(0)))
    return [*found, logits.abs().mean().item()]


@pytest.mark.parametrize("name", reference_names())
def test_activations_of_references_keep_their_size(name):
    found = sizes(load_network(name).replace(input=Input(resolution=96)))
    assert min(found) > 1e-2
    assert max(found) < 1e2


def test_activations_of_random_networks_keep_their_size():
    space, rng = load_space("mixnet"), random.Random(0)
    for _ in range(8):
        found = sizes(space.decode(space.draw(rng)).replace(input=Input(resolution=64)))
        assert min(found) > 1e-2
        assert max(found) < 1e2


def test_no_weight_is_zero_or_denormal():
    weights = realistic_weights(load_network("mixnet_l").tree())
    for array in weights.values():
        assert np.abs(array).min() > 1e-10
        assert array.dtype == np.float32


def test_the_seed_decides():
    tree = load_network("mixnet_s").tree()
    one, same, other = (realistic_weights(tree, seed) for seed in (0, 0, 1))
    assert all((one[name] == same[name]).all() for name in one)
    assert any((one[name] != other[name]).any() for name in one)
