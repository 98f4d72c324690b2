"""What is folded into which convolution."""

import numpy as np
import pytest

from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    Concat,
    Conv,
    Dropout,
    LayerNorm,
    MixConv,
    Residual,
    Scale,
    Seq,
    Slices,
    Sum,
)
from nas.lowering.folding import affine, foldable


def named(**children):
    return tuple(children.items())


def folds(tree):
    """Return the paths of what is folded, by the path of the convolution."""
    return {conv: [path for _, path in layers] for conv, layers in foldable(tree).items()}


CONV, NORM = Conv(4, 4), BatchNorm(4)


def test_what_follows_a_convolution_directly_is_folded():
    tree = Seq(named(a=CONV, norm=NORM, act=Activation("relu"), mix=MixConv((Conv(2, 2),) * 2)))
    tree = Seq((*tree.children, ("drop", Dropout()), ("norm2", NORM), ("scale", Scale(4))))
    assert folds(tree) == {"a": ["norm"], "mix": ["norm2", "scale"]}


def test_the_ends_of_nested_sequences_follow_each_other():
    inner = Seq(named(conv=CONV, nothing=Seq(())))
    tree = Seq(named(first=inner, drop=Dropout(), second=Seq(named(norm=NORM, conv=CONV))))
    assert folds(tree) == {"first.conv": ["second.norm"]}


@pytest.mark.parametrize("between", [Activation("relu"), LayerNorm(4), Residual(named(conv=CONV))])
def test_nothing_is_folded_across_another_layer(between):
    assert folds(Seq(named(conv=CONV, between=between, norm=NORM))) == {}


def test_normalization_before_a_convolution_stays():
    # A layer of a DenseNet.
    layer = Seq(named(norm=NORM, act=Activation("relu"), conv=Conv(4, 2), norm2=BatchNorm(2)))
    tree = Seq(named(stem=CONV, dense=Concat(named(all=Seq(()), layer=layer)), norm=BatchNorm(6)))
    assert folds(tree) == {"dense.layer.conv": ["dense.layer.norm2"]}


@pytest.mark.parametrize(
    "join",
    [
        Sum(named(a=Seq(named(norm=NORM, conv=CONV)), b=CONV)),
        Concat(named(a=Seq(named(norm=NORM, conv=CONV)), b=CONV)),
        Slices(named(a=Seq(named(norm=NORM, conv=CONV)), b=CONV)),
        Cascade(named(a=Seq(named(norm=NORM, conv=CONV)), b=CONV)),
        Residual(named(norm=NORM, conv=CONV)),
        Sum(named(only=Seq(named(norm=NORM, conv=CONV)))),
    ],
)
def test_nothing_is_folded_where_branches_begin_or_end(join):
    assert folds(Seq(named(before=CONV, join=join, after=NORM))) == {}


def test_layers_within_branches_are_folded():
    branch = Seq(named(conv=CONV, norm=NORM))
    tree = Sum(named(a=branch, b=Residual(branch.children), c=Cascade(named(d=branch))))
    assert folds(tree) == {
        "a.conv": ["a.norm"], "b.conv": ["b.norm"], "c.d.conv": ["c.d.norm"],
    }  # fmt: skip


def test_scales_and_shifts_of_layers_after_each_other():
    weights = {
        "norm.weight": np.array([2.0, 3.0]),
        "norm.bias": np.array([0.5, -1.0]),
        "norm.running_mean": np.array([1.0, 2.0]),
        "norm.running_var": np.array([3.0, 8.0]),
        "scale.weight": np.array([10.0, 0.1]),
    }
    norm, scale = (BatchNorm(2, eps=1.0), "norm"), (Scale(2), "scale")
    factor, shift = affine([norm], weights)
    assert factor.tolist() == [1.0, 1.0]  # 2 / sqrt(3 + 1) and 3 / sqrt(8 + 1)
    assert shift.tolist() == [-0.5, -3.0]
    factor, shift = affine([scale, norm], weights)
    np.testing.assert_allclose(factor, [10.0, 0.1])
    np.testing.assert_allclose(shift, [-0.5, -3.0])
    factor, shift = affine([norm, scale], weights)
    np.testing.assert_allclose(factor, [10.0, 0.1])
    np.testing.assert_allclose(shift, [-5.0, -0.3])
