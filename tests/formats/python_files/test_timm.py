"""Architecture strings of timm."""

import ast
import dataclasses

import pytest

from nas.blocks import ConvBlock, DSConv, MBConv
from nas.errors import MixnasError
from nas.formats.python_files.timm import timm_architecture, timm_places, to_timm
from nas.ir import ChannelShuffle, Residual, Sum
from nas.space import load_space
from nas.spec import Head, NetworkSpec, Norm, Stem, load_network


def one(block, *more, channels=16, stem="relu"):
    """Return a network with the block as its first."""
    return NetworkSpec(
        stem=Stem(channels=channels, activation=stem),
        stages=((block, *more),),
        head=Head(channels=64, activation=stem),
        name="one",
    )


def arguments(text):
    """Return the named arguments that a written file gives timm's network."""
    call = next(
        node
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "EfficientNet"
    )
    return {word.arg: ast.unparse(word.value) for word in call.keywords if word.arg}


def strings(*blocks, **options):
    return timm_architecture(one(*blocks, **options))


@pytest.mark.parametrize(
    ("name", "architecture"),
    [  # as in timm/models/efficientnet.py, but for the order of the words
        (
            "mixnet_s",
            [
                ["ds_r1_k3_s1_e1_c16"],
                ["ir_r1_a1.1_p1.1_k3_s2_e6_c24", "ir_r1_a1.1_p1.1_k3_s1_e3_c24"],
                [
                    "ir_r1_k3.5.7_s2_e6_se0.5_c40_nsw",
                    "ir_r3_a1.1_p1.1_k3.5_s1_e6_se0.5_c40_nsw",
                ],
                [
                    "ir_r1_p1.1_k3.5.7_s2_e6_se0.25_c80_nsw",
                    "ir_r2_p1.1_k3.5_s1_e6_se0.25_c80_nsw",
                ],
                [
                    "ir_r1_a1.1_p1.1_k3.5.7_s1_e6_se0.5_c120_nsw",
                    "ir_r2_a1.1_p1.1_k3.5.7.9_s1_e3_se0.5_c120_nsw",
                ],
                [
                    "ir_r1_k3.5.7.9.11_s2_e6_se0.5_c200_nsw",
                    "ir_r2_p1.1_k3.5.7.9_s1_e6_se0.5_c200_nsw",
                ],
            ],
        ),
        (
            "mobilenet_v2",
            [
                ["ds_r1_k3_s1_e1_c16"],
                ["ir_r2_k3_s2_e6_c24"],
                ["ir_r3_k3_s2_e6_c32"],
                ["ir_r4_k3_s2_e6_c64"],
                ["ir_r3_k3_s1_e6_c96"],
                ["ir_r3_k3_s2_e6_c160"],
                ["ir_r1_k3_s1_e6_c320"],
            ],
        ),
        (
            "mobilenet_v1",
            [
                ["dsa_r1_k3_s1_e1_c64"],
                ["dsa_r2_k3_s2_e1_c128"],
                ["dsa_r2_k3_s2_e1_c256"],
                ["dsa_r6_k3_s2_e1_c512"],
                ["dsa_r2_k3_s2_e1_c1024"],
            ],
        ),
    ],
)
def test_published_networks_have_the_strings_of_timm(name, architecture):
    assert timm_architecture(load_network(name)) == architecture


@pytest.mark.parametrize(
    ("block", "text"),
    [
        (MBConv(channels=16, skip=False), "ir_r1_k3_s1_e6_c16_noskip"),
        (MBConv(channels=24, skip=False), "ir_r1_k3_s1_e6_c24"),  # no skip is possible
        (MBConv(channels=16, activation="mish", kernels=(3, 5, 3)), "ir_r1_k3.5.3_s1_e6_c16_nmi"),
        (MBConv(channels=16, activation="relu6"), "ir_r1_k3_s1_e6_c16_nr6"),
        (MBConv(channels=16, activation="hard_swish"), "ir_r1_k3_s1_e6_c16_nhs"),
        (MBConv(channels=16, expansion=2.3), "ir_r1_k3_s1_e2.3_c16"),
        (MBConv(channels=16, group_width=8, kernels=(5,)), "ir_r1_k5_gs8_s1_e6_c16"),
        (MBConv(channels=16, se_ratio=0.3), "ir_r1_k3_s1_e6_se0.25_c16"),  # 4 of 16
        (MBConv(channels=16, kernels=(3, 5), split="exponential"), "ir_r1_k3.5_s1_e6_c16"),
        (MBConv(channels=16, kernels=(3,), dilated=True), "ir_r1_k3_s1_e6_c16"),
        (ConvBlock(channels=16, kernels=(5,), skip=True), "cn_r1_k5_s1_c16_skip"),
        (ConvBlock(channels=16, kernels=(5,)), "cn_r1_k5_s1_c16"),
        (DSConv(channels=16, se_ratio=0.5), "dsa_r1_k3_s1_e1_se0.5_c16"),
    ],
)
def test_every_field_has_its_word(block, text):
    assert strings(block) == [[text]]


