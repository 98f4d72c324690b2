"""Scaled networks against those of timm, and properties of scaling."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.blocks import ConvBlock, DenseLayer, DSConv, MBConv
from nas.cost import count
from nas.errors import MixnasError
from nas.scale import (
    COMPOUND_RULES,
    FAST_RULES,
    Factors,
    ScalingRules,
    by_strategy,
    published,
    scaled,
)
from nas.space import load_space, sample
from nas.spec import Head, NetworkSpec, Stem, load_network, reference_names
from tests.networks import FAMILIES

# Parameters and multiply-adds of convolution and linear layers, counted from timm 1.0.31's models.
EFFICIENTNETS = {
    (0, 224): (5_288_548, 385_814_752),
    (1, 224): (7_794_184, 569_651_680),
    (1, 240): (7_794_184, 686_802_832),
    (2, 224): (9_109_994, 658_963_440),
    (2, 256): (9_109_994, 859_853_760),
    (3, 224): (12_233_232, 962_708_240),
    (3, 288): (12_233_232, 1_589_198_096),
    (4, 224): (19_341_616, 1_503_710_432),
    (4, 320): (19_341_616, 3_063_687_008),
    (5, 224): (30_389_784, 2_356_493_184),
    (5, 448): (30_389_784, 9_404_374_080),
    (6, 224): (43_040_704, 3_360_166_848),
    (6, 528): (43_040_704, 19_067_593_536),
    (7, 224): (66_347_960, 5_169_865_152),
    (7, 600): (66_347_960, 37_745_884_192),
    (8, 224): (87_413_142, 6_971_883_840),
    (8, 672): (87_413_142, 62_597_461_568),
}
MIXNET = ScalingRules(head="keep")
MIXNET_DEEP = ScalingRules(head="keep", repeats="round")
FIXED_ENDS = ScalingRules(stem="keep", head="keep", keep_ends=True)
MULTIPLIED = {
    "mixnet_l": ("mixnet_m", Factors(width=1.3), MIXNET, 7_329_252, 555_251_792),
    "mixnet_xl": ("mixnet_m", Factors(1.2, 1.6), MIXNET_DEEP, 11_896_768, 904_010_880),
    "mixnet_xxl": ("mixnet_m", Factors(1.3, 2.4), MIXNET_DEEP, 23_961_752, 1_992_725_184),
    "mobilenetv2_050": ("mobilenet_v2", Factors(width=0.5), None, 1_968_680, 97_131_840),
    "mobilenetv2_140": ("mobilenet_v2", Factors(width=1.4), None, 6_108_776, 582_195_824),
    "mobilenetv2_110d": ("mobilenet_v2", Factors(1.2, 1.1), FIXED_ENDS, 4_516_520, 430_516_080),
    "mobilenetv2_120d": ("mobilenet_v2", Factors(1.4, 1.2), FIXED_ENDS, 5_831_144, 668_857_568),
}
EFFICIENT_V2 = ScalingRules(head="scale", rounding="nearest")
TINY = ScalingRules(stem="keep", repeats="round")
OTHERS = {
    ("tinynet_a", 192): ("efficientnet_b0", Factors(1.2), TINY, 6_187_972, 336_867_712),
    ("tinynet_b", 188): ("efficientnet_b0", Factors(1.1, 0.75), TINY, 3_730_562, 200_709_360),
    ("tinynet_c", 184): ("efficientnet_b0", Factors(0.85, 0.54), TINY, 2_457_234, 99_536_432),
    ("tinynet_d", 152): ("efficientnet_b0", Factors(0.695, 0.54), TINY, 2_338_446, 51_580_656),
    ("tinynet_e", 106): ("efficientnet_b0", Factors(0.6, 0.51), TINY, 2_042_972, 24_356_848),
    ("lite1", 240): ("efficientnet_lite0", published(1), FIXED_ENDS, 5_416_680, 600_185_232),
    ("lite2", 260): ("efficientnet_lite0", published(2), FIXED_ENDS, 6_092_072, 859_736_272),
    ("lite3", 300): ("efficientnet_lite0", published(3), FIXED_ENDS, 8_197_096, 1_607_554_544),
    ("lite4", 380): ("efficientnet_lite0", published(4), FIXED_ENDS, 13_006_568, 3_943_564_112),
    ("v2_b1", 192): ("efficientnet_v2_b0", Factors(1.1), EFFICIENT_V2, 8_141_052, 747_003_008),
    ("v2_b2", 208): (
        "efficientnet_v2_b0", Factors(1.2, 1.1), EFFICIENT_V2, 10_096_086, 1_043_476_528,
    ),
    ("v2_b3", 240): (
        "efficientnet_v2_b0", Factors(1.4, 1.2), EFFICIENT_V2, 14_358_406, 1_908_036_640,
    ),
    ("mnasnet_050", 224): ("mnasnet_b1", Factors(width=0.5), None, 2_218_512, 104_455_968),
    ("semnasnet_075", 224): ("mnasnet_a1", Factors(width=0.75), None, 2_912_278, 223_448_480),
    ("v3_large_075", 224): (
        "mobilenet_v3_large", Factors(width=0.75), None, 3_993_528, 154_560_624,
    ),
    ("v3_small_075", 224): (
        "mobilenet_v3_small", Factors(width=0.75), None, 2_041_872, 43_399_344,
    ),
}  # fmt: skip
"""The same by name and resolution."""
REFERENCES = [load_network(name) for name in reference_names()]
NETWORKS = [
    spec for spec in REFERENCES if {block.family for block in spec.blocks} <= {"mbconv", "dsconv"}
]


def costs(spec):
    found = count(spec)
    return found.params, found.madds


@pytest.mark.parametrize(("name", "resolution"), OTHERS)
def test_other_published_networks_are_scaled_ones(name, resolution):
    base, factors, rules, params, madds = OTHERS[name, resolution]
    spec = scaled(load_network(base), factors, *([rules] if rules else []), resolution=resolution)
    assert costs(spec) == (params, madds)


@pytest.mark.parametrize(("phi", "resolution"), EFFICIENTNETS)
def test_published_compound_scaling_gives_the_published_networks(phi, resolution):
    base = load_network("efficientnet_b0")
    spec = scaled(base, published(phi), COMPOUND_RULES, resolution)
    assert costs(spec) == EFFICIENTNETS[phi, resolution]


def test_published_compound_scaling_gives_the_published_resolutions():
    base = load_network("efficientnet_b0")
    found = [scaled(base, published(phi), COMPOUND_RULES).input.resolution for phi in range(9)]
    assert found == [224, 240, 260, 300, 380, 456, 528, 600, 672]


@pytest.mark.parametrize("name", MULTIPLIED)
def test_multipliers_give_the_published_networks(name):
    base, factors, rules, *expected = MULTIPLIED[name]
    spec = scaled(load_network(base), factors, rules or ScalingRules())
    assert costs(spec) == tuple(expected)


def test_mixnet_l_is_mixnet_m_scaled():
    assert scaled(load_network("mixnet_m"), Factors(width=1.3), MIXNET) == load_network("mixnet_l")


@pytest.mark.parametrize("rules", [ScalingRules(), COMPOUND_RULES, FAST_RULES, FIXED_ENDS])
def test_factors_of_1_change_nothing(rules):
    assert all(scaled(spec, Factors(), rules) is spec for spec in REFERENCES)


def test_a_depth_of_nearly_1_changes_no_network_of_a_space():
    space, rng = load_space("mixnet"), random.Random(0)
    for _ in range(20):
        spec = space.decode(sample(space, rng).genotype)
        assert scaled(spec, Factors(depth=1 + 1e-12)) == spec


@given(
    spec=st.sampled_from(NETWORKS),
    name=st.sampled_from(["depth", "width", "resolution"]),
    low=st.floats(0.25, 2.5),
    more=st.floats(0.0, 1.0),
    rules=st.sampled_from([ScalingRules(), FAST_RULES, MIXNET, FIXED_ENDS]),
)
def test_costs_never_fall_when_a_factor_grows(spec, name, low, more, rules):
    small = count(scaled(spec, Factors(**{name: low}), rules))
    large = count(scaled(spec, Factors(**{name: low + more}), rules))
    assert small.params <= large.params
    assert small.madds <= large.madds
    assert small.activations <= large.activations


@given(spec=st.sampled_from(NETWORKS), factor=st.floats(0.5, 8))
def test_only_what_is_scaled_changes(spec, factor):
    result = scaled(spec, by_strategy(factor), FAST_RULES)
    assert result.replace(stem=spec.stem, stages=spec.stages, head=spec.head, input=spec.input) == (
        spec
    )
    assert result.name == spec.name
    assert all(block.channels % 8 == 0 for block in result.blocks)
    assert result.input.resolution % 4 == 0
    assert [stage[0].stride for stage in result.stages] == [s[0].stride for s in spec.stages]
    assert all(block.stride == 1 for stage in result.stages for block in stage[1:])
    kernels = [{block.kernels for block in stage} for stage in spec.stages]
    assert [{block.kernels for block in stage} for stage in result.stages] == kernels


FIRST = MBConv(channels=24, stride=2, kernels=(7,))
OTHER = MBConv(channels=24, kernels=(3,))
STRIDED = MBConv(channels=24, stride=2, kernels=(3,))


def deepened(stage, factor, **rules):
    spec = NetworkSpec(stem=Stem(channels=16), stages=(stage,))
    return scaled(spec, Factors(depth=factor), ScalingRules(**rules)).stages[0]


@pytest.mark.parametrize(
    ("factor", "first", "others"), [(0.5, 1, 2), (1.25, 1, 4), (1.5, 2, 4), (2, 2, 6), (0.1, 1, 1)]
)
def test_blocks_are_distributed_over_the_kinds_of_a_stage(factor, first, others):
    stage = deepened((FIRST, OTHER, OTHER, OTHER), factor)
    plain = MBConv(channels=24, kernels=(7,))
    assert stage == (FIRST, *[plain] * (first - 1), *[OTHER] * others)


def test_a_first_block_that_differs_by_its_stride_is_of_the_same_kind():
    assert deepened((STRIDED, OTHER), 2) == (STRIDED, OTHER, OTHER, OTHER)
    assert deepened((STRIDED, OTHER, OTHER, OTHER), 0.5) == (STRIDED, OTHER)
    assert deepened((OTHER, STRIDED), 2) == (OTHER, OTHER, STRIDED, OTHER)


def test_blocks_are_rounded_up_or_to_the_nearest():
    assert len(deepened((STRIDED, OTHER), 1.1)) == 3
    assert len(deepened((STRIDED, OTHER), 1.1, repeats="round")) == 2
    assert len(deepened((STRIDED,), 0.1, repeats="round")) == 1
    ten = (STRIDED, *[OTHER] * 9)
    assert len(deepened(ten, 1.1)) == len(deepened(ten, 1.1 + 1e-12)) == 11


def test_the_ends_keep_their_depth_if_told_so():
    base = load_network("mobilenet_v2")
    spec = scaled(base, Factors(depth=2), ScalingRules(keep_ends=True))
    assert [len(stage) for stage in spec.stages] == [1, 4, 6, 8, 6, 6, 1]
    assert [len(stage) for stage in scaled(base, Factors(depth=2)).stages] == [
        *(2, 4, 6, 8, 6, 6, 2)
    ]


@pytest.mark.parametrize(
    ("width", "rule", "channels"),
    [
        (0.5, "grow", 1280),
        (0.5, "scale", 640),
        (0.5, "keep", 1280),
        (1.4, "grow", 1792),
        (1.4, "scale", 1792),
        (1.4, "keep", 1280),
    ],
)
def test_the_head_grows_scales_or_stays(width, rule, channels):
    spec = scaled(load_network("mobilenet_v2"), Factors(width=width), ScalingRules(head=rule))
    assert spec.head.channels == channels


def test_a_network_without_head_gets_none():
    spec = load_network("mobilenet_v2").replace(head=Head(channels=0))
    assert scaled(spec, Factors(width=2)).head.channels == 0


def test_the_stem_scales_or_stays():
    spec = load_network("mobilenet_v2")
    assert scaled(spec, Factors(width=0.5)).stem.channels == 16
    assert scaled(spec, Factors(width=0.5), ScalingRules(stem="keep")).stem.channels == 32


def test_the_resolution_is_a_multiple_of_4_unless_it_is_given():
    spec = load_network("mobilenet_v2")
    assert scaled(spec, Factors(resolution=1.15)).input.resolution == 256  # 257.6
    assert scaled(spec, Factors(resolution=1.15), resolution=225).input.resolution == 225
    assert scaled(spec.at(225), Factors(width=2)).input.resolution == 225
    assert scaled(spec.at(9), Factors(resolution=0.9)).input.resolution == 8


def grouped(block, width, **rules):
    spec = NetworkSpec(stem=Stem(channels=48), stages=((block,),))
    changed = scaled(spec, Factors(width=width), ScalingRules(**rules))
    changed.tree()
    return changed.blocks[0].group_width


@pytest.mark.parametrize(
    ("group_width", "width", "expected"),
    [(8, 2, 16), (8, 1.3, 8), (16, 1.6, 24), (2, 2, 4), (2, 2.5, 4), (8, 0.1, 1), (1, 3, 1)],
)
def test_convolution_groups_widen_with_the_network(group_width, width, expected):
    assert grouped(MBConv(channels=48, group_width=group_width), width) == expected
    assert grouped(MBConv(channels=48, group_width=group_width), width, group_width="keep") == (
        group_width
    )


def test_convolution_groups_divide_the_channels():
    # 48 x 1.3 = 62.4, rounded to 64, which groups of 16 x 1.3 = 20.8, rounded to 24, do not divide
    assert grouped(DSConv(channels=48, group_width=16), 1.3) == 32
    assert grouped(DSConv(channels=48, group_width=16), 2) == 32


def test_plain_convolutions_are_scaled():
    spec = NetworkSpec(stem=Stem(channels=16), stages=((ConvBlock(channels=24),),))
    assert scaled(spec, Factors(depth=2, width=2)).stages == ((ConvBlock(channels=48),) * 2,)


def test_networks_beyond_the_limits_of_a_spec_are_refused():
    spec = load_network("efficientnet_b0")
    with pytest.raises(MixnasError, match="efficientnet_b0 cannot be scaled so: channels: input"):
        scaled(spec, Factors(width=60))
    with pytest.raises(MixnasError, match=r"resolution: .* less than or equal to 2048; found 2240"):
        scaled(spec, Factors(resolution=10))
    with pytest.raises(MixnasError, match="greater than or equal to 8; found 4"):
        scaled(spec, Factors(), resolution=4)


def test_a_width_that_leaves_groups_without_channels_names_the_block():
    spec = NetworkSpec(
        stem=Stem(channels=16),
        stages=((DSConv(channels=16, kernels=(3, 5, 7), group_width=8),),),
        name="wide",
    )
    narrow = scaled(spec, Factors(width=0.5), ScalingRules(group_width="keep"))
    with pytest.raises(MixnasError, match=r"wide: stages\.0\.0: .* cannot be split"):
        count(narrow)


@pytest.mark.parametrize("name", ["stem", "head", "repeats", "group_width"])
def test_unknown_rules_are_refused(name):
    words = name.replace("_", " ")
    with pytest.raises(MixnasError, match=f"unknown rule for the {words} 'other'; allowed: "):
        ScalingRules(**{name: "other"})


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_is_widened(name):
    spec = load_network(name)
    wide = scaled(spec, Factors(width=2.0), COMPOUND_RULES)
    assert 2 < count(wide).params / count(spec).params < 4.2
    assert [block.family for block in wide.blocks] == [block.family for block in spec.blocks]


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("factors", [Factors(width=0.75), Factors(depth=1.5), published(2)])
def test_every_family_is_scaled(name, factors):
    spec = load_network(name)
    other = scaled(spec, factors, COMPOUND_RULES)
    found, before = count(other), count(spec)
    assert found.madds < before.madds if factors.width < 1 else found.madds >= before.madds
    repeated = any(block.repeatable for stage in spec.stages for block in stage[1:])
    if factors.depth > 1 and repeated:
        assert len(other.blocks) > len(spec.blocks)


def test_dense_layers_are_repeated_with_their_growth():
    spec = scaled(load_network("densenet_121"), Factors(depth=1.5))
    families = [block.family for block in spec.blocks]
    assert families.count("dense") == 87  # 58 of DenseNet-121
    assert [block.channels for block in spec.stages[0]] == [64, *range(96, 353, 32)]
    kept = [block for block in spec.blocks if block.family == "transition"]
    before = [a for a, b in zip(spec.blocks, spec.blocks[1:], strict=False) if b in kept]
    assert [block.channels * 2 for block in kept] == [block.channels for block in before]


def test_a_block_that_cannot_be_is_told():
    spec = load_network("densenet_121").replace(stages=((DenseLayer(channels=64),),))
    message = "densenet_121 cannot be scaled so: a dense layer adds channels to its 64; found 64"
    for factors in (Factors(width=2), Factors(depth=2)):
        with pytest.raises(MixnasError, match=message):
            scaled(spec, factors)


@pytest.mark.parametrize("width", [0.5, 0.75, 1.5])
def test_shuffled_groups_divide_scaled_widths(width):
    spec = scaled(load_network("shufflenet_v1_g3"), Factors(width=width))
    channels = [stage[-1].channels for stage in spec.stages if stage[-1].family == "shuffle"]
    wanted = [240 * width, 480 * width, 960 * width]
    assert channels == pytest.approx(wanted, rel=0.03)
    count(spec)


def test_dense_layers_grow_in_proportion():
    spec = scaled(load_network("densenet_121"), Factors(width=0.5))
    assert [block.channels for block in spec.blocks][:4] == [32, 48, 64, 80]


def test_pooling_is_not_repeated():
    spec = scaled(load_network("resnet_50"), Factors(depth=2.0))
    assert [len(stage) for stage in spec.stages] == [1, 6, 8, 12, 6]


def test_deep_stems_and_hidden_layers_are_widened():
    stem = scaled(load_network("resnest_50"), Factors(width=2.0)).stem
    assert (stem.before, stem.channels) == ((64, 64), 128)
    head = scaled(load_network("mobilenet_v3_large"), Factors(width=0.5), COMPOUND_RULES).head
    assert (head.channels, head.hidden) == (480, (640,))
    assert scaled(load_network("resnet_18"), Factors(width=2.0), COMPOUND_RULES).head.channels == 0
