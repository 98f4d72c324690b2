"""Pieces that are lowered one by one, against trees that are lowered whole."""

import pytest
from hypothesis import given, settings

from nas.blocks import Block
from nas.ir import BatchNorm, Conv, Dropout, MixConv, Residual, Seq, end_shape, walk
from nas.lowering import MERGE_ALL, PHASED, SumOfBranches, lowered_tree, pieces
from nas.spec import load_network, reference_names
from tests.random_trees import trees

RULES = {"merge all": MERGE_ALL, "phases": PHASED, "branches": SumOfBranches(PHASED)}


def layers(tree, shape):
    return [(repr(layer.leaf), layer.in_shape) for layer in walk(tree, shape)]


def layers_of_pieces(tree, shape, rule):
    found = []
    for piece in pieces(tree, rule):
        run = Seq(tuple((str(i), node) for i, node in enumerate(piece)))
        found += layers(lowered_tree(run, shape, rule), shape)
        shape = end_shape(run, shape)
    return found


@given(trees())
@settings(max_examples=60, deadline=None)
def test_random_trees(drawn):
    tree, shape = drawn
    for rule in RULES.values():
        assert layers_of_pieces(tree, shape, rule) == layers(lowered_tree(tree, shape, rule), shape)


@pytest.mark.parametrize("name", reference_names())
def test_blocks_of_references(name):
    spec = load_network(name)
    shape = spec.in_shape
    for _, part in spec.parts():
        tree = part.expand(shape[0], spec.rules) if isinstance(part, Block) else part
        if isinstance(tree, (Seq, Residual)):
            for rule in RULES.values():
                expected = layers(lowered_tree(tree, shape, rule), shape)
                assert layers_of_pieces(tree, shape, rule) == expected
        shape = end_shape(tree, shape)


def test_what_may_be_folded_stays_with_the_layer_before_it():
    conv, norm = Conv(3, 8), BatchNorm(8)
    inner = Seq((("drop", Dropout(0.1)), ("norm", norm)))
    tree = Seq((("conv", conv), ("inner", inner), ("next", Conv(8, 8))))
    assert [len(piece) for piece in pieces(tree, MERGE_ALL)] == [2, 1]


def test_the_parts_of_a_sum_of_branches_stay_together():
    mix = MixConv((Conv(8, 8, kernel=3, groups=8), Conv(8, 8, kernel=5, groups=8)))
    convs = {"expand": Conv(4, 16), "depthwise": mix, "project": Conv(16, 4)}
    tree = Residual(tuple((name, Seq((("conv", conv),))) for name, conv in convs.items()))
    assert [len(piece) for piece in pieces(tree, PHASED)] == [1, 1, 1]
    assert [len(piece) for piece in pieces(tree, SumOfBranches(PHASED))] == [3]