def test_the_networks_own_activation_function_has_no_word():
    assert strings(MBConv(channels=16, activation="gelu"), stem="gelu") == [["ir_r1_k3_s1_e6_c16"]]


def test_a_slope_that_is_not_torchs_default_is_given():
    leaky = MBConv(channels=16, activation="leaky_relu")
    spec = one(leaky, stem="leaky_relu")
    assert timm_architecture(spec) == [["ir_r1_k3_s1_e6_c16"]]
    slope = "partial(nn.LeakyReLU, negative_slope=0.1)"
    assert arguments(to_timm(spec, {}))["act_layer"] == slope


def test_stages_of_timm_begin_at_every_stride():
    blocks = [
        MBConv(channels=24, stride=2),
        MBConv(channels=24),
        MBConv(channels=24, kernels=(5,)),
        MBConv(channels=32, stride=2),
    ]
    spec = one(*blocks)
    assert timm_architecture(spec) == [
        ["ir_r2_k3_s2_e6_c24", "ir_r1_k5_s1_e6_c24"],
        ["ir_r1_k3_s2_e6_c32"],
    ]
    assert timm_places(spec) == {(0, 0): (0, 0), (0, 1): (0, 1), (0, 2): (0, 2), (0, 3): (1, 0)}


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        (MBConv(channels=16, kernels=(5,), dilated=True), "strings have no dilated kernels"),
        (
            MBConv(channels=16, kernels=(3, 5, 7), split="exponential"),
            "strings have kernel groups of equal size, but these are 48, 24, 24",
        ),
        (
            MBConv(channels=16, kernels=(3, 5), group_width=8),
            "strings have no mix of kernels in groups of 8 channels",
        ),
        (MBConv(channels=16, activation="gelu"), "strings have no activation function gelu"),
        (
            MBConv(channels=16, activation="leaky_relu"),
            "strings have no activation function leaky_relu",
        ),
        (DSConv(channels=16, skip=True), "timm has no skip connection around a last activation"),
        (MBConv(channels=16, skip="pool"), "timm has no pooling in a skip connection"),
    ],
)
def test_what_timm_cannot_say_is_refused_with_the_block(block, reason):
    with pytest.raises(MixnasError, match=f"^timm cannot build one: stages.0.1: {reason}"):
        strings(MBConv(channels=16), block)


def test_channels_that_timm_rounds_are_refused():
    reason = "stages.0.0: timm rounds expanded channels to multiples of 8, and these are 60"
    with pytest.raises(MixnasError, match=reason):
        strings(MBConv(channels=16), channels=10)


def test_ends_that_timm_does_not_have_are_refused():
    block = MBConv(channels=16, dilated=True, kernels=(5,))
    spec = one(block, block, block).replace(
        stem=Stem(channels=16, stride=1), head=Head(channels=8, activation="swish")
    )
    with pytest.raises(MixnasError) as raised:
        timm_architecture(spec)
    assert str(raised.value) == (
        "timm cannot build one: stem: its stride is 1, and timm's is always 2; head: its "
        "activation function swish is another than the stem's relu, and timm has one for both; "
        "stages.0.0: strings have no dilated kernels; and 2 more"
    )
    bare = one(MBConv(channels=16), stem="identity")
    with pytest.raises(MixnasError, match="stem: timm has no stem without activation function"):
        timm_architecture(bare)


