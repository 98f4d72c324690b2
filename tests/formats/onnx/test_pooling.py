"""Pooling in ONNX Runtime, by right numbers."""

import numpy as np
import pytest

from nas.ir import Pool
from tests.formats.every_node import seq
from tests.formats.onnx.test_network import operators, outputs

SQUARE = np.arange(1, 17).reshape(4, 4)


def pooled(pool, image=SQUARE):
    image = np.asarray(image)
    return outputs(seq(pool), (1, *image.shape), image[None, None])[0, 0]


def test_padding_never_wins_a_maximum():
    found = pooled(Pool("max", 3, 2), -SQUARE)
    assert found.tolist() == [[-1, -2], [-5, -6]]


@pytest.mark.parametrize(
    ("padding", "expected"),
    [
        ((0, 0, 0, 0), [[11]]),
        ((1, 0, 1, 0), [[7], [15]]),
        ((0, 1, 0, 1), [[10, 12]]),
        ("symmetric", [[6, 8], [14, 16]]),
        ("same", [[11, 12], [15, 16]]),
    ],
)
def test_padding_of_each_side(padding, expected):
    assert pooled(Pool("max", 3, 2, padding)).tolist() == expected


def test_partial_windows():
    assert pooled(Pool("max", 3, 2, (0, 0, 0, 0), ceil=True)).tolist() == [[11, 12], [15, 16]]
    # A window that would begin behind the image does not count.
    assert pooled(Pool("max", 1, 2, (0, 0, 0, 0), ceil=True)).tolist() == [[1, 3], [9, 11]]


ONES = np.ones((4, 4))


@pytest.mark.parametrize(
    ("pool", "rows"),
    [  # rows of an image of ones; columns alike
        (Pool("average", 3), [1, 1, 1, 1]),
        (Pool("average", 3, count_padding=True), [2 / 3, 1, 1, 2 / 3]),
        (Pool("average", 3, 2, "same", count_padding=True), [1, 2 / 3]),
        (Pool("average", 3, 2, "same"), [1, 1]),
        (Pool("average", 3, 2, (0, 0, 0, 0), True), [1, 1]),
        (Pool("average", 3, 2, (0, 0, 0, 0), True, True), [1, 1]),  # what `ceil` adds is no padding
        (Pool("average", 4, 3, (1, 1, 0, 0), True, True), [3 / 4, 2 / 2]),
        (Pool("average", 5, 3, (1, 1, 1, 1), True, True), [4 / 5, 2 / 3]),
    ],
)
def test_what_averages_count(pool, rows):
    assert pooled(pool, ONES) == pytest.approx(np.outer(rows, rows), rel=1e-6)


def test_averages_of_numbers():
    found = pooled(Pool("average", 2, 2, (1, 0, 0, 0), ceil=True, count_padding=True))
    assert found.tolist() == [[0.75, 1.75], [7.5, 9.5], [13.5, 15.5]]


def test_one_operator_says_it_where_it_can():
    simple = [Pool("max", 3, ceil=True), Pool("average", 3, count_padding=True)]
    simple += [Pool("average", 3, 2, (0, 0, 0, 0), ceil=True)]
    for pool in simple:
        assert len(operators(seq(pool), (1, 4, 4))) == 2
    corrected = Pool("average", 3, 2, (0, 0, 0, 0), ceil=True, count_padding=True)
    assert operators(seq(corrected), (1, 4, 4)) == ["AveragePool", "Mul", "Identity"]
