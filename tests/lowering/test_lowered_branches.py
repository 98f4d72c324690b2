"""Trees with layers and containers of all kinds, lowered against trained, as torch modules."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    LayerNorm,
    MixConv,
    Pad,
    Pool,
    Residual,
    Scale,
    Seq,
    Slices,
    SplitAttention,
    SqueezeExcite,
    Sum,
    end_shape,
    walk,
)
from nas.lowering import (
    AS_TRAINED,
    MERGE_ALL,
    PHASED,
    PHASED_SLICES,
    Form,
    Preference,
    lower,
    lowered_tree,
)
from nas.torch_model import to_module, weights_of
from nas.torch_model.modules import to_loaded_module
from tests.lowering.any_form import AnyForm
from tests.random_trees import trees

RULES = {
    "merge all": MERGE_ALL,
    "as trained": AS_TRAINED,
    "neighbors": Preference(("neighbors",)),
    "halves": Preference(("halves",)),
    "padded": Preference(("padded",)),
    "phases": PHASED,
    "slices with phases": PHASED_SLICES,
    "halves with phases": Preference(("halves phases", "phases")),
}


def trained_weights(tree, seed=0):
    """Return random weights of a tree, with biases, factors and statistics of a trained one."""
    rng = np.random.default_rng(seed)
    weights = weights_of(to_module(tree))
    return {name: _trained(name, array, rng) for name, array in weights.items()}


def _trained(name, array, rng):
    if name.endswith("num_batches_tracked"):
        return array
    if array.ndim == 1 and name.endswith(("running_var", "weight")):
        return rng.uniform(0.5, 1.5, array.shape).astype(np.float32)
    scale = 1 / np.sqrt(max(1, array[0].size)) if array.ndim > 1 else 0.3
    return (scale * rng.standard_normal(array.shape)).astype(np.float32)


def torch_outputs(tree, shape, weights):
    """Return the outputs of a tree as a torch module that computes in float64."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    with torch.no_grad():
        return to_loaded_module(tree, weights).double()(images)


def torch_difference(tree, shape, choice):
    """Return the largest difference between lowered and trained outputs, and the lowered tree."""
    weights = trained_weights(tree)
    lowered, lowered_weights = lower(tree, shape, weights, choice)
    assert end_shape(lowered, shape) == end_shape(tree, shape)
    expected = torch_outputs(tree, shape, weights)
    found = torch_outputs(lowered, shape, lowered_weights)
    assert found.shape == expected.shape
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-3)), lowered


def leaves(tree, shape):
    return [layer.leaf for layer in walk(tree, shape)]


@given(trees(), st.integers(0, 10**6))
@settings(max_examples=60, deadline=None)
def test_random_trees_in_any_form(drawn, seed):
    tree, shape = drawn
    error, lowered = torch_difference(tree, shape, AnyForm(seed))
    assert error < 1e-5
    assert not any(isinstance(leaf, Dropout) for leaf in leaves(lowered, shape))


@given(trees(depth=1))
@settings(max_examples=12, deadline=None)
def test_random_trees_by_every_rule(drawn):
    tree, shape = drawn
    for rule in RULES.values():
        error, lowered = torch_difference(tree, shape, rule)
        assert error < 1e-5
        assert repr(lowered) == repr(lowered_tree(tree, shape, rule))


