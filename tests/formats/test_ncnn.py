"""ncnn models in ncnn against torch, and their layers."""

import numpy as np
import pytest
from hypothesis import assume, given, settings

from nas.formats.ncnn import to_ncnn
from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    Concat,
    Conv,
    Dropout,
    GlobalPool,
    LayerNorm,
    Linear,
    MixConv,
    Pad,
    Pool,
    Residual,
    Seq,
    Slices,
    Sum,
)
from nas.latency.weights import realistic_weights
from nas.lowering import MERGE_ALL
from nas.spec import Input, load_network
from tests.formats.in_ncnn import difference, in_ncnn, layers, of_spec
from tests.formats.outputs import Phases, convolutions, lowered_trees, members
from tests.formats.random_weights import random_weights
from tests.networks import LOWERED, OTHERS, small
from tests.random_trees import nodes, trees
from tests.test_spec import specs


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_mixnet_as_phases(padding):
    spec = load_network("mixnet_s").replace(padding=padding, input=Input(resolution=36))
    assert of_spec(spec, Phases()) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("choice", [None, MERGE_ALL, Phases()], ids=["plain", "merged", "phases"])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("name", LOWERED)
def test_reference_networks(name, padding, choice):
    spec = load_network(name).replace(padding=padding, input=Input(resolution=36))
    assert of_spec(spec, choice) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("name", OTHERS)
def test_a_network_of_every_family(name):
    assert of_spec(small(name), Phases()) < 1e-4


@given(specs)
@settings(max_examples=12)
def test_every_kind_of_block(spec):
    assert of_spec(spec, Phases() if spec.num_classes % 2 else None, batch=1) < 1e-4


@given(members())
@settings(max_examples=3)
def test_random_networks_of_mixnet(spec):
    assert of_spec(spec, Phases()) < 1e-4


@given(trees())
@settings(max_examples=60)
def test_random_trees(case):
    tree, shape = case
    # What is left of few channels, with their mean subtracted, may be rounding errors of ncnn.
    assume(all(not isinstance(node, LayerNorm) or node.channels > 2 for node in nodes(tree)))
    assert difference(tree, shape, random_weights(tree)) < 1e-4


CONV = Conv(4, 4, 3, bias=True)
SAME = Seq(())


@pytest.mark.parametrize(
    "tree",
    [
        Sum((("a", SAME), ("b", CONV))),
        Sum((("a", SAME), ("b", SAME), ("c", SAME))),
        Sum((("a", Activation("relu")), ("b", SAME))),
        Residual(()),
        Residual((("a", Dropout()),)),
        Concat((("a", SAME), ("b", CONV), ("c", SAME))),
        Concat((("a", Concat((("a", SAME), ("b", SAME)))), ("b", Sum((("a", SAME),))))),
        Slices((("a", SAME), ("b", SAME)), (1, 3)),
        Slices((("a", Activation("swish")), ("b", Pool("max", 3))), (3, 1)),
        Slices((("a", SAME),), (4,)),
        Cascade((("a", SAME), ("b", Conv(2, 2, 3))), (2, 2)),
        Cascade(tuple((name, Activation("relu")) for name in "abcd"), (1,) * 4),
        Cascade((("a", CONV),)),
        Seq(()),
        Dropout(),
        Sum((("inputs", SAME), ("add", CONV), ("slice0", SAME), ("joined", SAME))),
    ],
    ids=range(16),
)
def test_containers_at_the_root_and_inside(tree):
    root = tree if not isinstance(tree, Dropout) else Seq((("drop", tree),))
    assert difference(root, (4, 6, 5), random_weights(root)) < 1e-5
    inside = Seq((("stem", Conv(3, 4)), ("block", tree), ("act", Activation("gelu"))))
    assert difference(inside, (3, 6, 5), random_weights(inside)) < 1e-5


def test_several_linear_layers_have_no_images_between_them():
    tree = Seq(
        (
            ("drop", Dropout()),
            ("a", Linear(3 * 5 * 4, 8)),
            ("act", Activation("leaky_relu")),
            ("around", Residual((("b", Linear(8, 8)), ("drop", Dropout())))),
            ("both", Concat((("a", SAME), ("b", Linear(8, 3))))),
        )
    )
    assert difference(tree, (3, 5, 4), random_weights(tree)) < 1e-6
    expected = ["InnerProduct", "ReLU", "Split", "InnerProduct", "BinaryOp"]
    expected += ["Split", "InnerProduct", "Concat"]
    assert layers(tree, (3, 5, 4))[0] == expected


