"""The numbers are timm's (1.0.31), counted from its modules at 224 pixels."""

import pytest

from nas.blocks import LinearBottleneck, Rules
from nas.cost import count
from nas.ir import Conv, MixConv, Residual, Seq, SqueezeExcite, walk
from nas.spec import load_network


def test_the_middle_is_a_multiple_of_the_output():
    block = LinearBottleneck(24, 2, group_width=8, se_ratio=0.25)
    tree = block.expand(16, Rules())
    leaves = [layer.leaf for layer in walk(tree, (16, 8, 8))]
    convs = [leaf for leaf in leaves if isinstance(leaf, Conv)]
    assert [(c.in_channels, c.out_channels, c.groups) for c in convs] == [
        (16, 96, 1), (96, 96, 12), (96, 24, 1),
    ]  # fmt: skip
    (gate,) = [leaf for leaf in leaves if isinstance(leaf, SqueezeExcite)]
    assert (gate.reduce.in_channels, gate.reduce.out_channels) == (96, 4)


def test_kernels_are_mixed_in_groups():
    block = LinearBottleneck(16, expansion=2, group_width=4, kernels=(3, 5))
    middle = next(
        layer.leaf
        for layer in walk(block.expand(16, Rules()), (16, 8, 8))
        if isinstance(layer.leaf, MixConv)
    )
    assert [(c.kernel, c.in_channels, c.groups) for c in middle.convs] == [(3, 16, 4), (5, 16, 4)]


@pytest.mark.parametrize(
    ("fields", "inputs", "kind"),
    [({}, 16, Residual), ({}, 8, Seq), ({"stride": 2}, 16, Seq), ({"skip": False}, 16, Seq)],
)
def test_the_input_is_added_where_the_shapes_allow_it(fields, inputs, kind):
    assert type(LinearBottleneck(16, **fields).expand(inputs, Rules())) is kind


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"group_width": 3}, "group_width 3 does not divide the 64 channels in the middle"),
        ({"kernels": (3, 5)}, "1 channel"),
    ],
)
def test_impossible_blocks_are_refused(fields, problem):
    with pytest.raises(ValueError, match=problem):
        LinearBottleneck(16, **fields).expand(16, Rules())


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("group_width", {"group_width": 64}, 0),
        ("expansion", {"expansion": 4.01}, 4),
        ("split", {"kernels": (3,), "split": "exponential"}, "equal"),
        ("se_ratio", {"se_ratio": 0.26}, 0.25),
        ("se_ratio", {"se_ratio": 0}, 0),
    ],
)
def test_values_with_the_same_effect_have_one_name(name, values, expected):
    block = LinearBottleneck(16, **values)
    assert block.canonical_value(name, 16) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("regnet_z_500mf", (7_122_742, 507_203_840, 5_860_358)),
        ("regnet_z_4gf", (27_116_800, 3_075_512_064, 18_529_376)),
    ],
)
def test_costs_of_regnets(name, expected):
    found = count(load_network(name).at(224))
    assert (found.params, found.madds, found.activations) == expected