def test_every_network_of_mixnet_can_be_said():
    import random

    space = load_space("mixnet")
    for seed in range(20):
        spec = space.decode(space.draw(random.Random(seed)))
        assert sum(len(blocks) for blocks in timm_architecture(spec)) >= 6


def test_the_file_gives_timm_what_is_not_in_the_strings():
    spec = load_network("mixnet_m").replace(padding="same", norm=Norm(1e-3, 0.01), num_classes=7)
    text = to_timm(spec, {"CLASSES": ['"""', "b"]})
    given = arguments(text)
    assert given == {
        "num_classes": "7",
        "num_features": "1536",
        "in_chans": "3",
        "stem_size": "24",
        "stem_kernel_size": "3",
        "fix_stem": "True",
        "output_stride": "32",
        "pad_type": "'same'",
        "act_layer": "nn.ReLU",
        "norm_layer": "partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)",
        "round_chs_fn": "int",
    }
    deep = one(*[MBConv(channels=16, stride=2)] * 6)
    assert "output_stride=128," in to_timm(deep, {})


SWISH = MBConv(channels=16, se_ratio=0.25, activation="swish")


@pytest.mark.parametrize(
    ("activation", "gate", "given"),
    [
        ("swish", "sigmoid", None),
        ("swish", "hard_sigmoid", "partial(SqueezeExcite, gate_layer=nn.Hardsigmoid)"),
        ("relu", "sigmoid", "partial(SqueezeExcite, force_act_layer=nn.ReLU)"),
        (
            "leaky_relu",
            "hard_sigmoid",
            "partial(SqueezeExcite, force_act_layer=partial(nn.LeakyReLU, negative_slope=0.1), "
            "gate_layer=nn.Hardsigmoid)",
        ),
    ],
)
def test_timm_is_given_the_one_kind_of_squeeze_and_excitation(activation, gate, given):
    block = dataclasses.replace(SWISH, se_activation=activation, gate=gate)
    spec = one(block, MBConv(channels=16), block)
    text = to_timm(spec, {})
    assert arguments(text).get("se_layer") == given
    assert ("import SqueezeExcite" in text) == (given is not None)
    assert all(len(line) <= 100 for line in text.splitlines())
    assert timm_architecture(spec)[0][0] == "ir_r1_k3_s1_e6_se0.25_c16_nsw"


def test_two_kinds_of_squeeze_and_excitation_are_refused():
    wide = MBConv(channels=16, se_ratio=0.25, expansion=3, gate="hard_sigmoid")
    with pytest.raises(MixnasError) as raised:
        strings(SWISH, wide)
    assert str(raised.value) == (
        "timm cannot build one: stages.0.1: its gate function hard_sigmoid is another than that of "
        "stages.0.0, sigmoid, and timm has one for all blocks"
    )
    wide = MBConv(channels=16, se_ratio=0.25, expansion=3, se_activation="gelu")
    with pytest.raises(MixnasError) as raised:
        strings(SWISH, wide)
    assert str(raised.value) == (
        "timm cannot build one: stages.0.1: its squeeze-and-excitation has the activation function "
        "gelu, and timm has the block's own, or one for all blocks"
    )


def test_layers_that_timm_does_not_have_are_refused(monkeypatch):
    expand = MBConv.expand

    def shuffled(block, in_channels, rules):
        return Residual((*expand(block, in_channels, rules).children, ("last", ChannelShuffle(2))))

    monkeypatch.setattr(MBConv, "expand", shuffled)
    reason = r"stages.0.0: timm has no ChannelShuffle there \('last'\)"
    with pytest.raises(MixnasError, match=reason):
        strings(MBConv(channels=16))
    monkeypatch.setattr(MBConv, "expand", lambda *given: Sum((("a", expand(*given)),)))
    with pytest.raises(MixnasError, match=r"stages.0.0: timm has no block like mbconv"):
        strings(MBConv(channels=16))


def test_ends_with_other_layers_are_refused():
    spec = one(MBConv(channels=16)).replace(stem=Stem(channels=16, before=(8,)))
    with pytest.raises(MixnasError, match="stem: timm's is one convolution without bias"):
        to_timm(spec, {})
    spec = one(MBConv(channels=16)).replace(head=Head(channels=16, hidden=(32,)))
    with pytest.raises(MixnasError, match="head: timm's is one convolution with BN, pooling"):
        to_timm(spec, {})
