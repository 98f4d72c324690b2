"""The spaces that come with the package: their sizes, samples, and the networks they come from."""

import itertools
import math
import random

import pytest

from experiments.benchmarks.macro_networks import macro_network
from nas.cost import count
from nas.space import load_space, sample_many, size, space_names
from nas.spec import NetworkSpec, load_network
from tests.conftest import ROOT

EXACT = {
    "accel_nas_bench": 36**6 * 48,
    "anynet_a": 314_432_039_157_760_000,
    "anynet_b": 14_231_962_814_251_008,
    "anynet_c": 161_843_226_083_328,
    "anynet_d": 7_072_275_628_032,
    "anynet_e": 418_276_067_112,
    "efficientnet": 8_033_551_259_904,
    "efficientnetv2": 9_277_129_359_360,
    "ghostnet": 19_937_866_593_342_259_980_000_000,
    "mixnet": 26_640_200_180_318_935_941_910_521_893_345_034_240_000,
    "mixnet_gpu": 129_472_511_346_443_204_700_588_636_851_310_428_160_000,
    "mixnet_ladder": 1_809_233_615_729_214_908_006_400_000,
    "mnasnet": 672_252_695_751_168,
    "mobilenetv3": 1_946_943_659_619_478_960_865_280_000,
    "mobilenetv4": 721_873_999_700_951_961_600,
    "nas_bench_macro": 9 * 21 * 21,
    "proxylessnas": 54_375_883_032_510_144,
    "regnet": 8_690_990,
    "regnet_x": 6_081_909,
    "resnet": 767_999_232_000,
    "shufflenetv2": 38_680_931_250_000_000,
}
"""The exact number of networks of every space."""

