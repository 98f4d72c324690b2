"""The numbers are timm's (1.0.31), counted from its modules at 224 pixels."""

import numpy as np
import pytest
import torch

from nas.blocks import RexBlock, Rules
from nas.cost import count
from nas.ir import Conv, Pad, Residual, Seq, SqueezeExcite, Sum, walk
from nas.spec import load_network
from nas.torch_model import to_module


def leaves(block, channels=16):
    return [layer.leaf for layer in walk(block.expand(channels, Rules()), (channels, 8, 8))]


def test_squeezed_channels_are_normalized_and_rounded_down():
    found = leaves(RexBlock(24, stride=2, expansion=6, se_ratio=1 / 12), channels=18)
    (gate,) = [leaf for leaf in found if isinstance(leaf, SqueezeExcite)]
    assert (gate.reduce.in_channels, gate.reduce.out_channels) == (108, 9)
    assert (gate.norm.channels, gate.activation) == (9, "relu")
    (least,) = [
        leaf
        for leaf in leaves(RexBlock(8, se_ratio=0.05, expansion=1))
        if isinstance(leaf, SqueezeExcite)
    ]
    assert least.reduce.out_channels == 1


def test_the_second_activation_follows_the_gate():
    gated = [type(leaf).__name__ for leaf in leaves(RexBlock(24, se_ratio=0.25))]
    assert gated == [
        "Conv", "BatchNorm", "Activation",
        "Conv", "BatchNorm", "SqueezeExcite", "Activation",
        "Conv", "BatchNorm", "Pad",
    ]  # fmt: skip
    assert [leaf.function for leaf in leaves(RexBlock(8)) if hasattr(leaf, "function")] == [
        "swish",
        "relu6",
    ]


def test_ratio_one_has_no_expansion():
    convs = [leaf for leaf in leaves(RexBlock(24, expansion=1)) if isinstance(leaf, Conv)]
    assert [conv.groups for conv in convs] == [16, 1]


@pytest.mark.parametrize(
    ("fields", "inputs", "kind"),
    [
        ({}, 16, Residual),
        ({}, 8, Sum),
        ({}, 24, Seq),
        ({"stride": 2}, 16, Seq),
        ({"stride": 2, "skip": "pool"}, 8, Sum),
        ({"skip": False}, 16, Seq),
    ],
)
def test_the_input_is_added_where_the_shapes_allow_it(fields, inputs, kind):
    assert type(RexBlock(16, **fields).expand(inputs, Rules())) is kind


def test_a_narrower_input_is_added_to_the_first_channels():
    torch.manual_seed(0)
    tree = RexBlock(7, expansion=2, se_ratio=0.25).expand(5, Rules())
    module = to_module(tree).eval()
    x = torch.randn(2, 5, 6, 6)
    with torch.no_grad():
        branch, added = module.branch(x), module(x)
    assert isinstance(tree.children[1][1].children[0][1], Pad)
    np.testing.assert_allclose(added[:, :5], branch[:, :5] + x, atol=1e-6)
    np.testing.assert_allclose(added[:, 5:], branch[:, 5:])


def test_too_many_kernel_groups_are_refused():
    with pytest.raises(ValueError, match="2 channels"):
        RexBlock(16, expansion=1, kernels=(3, 5, 7)).expand(2, Rules())


@pytest.mark.parametrize(
    ("name", "values", "expected"),
    [
        ("expansion", {"expansion": 1}, 1),
        ("expansion", {"expansion": 6.01}, 6),
        ("split", {"kernels": (3,), "split": "exponential"}, "equal"),
        ("se_ratio", {"se_ratio": 0.26}, 0.25),
        ("se_ratio", {"se_ratio": 0}, 0),
        ("activation", {"expansion": 1, "activation": "mish"}, "swish"),
        ("activation", {"activation": "mish"}, "mish"),
    ],
)
def test_values_with_the_same_effect_have_one_name(name, values, expected):
    block = RexBlock(16, **values)
    assert block.canonical_value(name, 16) == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rexnet_100", (4_796_873, 398_370_392)),
        ("rexnet_130", (7_557_091, 662_229_098)),
    ],
)
def test_costs_of_rexnets(name, expected):
    found = count(load_network(name).at(224))
    assert (found.params, found.madds) == expected
