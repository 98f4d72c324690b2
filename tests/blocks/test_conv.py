import pytest

from nas.blocks import ConvBlock, Rules
from nas.ir import Residual, walk


def test_a_plain_convolution():
    rules = Rules("same", norm_eps=1e-3, norm_momentum=0.01)
    block = ConvBlock(channels=24, stride=2, kernels=(5,), activation="swish")
    conv, norm, act = walk(block.expand(16, rules), (16, 8, 8))
    assert (conv.leaf.in_channels, conv.leaf.out_channels, conv.leaf.groups) == (16, 24, 1)
    assert (conv.leaf.kernel, conv.leaf.stride, conv.leaf.padding) == (5, 2, "same")
    assert not conv.leaf.bias
    assert (norm.leaf.channels, norm.leaf.eps, norm.leaf.momentum) == (24, 1e-3, 0.01)
    assert act.leaf.function == "swish"


def test_identity_is_no_layer():
    tree = ConvBlock(channels=16, activation="identity", skip=True).expand(16, Rules())
    assert isinstance(tree, Residual)
    assert [layer.path for layer in walk(tree, (16, 8, 8))] == ["conv", "norm"]


def test_responses_are_normalized_after_the_activation():
    tree = ConvBlock(channels=16, norm="response").expand(8, Rules())
    conv, act, norm = walk(tree, (8, 6, 6))
    assert conv.leaf.bias
    assert act.leaf.function == "relu"
    assert (norm.leaf.size, norm.leaf.alpha, norm.leaf.beta, norm.leaf.bias) == (5, 1e-4, 0.75, 1)


def test_kernel_mixes_are_refused():
    with pytest.raises(ValueError, match=r"has one kernel size; found \[3, 5\]"):
        ConvBlock(channels=16, kernels=(3, 5)).expand(16, Rules())
