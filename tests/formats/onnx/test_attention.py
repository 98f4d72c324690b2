"""Gates and attention over channels in ONNX Runtime, by right numbers."""

import numpy as np
import pytest

from nas.ir import BatchNorm, Conv, SplitAttention, SqueezeExcite
from tests.formats.every_node import seq
from tests.formats.onnx.test_network import outputs, pixels


def matrix(*rows):
    return np.array(rows, np.float32)[:, :, None, None]


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    ("gate", "expected"),
    [("sigmoid", [0.7310586, 0.0066929, 0.9933071]), ("hard_sigmoid", [2 / 3, 0, 1])],
)
def test_gates(gate, expected, wide):
    se = SqueezeExcite(Conv(3, 1), Conv(1, 3), "identity", wide, gate)
    weights = {"0.reduce.weight": matrix([1, 0, 0]), "0.expand.weight": matrix([1], [-5], [5])}
    given = np.broadcast_to(pixels(1, 1, 1), (2, 3, 2, 1)) * [[[[0.5], [1.5]]]]
    found = outputs(seq(se), (3, 2, 1), given, weights)
    assert found == pytest.approx(given * pixels(*expected), abs=1e-6)


def attention(radix, inputs, scores, biases):
    """Run a split attention with one hidden channel of one for each output of `expand`."""
    node = SplitAttention(
        2, radix, Conv(2, 1, bias=True), BatchNorm(1, 0.0), "relu", Conv(1, 2 * radix, bias=True)
    )
    weights = {
        "0.reduce.weight": matrix([1, 1]),
        "0.reduce.bias": np.zeros(1, np.float32),
        "0.expand.weight": matrix(*([score] for score in scores)),
        "0.expand.bias": np.array(biases, np.float32),
    }
    values = {"weight": 1, "bias": 0, "running_mean": 0, "running_var": 4}
    weights |= {f"0.norm.{part}": np.array([v], np.float32) for part, v in values.items()}
    return outputs(seq(node), (2 * radix, 1, 1), pixels(*inputs), weights).ravel()


def test_groups_are_weighted_by_a_softmax():
    # All channels sum up to 8, and normalization halves them. Of channel 0, group 1 has a score
    # that is higher by ln 3, of channel 1 group 0.
    shift = np.log(3) / 4
    found = attention(2, [1, 2, 1, 4], [0, shift, shift, 0], [0, 0, 0, 0])
    assert found == pytest.approx([1 / 4 + 3 / 4, 2 * 3 / 4 + 4 / 4])


def test_a_folded_normalization_is_left_out():
    lowered = SplitAttention(1, 2, Conv(1, 1, bias=True), None, "relu", Conv(1, 2, bias=True))
    weights = {
        "0.reduce.weight": matrix([1]),
        "0.reduce.bias": np.array([-2], np.float32),
        "0.expand.weight": matrix([1], [0]),
        "0.expand.bias": np.array([np.log(4) - 2, 0], np.float32),
    }
    found = outputs(seq(lowered), (2, 1, 1), pixels(1, 3), weights)
    assert found.item() == pytest.approx(1 * 4 / 5 + 3 * 1 / 5)


def test_a_single_group_has_a_sigmoid():
    found = attention(1, [6, 2], [0.0, -0.25], [np.log(3), 1])
    assert found == pytest.approx([6 * 3 / 4, 2 / 2])