MEMBERS = {
    "anynet_a": ["regnet_x_200mf", "regnet_x_400mf"],
    "anynet_e": ["regnet_x_200mf", "regnet_x_400mf"],
    "mixnet": ["mixnet_s", "mixnet_m", "mixnet_l"],
    "mixnet_gpu": ["mixnet_m_gpu", "mixnet_s", "mixnet_m", "mixnet_l"],
    "resnet": [
        *(f"resnet_{depth}" for depth in (18, 34, 50, 101, 152)),
        "se_resnet_50",
        "resnext_50_32x4d",
    ],
    "mobilenetv3": ["mobilenet_v3_large"],
    "efficientnet": ["efficientnet_b0"],
    "accel_nas_bench": ["efficientnet_b0"],
    "efficientnetv2": ["efficientnet_v2_b0", "efficientnet_v2_s"],  # -S at fewer pixels
    "mobilenetv4": ["mobilenet_v4_conv_small"],
    "shufflenetv2": [f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0")],
    "ghostnet": ["ghostnet_100"],
    "proxylessnas": ["proxylessnas_mobile"],
    # All published ones but RegNetX-8.0GF, whose first stage has groups of another width.
    "regnet_x": [
        *(f"regnet_x_{size}mf" for size in (200, 400, 600, 800)),
        *(f"regnet_x_{size}gf" for size in ("1_6", "3_2", "4", "6_4", "12", "16", "32")),
    ],
}


CUT = {"mobilenet_v4_conv_small": (1, 1), "ghostnet_100": (3, 4)}
"""Stages of references with blocks of two widths, and the number of blocks of the first width."""


def by_width(spec, cut):
    """Return a network with one of its stages cut in two, which has the same layers."""
    if cut is None:
        return spec
    i, n = cut
    stage = spec.stages[i]
    result = spec.replace(stages=(*spec.stages[:i], stage[:n], stage[n:], *spec.stages[i + 1 :]))
    assert count(result) == count(spec)
    return result


@pytest.mark.parametrize("name", EXACT)
def test_sizes_of_shipped_spaces(name):
    assert size(load_space(name)) == EXACT[name]


def test_every_shipped_space_has_a_size():
    assert set(EXACT) == set(space_names())


@pytest.mark.parametrize(
    ("space", "network"), [(space, name) for space, names in MEMBERS.items() for name in names]
)
def test_published_networks_are_members_of_the_space_they_come_from(space, network):
    found = load_space(space)
    spec = by_width(load_network(network).at(224), CUT.get(network))
    assert found.decode(found.encode_spec(spec), network).canonical() == spec.canonical()


@pytest.mark.parametrize("name", space_names())
def test_samples_of_shipped_spaces_are_counted_and_read_back(name):
    space = load_space(name)
    for drawn in sample_many(space, random.Random(0), 20):
        spec = space.decode(drawn.genotype)
        assert count(spec) == drawn.cost
        assert space.encode_spec(spec) == drawn.genotype
        assert NetworkSpec.from_yaml(spec.to_yaml()) == spec


@pytest.mark.parametrize("name", space_names())
def test_shipped_spaces_name_their_source(name):
    assert load_space(name).description
    assert "source: " in (ROOT / "search_spaces" / f"{name}.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "codes",
    [
        ["00000000", "12121212", "20000001", "00120210"],
        pytest.param(map("".join, itertools.product("012", repeat=8)), marks=pytest.mark.slow),
    ],
)
def test_networks_of_nas_bench_macro_are_members(codes):
    space = load_space("nas_bench_macro")
    for code in codes:
        spec = macro_network(code)
        found = space.decode(space.encode_spec(spec), code)
        assert found.digest() == spec.digest()


# Rows of the published table (xiusu/NAS-Bench-Macro, nas-bench-macro_cifar10.json): parameters, and
# what it calls flops.
MACRO_COSTS = {
    "00000000": (387_882, 7_713_280),
    "11111111": (1_588_874, 53_246_464),
    "22222222": (2_932_586, 105_660_928),
    "01201201": (1_283_434, 46_109_184),
    "21021021": (1_994_922, 64_512_512),
    "10202110": (1_215_498, 46_119_424),
}


@pytest.mark.parametrize("code", MACRO_COSTS)
def test_networks_of_nas_bench_macro_cost_what_its_table_says(code):
    cost = count(macro_network(code))
    assert (cost.params, cost.madds) == MACRO_COSTS[code]


def possible(ratio, group_width):
    """Return how many of AnyNet's 128 widths can have a bottleneck ratio and a group width."""
    return sum(width % (ratio * group_width) == 0 for width in range(8, 1025, 8))


def test_sizes_of_anynet_by_hand():
    # As published, but for the widths whose bottleneck the group width does not divide.
    ratios, groups, depths = (1, 2, 4), (1, 2, 4, 8, 16, 32), 16
    widths = {(b, g): possible(b, g) for b in ratios for g in groups}
    by_ratio = [sum(widths[b, g] for g in groups) for b in ratios]
    assert EXACT["anynet_a"] == (depths * sum(by_ratio)) ** 4
    assert EXACT["anynet_b"] == depths**4 * sum(n**4 for n in by_ratio)
    assert EXACT["anynet_c"] == depths**4 * sum(n**4 for n in widths.values())
    # Of n widths, four that do not decrease can be chosen in C(n + 3, 4) ways; likewise depths.
    ascending = sum(math.comb(n + 3, 4) for n in widths.values())
    assert EXACT["anynet_d"] == depths**4 * ascending
    assert EXACT["anynet_e"] == math.comb(depths + 3, 4) * ascending


def test_size_of_proxylessnas_by_hand():
    stage = sum(6**depth for depth in (1, 2, 3, 4))  # three kernels times two expansions
    assert EXACT["proxylessnas"] == stage**5 * 6


def test_size_of_shufflenetv2_by_hand():
    # Five mixes of kernels for every block, and five widths.
    short, long = ([5 * 5**depth for depth in depths] for depths in ((2, 3, 4, 5), (4, 6, 8, 10)))
    assert EXACT["shufflenetv2"] == 2 * sum(short) ** 2 * sum(long)
