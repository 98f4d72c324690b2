"""Costs against published figures, against fvcore and against torch."""

import random
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nas.blocks import MBConv
from nas.cost import count, count_leaf
from nas.cost.fvcore import fvcore_madds
from nas.errors import MixnasError
from nas.ir import walk
from nas.space import load_space
from nas.spec import Head, Input, NetworkSpec, Stem, load_network, reference_names
from nas.torch_model import build

# Parameters and multiply-adds: timm's models and conv + linear counts of their published code.
# Activations of EfficientNet-B0: pycls' model zoo (dev/model_complexity.json, 6,748,036).
GOLDEN = {
    "mixnet_s": (4_134_606, 239_173_360, 6_252_094),
    "mixnet_m": (5_014_382, 339_172_672, 8_192_806),
    "mixnet_l": (7_329_252, 555_251_792, 10_835_532),
    "mobilenet_v1": (4_231_976, 568_740_352, 5_043_688),
    "mobilenet_v2": (3_504_872, 300_774_272, 6_679_112),
    "efficientnet_b0": (5_288_548, 385_814_752, 6_748_036),
}


def test_every_reference_has_golden_numbers():
    assert set(reference_names()) == set(GOLDEN)


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_costs(name):
    cost = count(load_network(name))
    assert (cost.params, cost.madds, cost.activations) == GOLDEN[name]


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
@settings(max_examples=200)
def test_params_equal_torch_and_madds_equal_fvcore_on_hundreds(seed, padding):
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
