import dataclasses
import itertools
import math
import random

import pytest

from nas.cost import count
from nas.errors import MixnasError
from nas.space import sample, size, space_from_yaml
from nas.space.derive import RegNetRule, group_fitted, regnet_stages, slope_range
from nas.space.plan import ValueSource
from nas.spec import load_network
from tests.space.random_spaces import assignments


@pytest.mark.parametrize(
    ("parameters", "depths", "widths"),
    # Published widths before their adjustment to group widths: RegNetX-200MF, 400MF and 1.6GF.
    [
        ((13, 24, 36.44, 2.49), (1, 1, 4, 7), (24, 56, 152, 368)),
        ((16, 56, 35.73, 2.28), (1, 3, 7, 5), (56, 128, 288, 664)),
        ((18, 80, 34.01, 2.25), (2, 4, 10, 2), (80, 176, 408, 912)),
    ],
)
def test_regnet_rule(parameters, depths, widths):
    assert regnet_stages(*parameters) == (widths, depths, True)


# Radosavovic et al. 2020, figures 15 and 16: depth, w0, wa, wm, and group width.
PUBLISHED = {
    "regnet_x_12gf": (19, 168, 73.36, 2.37, 112),
    "regnet_x_16gf": (22, 216, 55.59, 2.1, 128),
    "regnet_x_1_6gf": (18, 80, 34.01, 2.25, 24),
    "regnet_x_200mf": (13, 24, 36.44, 2.49, 8),
    "regnet_x_32gf": (23, 320, 69.86, 2.0, 168),
    "regnet_x_3_2gf": (25, 88, 26.31, 2.25, 48),
    "regnet_x_400mf": (22, 24, 24.48, 2.54, 16),
    "regnet_x_4gf": (23, 96, 38.65, 2.43, 40),
    "regnet_x_600mf": (16, 48, 36.97, 2.24, 24),
    "regnet_x_6_4gf": (17, 184, 60.83, 2.07, 56),
    "regnet_x_800mf": (16, 56, 35.73, 2.28, 16),
    "regnet_x_8gf": (23, 80, 49.56, 2.88, 120),
    "regnet_y_12gf": (19, 168, 73.36, 2.37, 112),
    "regnet_y_16gf": (18, 200, 106.23, 2.48, 112),
    "regnet_y_1_6gf": (27, 48, 20.71, 2.65, 24),
    "regnet_y_200mf": (13, 24, 36.44, 2.49, 8),
    "regnet_y_32gf": (20, 232, 115.89, 2.53, 232),
    "regnet_y_3_2gf": (21, 80, 42.63, 2.66, 24),
    "regnet_y_400mf": (16, 48, 27.89, 2.09, 8),
    "regnet_y_4gf": (22, 96, 31.41, 2.24, 64),
    "regnet_y_600mf": (15, 48, 32.54, 2.32, 16),
    "regnet_y_6_4gf": (25, 112, 33.22, 2.27, 72),
    "regnet_y_800mf": (14, 56, 38.84, 2.4, 16),
    "regnet_y_8gf": (17, 192, 76.82, 2.19, 56),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_published_network_follows_from_five_numbers(name):
    *numbers, group_width = PUBLISHED[name]
    widths, depths, complete = regnet_stages(*numbers)
    groups = [min(group_width, width) for width in widths]  # appendix D: never above the width
    fitted = [group_fitted(width, group, 1) for width, group in zip(widths, groups, strict=True)]
    stages = load_network(name).stages
    assert complete
    assert depths == tuple(map(len, stages))
    for stage, width, group in zip(stages, fitted, groups, strict=True):
        assert {(block.channels, block.group_width) for block in stage} == {(width, group)}
        assert {block.bottleneck_ratio for block in stage} == {1}
        assert {block.se_ratio for block in stage} == {0.25 if "_y_" in name else 0}


@pytest.mark.parametrize(
    ("name", "widths", "params"),
    [
        ("regnet_x_400mf", (32, 64, 160, 400), 5_495_976),
        ("regnet_y_800mf", (64, 144, 320, 784), 6_432_512),
        ("regnet_y_8gf", (224, 448, 896, 2016), 39_381_472),
        ("regnet_x_200mf", (24, 56, 152, 368), 2_684_792),  # the same by both rules
    ],
)
def test_torchvision_rounds_widths_in_its_own_way(name, widths, params):
    *numbers, group_width = PUBLISHED[name]
    found, _, _ = regnet_stages(*numbers)
    groups = [min(group_width, width) for width in found]
    fitted = [
        group_fitted(width, group, 1, "torchvision")
        for width, group in zip(found, groups, strict=True)
    ]
    assert tuple(fitted) == widths
    spec = load_network(name)
    stages = tuple(
        tuple(dataclasses.replace(block, channels=width) for block in stage)
        for stage, width in zip(spec.stages, fitted, strict=True)
    )
    assert count(spec.replace(stages=stages)).params == params


def test_derived_spaces():
    space = space_from_yaml(
        """
        name: regnet
        stem: {channels: 32}
        head: {channels: 0}
        derive:
          rule: regnet
          depth: {range: [12, 28]}
          w0: {range: [8, 64], step: 8, scale: log}
          wa: {range: [8, 64], step: 4}
          wm: {range: [2, 3], step: 0.25}
        stages: {s1: &s {stride: 2, kernels: {choice: [3, 5]}}, s2: *s, s3: *s, s4: *s}
        limits: {madds: 2G}
        """
    )
    rng = random.Random(0)
    for _ in range(5):
        drawn = sample(space, rng)
        spec = space.decode(drawn.genotype)
        assert len(spec.stages) == 4
        assert drawn.cost.madds <= 2_000_000_000
        values = space.values(drawn.genotype)
        widths, depths, _ = regnet_stages(
            *(values[f"derive.{n}"] for n in ("depth", "w0", "wa", "wm"))
        )
        assert tuple(stage[0].channels for stage in spec.stages) == widths
        assert tuple(map(len, spec.stages)) == depths
        assert space.encode_spec(spec) == drawn.genotype
        assert space.contains(spec)
    wider = [dataclasses.replace(block, channels=4096) for block in spec.stages[3]]
    with pytest.raises(MixnasError, match="no parameters of the rule derive its widths"):
        space.encode_spec(spec.replace(stages=(*spec.stages[:3], tuple(wider))))
    uneven = (dataclasses.replace(spec.stages[3][0], channels=8), *spec.stages[3][1:], *wider[:1])
    with pytest.raises(MixnasError, match=r"stages\[3\]: its blocks differ in channels"):
        space.encode_spec(spec.replace(stages=(*spec.stages[:3], uneven)))


SMALL = """
    stem: {channels: 8}
    derive: {depth: {range: [2, 6]}, w0: {choice: [8, 16]}, wa: {range: [4, 24], step: 2},
             wm: {choice: [1.5, 2, 2.5]}}
    stages: {a: {kernels: {choice: [3, 5]}}, b: {rest: {se_ratio: {choice: [0, 0.25]}}}}
"""


def test_the_size_of_a_derived_space_counts_networks():
    space = space_from_yaml(SMALL)
    networks = set()
    for depth, w0, wa, wm in itertools.product(
        range(2, 7), (8, 16), range(4, 25, 2), (1.5, 2, 2.5)
    ):
        widths, depths, complete = regnet_stages(depth, w0, wa, wm)
        if complete and len(widths) == 2:
            networks.add((widths, depths))
    # Two kernels in the first stage; SE or none in the second, if that has a second block.
    assert size(space) == sum(2 * (2 if depths[1] > 1 else 1) for _, depths in networks)


def test_parameters_of_the_same_widths_are_one_genotype():
    space = space_from_yaml(SMALL)
    depth, w0, wa, wm = (space.index(f"derive.{n}") for n in ("depth", "w0", "wa", "wm"))
    genotype = [0] * len(space.variables)
    genotype[depth], genotype[w0], genotype[wa], genotype[wm] = 2, 0, 3, 1  # 4 blocks, 8 + 10 j
    assert (
        regnet_stages(4, 8, 10, 2)[:2] == regnet_stages(4, 8, 12, 2)[:2] == ((8, 16, 32), (1, 1, 2))
    )
    genotype[depth] = 0  # 2 blocks: 8 and 16 for slopes from 4 to 14
    slopes = {space.canonical((*genotype[:wa], i, *genotype[wa + 1 :]))[wa] for i in range(6)}
    assert slopes == {0}


def test_restrictions_choose_among_equal_parameters():
    space = space_from_yaml(SMALL + "    restrictions: [derive.wa >= 10]\n")
    for genotype in {space.canonical(g) for g in assignments(space)}:
        if not space.broken(genotype):
            assert space.values(genotype)["derive.wa"] >= 10
    two = next(g for g in assignments(space) if space.values(g)["derive.depth"] == 2)
    given = {**space.to_params(two), "derive.w0": 8, "derive.wa": 14, "derive.wm": 2}
    # A slope of 4 would derive the same widths, but the restriction excludes it.
    assert space.values(space.from_params(given))["derive.wa"] == 10


def test_the_range_of_slopes():
    # Depths 1 and 2 of widths 8 and 16: 8 (2^0.5 - 1) / 1 <= wa <= 8 (2^1.5 - 1) / 2.
    low, high = slope_range((1, 2), 8, 2)
    assert (low, high) == (pytest.approx(8 * (2**0.5 - 1)), pytest.approx(4 * (2**1.5 - 1)))
    assert slope_range((1,), 8, 2) == (0, math.inf)


def test_a_rule_finds_all_parameters():
    values = {"depth": (2, 3), "w0": (8, 12, 16), "wa": (20, 4, 8, 12, 0), "wm": (1.5, 2, 3)}
    sources = {n: ValueSource(variable=i, values=v) for i, (n, v) in enumerate(values.items())}
    rule = RegNetRule(sources, 2)
    found = {}
    for genotype in itertools.product(*(range(len(v)) for v in values.values())):
        found.setdefault(rule.apply(genotype), set()).add(genotype)
    found.pop(None)
    assert len(found) > 3
    for (widths, depths), expected in found.items():
        listed = [tuple(p[i] for i in range(4)) for p in rule.parameters(widths, depths)]
        assert set(listed) == expected
        assert len(listed) == len(expected)


@pytest.mark.parametrize(
    ("width", "group_width", "ratio", "fitted"),
    [
        (24, 0, 1, 24),
        (24, 16, 1, 32),  # 1.5 groups are 2, and 2.5 as well
        (40, 16, 1, 32),
        (664, 16, 1, 672),  # RegNetX-800MF
        (80, 120, 1, 80),  # narrower than a group
        (72, 16, 2, 64),  # 36 in the middle are 32
        (72, 16, 0.5, 72),  # 144 in the middle
    ],
)
def test_widths_are_fitted_to_groups(width, group_width, ratio, fitted):
    assert group_fitted(width, group_width, ratio) == fitted


def test_a_rule_with_groups_derives_published_widths_and_finds_them_again():
    # RegNetX-400MF, with groups of 16, and the same with others.
    values = {
        "depth": (20, 22), "w0": (24, 32), "wa": (24.48, 25), "wm": (2.54,), "group_width": (8, 16)
    }  # fmt: skip
    sources = {n: ValueSource(variable=i, values=v) for i, (n, v) in enumerate(values.items())}
    rule = RegNetRule(sources, 4)
    assert rule.apply((1, 0, 0, 0, 1)) == ((32, 64, 160, 384), (1, 2, 7, 12))
    assert rule.apply((1, 0, 0, 0, 0)) == ((24, 64, 152, 392), (1, 2, 7, 12))
    found = list(rule.parameters((32, 64, 160, 384), (1, 2, 7, 12)))
    assert {0: 1, 1: 0, 2: 0, 3: 0, 4: 1} in found
    allowed = {1: (0,), 4: (1,)}
    among = list(rule.parameters((32, 64, 160, 384), (1, 2, 7, 12), allowed))
    assert among == [p for p in found if p[1] == 0 and p[4] == 1]
    assert not list(rule.parameters((32, 64, 160, 384), (1, 2, 7, 12), {4: (0,)}))


def test_groups_of_the_rule_are_those_of_the_blocks():
    space = space_from_yaml(
        """
        stem: {channels: 8}
        variables: {g: {choice: [8, 16]}}
        defaults: {group_width: $g, bottleneck_ratio: 1}
        derive: {depth: 3, w0: {choice: [8, 24]}, wa: {choice: [8, 24]}, wm: {choice: [2, 3]},
                 group_width: $g}
        stages: {a: {op: bottleneck}, b: {op: bottleneck, stride: 2}}
        """
    )
    built = set()
    for genotype in assignments(space):
        if not space.broken(genotype):
            spec = space.decode(genotype)
            assert all(block.channels % block.group_width == 0 for block in spec.blocks)
            assert space.encode_spec(spec) == space.canonical(genotype)
            built.add(spec.digest())
    assert size(space) == len(built) > 1


def test_a_flat_line_is_one_stage():
    assert regnet_stages(5, 24, 0, 2.5) == ((24,), (5,), True)


def test_skipped_powers_are_noticed():
    # Widths 8 and 8 + 56 = 64 = 8 * 2^3: the powers 1 and 2 are missing.
    assert regnet_stages(2, 8, 56, 2) == ((8, 64), (1, 1), False)
    assert regnet_stages(4, 8, 64, 2.0)[2] is False


@pytest.mark.parametrize(
    ("stages", "w0", "result"),
    [(2, 8, ((8, 16), (1, 1))), (3, 8, None), (1, 8, None), (2, 16376, None)],
)
def test_the_rule_needs_the_spaces_number_of_stages_and_bounded_widths(stages, w0, result):
    values = {"depth": 2, "w0": w0, "wa": w0, "wm": 2}
    rule = RegNetRule({name: ValueSource(value) for name, value in values.items()}, stages)
    assert rule.apply(()) == result
