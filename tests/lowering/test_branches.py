"""Blocks as sums of their kernels' branches, against the trained ones."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    MixConv,
    Residual,
    Seq,
    Slices,
    SqueezeExcite,
    Sum,
    walk,
)
from nas.lowering import AS_TRAINED, MERGE_ALL, PHASED_SLICES, SumOfBranches, lowered_tree
from nas.lowering.branches import has_branches
from nas.spec import load_network
from tests.lowering.any_form import AnyForm
from tests.lowering.test_rewrite import difference, with_ends
from tests.test_spec import specs

ACTIVATIONS = ("relu", "relu6", "swish", "hard_swish", "gelu")


def part(conv, channels, activation=None):
    after = [("act", Activation(activation))] if activation else []
    return Seq((("conv", conv), ("norm", BatchNorm(channels)), *after))


def block(kernels, widths, inputs=6, outputs=5, stride=1, acts=("relu", "swish"), padding="same"):
    mid = sum(widths)
    middle = tuple(
        Conv(width, width, kernel, stride, width, padding=padding)
        for kernel, width in zip(kernels, widths, strict=True)
    )
    return (
        ("expand", part(Conv(inputs, mid), mid, acts[0])),
        ("depthwise", part(MixConv(middle), mid, acts[1])),
        ("project", part(Conv(mid, outputs), outputs)),
    )


def sums(tree):
    """Return the number of sums in a tree."""
    return sum(isinstance(node, Sum) for node in containers(tree))


def containers(node):
    yield node
    for _, child in getattr(node, "children", ()):
        yield from containers(child)


@given(
    st.lists(
        st.tuples(st.sampled_from([1, 3, 5, 7, 9, 11]), st.integers(1, 7)), min_size=2, max_size=5
    ),
    st.sampled_from([1, 2]),
    st.sampled_from(["symmetric", "same"]),
    st.tuples(st.sampled_from(ACTIVATIONS), st.sampled_from(ACTIVATIONS)),
    st.integers(1, 14),
    st.integers(0, 10**6),
)
@settings(max_examples=60)
def test_a_block_is_the_sum_of_its_branches(mixed, stride, padding, acts, size, seed):
    kernels, widths = zip(*mixed, strict=True)
    parts = block(kernels, widths, stride=stride, acts=acts, padding=padding)
    if set(mixed) == {(1, 1)}:  # slices of one channel with one tap, which are dense
        return
    tree = with_ends(Seq(parts), 6, 5)
    rule = SumOfBranches(AnyForm(seed))
    lowered = lowered_tree(tree, (3, size, size), rule)
    assert not any(isinstance(node, (MixConv, Slices)) for node in containers(lowered))
    (branches,) = [
        node
        for node in containers(lowered)
        if isinstance(node, Sum) and isinstance(node.children[0][1], Seq)
    ]
    assert len(branches.children) == len(mixed)
    assert difference(tree, (3, size, size), rule) < 1e-5


@given(specs, st.integers(0, 10**6))
@settings(max_examples=40)
def test_every_kind_of_block_with_sums(spec, seed):
    rule = SumOfBranches(AnyForm(seed))
    assert difference(spec.tree(), spec.in_shape, rule) < 1e-4


@pytest.mark.parametrize(("name", "count"), [("mixnet_s", 0), ("mixnet_m", 1)])
def test_only_blocks_without_squeeze_and_excitation_become_sums(name, count):
    spec = load_network(name).at(64)
    rule = SumOfBranches(MERGE_ALL)
    tree = lowered_tree(spec.tree(), spec.in_shape, rule)
    without = [
        one
        for one in spec.blocks
        if not getattr(one, "se_ratio", 0) and len(getattr(one, "kernels", ())) > 1
    ]
    assert sums(tree) == len(without) == count
    gates = [layer for layer in walk(tree, spec.in_shape) if isinstance(layer.leaf, SqueezeExcite)]
    assert len(gates) == sum(bool(getattr(one, "se_ratio", 0)) for one in spec.blocks)
    assert difference(spec.tree(), spec.in_shape, rule) < 1e-4


def test_the_rule_decides_by_kernel_size_whether_a_convolution_is_a_sum_of_phases():
    tree = Seq(block((3, 7), (4, 4)))
    for rule, count in ((AS_TRAINED, 1), (PHASED_SLICES, 2)):
        assert sums(lowered_tree(tree, (6, 8, 8), SumOfBranches(rule))) == count


def test_other_parts_stay_as_they_are():
    good = block((3, 5), (4, 4))
    expand, middle, project = good
    mixed = middle[1].children[0][1]
    assert has_branches(good)
    assert not has_branches(good[:2])
    assert not has_branches([*good, project])
    others = {
        "activated": ("project", part(Conv(8, 5), 5, "relu")),
        "strided": ("project", part(Conv(8, 5, stride=2), 5)),
        "wide": ("project", part(Conv(8, 5, kernel=3), 5)),
        "bare": ("project", Conv(8, 5)),
    }
    for other in others.values():
        assert not has_branches((expand, middle, other))
    single = part(Conv(8, 8, 3, groups=8), 8, "relu")
    gated = Seq((*middle[1].children, ("se", SqueezeExcite(Conv(8, 2), Conv(2, 8), "relu"))))
    late = Seq((("conv", mixed), ("act", Activation("relu")), ("norm", BatchNorm(8))))
    grouped = part(MixConv((Conv(4, 4, 3, groups=2), Conv(4, 4, 5, groups=2))), 8, "relu")
    for other in (single, gated, late, grouped):
        assert not has_branches((expand, ("depthwise", other), project))


def test_a_rule_for_single_layers_makes_no_sums():
    tree = Seq(block((3, 5), (4, 4)))
    assert sums(lowered_tree(tree, (6, 8, 8), MERGE_ALL)) == 0


def test_a_residual_block_keeps_its_shortcut():
    parts = block((3, 5, 7), (4, 6, 5), inputs=6, outputs=6)
    tree = with_ends(Residual(parts), 6)
    rule = SumOfBranches(AnyForm(random.Random(0).randrange(99)))
    assert any(isinstance(n, Residual) for n in containers(lowered_tree(tree, (3, 9, 9), rule)))
    assert difference(tree, (3, 9, 9), rule) < 1e-4