@given(trees(), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_lowered_trees_can_be_lowered_again(drawn, seed):
    tree, shape = drawn
    weights = trained_weights(tree)
    once = lower(tree, shape, weights, AnyForm(seed))
    twice = lower(once[0], shape, once[1], AnyForm(seed + 1))
    expected = torch_outputs(tree, shape, weights)
    found = torch_outputs(twice[0], shape, twice[1])
    assert float((found - expected).abs().max()) < 1e-5 * max(1e-3, float(expected.abs().max()))


def named(**children):
    return tuple(children.items())


def conv_norm(inputs, outputs, *more, act="relu", **options):
    conv = Conv(inputs, outputs, *more, **options)
    return Seq(named(conv=conv, norm=BatchNorm(outputs), act=Activation(act)))


def depthwise(channels, *kernels, stride=1, bias=False):
    width = channels // len(kernels)
    return MixConv(tuple(Conv(width, width, k, stride, width, bias=bias) for k in kernels))


def mixed_branches(channels=12, kernels=(3, 5, 7, 9)):
    """A mix with normalization in branches of every kind, as many channels everywhere."""

    def mix(width):
        conv = depthwise(width, *kernels[: 4 if width == channels else 1])
        return Seq(named(conv=conv, norm=BatchNorm(width), act=Activation("swish")))

    third = channels // 3
    return Seq(
        named(
            sum=Sum(named(branch=mix(channels), shortcut=Seq(())), branch="branch"),
            slices=Slices(named(a=mix(third), b=Seq(()), c=mix(third)), (third,) * 3),
            cascade=Cascade(named(a=Seq(()), b=mix(third), c=mix(third)), (third,) * 3),
            concat=Concat(named(a=Dropout(), b=mix(channels))),
        )
    )


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kernels", [(3, 5, 7, 9), (9, 7, 5, 3)])
def test_mixes_in_branches_take_the_form_that_is_chosen(rule, kernels):
    tree, shape = mixed_branches(kernels=kernels), (12, 11, 8)
    error, lowered = torch_difference(tree, shape, RULES[rule])
    assert error < 1e-5
    found = leaves(lowered, shape)
    assert not any(isinstance(leaf, (BatchNorm, Dropout)) for leaf in found)
    kept = dict(lowered.children)
    assert kept["sum"].branch == "branch"
    assert kept["slices"].sizes == kept["cascade"].sizes == (4, 4, 4)
    assert any(isinstance(leaf, MixConv) for leaf in found) == (
        rule in ("as trained", "neighbors", "halves")
    )
    assert any(isinstance(leaf, Pad) for leaf in found) == (rule == "padded")
    phased = [leaf for leaf in found if isinstance(leaf, Conv) and leaf.dilation == 2]
    assert bool(phased) == ("phases" in rule)


def test_slices_whose_first_layer_is_gone_know_their_sizes():
    # Without sizes of its own, since every child begins with a convolution.
    tree = Slices(named(a=depthwise(4, 3), b=Seq(named(c=Conv(2, 2), n=BatchNorm(2)))))
    error, lowered = torch_difference(Seq(named(s=tree)), (6, 5, 5), RULES["padded"])
    assert error < 1e-5
    assert dict(lowered.children)["s"].sizes == (4, 2)


BLOCKS = {
    # ConvNeXt: a large depthwise kernel with a bias, and layer normalization after it.
    "convnext": (
        Residual(
            named(
                conv=Conv(8, 8, 7, groups=8, bias=True),
                norm=LayerNorm(8),
                expand=Conv(8, 32, bias=True),
                act=Activation("gelu"),
                project=Conv(32, 8, bias=True),
                scale=Scale(8),
            )
        ),
        {LayerNorm: 1},
    ),
    # ShuffleNet-v2: half of the channels pass, the others run through three convolutions.
    "shuffle": (
        Seq(
            named(
                halves=Slices(
                    named(
                        shortcut=Seq(()),
                        branch=Seq(
                            named(
                                a=conv_norm(4, 4),
                                b=Seq(named(conv=depthwise(4, 7), norm=BatchNorm(4))),
                                c=conv_norm(4, 4),
                            )
                        ),
                    ),
                    (4, 4),
                ),
                shuffle=ChannelShuffle(2),
            )
        ),
        {ChannelShuffle: 1},
    ),
    # GhostNet: half of the channels come from cheap depthwise convolutions of the others.
    "ghost": (
        Seq(
            named(
                primary=conv_norm(8, 4),
                ghost=Concat(named(first=Seq(()), cheap=conv_norm(4, 4, 3, groups=4))),
            )
        ),
        {},
    ),
    # DenseNet: normalization comes before the convolution, so that the first one stays.
    "dense": (
        Seq(
            named(
                layer=Concat(
                    named(
                        all=Seq(()),
                        new=Seq(
                            named(
                                norm1=BatchNorm(8),
                                act1=Activation("relu"),
                                conv1=Conv(8, 6),
                                norm2=BatchNorm(6),
                                act2=Activation("relu"),
                                conv2=Conv(6, 4, 3),
                                drop=Dropout(0.2),
                            )
                        ),
                    )
                ),
                norm=BatchNorm(12),
                act=Activation("relu"),
                conv=Conv(12, 8),
                pool=Pool("average", 2, 2, (0, 0, 0, 0)),
            )
        ),
        {BatchNorm: 2, Pool: 1},
    ),
    # Res2Net, whose splits are normalized and activated each.
    "res2": (
        Cascade(named(**{f"s{i}": Seq(()) if i == 0 else conv_norm(2, 2, 3) for i in range(4)}),
                (2,) * 4),
        {},
    ),
    # ResNeSt: the normalization within its attention is folded as well.
    "resnest": (
        Seq(
            named(
                conv=conv_norm(8, 16, 3, groups=2),
                attention=SplitAttention(
                    8, 2, Conv(8, 4, bias=True), BatchNorm(4), "relu", Conv(4, 16, bias=True)
                ),
            )
        ),
        {SplitAttention: 1},
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_of_the_families_of_networks(name, rule):
    block, kept = BLOCKS[name]
    tree, shape = Seq(named(block=block)), (8, 12, 9)
    error, lowered = torch_difference(tree, shape, RULES[rule])
    assert error < 1e-5
    found = leaves(lowered, shape)
    kinds = (BatchNorm, LayerNorm, Scale, Dropout, ChannelShuffle, Pool, SplitAttention)
    counts = {kind: sum(isinstance(leaf, kind) for leaf in found) for kind in kinds}
    assert {kind: count for kind, count in counts.items() if count} == kept
    dilated = any(isinstance(leaf, Conv) and leaf.dilation == 2 for leaf in found)
    assert dilated == (name in ("convnext", "shuffle") and "phases" in rule)


def test_the_norm_of_split_attention_goes_into_its_first_convolution():
    tree = BLOCKS["resnest"][0]
    weights = trained_weights(tree)
    lowered, lowered_weights = lower(tree, (8, 6, 6), weights)
    attention = dict(lowered.children)["attention"]
    assert attention.norm is None
    assert attention.reduce.bias
    assert not [name for name in lowered_weights if ".norm." in name]
    assert lowered_weights["attention.reduce.weight"].shape == (4, 8, 1, 1)
    again, same = lower(lowered, (8, 6, 6), lowered_weights)
    assert dict(again.children)["attention"].norm is None
    assert same.keys() == lowered_weights.keys()


def test_the_gate_function_and_the_outputs_of_branches_are_kept():
    gate = SqueezeExcite(Conv(4, 2, bias=True), Conv(2, 4, bias=True), "relu", gate="hard_sigmoid")
    tree = Seq(named(both=Concat(named(a=Seq(()), b=Seq(named(gate=gate))))))
    error, lowered = torch_difference(tree, (4, 6, 6), MERGE_ALL)
    assert error < 1e-5
    (leaf,) = leaves(lowered, (4, 6, 6))
    assert (leaf.gate, leaf.wide) == ("hard_sigmoid", False)


def test_a_factor_is_folded_without_a_bias():
    tree = Seq(named(conv=Conv(4, 4), scale=Scale(4)))
    weights = trained_weights(tree)
    lowered, lowered_weights = lower(tree, (4, 5, 5), weights)
    assert [name for name, _ in lowered.children] == ["conv"]
    assert lowered_weights.keys() == {"conv.weight"}
    np.testing.assert_allclose(
        lowered_weights["conv.weight"],
        weights["conv.weight"] * weights["scale.weight"][:, None, None, None],
        rtol=1e-6,
    )


def test_kernels_with_explicit_padding_are_merged():
    convs = tuple(Conv(4, 4, 2, groups=4, padding=(1, 2, 0, 1), columns=4) for _ in range(3))
    tree = Seq(named(mix=MixConv(convs), norm=BatchNorm(12)))
    error, lowered = torch_difference(tree, (12, 6, 7), MERGE_ALL)
    assert error < 1e-5
    (conv,) = leaves(lowered, (12, 6, 7))
    assert (conv.window, conv.padding, conv.groups) == ((2, 4), (1, 2, 0, 1), 12)
    error, lowered = torch_difference(tree, (12, 6, 7), RULES["padded"])
    assert error < 1e-5
    pad, conv = leaves(lowered, (12, 6, 7))
    assert (pad.pads, conv.padding) == ((0, 2, 0, 1), (1, 0, 0, 0))


def test_explicit_padding_that_does_not_fit_a_merged_kernel_is_refused():
    class Merged:
        def form(self, mix, shape):
            return Form((2,))

    convs = tuple(Conv(4, 4, k, 2, groups=4, padding=(1, 1, 1, 1)) for k in (3, 4))
    with pytest.raises(ValueError, match="form '2' does not fit the convolutions at 'mix'"):
        lowered_tree(Seq(named(mix=MixConv(convs))), (8, 7, 7), Merged())


def test_dropout_alone_leaves_nothing():
    tree = Seq(named(drop=Dropout(), both=Sum(named(a=Dropout(), b=Seq(())))))
    lowered = lowered_tree(tree, (4, 5, 5))
    assert [name for name, _ in lowered.children] == ["both"]
    assert [child.children for _, child in lowered.children[0][1].children] == [(), ()]
