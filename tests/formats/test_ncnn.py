"""ncnn models in ncnn against torch, and their layers."""

import tempfile
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings

from nas.formats.ncnn import to_ncnn
from nas.ir import (
    Activation,
    BatchNorm,
    Conv,
    GlobalPool,
    Linear,
    MixConv,
    Pad,
    Residual,
    Seq,
    Slices,
    SqueezeExcite,
    Sum,
)
from nas.latency.weights import realistic_weights
from nas.lowering import MERGE_ALL
from nas.spec import Input, load_network, reference_names
from tests.formats import outputs
from tests.formats.outputs import ACTIVATIONS, Phases, convolutions, lowered_trees, members
from tests.test_spec import specs

ncnn = pytest.importorskip("ncnn")


def in_ncnn(tree, shape, weights, images):
    """Return the outputs of a tree that is written as a model and run in ncnn."""
    model = to_ncnn(tree, shape, weights)
    net = ncnn.Net()
    net.opt.num_threads = 1
    for option in ("fp16_packed", "fp16_storage", "fp16_arithmetic"):
        setattr(net.opt, f"use_{option}", False)
    assert net.load_param_mem(model.param) == 0
    with tempfile.NamedTemporaryFile() as file:
        file.write(model.weights)
        file.flush()
        assert net.load_model(file.name) == 0
    assert (net.input_names(), net.output_names()) == (["images"], ["logits"])
    found = []
    for image in images:
        extractor = net.create_extractor()
        extractor.input("images", ncnn.Mat(image).clone())
        status, logits = extractor.extract("logits")
        assert status == 0
        found.append(np.array(logits.numpy()))
    return np.stack(found)


difference = partial(outputs.difference, in_ncnn)
of_spec = partial(outputs.of_spec, in_ncnn)


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_mixnet_as_phases(padding):
    spec = load_network("mixnet_s").replace(padding=padding, input=Input(resolution=36))
    assert of_spec(spec, Phases()) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("choice", [None, MERGE_ALL, Phases()], ids=["plain", "merged", "phases"])
@pytest.mark.parametrize("padding", ["symmetric", "same"])
@pytest.mark.parametrize("name", reference_names())
def test_reference_networks(name, padding, choice):
    spec = load_network(name).replace(padding=padding, input=Input(resolution=36))
    assert of_spec(spec, choice) < 1e-5


@given(specs)
@settings(max_examples=12)
def test_every_kind_of_block(spec):
    assert of_spec(spec, Phases() if spec.num_classes % 2 else None, batch=1) < 1e-4


@given(members())
@settings(max_examples=3)
def test_random_networks_of_mixnet(spec):
    assert of_spec(spec, Phases()) < 1e-4


@pytest.mark.parametrize("function", ACTIVATIONS)
def test_activations(function):
    """After a convolution, after slices, in a gate, and after anything else."""
    mix = MixConv((Conv(3, 3, 3, bias=True), Conv(5, 5, 5, groups=5, bias=True)))
    gate = SqueezeExcite(Conv(8, 4, bias=True), Conv(4, 8, bias=True), function)
    tree = Seq(
        (
            ("conv", Conv(3, 8, 3, bias=True)),
            ("act", Activation(function)),
            ("mix", mix),
            ("act2", Activation(function)),
            ("se", gate),
            ("act3", Activation(function)),
        )
    )
    assert difference(tree, (3, 9, 7), realistic_weights(tree)) < 1e-5


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


@pytest.mark.parametrize("shape", [(8, 9, 7), (8, 8, 8), (8, 5, 8), (8, 8, 5)])
def test_a_gate_is_one_of_channels_even_if_rows_or_columns_are_as_many(shape):
    gate = SqueezeExcite(Conv(8, 4, bias=True), Conv(4, 8), "relu")
    tree = Seq((("se", gate), ("pad", Pad((1, 0, 2, 3)))))
    assert difference(tree, shape, realistic_weights(tree)) < 1e-6


def test_a_norm_that_follows_no_convolution():
    norm = BatchNorm(6, eps=1e-3)
    alone = Seq((("norm", norm), ("conv", Conv(6, 4, 3)), ("folded", BatchNorm(4))))
    assert difference(alone, (6, 5, 5), realistic_weights(alone)) < 1e-6
    halves = Slices((("a", Conv(3, 3)), ("b", Conv(3, 3))))
    lowered = Seq((("halves", halves), ("norm", norm)))
    assert difference(lowered, (6, 5, 5), realistic_weights(lowered)) < 1e-6


def test_a_pooled_image_is_an_image_of_one_pixel():
    pooled = Seq((("pool", GlobalPool()), ("mix", MixConv((Conv(2, 2), Conv(4, 6, groups=2))))))
    assert difference(pooled, (6, 5, 4), realistic_weights(pooled)) < 1e-6


def layers(tree, shape):
    """Return the types of a model's layers after the input, and the lines of its text."""
    lines = to_ncnn(tree, shape, realistic_weights(tree)).param.splitlines()
    return [line.split()[0] for line in lines[3:]], lines


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
