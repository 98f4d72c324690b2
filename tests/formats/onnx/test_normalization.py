"""Normalizations in ONNX Runtime, by right numbers."""

import numpy as np
import pytest

from nas.ir import BatchNorm, LayerNorm, LocalResponseNorm
from tests.formats.every_node import seq
from tests.formats.onnx.test_network import operators, outputs, pixels


def test_a_batch_normalization():
    parts = {"weight": 3, "bias": 1, "running_mean": 2, "running_var": 3}
    weights = {f"0.{part}": np.array([value], np.float32) for part, value in parts.items()}
    found = outputs(seq(BatchNorm(1, eps=1)), (1, 1, 1), pixels(6), weights)
    assert found.item() == pytest.approx((6 - 2) / 2 * 3 + 1)


def test_channels_of_every_pixel_are_normalized():
    weights = {
        "0.weight": np.array([1, 2, 3], np.float32),
        "0.bias": np.array([0, 0, 10], np.float32),
    }
    given = np.array([[1, 5], [2, 5], [3, 5]]).reshape(1, 3, 1, 2)
    found = outputs(seq(LayerNorm(3, eps=1 / 3)), (3, 1, 2), given, weights)
    # The variance of 1, 2, 3 is 2/3; that of the other pixel is 0.
    assert found[0, :, 0] == pytest.approx(np.array([[-1, 0], [0, 0], [13, 10]]), abs=1e-6)


@pytest.mark.parametrize(
    ("size", "sums"),
    [
        (1, [1, 4, 9, 16]),
        (3, [5, 14, 29, 25]),
        (2, [1, 5, 13, 25]),  # an even number has one more channel below
        (4, [5, 14, 30, 29]),
    ],
)
def test_adjacent_channels_are_normalized(size, sums):
    tree = seq(LocalResponseNorm(size, alpha=0.5, beta=0.75, bias=2.0))
    given = np.array([1, 2, 3, 4])
    expected = given / (2 + 0.5 / size * np.array(sums)) ** 0.75
    assert outputs(tree, (4, 1, 1), pixels(*given)).ravel() == pytest.approx(expected, rel=1e-6)
    assert ("LRN" in operators(tree, (4, 1, 1))) == (size % 2 == 1)
