"""Costs against published figures, against fvcore and against torch."""

import csv
import random
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.blocks import MBConv, Rules
from nas.cost import count, count_leaf, tally
from nas.cost.fvcore import fvcore_madds, module_madds
from nas.errors import MixnasError
from nas.ir import (
    Activation,
    BatchNorm,
    Cascade,
    ChannelShuffle,
    Concat,
    Conv,
    Dropout,
    LayerNorm,
    Linear,
    LocalResponseNorm,
    Pool,
    Residual,
    Scale,
    Seq,
    Slices,
    SplitAttention,
    Sum,
    elements,
    end_shape,
    walk,
)
from nas.space import load_space
from nas.spec import Head, Input, NetworkSpec, Stem, load_network, reference_names
from nas.torch_model import build, to_module
from tests.random_trees import trees

# Parameters and multiply-adds of convolution and linear layers of the modules that timm and
# torchvision build, for 1000 classes.
with (Path(__file__).parent / "goldens.csv").open(encoding="utf-8") as file:
    GOLDEN = list(csv.DictReader(file))
# Published figures of the networks that neither has: parameters and multiply-adds in millions.
ABOUT = {
    "mixnet_m_gpu": (None, 532),  # darknet, issue 4203: 0.532G
    "mxresnet_50": (25.6, None),
    "nin": (7.6, None),
    "proxylessnas_mobile": (4.1, 320),
    "scarlet_a": (6.7, 365),
    "shufflenet_v1_g3": (None, 137),
}
# Parameters and multiply-adds of convolution and linear layers of the published code of others.
OWN_CODE = {"scarlet_a": (6_707_720, 365_307_392)}  # xiaomi-automl/SCARLET-NAS, models/Scarlet_A.py
# Outputs of fully connected layers that timm writes as convolutions.
FULLY_CONNECTED_CONVS = {"vgg_16": 2 * 4096}
# Activations of EfficientNet-B0: pycls' model zoo (dev/model_complexity.json).
ACTIVATIONS = {
    "mixnet_s": 6_252_094,
    "mixnet_m": 8_192_806,
    "mixnet_l": 10_835_532,
    "mobilenet_v1": 5_043_688,
    "mobilenet_v2": 6_679_112,
    "efficientnet_b0": 6_748_036,
}


def test_every_reference_has_golden_numbers():
    assert set(reference_names()) == {row["network"] for row in GOLDEN} | set(ABOUT)


@pytest.mark.parametrize("name", OWN_CODE)
def test_costs_of_published_code(name):
    cost = count(load_network(name))
    assert (cost.params, cost.madds) == OWN_CODE[name]


@pytest.mark.parametrize("row", GOLDEN, ids=lambda row: f"{row['network']}-{row['resolution']}")
def test_golden_costs(row):
    cost = count(load_network(row["network"]).at(int(row["resolution"])))
    assert (cost.params, cost.madds) == (int(row["params"]), int(row["madds"]))
    if row["conv_elements"]:  # the numbers counted from timm's RegNetZ and EfficientNetV2 lack them
        spec = load_network(row["network"]).at(int(row["resolution"]))
        leaves = [layer.leaf for layer in walk(spec.tree(), spec.in_shape)]
        linear = sum(leaf.out_features for leaf in leaves if isinstance(leaf, Linear))
        linear -= FULLY_CONNECTED_CONVS.get(row["network"], 0)
        assert cost.activations - linear == int(row["conv_elements"])


@pytest.mark.parametrize("name", ABOUT)
def test_costs_are_about_those_published(name):
    cost, (params, madds) = count(load_network(name)), ABOUT[name]
    assert params is None or cost.params == pytest.approx(params * 1e6, rel=0.015)
    assert madds is None or cost.madds == pytest.approx(madds * 1e6, rel=0.005)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_golden_activations(name):
    assert count(load_network(name)).activations == ACTIVATIONS[name]


@pytest.mark.parametrize(
    ("name", "resolution", "millions"),
    [
        ("mixnet_s", 32, 7.137),
        ("mixnet_s", 256, 311.685),
        ("mixnet_m", 64, 30.082),
        ("mixnet_m", 160, 174.325),
        ("mixnet_l", 128, 183.605),
        ("mixnet_l", 192, 408.845),
    ],
)
def test_golden_madds_at_other_resolutions(name, resolution, millions):
    spec = load_network(name).replace(input=Input(resolution=resolution))
    assert round(count(spec).madds / 1e6, 3) == millions


