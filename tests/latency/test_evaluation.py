"""Layer trees evaluated with numpy against torch."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings

from nas.blocks.fields import ACTIVATIONS as NAMES
from nas.ir import Activation, Conv, Seq, SqueezeExcite
from nas.latency.evaluation import ACTIVATIONS, GATES, reference_outputs
from nas.latency.weights import realistic_weights
from tests.formats import outputs
from tests.formats.outputs import Phases, convolutions, lowered_trees, members
from tests.random_trees import trees
from tests.test_spec import specs


def in_numpy(tree, shape, weights, images):
    return reference_outputs(tree, weights, images)


difference = partial(outputs.difference, in_numpy)
of_spec = partial(outputs.of_spec, in_numpy)


@given(specs)
@settings(max_examples=12)
def test_every_kind_of_block(spec):
    assert of_spec(spec, Phases() if spec.num_classes % 2 else None, batch=2) < 1e-4


@given(members())
@settings(max_examples=2)
def test_random_networks_of_mixnet(spec):
    assert of_spec(spec, Phases(), batch=1) < 1e-5


@given(convolutions())
@settings(max_examples=30)
def test_convolutions(case):
    tree, shape, choice = case
    assert difference(tree, shape, realistic_weights(tree), choice) < 1e-6


@given(lowered_trees())
@settings(max_examples=20)
def test_what_only_lowering_makes(case):
    tree, shape = case
    assert difference(tree, shape, realistic_weights(tree)) < 1e-6


@given(trees())
@settings(max_examples=60)
def test_random_trees(case):
    tree, shape = case
    assert difference(tree, shape, realistic_weights(tree)) < 1e-5


@pytest.mark.parametrize("gate", GATES)
def test_gates(gate):
    se = SqueezeExcite(Conv(8, 4, bias=True), Conv(4, 8, bias=True), "relu", gate=gate)
    tree = Seq((("conv", Conv(3, 8, 3)), ("se", se)))
    weights = realistic_weights(tree)
    weights["se.expand.bias"] *= 40  # so that hard gates are closed or open, too
    assert difference(tree, (3, 9, 7), weights) < 1e-6


@pytest.mark.parametrize("function", NAMES)
def test_activations(function):
    gate = SqueezeExcite(Conv(8, 4, bias=True), Conv(4, 8, bias=True), function)
    tree = Seq((("conv", Conv(3, 8, 3)), ("act", Activation(function)), ("se", gate)))
    assert difference(tree, (3, 9, 7), realistic_weights(tree)) < 1e-6


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("identity", [-8, -1, 0, 1, 8]),
        ("relu", [0, 0, 0, 1, 8]),
        ("relu6", [0, 0, 0, 1, 6]),
        ("swish", [-0.0026828, -0.2689414, 0, 0.7310586, 7.9973172]),
        ("hard_swish", [0, -1 / 3, 0, 2 / 3, 8]),
        ("mish", [-0.0026832, -0.3034014, 0, 0.8650984, 7.9999982]),
        ("gelu", [0, -0.1586553, 0, 0.8413447, 8]),
        ("leaky_relu", [-0.8, -0.1, 0, 1, 8]),
    ],
)
def test_values_of_activation_functions(function, expected):
    values = ACTIVATIONS[function](np.array([-8.0, -1, 0, 1, 8]))
    np.testing.assert_allclose(values, expected, atol=1e-6)


def test_numbers_have_64_bits_and_no_overflow():
    tree = Seq((("act", Activation("mish")),))
    values = reference_outputs(tree, {}, np.full((1, 1, 1, 2), 2000, np.float32) * [1, -1])
    assert values.dtype == np.float64
    assert values.ravel().tolist() == [2000, 0]