@pytest.mark.parametrize("after", [LayerNorm(8), Pool("max", 3), Pad((1, 0, 1, 0))])
def test_what_follows_a_linear_layer_takes_an_image_of_one_pixel(after):
    tree = Seq((("pool", GlobalPool()), ("linear", Linear(3, 8)), ("after", after)))
    weights = random_weights(tree)
    conv = Seq((("pool", GlobalPool()), ("linear", Conv(3, 8, bias=True)), ("after", after)))
    kernel = {"linear.weight": weights["linear.weight"][:, :, None, None]}
    images = np.random.default_rng(0).standard_normal((2, 3, 5, 4), dtype=np.float32)
    found = in_ncnn(tree, (3, 5, 4), weights, images)
    expected = in_ncnn(conv, (3, 5, 4), weights | kernel, images)
    assert np.allclose(found, expected, atol=1e-6)


def test_nothing_is_written_of_dropout_and_trained_branches_are_folded():
    block = Sum((("a", Seq((("conv", CONV), ("norm", BatchNorm(4))))), ("b", SAME)), "a")
    tree = Seq((("block", block), ("drop", Dropout()), ("act", Activation("relu"))))
    assert layers(tree, (4, 6, 5))[0] == ["Split", "Convolution", "Eltwise", "ReLU"]


@given(convolutions())
@settings(max_examples=40)
def test_convolutions(case):
    tree, shape, choice = case
    assert difference(tree, shape, realistic_weights(tree), choice) < 1e-5


@given(lowered_trees())
@settings(max_examples=30)
def test_what_only_lowering_makes(case):
    tree, shape = case
    assert difference(tree, shape, realistic_weights(tree)) < 1e-5


def test_a_norm_that_follows_no_convolution():
    norm = BatchNorm(6, eps=1e-3)
    alone = Seq((("norm", norm), ("conv", Conv(6, 4, 3)), ("folded", BatchNorm(4))))
    assert difference(alone, (6, 5, 5), realistic_weights(alone)) < 1e-6
    halves = Slices((("a", Conv(3, 3)), ("b", Conv(3, 3))))
    lowered = Seq((("halves", halves), ("norm", norm)))
    assert difference(lowered, (6, 5, 5), realistic_weights(lowered)) < 1e-6


def test_the_text_says_all_there_is_of_a_layer():
    conv = Conv(4, 6, 3, 2, 2, 2, True, (1, 2, 3, 4), columns=5)
    inner = Seq((("b", conv), ("c", Activation("relu6"))))
    _, lines = layers(Seq((("a", inner),)), (4, 9, 8))
    assert lines == [
        "7767517",
        "2 2",
        "Input images 0 1 images 0=8 1=9 2=4",
        "ConvolutionDepthWise a.b 1 1 images logits 0=6 1=5 11=3 2=2 3=2 4=2 14=1 15=4 16=3 5=1 "
        "6=180 7=2 9=3 -23310=2,0.00000000e+00,6.00000000e+00",
    ]


def test_weights_follow_a_flag_and_biases_do_not():
    tree = Seq((("pool", GlobalPool()), ("classifier", Linear(2, 3))))
    values = {
        "classifier.weight": np.arange(6, dtype=np.float32).reshape(3, 2),
        "classifier.bias": np.array([7, 8, 9], np.float32),
    }
    numbers = np.frombuffer(to_ncnn(tree, (2, 4, 4), values).weights, "<f4")
    assert numbers.tolist() == [0, 0, 1, 2, 3, 4, 5, 7, 8, 9]  # the first is the flag


def test_convolutions_do_the_functions_that_they_have():
    mix = MixConv((Conv(2, 2, 3), Conv(2, 2, 5)))
    for function, own in [("hard_swish", []), ("swish", ["Swish"]), ("gelu", ["GELU"])]:
        tree = Seq((("mix", mix), ("act", Activation(function))))
        expected = ["Slice", "Convolution", "Convolution", "Concat", *own]
        assert layers(tree, (4, 8, 8))[0] == expected
    summed = Sum((("a", Conv(4, 4)), ("b", Conv(4, 4)), ("c", Conv(4, 4))))
    tree = Residual((("sum", summed), ("act", Activation("relu"))))
    convs = ["Convolution"] * 3
    assert layers(tree, (4, 8, 8))[0] == ["Split", "Split", *convs, "Eltwise", "ReLU", "BinaryOp"]


def test_uneven_slices_have_their_sizes():
    mix = MixConv(tuple(Conv(w, w, 3, groups=w) for w in (4, 6, 1)))
    _, lines = layers(Seq((("mix", mix),)), (11, 8, 8))
    (cut,) = [line for line in lines if line.startswith("Slice ")]
    assert cut.split()[-1] == "-23300=3,4,6,-233"


def test_a_network_that_does_nothing():
    assert layers(Seq((("act", Activation("identity")),)), (2, 3, 3))[0] == ["Noop"]