@pytest.mark.parametrize(("classes", "params"), [(10, 3_492_752), (100, 3_631_082)])
def test_golden_params_with_other_classes(classes, params):
    assert count(load_network("mixnet_m").replace(num_classes=classes)).params == params


def test_peak_memory_holds_the_skip_connection():
    spec = NetworkSpec(
        stem=Stem(channels=16, stride=1),
        stages=((MBConv(channels=16, expansion=6),),),
        head=Head(channels=0),
        input=Input(resolution=8),
    )
    # In the depthwise convolution, 96 channels are read and written, and 16 wait for the sum.
    assert count(spec).peak_memory == 4 * (96 + 96 + 16) * 8 * 8 == 53_248


def test_one_block_object_counts_every_time():
    block = MBConv(channels=24)
    spec = NetworkSpec(stem=Stem(channels=16), stages=((block, block, block),), num_classes=10)
    # Stem, the block from 16 channels, twice from 24, head and classifier.
    assert count(spec).params == 464 + 5_136 + 2 * 8_832 + 39_936 + 15_370 == 78_570
    copies = tuple(MBConv(channels=24) for _ in range(3))
    assert count(spec) == count(spec.replace(stages=(copies,)))
    assert count(spec).madds > count(spec.replace(stages=((block, block),))).madds


def test_cost_is_the_sum_over_layers():
    spec = load_network("mixnet_m")
    total = count(spec)
    layers = [count_leaf(layer.leaf, layer.in_shape) for layer in walk(spec.tree(), spec.in_shape)]
    for name in ("params", "madds", "activations"):
        assert sum(getattr(layer, name) for layer in layers) == getattr(total, name)


def test_peak_memory_by_hand():
    # MobileNetV2: the first stride-2 depthwise convolution, 96 x 112 x 112 in, 96 x 56 x 56 out.
    assert count(load_network("mobilenet_v2")).peak_memory == 4 * 96 * (112**2 + 56**2)


SHAPE = (4, 8, 8)
MAP = 4 * 8 * 8
CONV, WIDE, IDENTITY = Conv(4, 4), Conv(4, 8), Seq(())


@pytest.mark.parametrize(
    ("node", "peak"),
    [
        (IDENTITY, 1),
        (Dropout(), 1),
        (BatchNorm(4), 1),
        (LayerNorm(4), 1),
        (Scale(4), 1),
        (Activation("relu"), 1),
        (LocalResponseNorm(), 2),
        (ChannelShuffle(2), 2),
        (Pool("max", 3, 2), 1.25),
        (SplitAttention(2, 2, Conv(2, 1), BatchNorm(1), "relu", Conv(1, 4)), 1.5),
        # The sum's input waits while its branch is computed, wherever the shortcut stands.
        (Residual((("a", WIDE), ("b", Conv(8, 4)))), 4),
        (Sum((("a", Seq((("a", WIDE), ("b", Conv(8, 4))))), ("b", IDENTITY))), 4),
        (Sum((("b", IDENTITY), ("a", Seq((("a", WIDE), ("b", Conv(8, 4))))))), 4),
        (Residual((("norm", BatchNorm(4)), ("conv", CONV))), 3),  # the norm cannot overwrite
        (Residual((("none", Dropout()), ("norm", BatchNorm(4)))), 2),
        # The first branch's result waits while the last branch reads the input.
        (Sum((("a", WIDE), ("b", WIDE))), 5),
        (Sum((("a", CONV), ("b", BatchNorm(4)))), 2),  # the last one may overwrite it
        (Sum((("b", BatchNorm(4)), ("a", CONV))), 3),
        (Concat((("a", WIDE), ("b", CONV))), 4),
        (Concat((("a", WIDE), ("b", IDENTITY), ("c", CONV))), 5),
        # The input, a copy of its second half, the result from the first and that of the second.
        (Slices((("a", Conv(2, 8)), ("b", Conv(2, 2)))), 4),
        (Slices((("a", IDENTITY), ("b", Conv(2, 4))), (2, 2)), 3),
        (Cascade((("a", IDENTITY), ("b", Conv(2, 2))), (2, 2)), 2.5),
    ],
)
def test_peak_memory_of_parts_by_hand(node, peak):
    """In maps of the input's size."""
    assert tally([Seq((("node", node),))], Rules(), SHAPE).peak == peak * MAP


