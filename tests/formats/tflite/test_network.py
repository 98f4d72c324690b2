"""TensorFlow Lite models in LiteRT against torch, and their operators."""

from functools import partial

import pytest
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
    GlobalPool,
    LayerNorm,
    Linear,
    MixConv,
    Pool,
    Residual,
    Scale,
    Seq,
    Slices,
    Sum,
)
from nas.latency.weights import realistic_weights
from nas.lowering import MERGE_ALL
from nas.spec import Input, load_network
from tests.formats import outputs
from tests.formats.outputs import Phases, convolutions, lowered_trees, members
from tests.networks import LOWERED, OTHERS, small
from tests.random_trees import trees
from tests.test_spec import specs

litert = pytest.importorskip("tests.formats.tflite.litert")

difference = partial(outputs.difference, litert.in_litert)
of_spec = partial(outputs.of_spec, litert.in_litert)


def check_reference(name, padding, choice):
    spec = load_network(name).replace(padding=padding, input=Input(resolution=33))
    assert of_spec(spec, choice) < 1e-5


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_mixnet_as_phases(padding):
    check_reference("mixnet_s", padding, Phases())


@pytest.mark.slow
@pytest.mark.parametrize("choice", [None, MERGE_ALL, Phases()], ids=["plain", "merged", "phases"])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("name", LOWERED)
def test_reference_networks(name, padding, choice):
    check_reference(name, padding, choice)


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_a_network_of_every_family(name):
    assert of_spec(small(name), Phases()) < 1e-5


@given(specs)
@settings(max_examples=12)
def test_every_kind_of_block(spec):
    assert of_spec(spec, Phases() if spec.num_classes % 2 else None, batch=1) < 1e-4


@given(members())
@settings(max_examples=3)
def test_random_networks_of_mixnet(spec):
    assert of_spec(spec, Phases()) < 1e-4


@given(convolutions())
@settings(max_examples=40)
def test_convolutions(case):
    tree, shape, choice = case
    assert difference(tree, shape, realistic_weights(tree), choice) < 1e-5


@given(lowered_trees())
@settings(max_examples=20)
def test_what_only_lowering_makes(case):
    tree, shape = case
    assert difference(tree, shape, realistic_weights(tree)) < 1e-5


@given(trees(), st.sampled_from([1, 3]))
@settings(max_examples=60)
def test_random_trees(case, batch):
    assert litert.error(*case, batch) < 1e-5


def named(**children):
    return tuple(children.items())


IDENTITY = Seq(())
SHORTCUTS = {
    "sum with a shortcut": Sum(named(branch=Conv(6, 6, 3), shortcut=IDENTITY)),
    "shortcut first": Sum(named(shortcut=IDENTITY, branch=Conv(6, 6, 3), third=IDENTITY)),
    "input twice": Concat(named(a=IDENTITY, b=IDENTITY)),
    "dense layer": Concat(named(kept=IDENTITY, new=Seq(named(n=BatchNorm(6), c=Conv(6, 4, 3))))),
    "one branch": Concat(named(only=IDENTITY)),
    "slice passed on": Slices(named(kept=IDENTITY, new=Pool("max", 3)), (2, 4)),
    "slices of any kind": Slices(
        named(a=LayerNorm(2), b=Activation("mish"), c=Concat(named(x=IDENTITY, y=IDENTITY))),
        (2, 1, 3),
    ),
    "cascade": Cascade(named(a=IDENTITY, b=Conv(2, 2, 3), c=Activation("relu")), (2, 2, 2)),
    "cascade of identities": Cascade(named(a=IDENTITY, b=IDENTITY), (3, 3)),
    "shuffle unit": Seq(
        named(
            halves=Slices(named(kept=IDENTITY, new=Conv(3, 3, 3)), (3, 3)),
            shuffle=ChannelShuffle(2),
        )
    ),
    "residual of a residual": Residual(named(inner=Residual(named(scale=Scale(6))))),
    "linear branches": Seq(
        named(
            pool=GlobalPool(),
            dropout=Dropout(),
            linear=Linear(6, 6),
            both=Sum(named(shortcut=IDENTITY, branch=Linear(6, 6))),
            slices=Slices(named(a=IDENTITY, b=Activation("swish")), (2, 4)),
        )
    ),
}


@pytest.mark.parametrize("name", SHORTCUTS)
@pytest.mark.parametrize("batch", [1, 3])
def test_branches_may_begin_with_anything_or_be_identities(name, batch):
    after = Seq(named(first=SHORTCUTS[name], act=Activation("relu6")))
    assert litert.error(SHORTCUTS[name], (6, 4, 5), batch) < 1e-5
    assert litert.error(after, (6, 4, 5), batch) < 1e-5


@pytest.mark.parametrize("tree", [IDENTITY, Residual(()), Seq(named(dropout=Dropout()))])
def test_a_network_without_layers(tree):
    assert litert.error(tree, (3, 4, 5)) == 0


def test_even_slices_are_one_split_and_others_are_cut_out():
    cases = [((4, 4), ["SPLIT"]), ((4, 6), ["SLICE"] * 2), ((4,) * 5, ["SLICE"] * 5)]
    for widths, expected in cases:
        mix = MixConv(tuple(Conv(w, w, 3, groups=w) for w in widths))
        names, _ = litert.operators(mix, (sum(widths), 8, 8))
        assert names == [*expected, *["DEPTHWISE_CONV_2D"] * len(widths), "CONCATENATION"]


def fused(node):
    """Return the operators of a node and a ReLU, and whether the last one does a ReLU as well."""
    tree = Seq(named(node=node, act=Activation("relu")))
    names, model = litert.operators(tree, (4, 8, 8))
    function = getattr(litert.options(model)[-1], "fusedActivationFunction", 0)
    return names, function == litert.schema.ActivationFunctionType.RELU


def test_relu_is_part_of_the_operator_before_it_but_never_of_a_concatenation():
    conv = Conv(4, 4, 3, padding="same")
    assert fused(conv) == (["CONV_2D"], True)
    assert fused(BatchNorm(4)) == (["DEPTHWISE_CONV_2D"], True)
    assert fused(Linear(4 * 8 * 8, 3)) == (["FULLY_CONNECTED"], True)
    assert fused(Residual(named(conv=conv))) == (["CONV_2D", "ADD"], True)
    both = named(branch=conv, shortcut=IDENTITY, third=IDENTITY)
    names, model = litert.operators(Seq(named(sum=Sum(both), act=Activation("relu"))), (4, 8, 8))
    assert names == ["CONV_2D", "ADD", "ADD"]
    assert [option.fusedActivationFunction for option in litert.options(model)] == [0, 0, 1]
    assert fused(Sum(both[:1])) == (["CONV_2D", "RELU"], False)
    assert fused(MixConv((Conv(2, 2, 3), Conv(2, 2, 5))))[0][-2:] == ["CONCATENATION", "RELU"]
    for kind in (Slices, Concat, Cascade):
        node = kind(named(a=IDENTITY, b=IDENTITY), *([] if kind is Concat else [(2, 2)]))
        assert fused(node)[0][-2:] == ["CONCATENATION", "RELU"]


def test_a_model_has_its_name_and_metadata():
    _, model = litert.operators(Conv(3, 4), (3, 8, 8))
    assert model.subgraphs[0].name == b"a graph"
    (metadata,) = model.metadata
    assert metadata.name == b"k"
    assert bytes(model.buffers[metadata.buffer].data) == b"v"