def test_an_input_that_others_need_is_not_overwritten():
    assert count_leaf(BatchNorm(4), SHAPE, kept=True).peak == 2 * MAP
    assert count_leaf(Dropout(), SHAPE, kept=True).peak == MAP
    assert count_leaf(CONV, SHAPE, kept=True).peak == 2 * MAP


@pytest.mark.parametrize(
    ("leaf", "params", "madds", "activations"),
    [
        (LayerNorm(4), 8, 0, 0),
        (Scale(4), 4, 0, 0),
        (LocalResponseNorm(), 0, 0, 0),
        (Dropout(), 0, 0, 0),
        (ChannelShuffle(2), 0, 0, 0),
        (Pool("average", 3), 0, 0, 0),
        (SplitAttention(2, 2, Conv(2, 3, bias=True), BatchNorm(3), "relu", Conv(3, 4)), 27, 18, 7),
        (Linear(MAP, 2), 2 * MAP + 2, 2 * MAP, 2),
    ],
)
def test_costs_of_leaves_by_hand(leaf, params, madds, activations):
    counted = count_leaf(leaf, SHAPE)
    assert (counted.params, counted.madds, counted.activations) == (params, madds, activations)


@given(trees())
@settings(max_examples=60)
def test_random_trees_count_as_in_torch_and_fvcore(case):
    tree, shape = case
    counted = tally([tree], Rules(), shape)
    module = to_module(tree)
    assert counted.params == sum(p.numel() for p in module.parameters())
    assert counted.madds == module_madds(module, shape)
    layers = [count_leaf(layer.leaf, layer.in_shape) for layer in walk(tree, shape)]
    for name in ("params", "madds", "activations"):
        assert sum(getattr(layer, name) for layer in layers) == getattr(counted, name)
    assert counted.peak >= max([elements(shape)] + [layer.peak for layer in layers])
    assert counted.shape == end_shape(tree, shape)


def check_against_torch_and_fvcore(seed, padding):
    space = load_space("mixnet")
    spec = space.decode(space.draw(random.Random(seed)))
    # Counting at a small, odd resolution keeps fvcore's tracing quick and covers rounding.
    resolution = 33 + seed % 32
    spec = spec.replace(num_classes=10, padding=padding, input=Input(resolution=resolution))
    cost = count(spec)
    assert cost.params == sum(p.numel() for p in build(spec).parameters())
    assert cost.madds == fvcore_madds(spec)


@given(st.integers(0, 10**9), st.sampled_from(["symmetric", "same"]))
@settings(max_examples=15)
def test_params_equal_torch_and_madds_equal_fvcore(seed, padding):
    check_against_torch_and_fvcore(seed, padding)


@pytest.mark.slow
@given(st.integers(0, 10**9), st.sampled_from(["symmetric", "same"]))
@settings(max_examples=100)
def test_params_equal_torch_and_madds_equal_fvcore_on_a_hundred(seed, padding):
    check_against_torch_and_fvcore(seed, padding)


@given(st.integers(0, 10**9))
@settings(max_examples=200)
def test_a_space_counts_as_its_specs(seed):
    space = load_space("mixnet")
    genotype = space.draw(random.Random(seed))
    assert space.cost(genotype) == count(space.decode(genotype))


def test_a_network_that_cannot_be_built_is_refused_by_block():
    narrow = MBConv(
        channels=8, kernels=(1, 1, 1, 3), split="exponential", group_width=4, expansion=3
    )
    spec = NetworkSpec(stem=Stem(channels=8), stages=((narrow,),), num_classes=10)
    with pytest.raises(MixnasError, match=r"stages\.0\.0: 6 channels cannot be split"):
        count(spec)


def test_counting_does_not_import_torch_or_optuna():
    code = (
        "import sys, random\n"
        "from nas.space import load_space, sample\n"
        "from nas.cost import count\n"
        "space = load_space('mixnet')\n"
        "count(space.decode(sample(space, random.Random(0)).genotype))\n"
        "assert not {'torch', 'optuna', 'pandas', 'typer'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
